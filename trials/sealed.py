"""The only doors to the sealed schema. What is behind them is in PostgreSQL, not in Python.

``take_slot`` runs on the application's connection and returns nothing that tells an arm. All
others run on the sealed log-in's own connection, outside the caller's transaction, and need an
access: a row saying who looks and why, committed before the look (docs/decisions/0003).
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection, connections


def take_slot(list_id: UUID, stratum: str) -> UUID | None:
    """Take the next slot of a stratum under lock; return its id, or nothing when none is left."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed.take_slot(%s, %s)", [list_id, stratum])
        found: UUID | None = cursor.fetchone()[0]
        return found


def open_access(*, trial_id: UUID, person_id: int, purpose: str, detail: str) -> UUID:
    """Write who looks and why, commit it, and return the access that one look may use.

    The database itself checks that the person holds a role for this purpose now.
    """
    access: UUID = _sealed(
        "SELECT sealed.open_access(%s, %s, %s, %s)", trial_id, person_id, purpose, detail
    )
    return access


def arms(access_id: UUID) -> dict[UUID, str]:
    """Return the arm of every slot taken in the access's trial, by slot id."""
    with connections["sealed"].cursor() as cursor:
        cursor.execute("SELECT slot_id, arm FROM sealed.arms(%s)", [access_id])
        return dict(cursor.fetchall())


def load_list(access_id: UUID, list_id: UUID, entries: Iterable[tuple[str, str]]) -> str:
    """Store a list's (stratum, arm) entries in order; return the digest that commits to them."""
    strata, arm_codes = zip(*entries, strict=True)
    query = "SELECT sealed.load_list(%s, %s, %s, %s)"
    digest: str = _sealed(query, access_id, list_id, list(strata), list(arm_codes))
    return digest


def supply_kits(access_id: UUID, contents: Iterable[tuple[str, str]]) -> int:
    """Store which arm each kit number is for; return how many."""
    numbers, arm_codes = zip(*contents, strict=True)
    query = "SELECT sealed.supply_kits(%s, %s, %s)"
    stored: int = _sealed(query, access_id, list(numbers), list(arm_codes))
    return stored


def _sealed(query: str, *values: Any) -> Any:
    with connections["sealed"].cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0]
