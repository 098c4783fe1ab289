"""A database of its own for each run, cloned from a migrated template."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase
from psycopg import sql

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
        _use(name)
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            connection.close()
        _as_owner(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def _own_cache_keys(settings) -> None:
    settings.CACHES["default"]["KEY_PREFIX"] = f"vigil-test-{os.getpid()}"


def _template() -> str:
    """Return a migrated database made from the migrations as they are now; migrate at most once."""
    named = ("config/database.py", "config/row_security.py", "trials/permissions.py")
    named += ("requirements.lock",)
    files = sorted([*ROOT.glob("*/migrations/*"), *(ROOT / name for name in named)])
    text = b"".join(path.read_bytes() for path in files if path.is_file())
    login = str(settings.DATABASES["default"]["PASSWORD"]).encode()
    name = f"vigil_template_{hashlib.sha256(text + login).hexdigest()[:12]}"
    if not _as_owner("SELECT 1 FROM pg_database WHERE datname = %s", name):
        draft = f"{name}_{os.getpid()}"
        _as_owner(f"CREATE DATABASE {draft}")
        _use(draft)
        call_command("migrate", verbosity=0)
        for connection in connections.all():
            connection.close()
        if not _as_owner("SELECT 1 FROM pg_database WHERE datname = %s", name):
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


def _as_owner(statement: str, *values: str) -> list[tuple]:
    owner = settings.DATABASES["owner"]
    with psycopg.connect(
        host=owner["HOST"], port=owner["PORT"], user=owner["USER"], password=owner["PASSWORD"],
        dbname="postgres", autocommit=True,
    ) as link:  # fmt: skip
        cursor = link.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def _empty_every_table(self: TransactionTestCase) -> None:
    """What a test committed is removed by the owner: the application could not."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename), tablename FROM pg_tables"
            " WHERE schemaname IN ('public', 'sealed')"
        )
        tables = [full for full, name in cursor.fetchall() if name not in KEPT]
        union = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables
        )
        cursor.execute(union)
        filled = [row[0] for row in cursor.fetchall()]
        if filled:
            cursor.execute(
                sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ".join(filled)))
            )


TransactionTestCase._fixture_teardown = _empty_every_table
