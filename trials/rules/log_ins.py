"""When log-in is refused after failed attempts, and how long a client's credentials last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from events.outcomes import Reason


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """``failures`` failed attempts within ``lasts`` of one another lock for ``lasts``."""

    failures: int
    lasts: timedelta


def locked_until(failed_at: Iterable[datetime], policy: LockPolicy) -> datetime | None:
    """Return when the last lock that these failed attempts cause ends, or nothing without one.

    The attempts are in the order they were made. Those that led to a lock do not count towards
    the next one. The lock holds before the instant that is returned, and no longer at it.

    Source: NIST SP 800-63B 5.2.2 (limit consecutive failed attempts); EMA guideline on
    computerised systems, annex 4 (lock-out).
    """
    end: datetime | None = None
    counted: list[datetime] = []
    for failed in failed_at:
        counted = [one for one in counted if failed - one < policy.lasts]
        counted.append(failed)
        if len(counted) >= policy.failures:
            end = failed + policy.lasts
            counted = []
    return end


KNOWN_AT_ADDRESS = timedelta(days=30)
"""For how long after a log-in others' failures at its address do not shut out its name there.

A hospital has one address. Each name keeps its own count.
"""


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """The longest a client's credentials may last, and an old secret beside a new one.

    ``for_people_alone``: the scopes that no site's system is given.
    """

    for_people_alone: frozenset[str] = frozenset({"unblind"})
    longest: timedelta = timedelta(days=366)
    longest_overlap: timedelta = timedelta(days=14)


def client_problems(
    *,
    scopes: Iterable[str],
    known: Iterable[str],
    machine: bool,
    expires_on: date,
    on: date,
    policy: ClientPolicy,
) -> tuple[Reason, ...]:
    """Return every reason not to give a client these scopes until this day; empty means none.

    ``machine``: it is the system of a site, and no program of a person. Credentials hold through
    the day ``expires_on`` in UTC.

    Source: ICH E6(R3) 4.3.8 (access limited to what is needed, and reviewed).
    """
    asked = list(scopes)
    reasons = []
    if not asked:
        reasons.append(Reason("no_scope", "Name at least one scope."))
    unknown = sorted(set(asked) - set(known))
    if unknown:
        reasons.append(Reason("unknown_scope", f"There is no scope {', '.join(unknown)}."))
    personal = sorted(set(asked) & policy.for_people_alone) if machine else []
    if personal:
        told = f"scope {', '.join(personal)} is for programs of people, and for no site's system."
        reasons.append(Reason("scope_for_people", told))
    reasons.extend(expiry_problems(expires_on=expires_on, on=on, policy=policy))
    return tuple(reasons)


def expiry_problems(*, expires_on: date, on: date, policy: ClientPolicy) -> tuple[Reason, ...]:
    """Return every reason against a last day of credentials; empty means none."""
    if expires_on < on:
        return (Reason("expires_in_the_past", f"{expires_on} is over."),)
    if expires_on > on + policy.longest:
        latest = on + policy.longest
        return (Reason("expires_too_late", f"Credentials may last until {latest} at most."),)
    return ()


def overlap_problems(overlap: timedelta, policy: ClientPolicy) -> tuple[Reason, ...]:
    """Return every reason against keeping the old secret for so long; empty means none."""
    if overlap < timedelta(0):
        return (Reason("overlap_negative", "The old secret cannot have ended already."),)
    if overlap > policy.longest_overlap:
        days = policy.longest_overlap.days
        return (Reason("overlap_too_long", f"Old and new may both hold for {days} days at most."),)
    return ()
