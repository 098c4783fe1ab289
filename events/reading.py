"""For whom rows are read: what row-level security asks of a session (docs/decisions/0010).

The application's log-in sees no subject until its session says for whom it reads: one user, whose
roles PostgreSQL looks up by itself, or Vigil's own work. The edges say it: a request, once it is
known who asks, until its end; a task of the worker and a command for as long as they run. What
must read more than its reader may see says so, and why, with ``reading_as_system``.
"""

import contextlib
from collections.abc import Iterator

import structlog
from django.db import DatabaseError, connection
from psycopg.pq import TransactionStatus


log = structlog.get_logger(__name__)

SETTING = "vigil.reader"
SYSTEM = "system"
NOBODY = ""


def read_as(user_id: int) -> None:
    """Read from now on what one user may see, until the request ends or another is named."""
    _set(str(user_id))


def read_as_nobody() -> None:
    """See no subject until somebody is named. Opens no connection: a new one begins like this."""
    if connection.connection is not None:
        _set(NOBODY)


def forget_reader() -> None:
    """Give the connection back without a reader; one that cannot be told is closed."""
    if connection.connection is None:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"RESET {SETTING}")
    except DatabaseError:
        if not connection.in_atomic_block:  # a roll-back takes the reader with it
            connection.close()


@contextlib.contextmanager
def reading_as_system(reason: str) -> Iterator[None]:
    """Read every row in this block, whoever asked for it; afterwards read as before.

    For Vigil's own work, and for a service whose answer is right only from all rows: it has asked
    for its permission before, and hands on no row that its caller may not see.
    """
    before = _set(SYSTEM)
    if before not in (SYSTEM, NOBODY):
        log.info("reading.as_system", reason=reason)
    try:
        yield
    finally:
        if not _rolls_back():
            _set(before)


def _set(reader: str) -> str:
    """Name the session's reader; return the one before."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting(%s, true), set_config(%s, %s, false)",
            [SETTING, SETTING, reader],
        )
        return cursor.fetchone()[0] or NOBODY


def _rolls_back() -> bool:
    """Return whether the transaction has failed: its roll-back brings the old reader back."""
    link = connection.connection
    failed = link is not None and link.info.transaction_status == TransactionStatus.INERROR
    return failed or connection.needs_rollback
