"""The only doors to the sealed schema. What is behind them is in PostgreSQL, not in Python.

``take_slot``, ``go_live`` and ``first_sheet_at`` run on the application's connection and return
nothing that tells an arm. All others run on the sealed log-in's own connection, outside the
caller's transaction, and need an access: a row saying who looks and why, committed before the look
(docs/decisions/0003).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, ProgrammingError, connection, connections
from psycopg.errors import InsufficientPrivilege, UniqueViolation

from trials.rules.randomisation import Entry


def take_slot(list_id: UUID, stratum: str, levels: Mapping[str, str]) -> UUID | None:
    """Take the next slot of a stratum under lock; return its id, or nothing when none is left."""
    return _told("SELECT sealed.take_slot(%s, %s, %s)", list_id, stratum, json.dumps(dict(levels)))


def go_live(list_id: UUID) -> bool:
    """Put a draft to use, if two people approved its digest; return whether that was done."""
    return _told("SELECT sealed.go_live(%s)", list_id) is not None


def first_sheet_at(subject_id: UUID) -> datetime | None:
    """Return when the first contingency sheet of a subject was made; nothing: there is none.

    Of a subject whose site the session's reader does not read, nothing either.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed.first_sheet_at(%s)", [subject_id])
        found: datetime | None = cursor.fetchone()[0]
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


def deal_kits(access_id: UUID, site_id: UUID, dealt: Iterable[tuple[str, Decimal, str]]) -> int:
    """Keep (number, dose in mg, arm) of each kit number drawn for a site; return how many.

    Raises ``IntegrityError`` for a number that was drawn before.
    """
    numbers, doses, arm_codes = zip(*dealt, strict=True)
    query = "SELECT sealed.deal_kits(%s, %s, %s, %s::numeric[], %s)"
    stored: int = _sealed(query, access_id, site_id, list(numbers), list(doses), list(arm_codes))
    return stored


def kits_dealt(access_id: UUID, site_id: UUID) -> list[tuple[str, Decimal, str]]:
    """Return (number, dose in mg, arm) of every kit number drawn for a site."""
    with connections["sealed"].cursor() as cursor:
        query = "SELECT number, dose_mg, arm FROM sealed.kits_dealt(%s, %s)"
        cursor.execute(query, [access_id, site_id])
        return list(cursor.fetchall())


def open_unblinding(
    *,
    person_id: int,
    purpose: str,
    trial_id: UUID,
    subject_id: UUID | None = None,
    site_id: UUID | None = None,
    request_id: UUID | None = None,
    detail: str,
) -> UUID | None:
    """Write who looks at which subject and why, commit it, and return the access of one look.

    Nothing when PostgreSQL finds that this person may not: by role, site, or a second person.
    """
    query = "SELECT sealed.open_unblinding(%s, %s, %s, %s, %s, %s, %s)"
    values = (person_id, purpose, trial_id, subject_id, site_id, request_id, detail)
    try:
        access: UUID = _sealed(query, *values)
    except (ProgrammingError, IntegrityError) as error:
        if isinstance(error.__cause__, InsufficientPrivilege | UniqueViolation):
            return None
        raise
    return access


def subject_arms(access_id: UUID) -> dict[UUID, str] | None:
    """Return the arms an access allows to see, by subject; nothing when it was used or is stale."""
    rows = _rows("SELECT subject_id, arm FROM sealed.subject_arms(%s)", access_id)
    return None if rows is None else dict(rows)


def make_sheets(access_id: UUID) -> list[tuple[UUID, str, str]] | None:
    """Return (subject, arm, password) of each sheet of a site; the passwords are kept sealed."""
    return _rows("SELECT subject_id, arm, password FROM sealed.make_sheets(%s)", access_id)


def sheet_passwords(access_id: UUID) -> dict[UUID, str] | None:
    """Return the password of each sheet of the making an access names, by subject."""
    rows = _rows("SELECT subject_id, password FROM sealed.sheet_passwords(%s)", access_id)
    return None if rows is None else dict(rows)


def note_refused(
    *, person_id: int, purpose: str, trial_id: UUID | None, subject_id: UUID | None, reason: str
) -> None:
    """Keep that an attempt to look was refused, whatever is rolled back afterwards."""
    query = "SELECT sealed.note_refused(%s, %s, %s, %s, %s)"
    _sealed(query, person_id, purpose, trial_id, subject_id, reason)


def choose_kit(subject_id: UUID, cycle: int, last_day: date) -> UUID | None:
    """Return the kit kept for a subject's cycle; every question is written down."""
    found: UUID | None = _sealed(
        "SELECT sealed.choose_kit(%s, %s, %s)", subject_id, cycle, last_day
    )
    return found


def _rows(query: str, access_id: UUID) -> list[Any] | None:
    """Return a look's rows, or nothing when PostgreSQL refuses the access."""
    try:
        with connections["sealed"].cursor() as cursor:
            cursor.execute(query, [access_id])
            found: list[Any] = cursor.fetchall()
            return found
    except (ProgrammingError, IntegrityError) as error:
        if isinstance(error.__cause__, InsufficientPrivilege | UniqueViolation):
            return None
        raise


def _told(query: str, *values: Any) -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: UUID | None = cursor.fetchone()[0]
        return found


def _sealed(query: str, *values: Any) -> Any:
    with connections["sealed"].cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0]
