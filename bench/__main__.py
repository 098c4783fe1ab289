"""``python -m bench [NAME ...]``: run the benchmarks on a database of their own."""

import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config import servers


ROOT = Path(__file__).resolve().parent.parent
NAMES = ("adverse_events",)
INSIDE = "VIGIL_BENCH_DATABASE"


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
        return 2
    if os.environ.get(INSIDE):
        return _run(wanted)
    return _in_a_database_of_its_own()


def _in_a_database_of_its_own() -> int:
    """Run this program again with ``DATABASE_URL`` at a fresh database, and drop that after."""
    were_running = servers.running(ROOT) is not None
    found = servers.start(ROOT)
    name = f"vigil_bench_{os.getpid()}"
    url = urlunsplit(urlsplit(found.owner_url)._replace(path=f"/{name}"))
    try:
        _as_owner(found.owner_url, f"CREATE DATABASE {name}")
        env = {**os.environ, INSIDE: name, "DATABASE_URL": url, "REDIS_URL": found.redis_url}
        return os.spawnve(
            os.P_WAIT, sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], env
        )
    finally:
        _as_owner(found.owner_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        if not were_running:
            servers.stop(ROOT)


def _as_owner(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _run(wanted: list[str]) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.core.management import call_command

    django.setup()
    from config.console import process_reads_as_system

    process_reads_as_system()
    call_command("migrate", verbosity=0)
    from bench import adverse_events

    with tempfile.TemporaryDirectory() as home:
        if "adverse_events" in wanted:
            adverse_events.measure(Path(home), out=sys.stdout)
    return 0


sys.exit(main())
