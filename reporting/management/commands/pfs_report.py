"""``manage.py pfs_report``: the report by arm on one data cut, as a file."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.outcomes import Refused
from reporting.documents.formats import PFS_FORMATS, rendered
from reporting.management.arguments import (
    day_of,
    instant_of,
    only_person,
    trial_called,
    user_called,
    writable,
    write_whole,
)
from reporting.unblinded.pfs import pfs_report
from trials.permissions import Role


class Command(BaseCommand):
    help = "Write the report on progression-free survival by arm. The look is logged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--trial", required=True, help="the trial's code")
        parser.add_argument("--cutoff", required=True, help="last day that counts, like 2016-03-31")
        parser.add_argument(
            "--as-known-at", help="instant with offset, like 2016-04-29T12:00Z; default: now"
        )
        parser.add_argument("--format", required=True, choices=PFS_FORMATS)
        parser.add_argument("--out", required=True, help="file to write")
        parser.add_argument(
            "--by", help="who looks; default: the trial's only unblinded statistician"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        out = writable(options["out"])
        trial = trial_called(options["trial"])
        now = timezone.now()
        try:
            report = pfs_report(
                trial=trial,
                cutoff_on=day_of(options["cutoff"]),
                as_known_at=instant_of(options["as_known_at"]),
                by=user_called(options["by"])
                if options["by"]
                else only_person(trial, Role.UNBLINDED_STATISTICIAN, now),
                at=now,
            )
        except Refused as refused:
            raise CommandError(f"{refused.title}: {refused}") from refused
        except PermissionDenied as denied:
            raise CommandError(str(denied)) from denied
        write_whole(out, rendered(report, options["format"]))
        self.stdout.write(
            f"{out}: {trial.code}, cut-off {report.header.cutoff_on}, as known at "
            f"{report.header.as_known_at.isoformat()}, sha256 {report.digest}"
        )
