"""``manage.py randomisation verify``: derive every allocation again and certify what was found."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.outcomes import Refused
from reporting.documents.certificate import rendered_certificate
from reporting.management.arguments import trial_called, user_called, writable, write_whole
from reporting.unblinded.verification import verify_randomisation


class Command(BaseCommand):
    help = "Verify a trial's randomisation against its sealed lists. The look is logged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        verify = acts.add_parser("verify", help="derive every allocation again")
        verify.add_argument("--trial", required=True, help="the trial's code")
        verify.add_argument(
            "--as", dest="by", required=True, help="user name of who verifies: a statistician"
        )
        verify.add_argument("--pdf", help="file to write the certificate to, for a signature")
        verify.add_argument(
            "--annex", action="store_true", help="add the counts by arm: unblinded people alone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        out = writable(options["pdf"]) if options["pdf"] else None
        try:
            certificate = verify_randomisation(
                trial=trial_called(options["trial"]),
                annex=options["annex"],
                by=user_called(options["by"]),
                at=timezone.now(),
            )
        except Refused as refused:
            raise CommandError(f"{refused.title}: {refused}") from refused
        except PermissionDenied as denied:
            raise CommandError(str(denied)) from denied
        self.stdout.write(rendered_certificate(certificate, "text").decode())
        if out:
            write_whole(out, rendered_certificate(certificate, "pdf"))
            self.stdout.write(f"{out}: the same certificate, for a signature")
        if not certificate.verified:
            raise CommandError(f"{len(certificate.findings)} findings: NOT VERIFIED.")
