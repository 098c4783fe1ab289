"""Commands read every row, said in one place; a person's own console reads nothing until it asks."""

from collections.abc import Sequence

from django.conf import settings

from events.reading import SETTING, SYSTEM


ATTENDED = {"dbshell", "shell", "runserver"}  # people's own statements, and requests


def commands_read_as_system(argv: Sequence[str]) -> None:
    """Let this process read every row, if it runs a command that works through the trial's data."""
    if not ATTENDED & set(argv[1:2]):
        process_reads_as_system()


def process_reads_as_system() -> None:
    """Say it to PostgreSQL whenever this process connects. What it starts is not told."""
    options = settings.DATABASES["default"]["OPTIONS"]
    options["options"] = f"{options.get('options', '')} -c {SETTING}={SYSTEM}".strip()
