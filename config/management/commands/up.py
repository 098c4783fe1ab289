"""``manage.py up``: start the embedded servers, or find them running."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import servers


class Command(BaseCommand):
    help = "Start the embedded PostgreSQL and Valkey of this checkout and say where they are."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = servers.start(settings.HOME)
        except servers.ServerProblem as problem:
            raise CommandError(str(problem)) from problem
        (settings.HOME / ".vigil" / "demo-started-servers").unlink(missing_ok=True)  # ours now
        self.stdout.write(
            f"PostgreSQL  {found.postgres_host}:{found.postgres_port}, database {found.database}\n"
            f"Valkey      {found.postgres_host}:{found.valkey_port}\n"
            f"Passwords   {settings.HOME / '.vigil' / 'servers.json'}\n"
            f"Logs        {settings.HOME / '.vigil' / 'logs'}\n"
            "Stop them with `make down`; the data stays."
        )
        for name in ("DATABASE_URL", "REDIS_URL"):
            if os.environ.get(name):
                self.stdout.write(f"{name} is set: Vigil uses that server instead of this one.")
