"""May this person be put on the on-call list for this time, and who is missing from it?"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from events.outcomes import Reason
from trials.rules.delegation import Period


_TELEPHONE = re.compile(r"\+?[0-9][0-9 ()/.-]{4,38}")


@dataclass(frozen=True, slots=True)
class DutyFacts:
    """A duty as it is asked for, and the person's roles as medical monitor and other duties."""

    person: str
    telephone: str
    period: Period
    now: datetime
    roles: tuple[Period, ...]
    duties: tuple[Period, ...]
    log_in_on: bool = True


def duty_reasons(facts: DutyFacts) -> tuple[Reason, ...]:
    """Return why a duty cannot be entered; empty means it can.

    It lasts from its start until just before its end, and one role as medical monitor has to
    cover all of it. Two people may be on call at once; one person is entered once.
    """
    starts_at, ends_at = facts.period.starts_at, facts.period.ends_at
    reasons = []
    if ends_at is None or ends_at <= starts_at:
        reasons.append(Reason("ends_before_start", "ends_at has to lie after starts_at."))
    elif ends_at <= facts.now:
        reasons.append(Reason("duty_is_over", "ends_at lies in the past."))
    if not _TELEPHONE.fullmatch(facts.telephone.strip()):
        reasons.append(
            Reason("telephone", "telephone: write a number to call, like +49 30 1234567.")
        )
    if not facts.log_in_on or not any(_covers(role, facts.period) for role in facts.roles):
        detail = f"{facts.person} is not a medical monitor of this trial during all of it."
        reasons.append(Reason("not_medical_monitor", detail))
    if any(facts.period.overlaps(duty) for duty in facts.duties):
        reasons.append(Reason("on_call_already", f"{facts.person} is on call then already."))
    return tuple(reasons)


def gaps(duties: tuple[Period, ...], *, start: datetime, end: datetime) -> tuple[Period, ...]:
    """Return the times between two instants in which nobody is on call, in order."""
    found, covered = [], start
    for duty in sorted(duties, key=lambda duty: duty.starts_at):
        if duty.starts_at > covered:
            found.append(Period(covered, min(duty.starts_at, end)))
        covered = max(covered, duty.ends_at or end)
        if covered >= end:
            break
    if covered < end:
        found.append(Period(covered, end))
    return tuple(gap for gap in found if gap.starts_at < end and _length(gap) > timedelta(0))


def _covers(role: Period, duty: Period) -> bool:
    if role.starts_at > duty.starts_at:
        return False
    return role.ends_at is None or (duty.ends_at is not None and duty.ends_at <= role.ends_at)


def _length(period: Period) -> timedelta:
    return (period.ends_at or period.starts_at) - period.starts_at
