"""``manage.py down``: stop the embedded servers; their data stays."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import servers


class Command(BaseCommand):
    help = "Stop the embedded PostgreSQL and Valkey of this checkout. Their data stays."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stopped = servers.stop(settings.HOME)
        except servers.ServerProblem as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write("Stopped. The data stays." if stopped else "No server was running.")
