"""``manage.py safety_summary``: write a further edition by hand, or recompute the last one."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.outcomes import Refused
from reporting.management.arguments import only_person, trial_called, user_called
from reporting.models import SafetySummary
from reporting.services.periods import Period, PeriodKind, period_named
from reporting.services.safety_summaries import (
    latest_period,
    recomputed_digest,
    write_safety_summary,
)
from trials.models import Trial
from trials.permissions import Role


class Command(BaseCommand):
    help = "Write the next edition of a period's blinded safety summary, or recompute the last one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--trial", required=True, help="the trial's code")
        parser.add_argument(
            "--period", help="2016-03, 2016-W12 or 2016-Q1, as the protocol asks; default: the last"
        )
        parser.add_argument("--by", help="who writes; default: the trial's only safety officer")
        parser.add_argument(
            "--recompute",
            action="store_true",
            help="write nothing: read the last edition's cut again and compare the digests",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        trial = trial_called(options["trial"])
        now = timezone.now()
        period = _period(trial, options["period"], now)
        try:
            if options["recompute"]:
                self._recompute(trial, period, now)
            else:
                self._write(trial, period, options["by"], now)
        except Refused as refused:
            raise CommandError(f"{refused.title}: {refused}") from refused
        except PermissionDenied as denied:
            raise CommandError(str(denied)) from denied

    def _write(self, trial: Trial, period: Period, name: str | None, now: datetime) -> None:
        by = user_called(name) if name else only_person(trial, Role.SAFETY_OFFICER, now)
        made = write_safety_summary(trial=trial, period_start=period.start, by=by, at=now)
        self.stdout.write(
            f"{trial.code} {period.name}, edition {made.edition}: sha256 {made.digest}"
        )

    def _recompute(self, trial: Trial, period: Period, now: datetime) -> None:
        written = SafetySummary.objects.filter(trial=trial, period_start=period.start)
        summary = written.order_by("edition").last()
        if summary is None:
            raise CommandError(f"No summary of {period.name} has been written.")
        again = recomputed_digest(summary, at=now)
        said = f"{trial.code} {period.name}, edition {summary.edition}"
        if again != summary.digest:
            raise CommandError(f"{said} differs: stored {summary.digest}, recomputed {again}.")
        self.stdout.write(f"{said}: the same cut gives the same digest, sha256 {again}")


def _period(trial: Trial, name: str | None, now: datetime) -> Period:
    if name is None:
        found = latest_period(trial, at=now)
        if found is None:
            raise CommandError(f"No period of {trial.code} has ended yet: name one with --period.")
        return found
    try:
        return period_named(name, PeriodKind(trial.protocol.safety.summary_period))
    except ValueError as error:
        raise CommandError(f"{error}.") from error
