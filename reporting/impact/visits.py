"""Which visits of a subject an amendment moves."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import zip_longest

from reporting.impact.standing import Affected, Amendment, Effect, Standing
from trials.rules.protocol import Protocol, VisitSpec


FARTHEST_DAYS = 10 * 365
"""How far ahead repeated visits are looked for; the first one that differs is what is told."""


@dataclass(frozen=True, slots=True)
class Visited:
    """When a visit is: its planned day and its window, both ends included."""

    label: str
    planned_on: date
    opens_on: date
    closes_on: date

    def __str__(self) -> str:
        return f"{self.planned_on} ({self.opens_on} to {self.closes_on})"


def visit_effects(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    """Yield, for each kind of visit, the first time that differs and is not over on the day.

    Times are compared one by one, the first with the first. One whose window is over by both
    versions is past. Days of cycles to come are counted from the first day of the last one that
    began, or from randomisation.
    """
    if not (amendment.under("visits") or amendment.under("dosing.cycle_days")):
        return
    was, now = ({v.code: v for v in p.visits} for p in (amendment.before, amendment.after))
    for code in dict.fromkeys([*was, *now]):
        old = planned_visits(was.get(code), subject, amendment.before)
        new = planned_visits(now.get(code), subject, amendment.after)
        for before, after in zip_longest(old, new):
            if told := _told(before, after, amendment.day):
                yield Affected(Effect.WINDOW_MOVED, told)
                break


def _told(old: Visited | None, new: Visited | None, day: date) -> str:
    """Return how one visit changes, or nothing if it does not or is over by both versions."""
    if all(visit is None or visit.closes_on < day for visit in (old, new)):
        return ""
    if old is None:
        return f"{new.label}: new visit, {new}" if new else ""
    if new is None:
        return f"{old.label}: no longer planned, was {old}"
    return f"{new.label}: now {new}, was {old}" if _days(old) != _days(new) else ""


def _days(visit: Visited) -> tuple[date, date, date]:
    return visit.planned_on, visit.opens_on, visit.closes_on


def planned_visits(
    spec: VisitSpec | None, subject: Standing, protocol: Protocol
) -> Iterator[Visited]:
    """Yield every time of a visit, past ones after a fixed anchor too, as far as is looked."""
    if spec is None:
        return
    before, after = (timedelta(d) for d in (spec.window_before_days, spec.window_after_days))
    for on in _planned_days(spec, subject, protocol):
        yield Visited(spec.label, on, on - before, on + after)


def _planned_days(spec: VisitSpec, subject: Standing, protocol: Protocol) -> Iterator[date]:
    if spec.anchor == "cycle_day_1":
        yield from _cycle_days(spec, subject, protocol)
        return
    anchor = {
        "randomisation": subject.randomised_on,
        "end_of_treatment": subject.treatment_ended_on,
    }[spec.anchor]
    if anchor is None:
        return
    first = anchor + timedelta(spec.offset_days)
    yield first
    if spec.every_days is not None:
        for ahead in range(spec.every_days, FARTHEST_DAYS, spec.every_days):
            yield first + timedelta(ahead)


def _cycle_days(spec: VisitSpec, subject: Standing, protocol: Protocol) -> Iterator[date]:
    """Yield the days of the coming cycles that have the visit, while treatment goes on.

    A visit after day 1 is looked for in the running cycle too.
    """
    if not subject.treated or subject.randomised_on is None:
        return
    first, every = spec.from_cycle or 1, spec.every_cycles or 1
    length = protocol.dosing.cycle_days.value
    known, began = subject.cycle or 1, subject.cycle_day_1 or subject.randomised_on
    begin = known + (subject.cycle is not None and spec.offset_days <= 0)
    for cycle in range(begin, begin + first + every + FARTHEST_DAYS // length):
        if cycle >= first and (cycle - first) % every == 0:
            yield began + timedelta((cycle - known) * length + spec.offset_days)
