"""Raw SQL as each of the three log-ins, and work done at the same moment."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import Error, connection, connections, transaction
from psycopg.errors import InsufficientPrivilege


def ask(statement: str, *values: Any, login: str = "owner") -> list[tuple]:
    """Run one statement in a transaction of its own; return its rows."""
    with transaction.atomic(using=login), connections[login].cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def denied(statement: str, *values: Any, login: str = "default") -> bool:
    """Return whether PostgreSQL itself refuses a statement for want of a right."""
    try:
        ask(statement, *values, login=login)
    except Error as error:
        refused = str(error).startswith(("permission denied", "must be owner"))
        return refused and isinstance(error.__cause__, InsufficientPrivilege)
    return False


def column(statement: str, *values: Any, login: str = "owner") -> list[Any]:
    return [row[0] for row in ask(statement, *values, login=login)]


def tables(schema: str) -> list[str]:
    return column(
        "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname = %s ORDER BY 1",
        schema,
    )


def contents(*schemas: str) -> dict[str, str]:
    """Return every committed row of every table that has any, as text."""
    names = [name for schema in schemas or ("public", "sealed") for name in tables(schema)]
    union = " UNION ALL ".join(
        f"SELECT '{name}', string_agg(t::text, chr(10) ORDER BY t::text) FROM {name} t"
        for name in names
    )
    return {name: rows for name, rows in ask(union) if rows}


def differing(before: dict[str, str]) -> set[str]:
    """Return the tables that hold others than the rows they held before."""
    after = contents()
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run each act in a thread with connections of its own; return its answer or its exception."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=30)
            return act()
        except Exception as error:  # noqa: BLE001, RUF100 - the answer of an act may be a refusal
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def waiting_for_me() -> int:
    """Return how many sessions wait for a lock of this one, once any does; 0 if none comes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (me,) = cursor.fetchone()
    for _ in range(500):
        blocked = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        if found := column(blocked, me):
            return len(found)
        time.sleep(0.02)
    return 0
