"""A database of its own for each run, cloned from a migrated template."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase

from config import servers
from config.console import process_reads_as_system


ROOT = Path(__file__).resolve().parent.parent
KEPT = {"django_migrations", "django_content_type", "auth_permission"}


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        template = _template()
        name = f"test_vigil_{os.getpid()}"
        _as_owner(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _as_owner(f"CREATE DATABASE {name} TEMPLATE {template}")
        _as_owner(f"ALTER DATABASE {name} SET synchronous_commit = off")  # lost with the run anyway
        _use(name)
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            connection.close()
        try:
            _as_owner(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except psycopg.errors.InsufficientPrivilege:  # a vacuum is in it: sent away without force
            _as_owner(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture(autouse=True)
def _own_cache_keys(settings) -> None:
    settings.CACHES["default"]["KEY_PREFIX"] = f"vigil-test-{os.getpid()}"


@pytest.fixture
def quick_log_ins(settings, tmp_path) -> None:
    """Passwords that cost nothing to check, a lock after three attempts, and no collected files."""
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.VIGIL_LOCK_FAILURES = 3


def _template() -> str:
    """Return a migrated database made from the migrations as they are now; migrate at most once."""
    named = ("config/database.py", "config/row_security.py", "trials/permissions.py")
    named += ("events/history.py", "requirements.lock")
    made_from = ("*/migrations/*", "*/models/*", "*/models.py")  # models: history's triggers
    files = sorted(path for each in (*made_from, *named) for path in ROOT.glob(each))
    text = b"".join(path.read_bytes() for path in files if path.is_file())
    login = str(settings.DATABASES["default"]["PASSWORD"]).encode()
    name = f"vigil_template_{hashlib.sha256(text + login).hexdigest()[:12]}"
    with _owner() as link:
        link.execute("SELECT pg_advisory_lock(hashtext('vigil_template'))")  # one of two workers
        if not _as_owner("SELECT 1 FROM pg_database WHERE datname = %s", name):
            draft = f"{name}_{os.getpid()}"
            _as_owner(f"CREATE DATABASE {draft}")
            _use(draft)
            call_command("migrate", verbosity=0)
            for connection in connections.all():
                connection.close()
            _as_owner(f"ALTER DATABASE {draft} RENAME TO {name}")
    return name


@pytest.fixture(scope="session", autouse=True)
def _tests_read_as_system() -> None:
    """What a test reads directly is every row; what it asks over HTTP is read as who asks."""
    process_reads_as_system()


def _use(name: str) -> None:
    for connection in connections.all():
        connection.close()
        connection.settings_dict["NAME"] = name
        settings.DATABASES[connection.alias]["NAME"] = name


def _owner() -> psycopg.Connection:
    owner = settings.DATABASES["owner"]
    return psycopg.connect(
        host=owner["HOST"], port=owner["PORT"], user=owner["USER"], password=owner["PASSWORD"],
        dbname="postgres", autocommit=True,
    )  # fmt: skip


def _as_owner(statement: str, *values: str) -> list[tuple]:
    with _owner() as link:
        cursor = link.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def empty_every_table(_: TransactionTestCase | None = None) -> None:
    """What a test committed is removed past the application, which could not.

    The embedded server's superuser deletes row by row with every trigger asleep; on a server of
    one's own, the owner truncates, which takes some ten times as long.
    """
    superuser = _superuser()
    with superuser or connections["owner"].cursor() as cursor:
        filled = _filled_tables(cursor)
        if filled and superuser:
            cursor.execute("SET session_replication_role = replica")
            for table in filled:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute(_RESTART_SEQUENCES)
        elif filled:
            cursor.execute(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE")


_RESTART_SEQUENCES = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
  FROM pg_sequences
 WHERE last_value IS NOT NULL AND schemaname IN ('public', 'sealed')
   AND sequencename NOT LIKE ALL (ARRAY['django_migrations%', 'django_content%', 'auth_perm%'])
"""


def _superuser() -> psycopg.Connection | None:
    found = servers.running(settings.HOME)
    if found is None or found.postgres_port != int(settings.DATABASES["owner"]["PORT"]):
        return None
    url = found.superuser_url.rpartition("/")[0]
    name = settings.DATABASES["owner"]["NAME"]
    return psycopg.connect(f"{url}/{name}", autocommit=True, prepare_threshold=None)


def _filled_tables(cursor: Any) -> list[str]:
    found = cursor.execute(
        "SELECT format('%I.%I', schemaname, tablename), tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'sealed')"
    )
    tables = [full for full, name in (found or cursor).fetchall() if name not in KEPT]
    union = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables
    )
    found = cursor.execute(union)
    return [row[0] for row in (found or cursor).fetchall()]


TransactionTestCase._fixture_teardown = empty_every_table


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that start processes on one worker: they look for each other's leftovers."""
    for item in items:
        if item.get_closest_marker("servers"):
            item.add_marker(pytest.mark.xdist_group("servers"))
