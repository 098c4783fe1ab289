from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as Migrate

from config.database import OWNER, ensure_logins, grant


class Command(Migrate):
    help = "Migrate as the owner, and give the application and sealed log-ins their rights."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Say who migrates before Django's checks look for the owner's connection."""
        if OWNER not in settings.DATABASES:
            raise CommandError("Only the owner migrates: set DATABASE_URL, or run `make up` first.")
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_logins()
        super().handle(*args, **options)
        if not options["plan"] and not options["check_unapplied"] and not options["app_label"]:
            grant()
