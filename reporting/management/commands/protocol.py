"""``manage.py protocol``: check a file, start a trial, take an amendment to the sites or back."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from events.outcomes import Refused
from reporting.management.arguments import day_of, only_person, trial_called, user_called
from reporting.services.amendments import activate_version, approved_sites, impact_of
from trials.models import ProtocolVersion, Site, Trial, User
from trials.permissions import Role
from trials.rules.protocol import Protocol, ProtocolInvalid, digest, load_protocol, text_of
from trials.rules.protocol.amendment import by_section, changes
from trials.rules.protocol_check import places_of, predictability_of
from trials.services.accounts import make_first_administrator
from trials.services.amendments import record_approval, submit_version
from trials.services.people import Trained
from trials.services.setup import create_trial
from trials.services.withdrawn_starts import withdraw_start


class Command(BaseCommand):
    help = "Check protocol files, start a trial from one, and take an amendment to the sites."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        start = acts.add_parser("start", help="make a trial from its file, at the console")
        start.add_argument("file", type=Path)
        start.add_argument(
            "--administrator", required=True, help="who runs it; made if there is no such log-in"
        )
        start.add_argument(
            "--trained-on", required=True, help="day of the administrator's training"
        )
        start.add_argument("--document", required=True, help="what that training was on")
        start.add_argument("--document-version", required=True, help="in which version")
        start.add_argument(
            "--replay", action="store_true", help="a finished trial: its acts carry past dates"
        )
        check = acts.add_parser("check", help="name every problem of a file")
        check.add_argument("file", type=Path)
        diff = acts.add_parser("diff", help="tell an amendment, by section, in words")
        diff.add_argument("before", help="a file, or a stored version with --trial")
        diff.add_argument("after", help="a file, or a stored version with --trial")
        diff.add_argument("--trial", help="whose stored versions are meant")
        submit = acts.add_parser("submit", help="store a new version of a running trial")
        submit.add_argument("file", type=Path)
        approve = acts.add_parser("approve", help="record that a site may run a version")
        approve.add_argument("--site", required=True)
        approve.add_argument("--on", required=True, help="day of the approval")
        approve.add_argument("--reference", required=True, help="of the letter")
        activate = acts.add_parser("activate", help="show the impact and put a version in force")
        where = activate.add_mutually_exclusive_group(required=True)
        where.add_argument("--site", action="append", default=[], help="may be repeated")
        where.add_argument("--all-approved", action="store_true")
        activate.add_argument("--from", dest="day", required=True, help="first day, site-local")
        activate.add_argument("--yes", action="store_true", help="you have read the impact")
        withdraw = acts.add_parser("withdraw", help="take back a start that has not come")
        withdraw.add_argument("--site", action="append", required=True, help="may be repeated")
        withdraw.add_argument("--reason", required=True)
        for act in (approve, activate, withdraw):
            act.add_argument("version")
        for act in (submit, approve, activate, withdraw):
            act.add_argument("--trial", required=True)
            act.add_argument("--as", dest="user", help="who does it; the only administrator else")

    def handle(self, *args: Any, **options: Any) -> None:
        acts: dict[str, Any] = {
            "start": self._start,
            "check": self._check,
            "diff": self._diff,
            "submit": self._submit,
            "approve": self._approve,
            "activate": self._activate,
            "withdraw": self._withdraw,
        }
        try:
            acts[options["act"]](**options)
        except Refused as refused:
            for reason in refused.reasons:
                self.stdout.write(f"  {reason.detail} [{reason.code}]")
            raise CommandError(f"{refused.title}; nothing was stored.") from None
        except PermissionDenied as denied:
            raise CommandError(f"{denied}; nothing was stored.") from None
        except ObjectDoesNotExist:
            who, code = options.get("user"), options.get("trial")
            raise CommandError(f"{who} has no part in {code}; nothing was stored.") from None

    def _start(self, *, file: Path, administrator: str, replay: bool, **options: Any) -> None:
        text = self._text(file)
        training = Trained(
            options["document"], options["document_version"], day_of(options["trained_on"])
        )
        self._protocol(file, text)
        conduct, at = (Trial.Conduct.REPLAY if replay else Trial.Conduct.LIVE), timezone.now()
        with transaction.atomic():
            who, password = User.objects.filter(username=administrator).first(), ""
            if who is None:
                who, password = make_first_administrator(username=administrator, at=at)
            elif who.is_machine or not who.is_active:
                raise CommandError(f"{administrator} is no person who may log in.")
            made = create_trial(
                protocol_text=text, conduct=conduct, administrator=who, training=training, at=at
            )
        self.stdout.write(f"{made.code} is there, {conduct}, and {who} is its administrator.")
        if password:
            self.stdout.write(f"Password for the first log-in, shown once: {password}")
        self.stdout.write("Next, in the web admin: people, trainings, roles, sites.")

    def _check(self, *, file: Path, **options: Any) -> None:
        text = self._text(file)
        protocol = self._protocol(file, text)
        self.stdout.write(f"{file}: {_described(protocol)}, sha256 {digest(text)}. No problem.")
        for line in predictability_of(protocol).lines():
            self.stdout.write(f"  {line}")
        self.stdout.write(f"  {places_of(protocol)}")

    def _protocol(self, path: Path, text: str) -> Protocol:
        try:
            return load_protocol(text)
        except ProtocolInvalid as invalid:
            raise self._named(path, invalid) from None

    def _text(self, path: Path) -> str:
        """Return the text of a file as its bytes say it, so that its digest is the file's own."""
        try:
            return text_of(path.read_bytes())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        except ProtocolInvalid as invalid:
            raise self._named(path, invalid) from None

    def _named(self, path: Path, invalid: ProtocolInvalid) -> CommandError:
        for problem in invalid.problems:
            self.stdout.write(
                f"{path}:{problem.line}: {problem.key or 'file'}: "
                f"{problem.message} [{problem.rule}]"
            )
        return CommandError(f"{len(invalid.problems)} problems; nothing was stored.")

    def _diff(self, *, before: str, after: str, trial: str | None, **options: Any) -> None:
        old, new = (self._version(name, trial) for name in (before, after))
        self.stdout.write(f"{old.trial.code} {old.version} to {new.trial.code} {new.version}")
        found = changes(old, new)
        if not found:
            same = old.version == new.version
            self.stdout.write("Nothing differs." if same else "Only the version number differs.")
        for title, rows in by_section(found):
            self.stdout.write(f"\n{title}")
            for row in rows:
                self.stdout.write(f"  - {row}")

    def _version(self, name: str, trial: str | None) -> Protocol:
        path = Path(name)
        if path.is_file():
            return self._protocol(path, self._text(path))
        if trial is None:
            raise CommandError(f"There is no file {name}; for a stored version add --trial CODE.")
        return _stored(trial_called(trial), name).protocol

    def _submit(self, *, file: Path, trial: str, user: str | None, **options: Any) -> None:
        study = trial_called(trial)
        version = submit_version(
            trial_id=study.pk,
            protocol_text=self._text(file),
            by=_who(study, user),
            at=timezone.now(),
        )
        self.stdout.write(f"{version} is stored, in force nowhere yet. Record approvals next.")

    def _approve(
        self, *, version: str, trial: str, site: str, on: str, reference: str,
        user: str | None, **options: Any,
    ) -> None:  # fmt: skip
        study = trial_called(trial)
        (place,) = _sites(study, [site])
        approval = record_approval(
            site=place,
            version=_stored(study, version),
            approved_on=day_of(on),
            reference=reference,
            by=_who(study, user),
            at=timezone.now(),
        )
        self.stdout.write(f"{place.code} may run {version}: {approval}.")

    def _activate(
        self, *, version: str, trial: str, site: Sequence[str], all_approved: bool, day: str,
        yes: bool, user: str | None, **options: Any,
    ) -> None:  # fmt: skip
        study = trial_called(trial)
        amendment, first = _stored(study, version), day_of(day)
        by = _who(study, user)
        places = approved_sites(amendment) if all_approved else _sites(study, site)
        impact = impact_of(version=amendment, sites=places, in_force_from=first, by=by)
        for line in impact.lines():
            self.stdout.write(line)
        if not yes and not self._agreed():
            raise CommandError("Nothing was activated: say --yes once you have read the impact.")
        rows = activate_version(
            version=amendment,
            sites=places,
            in_force_from=first,
            impact_digest=impact.digest,
            by=by,
            at=timezone.now(),
        )
        self.stdout.write(f"\n{version} is in force from {first} at {len(rows)} sites.")

    def _withdraw(
        self, *, version: str, trial: str, site: Sequence[str], reason: str, user: str | None,
        **options: Any,
    ) -> None:  # fmt: skip
        study = trial_called(trial)
        rows = withdraw_start(
            version=_stored(study, version),
            sites=_sites(study, site),
            reason=reason,
            by=_who(study, user),
            at=timezone.now(),
        )
        for row in rows:
            day, place = row.in_force_from, row.site.code
            self.stdout.write(f"{version} does not begin at {place} on {day}: withdrawn.")

    def _agreed(self) -> bool:
        if not self._at_a_terminal():
            return False
        return input("\nPut it in force? Type yes: ").strip().lower() == "yes"

    @staticmethod
    def _at_a_terminal() -> bool:
        return sys.stdin.isatty()


def _stored(trial: Trial, name: str) -> ProtocolVersion:
    found = trial.versions.filter(version=name).first()
    if found is None:
        known = ", ".join(trial.versions.order_by("submitted_at").values_list("version", flat=True))
        raise CommandError(f"{trial.code} has no version {name} (known: {known}).")
    return found


def _sites(trial: Trial, codes: Sequence[str]) -> list[Site]:
    found = list(trial.sites.filter(code__in=codes).select_related("trial"))
    if unknown := sorted(set(codes) - {site.code for site in found}):
        raise CommandError(f"{trial.code} has no site {', '.join(unknown)}.")
    return found


def _who(trial: Trial, name: str | None) -> User:
    if name is not None:
        return user_called(name)
    return only_person(trial, Role.SPONSOR_ADMINISTRATOR, timezone.now(), option="--as")


def _described(protocol: Protocol) -> str:
    arms = ", ".join(f"{arm.label} ({arm.ratio})" for arm in protocol.arms)
    return f"{protocol.trial.code} {protocol.version}, {arms}, {len(protocol.strata)} strata"
