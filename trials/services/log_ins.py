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
from trials.rules.log_ins import LockPolicy, locked_until


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt: who it was, or until when nobody of that name gets in."""

    user: User | None = None
    locked_until: datetime | None = None
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
    its own, and failures elsewhere do not lock it. See docs/decisions/0018.

    Attempts under one name wait for one another, so that no more get through than the limit. A
    success is not recorded here: it is one only when every step of the log-in is taken.
    """
    key = name_key(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
    person = User.objects.filter(username__iexact=name.strip()).order_by("pk").first()
    tried: dict[str, Any] = {"key": key, "device": device, "address": address, "at": at}
    if end := lock_end(**tried):
        _record(Kind.REFUSED, person=person, method=method, **tried)
        return Attempt(locked_until=end)
    if (found := check()) is not None:
        return Attempt(user=found)
    _record(Kind.FAILED, person=person, method=method, **tried)
    if lock_end(**tried):
        _record(Kind.LOCKED, person=person, method=method, **tried)
    return Attempt()


@transaction.atomic(durable=True)
def confirmation(*, user: User, method: Method, check: Callable[[], Kind], at: datetime) -> Attempt:
    """Ask ``check`` what somebody who is in showed of being still themselves, and record it.

    Only they themselves can fail here, and a lock of their name, which anybody can cause, does not
    count. After too many failures nothing is asked until they log in afresh, or some time is over.
    See docs/decisions/0017.
    """
    with connection.cursor() as cursor:
        key = f"confirm {user.pk}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
    if end := confirmation_refused_until(user, at=at):
        return Attempt(locked_until=end)
    kind = check()
    note(kind, user=user, at=at, method=method)
    passed = kind == Kind.IDENTITY_CONFIRMED
    return Attempt(user=user if passed else None, code_used=kind == Kind.CODE_USED)


def confirmation_refused_until(user: User, *, at: datetime) -> datetime | None:
    """Return until when somebody is not asked anew who they are; nothing if they are."""
    rows = _recent(at).filter(person=user).values_list("kind", "at")
    begin_again = (Kind.LOGGED_IN, Kind.LOCK_ENDED, Kind.IDENTITY_CONFIRMED)
    return _end_after(rows, failed=Kind.NOT_CONFIRMED, begin_again=begin_again, at=at)


def _end_after(
    rows: Iterable[tuple[str, datetime]],
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
    end = locked_until(counted, _policy(settings.VIGIL_LOCK_FAILURES))
    return end if end is not None and at < end else None


def lock_end(*, key: str, device: str, address: str | None, at: datetime) -> datetime | None:
    """Return until when log-in is refused for a name, or from an address; nothing if it is not.

    In a browser where the person is known, until when it is refused there.
    """
    ends = [lock_ends([key], at=at).get((key, device))]
    if address is not None and not device:
        failed = _recent(at).filter(address=address, kind=Kind.FAILED)
        recent = failed.exclude(method=Method.SIGN_ON)
        policy = _policy(settings.VIGIL_LOCK_ADDRESS_FAILURES)
        ends.append(locked_until(recent.values_list("at", flat=True), policy))
    return max((end for end in ends if end is not None and at < end), default=None)


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
    return _end_after(counted, failed=Kind.FAILED, begin_again=begin_again, at=at)


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
