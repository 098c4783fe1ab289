"""What an amendment means for the subjects, and its activation, which asks to have seen that."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

from django.db import transaction

from dosing.models import Dispensation, DoseDecision, PregnancyRisk, TreatmentEnd
from dosing.rules.dispensing import Supply, runs_out_on
from dosing.rules.pregnancy_prevention import standing_category
from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import (
    Consent,
    ConsentWithdrawal,
    Death,
    LabResult,
    Screening,
    Subject,
    Unblinding,
)
from reporting.impact import LABELS, Affected, Amendment, Measured, Standing, by_effect, effects
from trials.errors import AmendmentRefused
from trials.models import ProtocolVersion, Site, SiteApproval, SiteVersion, User
from trials.permissions import Permission, authorise
from trials.services.amendments import put_in_force


@dataclass(frozen=True, slots=True)
class SubjectImpact:
    number: str
    affected: tuple[Affected, ...]


@dataclass(frozen=True, slots=True)
class SiteImpact:
    """One site's part: the version it leaves (empty before its first) and who is affected."""

    code: str
    was: str
    subjects: int
    affected: tuple[SubjectImpact, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What a version means at some sites from a day; ``without_approval`` are the others.

    Equal reports have equal digests, and an activation names the one that was looked at.
    """

    trial: str
    version: str
    in_force_from: date
    sites: tuple[SiteImpact, ...]
    without_approval: tuple[str, ...]

    @property
    def digest(self) -> str:
        return sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Return how many subjects meet each effect, by its label."""
        once = [row for site in self.sites for one in site.affected for row in _once(one.affected)]
        return {LABELS[effect]: count for effect, count in by_effect(once).items()}

    def content(self) -> dict[str, Any]:
        return {
            "trial": self.trial,
            "version": self.version,
            "in_force_from": self.in_force_from.isoformat(),
            "sites": [
                {
                    "site": site.code,
                    "was": site.was,
                    "subjects": site.subjects,
                    "affected": [
                        {
                            "subject": one.number,
                            "effects": [
                                {
                                    "effect": row.effect.value,
                                    "label": LABELS[row.effect],
                                    "detail": row.detail,
                                }
                                for row in one.affected
                            ],
                        }
                        for one in site.affected
                    ],
                }
                for site in self.sites
            ],
            "without_approval": list(self.without_approval),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report as plain text."""
        yield f"{self.trial} {self.version} in force from {self.in_force_from}"
        for site in self.sites:
            yield ""
            affected = f"{len(site.affected)} of {site.subjects} subjects affected"
            yield f"{site.code}, now {site.was or 'without a version'}: {affected}"
            for one in site.affected:
                for row in one.affected:
                    yield f"  {one.number}  {LABELS[row.effect]}: {row.detail}"
        if self.without_approval:
            yield ""
            yield f"Keep their version, without approval: {', '.join(self.without_approval)}"


def _once(affected: Sequence[Affected]) -> list[Affected]:
    return list({row.effect: row for row in affected}.values())


def impact_of(
    *, version: ProtocolVersion, sites: Sequence[Site], in_force_from: date, by: User
) -> Impact:
    """Return whom a version affects at some sites, and how, for whoever sets the trial up.

    It names subjects by their numbers and says what changes for each: who answers for the
    activation has to know. Raises ``PermissionDenied`` for anybody else.
    """
    with transaction.atomic():
        authorise(by, Permission.MANAGE_TRIAL, trial=version.trial)
        return _impact(version, sites, in_force_from)


@transaction.atomic
def activate_version(
    *,
    version: ProtocolVersion,
    sites: Sequence[Site],
    in_force_from: date,
    impact_digest: str,
    by: User,
    at: datetime,
) -> list[SiteVersion]:
    """Put an approved version in force at sites, for somebody who has seen its impact as it is now.

    Publishes ``ProtocolInForce`` for each site. Raises ``AmendmentRefused``: the impact is another
    than the one looked at, or what ``put_in_force`` refuses.
    """
    rows = put_in_force(
        version=version,
        sites=sites,
        in_force_from=in_force_from,
        impact_digest=impact_digest,
        by=by,
        at=at,
    )
    if _impact(version, sites, in_force_from).digest != impact_digest:
        detail = "The impact report is not the one you looked at: records have changed since."
        raise AmendmentRefused(Reason("impact_changed", detail))
    return rows


def approved_sites(version: ProtocolVersion) -> list[Site]:
    """Return the sites where a version is approved and not in force yet, closed ones aside."""
    run_it = SiteVersion.objects.filter(protocol_version=version).values("site")
    sites = version.trial.sites.filter(approvals__protocol_version=version)
    sites = sites.exclude(pk__in=run_it).exclude(status=Site.Status.CLOSED)
    return list(sites.order_by("code"))


def _impact(version: ProtocolVersion, sites: Sequence[Site], day: date) -> Impact:
    """Return the impact from all rows: whoever activates need not read subjects otherwise."""
    with reading_as_system("impact of an amendment"):
        return _read_impact(version, sites, day)


def _read_impact(version: ProtocolVersion, sites: Sequence[Site], day: date) -> Impact:
    approved = SiteApproval.objects.filter(protocol_version=version).values("site")
    others = version.trial.sites.exclude(pk__in=approved).exclude(status=Site.Status.CLOSED)
    return Impact(
        trial=version.trial.code,
        version=version.version,
        in_force_from=day,
        sites=tuple(
            _site_impact(site, version, day) for site in sorted(sites, key=lambda site: site.code)
        ),
        without_approval=tuple(others.order_by("code").values_list("code", flat=True)),
    )


def _site_impact(site: Site, version: ProtocolVersion, day: date) -> SiteImpact:
    standings = list(_standings(site))
    running = _before(site, version, day)
    if running is None:
        return SiteImpact(site.code, "", len(standings), ())
    amendment = Amendment(running.protocol, version.protocol, day)
    affected = (SubjectImpact(one.number, effects(one, amendment)) for one in standings)
    told = tuple(one for one in affected if one.affected)
    return SiteImpact(site.code, running.version, len(standings), told)


def _before(site: Site, version: ProtocolVersion, day: date) -> ProtocolVersion | None:
    """Return the version a site leaves: the last to begin by a day, other than the new one."""
    rows = site.versions.exclude(protocol_version=version).filter(in_force_from__lte=day)
    latest = rows.select_related("protocol_version").order_by("in_force_from").last()
    return latest.protocol_version if latest else None


def _standings(site: Site) -> Iterator[Standing]:
    """Yield where each subject of a site stands, in a fixed number of queries.

    The risk category is the one the gate reads: the last by the day it was assessed on. Of the
    laboratory results only the newest of each analyte is read.
    """
    subjects = Subject.objects.filter(site=site).select_related("allocation").order_by("number")
    of = {
        model: _by_subject(model, site, order)
        for model, order in (
            (Consent, ("signed_on",)),
            (ConsentWithdrawal, ("recorded_at",)),
            (Screening, ("recorded_at",)),
            (Death, ("recorded_at",)),
            (PregnancyRisk, ("assessed_on", "recorded_at")),
            (DoseDecision, ("recorded_at",)),
            (Dispensation, ("cycle",)),
            (TreatmentEnd, ("recorded_at",)),
            (LabResult, ("subject_id", "analyte", "-taken_on")),
            (Unblinding, ("recorded_at",)),
        )
    }
    for subject in subjects:
        yield _standing(subject, {model: rows[subject.pk] for model, rows in of.items()})


def _by_subject(model: Any, site: Site, order: tuple[str, ...]) -> dict[Any, list[Any]]:
    grouped: dict[Any, list[Any]] = defaultdict(list)
    rows = model.objects.filter(subject__site=site)
    if model is Unblinding:
        rows = rows.that_count()
    if model is Screening:
        rows = rows.select_related("protocol_version")
    rows = rows.order_by(*order)
    if model is LabResult:
        rows = rows.distinct("subject_id", "analyte")
    for row in rows:
        grouped[row.subject_id].append(row)
    return grouped


def _standing(subject: Subject, of: dict[Any, list[Any]]) -> Standing:
    screening = of[Screening][-1] if of[Screening] else None
    supplies, ended, risks = of[Dispensation], of[TreatmentEnd], of[PregnancyRisk]
    supplied = {row.cycle for row in supplies}
    judged = screening if screening and screening.subject_revision == subject.revision else None
    refused = judged is not None and not judged.eligible and subject.allocation is None
    decided = {row.cycle: row.dose_mg for row in of[DoseDecision] if row.cycle not in supplied}
    last, risk = supplies[-1] if supplies else None, risks[-1] if risks else None
    return Standing(
        number=subject.number,
        sex=subject.sex,
        signed=tuple(row.version for row in of[Consent]),
        out=bool(of[Death] or of[ConsentWithdrawal] or refused),
        screened_under=screening.protocol_version.version if screening else "",
        randomised_on=subject.allocation.randomised_on if subject.allocation else None,
        treatment_ended_on=ended[0].ended_on if ended else None,
        dose_mg=last.dose_mg if last else None,
        decided=tuple(sorted(decided.items())),
        next_cycle=max(supplied, default=0) + 1,
        cycle=last.cycle if last else None,
        cycle_day_1=last.dispensed_on if last else None,
        runs_out_on=runs_out_on(
            [Supply(row.cycle, row.dispensed_on, row.days) for row in supplies]
        ),
        newest={row.analyte: Measured(row.value, row.taken_on) for row in of[LabResult]},
        category=standing_category(risk and risk.category, subject.sex) or "",
        surgically_sterile=bool(risk and risk.surgically_sterile),
        menopause_months=risk.natural_menopause_months if risk else None,
        evidence=risk.evidence if risk else "",
        unblinded=tuple(row.kind for row in of[Unblinding]),
    )
