"""Commands read every row, said in one place. The bare SQL prompt and the web server do not."""

from collections.abc import Sequence

from django.conf import settings

from events.reading import SETTING, SYSTEM


NOT_VIGILS_OWN = {"dbshell", "runserver"}


def commands_read_as_system(argv: Sequence[str]) -> None:
    """Let this process read every row, if it runs a command that works through the trial's data."""
    if not NOT_VIGILS_OWN & set(argv[1:2]):
        process_reads_as_system()


def process_reads_as_system() -> None:
    """Say it to PostgreSQL whenever this process connects. What it starts is not told."""
    options = settings.DATABASES["default"]["OPTIONS"]
    options["options"] = f"{options.get('options', '')} -c {SETTING}={SYSTEM}".strip()
