"""``manage.py reference_docs``: print docs/reference from the code, or say what is stale."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import reference


class Command(BaseCommand):
    help = "Write docs/reference from the code; with --check, only say which pages are stale."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changed = reference.stale() if options["check"] else reference.write()
        except LookupError as error:
            raise CommandError(str(error)) from error
        if options["check"] and changed:
            names = ", ".join(f"docs/reference/{name}" for name in changed)
            raise CommandError(f"Stale, write them with `make docs`: {names}")
        for name in changed:
            self.stdout.write(f"docs/reference/{name}")
