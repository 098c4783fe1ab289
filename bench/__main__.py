"""``python -m bench [NAME ...]``: run the benchmarks on a database of their own."""

import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config import servers


ROOT = Path(__file__).resolve().parent.parent
NAMES = ("adverse_events", "allocations", "row_level_security")
INSIDE = "VIGIL_BENCH_DATABASE"


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
        return 2
    if os.environ.get(INSIDE):
        return _run(wanted[0])
    return max(_in_a_database_of_its_own(name) for name in wanted)


def _in_a_database_of_its_own(wanted: str) -> int:
    """Run this program again with ``DATABASE_URL`` at a fresh database, and drop that after."""
    were_running = servers.running(ROOT) is not None
    found = servers.start(ROOT)
    name = f"vigil_bench_{os.getpid()}"
    url = urlunsplit(urlsplit(found.owner_url)._replace(path=f"/{name}"))
    try:
        _as_owner(found.owner_url, f"CREATE DATABASE {name}")
        env = {**os.environ, INSIDE: name, "DATABASE_URL": url, "REDIS_URL": found.redis_url}
        return os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-m", "bench", wanted], env)
    finally:
        _as_owner(found.owner_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        if not were_running:
            servers.stop(ROOT)


def _as_owner(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _run(wanted: str) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.core.management import call_command

    django.setup()
    logging.disable(logging.INFO)  # the figures are read on the same terminal
    from config.console import process_reads_as_system

    process_reads_as_system()
    call_command("migrate", verbosity=0)
    benchmark = importlib.import_module(f"bench.{wanted}")
    with tempfile.TemporaryDirectory() as home:
        benchmark.measure(Path(home), out=sys.stdout)
    return 0


sys.exit(main())
