"""Who is acting, for the row history and the event log.

The database refuses a clinical row without this: the history's context column is not null and is
filled from a transaction-local setting. ``trials.permissions.authorise`` sets it for people and
site systems; ``as_system`` sets it for Vigil's own work.
"""

import contextlib
import json
from collections.abc import Iterator

from django.db import connection, transaction
from structlog.contextvars import get_contextvars

from events.reading import reading_as_system


SYSTEM = "vigil"


def attribute(*, actor: str, role: str, reason: str = "") -> None:
    """Say, until the transaction ends, who acts and in which role.

    Raises ``RuntimeError`` outside a transaction, where it would be forgotten at once.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an actor is named inside the transaction that acts")
    context = {
        "actor": actor,
        "role": role,
        "request_id": get_contextvars().get("request_id", ""),
        "reason": reason,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('pghistory.context_metadata', %s, true)", [json.dumps(context)]
        )


def current_actor() -> str:
    """Return the actor of this transaction, or the empty string when none was named."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('pghistory.context_metadata', true)")
        found = cursor.fetchone()[0]
    return str(json.loads(found)["actor"]) if found else ""


@contextlib.contextmanager
def as_system(role: str = "system", *, reason: str = "") -> Iterator[None]:
    """Act as Vigil itself, in one transaction, and read every row meanwhile."""
    with transaction.atomic(), reading_as_system(reason or role):
        attribute(actor=SYSTEM, role=role, reason=reason)
        yield
