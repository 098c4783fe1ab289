"""What is due next for one subject, by the protocol's visit schedule. Pure; days are site-local."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from trials.rules.protocol import Protocol, VisitSpec


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a subject has come; ``None`` means not yet. ``cycle_day_1`` belongs to ``cycle``.

    ``screened`` are the values of the last screening as they are stored, days in ISO form.
    """

    died: bool = False
    eligible: bool | None = None
    screened: Mapping[str, object] = field(default_factory=dict)
    randomised_on: date | None = None
    cycle: int | None = None
    cycle_day_1: date | None = None
    treatment_ended_on: date | None = None
    last_visit_on: date | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """What comes next and its planned day, before any window."""

    what: str
    on: date


def next_due(progress: Progress, protocol: Protocol) -> Due | None:
    """Return what is due next, or nothing when nothing is planned any more.

    Before randomisation that is its last possible day; on treatment, day 1 of the following
    cycle; afterwards, the first planned visit whose window opens after the last visit.
    """
    if progress.died:
        return None
    if progress.randomised_on is None:
        return _randomisation(progress, protocol)
    if progress.treatment_ended_on is not None:
        return _follow_up(progress, progress.treatment_ended_on, protocol)
    if progress.cycle is None or progress.cycle_day_1 is None:
        return Due("Cycle 1", progress.randomised_on)
    following = progress.cycle_day_1 + timedelta(days=protocol.dosing.cycle_days.value)
    return Due(f"Cycle {progress.cycle + 1}", following)


def _randomisation(progress: Progress, protocol: Protocol) -> Due | None:
    last_days = [
        date.fromisoformat(day) + timedelta(days=timing.at_most_days)
        for timing in protocol.eligibility.timing
        if timing.at_most_days is not None
        and isinstance(day := progress.screened.get(timing.variable), str)
    ]
    return Due("Randomise by", min(last_days)) if progress.eligible and last_days else None


def _follow_up(progress: Progress, ended_on: date, protocol: Protocol) -> Due | None:
    planned = [
        Due(visit.label, day)
        for visit in protocol.visits
        if visit.anchor == "end_of_treatment"
        and (day := _first_open(visit, ended_on, progress.last_visit_on)) is not None
    ]
    return min(planned, key=lambda due: due.on, default=None)


def _first_open(visit: VisitSpec, anchor: date, seen_on: date | None) -> date | None:
    day = anchor + timedelta(days=visit.offset_days)
    before = timedelta(days=visit.window_before_days)
    if seen_on is None or seen_on < day - before:
        return day
    if visit.every_days is None:
        return None
    rounds = (seen_on - (day - before)).days // visit.every_days + 1
    return day + timedelta(days=rounds * visit.every_days)
