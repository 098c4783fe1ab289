"""The only doors to the sealed schema. What is behind them is in PostgreSQL, not in Python.

``take_slot`` and ``go_live`` run on the application's connection and return nothing that tells an
arm. All others run on the sealed log-in's own connection, outside the caller's transaction, and
need an access: a row saying who looks and why, committed before the look (docs/decisions/0003).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection, connections

from trials.rules.randomisation import Entry


def take_slot(list_id: UUID, stratum: str, levels: Mapping[str, str]) -> UUID | None:
    """Take the next slot of a stratum under lock; return its id, or nothing when none is left."""
    return _told("SELECT sealed.take_slot(%s, %s, %s)", list_id, stratum, json.dumps(dict(levels)))


def go_live(list_id: UUID) -> bool:
    """Put a draft to use, if two people approved its digest; return whether that was done."""
    return _told("SELECT sealed.go_live(%s)", list_id) is not None


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


def store_list(
    access_id: UUID,
    list_id: UUID,
    *,
    number: int,
    method: str,
    generator: str,
    seed: str,
    parameters: str,
    entries: Iterable[Entry],
) -> str:
    """Store a draft's entries in order; return the digest that commits to them.

    ``seed`` is empty for a list made elsewhere. Raises ``IntegrityError`` for a seed that another
    list of the trial has.
    """
    strata, arm_codes, draws = zip(*entries, strict=True)
    query = "SELECT sealed.store_list(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::bigint[])"
    facts = (access_id, list_id, number, method, generator, seed, parameters)
    given = [code or None for code in arm_codes]
    digest: str = _sealed(query, *facts, list(strata), given, list(draws))
    return digest


def draft_entries(access_id: UUID, list_id: UUID) -> tuple[Entry, ...]:
    """Return a draft's entries by stratum, in the order of allocation."""
    with connections["sealed"].cursor() as cursor:
        query = "SELECT stratum, coalesce(arm, ''), draw FROM sealed.draft_entries(%s, %s)"
        cursor.execute(query, [access_id, list_id])
        return tuple(Entry(*row) for row in cursor.fetchall())


def lists_to_verify(access_id: UUID) -> list[dict[str, Any]]:
    """Return every live list of the access's trial with seed, salt, slots and what is taken."""
    found: str = _sealed("SELECT sealed.lists_to_verify(%s)::text", access_id)
    lists: list[dict[str, Any]] = json.loads(found)
    return lists


def supply_kits(access_id: UUID, contents: Iterable[tuple[str, str]]) -> int:
    """Store which arm each kit number is for; return how many."""
    numbers, arm_codes = zip(*contents, strict=True)
    query = "SELECT sealed.supply_kits(%s, %s, %s)"
    stored: int = _sealed(query, access_id, list(numbers), list(arm_codes))
    return stored


def _told(query: str, *values: Any) -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: UUID | None = cursor.fetchone()[0]
        return found


def _sealed(query: str, *values: Any) -> Any:
    with connections["sealed"].cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0]
