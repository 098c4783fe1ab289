"""Attempts to log in, counted in the database so that every web process sees the same lock.

What is recorded here is committed at once and by itself: a refusal further on cannot take a failed
attempt back.
"""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from trials.models import LogInRecord, User
from trials.models.accounts import Kind, Method
from trials.rules.log_ins import KNOWN_AT_ADDRESS, LockPolicy, locked_until


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt: who it was, or until when nobody of that name gets in.

    ``at_address``: until when nobody gets in whose name is not known at the address, and who fails
    is told no more than that, or it would tell whose name is known there.
    """

    user: User | None = None
    locked_until: datetime | None = None
    at_address: bool = False
    code_used: bool = False  # the password was right, and the code was, once


def name_key(name: str) -> str:
    """Return what tells one typed name from another, and nobody without the secret key the name."""
    text = f"log-in name {name.strip().casefold()}"
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@transaction.atomic(durable=True)
def attempt(
    *,
    name: str,
    address: str | None,
    method: Method,
    check: Callable[[], User | None],
    at: datetime,
    device: str = "",
) -> Attempt:
    """Ask ``check`` who it is, unless the name or the address is locked; record what came of it.

    ``device`` names the browser, if the person is known in it: what is tried there has a count of
    its own, and failures elsewhere do not lock it. See docs/decisions/0018. The lock of an address
    reaches neither it nor a name that logged in from there lately.

    Attempts under one name wait for one another, so that no more get through than the limit. A
    success is not recorded here: it is one only when every step of the log-in is taken.
    """
    key = name_key(name)
    _one_at_a_time(key)
    person = User.objects.filter(username__iexact=name.strip()).order_by("pk").first()
    tried: dict[str, Any] = {"key": key, "address": address, "at": at}
    here = {"person": person, "method": method, "device": device, **tried}
    own, there = lock_ends([key], at=at).get((key, device)), address_lock_end(address, at=at)
    told = None if device else there
    if own or (told and not _known_at_address(**tried)):
        _record(Kind.REFUSED, **here)
        if told and method == Method.PASSWORD:
            check()  # its answer is dropped: a refusal takes as long as a wrong password does
        return Attempt(locked_until=told or own, at_address=told is not None)
    if (found := check()) is not None:
        return Attempt(user=found)
    _failed(here, locked_before=there is not None)
    return Attempt(locked_until=told, at_address=told is not None)


def _failed(here: dict[str, Any], *, locked_before: bool) -> None:
    """Record a failed attempt, and the locks that it led to."""
    key, address, at = here["key"], here["address"], here["at"]
    _record(Kind.FAILED, **here)
    if lock_ends([key], at=at).get((key, here["device"])):
        _record(Kind.LOCKED, **here)
    if not locked_before and address_lock_end(address, at=at):
        note_address(Kind.ADDRESS_LOCKED, address=address, at=at)


@transaction.atomic(durable=True)
def confirmation(*, user: User, method: Method, check: Callable[[], Kind], at: datetime) -> Attempt:
    """Ask ``check`` what somebody who is in showed of being still themselves, and record it.

    Only they themselves can fail here, and a lock of their name, which anybody can cause, does not
    count. After too many failures nothing is asked until they log in afresh, or some time is over.
    See docs/decisions/0017.
    """
    _one_at_a_time(f"confirm {user.pk}")
    if end := confirmation_refused_until(user, at=at):
        return Attempt(locked_until=end)
    kind = check()
    note(kind, user=user, at=at, method=method)
    passed = kind == Kind.IDENTITY_CONFIRMED
    return Attempt(user=user if passed else None, code_used=kind == Kind.CODE_USED)


def _one_at_a_time(key: str) -> None:
    """Wait for whoever else is in a transaction under this key, and let others wait for ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def confirmation_refused_until(user: User, *, at: datetime) -> datetime | None:
    """Return until when somebody is not asked anew who they are; nothing if they are."""
    rows = _recent(at).filter(person=user).values_list("kind", "at")
    begin_again = (Kind.LOGGED_IN, Kind.LOCK_ENDED, Kind.IDENTITY_CONFIRMED)
    policy = _policy(settings.VIGIL_LOCK_FAILURES)
    return _end_after(rows, policy, failed=Kind.NOT_CONFIRMED, begin_again=begin_again, at=at)


def _end_after(
    rows: Iterable[tuple[str, datetime]],
    policy: LockPolicy,
    *,
    failed: Kind,
    begin_again: Collection[Kind],
    at: datetime,
) -> datetime | None:
    """Return the end of the lock that failures make since the last time they began again."""
    counted: list[datetime] = []
    for kind, when in rows:
        if kind in begin_again:
            counted = []
        elif kind == failed:
            counted.append(when)
    end = locked_until(counted, policy)
    return end if end is not None and at < end else None


def address_lock_end(address: str | None, *, at: datetime) -> datetime | None:
    """Return until when names not known at an address are refused there, if they are."""
    found = {} if address is None else address_lock_ends(at=at, address=address)
    return next(iter(found.values()), None)


def address_lock_ends(*, at: datetime, address: str | None = None) -> dict[str, datetime]:
    """Return until when each locked address is, or the one that is asked for, in one query."""
    of: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    kinds = (Kind.FAILED, Kind.ADDRESS_LOCK_ENDED)
    found = _recent(at).filter(kind__in=kinds, address__isnull=False)
    found = found.exclude(method=Method.SIGN_ON)
    if address is not None:
        found = found.filter(address=address)
    for where, kind, when in found.values_list("address", "kind", "at"):
        of[str(where)].append((kind, when))
    policy, again = _policy(settings.VIGIL_LOCK_ADDRESS_FAILURES), (Kind.ADDRESS_LOCK_ENDED,)
    ends = {
        where: _end_after(rows, policy, failed=Kind.FAILED, begin_again=again, at=at)
        for where, rows in of.items()
    }
    return {where: end for where, end in ends.items() if end is not None}


def _known_at_address(*, key: str, address: str | None, at: datetime) -> bool:
    came = LogInRecord.objects.filter(name_key=key, address=address, kind=Kind.LOGGED_IN)
    return came.filter(at__gte=at - KNOWN_AT_ADDRESS).exists()


def lock_ends(keys: Iterable[str], *, at: datetime) -> dict[tuple[str, str], datetime]:
    """Return until when log-in is refused for each locked name, by key and device, in one query.

    Without a device it is refused wherever the person is not known. A lock that is ended early is
    ended everywhere.
    """
    of: dict[str, list[tuple[str, str, datetime]]] = defaultdict(list)
    found = _recent(at).filter(name_key__in=list(keys))
    for key, device, kind, when in found.values_list("name_key", "device", "kind", "at"):
        of[key].append((device, kind, when))
    ends = {
        (key, device): _end_at(device, rows, at=at)
        for key, rows in of.items()
        for device in {one for one, _, _ in rows}
    }
    return {which: end for which, end in ends.items() if end is not None}


def _end_at(
    device: str, rows: Iterable[tuple[str, str, datetime]], *, at: datetime
) -> datetime | None:
    counted = [
        (kind, when) for where, kind, when in rows if where == device or kind == Kind.LOCK_ENDED
    ]
    begin_again = (Kind.LOGGED_IN, Kind.LOCK_ENDED)
    policy = _policy(settings.VIGIL_LOCK_FAILURES)
    return _end_after(counted, policy, failed=Kind.FAILED, begin_again=begin_again, at=at)


def _recent(at: datetime) -> QuerySet[LogInRecord]:
    lasts = timedelta(seconds=settings.VIGIL_LOCK_SECONDS)
    return LogInRecord.objects.filter(at__gt=at - 2 * lasts).order_by("pk")


def _policy(failures: int) -> LockPolicy:
    return LockPolicy(failures=failures, lasts=timedelta(seconds=settings.VIGIL_LOCK_SECONDS))


def note(
    kind: Kind,
    *,
    user: User,
    at: datetime,
    address: str | None = None,
    method: Method = Method.NONE,
    device: str = "",
    by: User | None = None,
    reason: str = "",
) -> LogInRecord:
    """Record what happened to somebody's log-in, in the caller's transaction if there is one."""
    return _record(
        kind,
        person=user,
        key=name_key(user.username),
        at=at,
        address=address,
        method=method,
        device=device,
        by=by,
        reason=reason,
    )


def note_address(
    kind: Kind, *, address: str, at: datetime, by: User | None = None, reason: str = ""
) -> LogInRecord:
    """Record what happened to an address, which is of no name."""
    return _record(kind, person=None, key="", address=address, at=at, by=by, reason=reason)


def note_refused_sign_on(*, subject: str, address: str | None, at: datetime) -> LogInRecord:
    """Record that single sign-on brought somebody who is nobody here, or an answer that was none.

    It counts towards no lock: nothing can be guessed there, and a hospital has one address.
    """
    return _record(
        Kind.FAILED,
        person=None,
        key=name_key(f"subject of single sign-on {subject}"),
        at=at,
        address=address,
        method=Method.SIGN_ON,
    )


def _record(
    kind: Kind,
    *,
    person: User | None,
    key: str,
    at: datetime,
    address: str | None = None,
    method: Method = Method.NONE,
    device: str = "",
    by: User | None = None,
    reason: str = "",
) -> LogInRecord:
    return LogInRecord.objects.create(
        kind=kind,
        person=person,
        name_key=key,
        at=at,
        address=address,
        method=method,
        device=device,
        by=by,
        reason=reason,
    )
