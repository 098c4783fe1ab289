"""Which visits of a schedule get in each other's way."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

from trials.rules.protocol.finding import Finding, Unsound, as_far_as_sound, repeated, same_labels
from trials.rules.protocol.sections import Dosing, VisitSpec
from trials.rules.toml_lines import KeyPath


HORIZON_DAYS = 3_660
"""How many days after their anchor visits are compared: as far as a file can name a day."""


@dataclass(frozen=True, slots=True)
class Series:
    """All times of one visit in days after its anchor; ``every`` is 0 for a visit that is once."""

    index: int
    spec: VisitSpec
    every: int
    days: range

    def since(self, day: int) -> Iterator[int]:
        """Yield the times of the visit that are not before a day."""
        skipped = max(0, -((self.days.start - day) // self.days.step))
        yield from self.days[skipped:]


def visit_findings(visits: Sequence[VisitSpec]) -> Iterator[Finding]:
    yield from repeated(visits, ("visits",))
    yield from same_labels(visits, ("visits",))
    for index, visit in enumerate(visits):
        yield from _anchor_findings(visit, index)


def window_findings(visits: Sequence[VisitSpec], dosing: Dosing) -> Iterator[Finding]:
    found = [*_all_series(visits, dosing)]
    for series in found:
        yield from _repeat_findings(series)
    for one, other in combinations(found, 2):
        yield from _crossing_findings(one, other)


@as_far_as_sound
def _anchor_findings(visit: VisitSpec, index: int) -> Iterator[Finding]:
    if message := _anchor_problem(visit):
        yield Finding(("visits", index, "anchor"), "visit_anchor", message)


def _all_series(visits: Sequence[VisitSpec], dosing: Dosing) -> Iterator[Series]:
    """Yield the times of each visit of which they can be read."""
    for index, visit in enumerate(visits):
        with suppress(Unsound):
            if not _anchor_problem(visit):
                yield _series(index, visit, dosing)


@as_far_as_sound
def _repeat_findings(series: Series) -> Iterator[Finding]:
    window = series.spec.window_before_days + series.spec.window_after_days
    if series.every and window >= series.every:
        key = ("visits", series.index, "window_after_days")
        yield Finding(key, "visit_windows_overlap", "the windows of two visits in a row overlap")


def _anchor_problem(visit: VisitSpec) -> str:
    by_cycle = visit.anchor == "cycle_day_1"
    in_cycles = (visit.from_cycle, visit.every_cycles)
    if any((key is not None) != by_cycle for key in in_cycles):
        return "from_cycle and every_cycles belong to visits anchored at cycle_day_1"
    if by_cycle and visit.every_days is not None:
        return "a visit anchored at cycle_day_1 repeats in cycles: every_days belongs to the others"
    return ""


def _series(index: int, visit: VisitSpec, dosing: Dosing) -> Series:
    """Return the times of a visit up to the horizon; of cycles, those that are planned."""
    if visit.anchor != "cycle_day_1":
        every, first, last = visit.every_days or 0, visit.offset_days, HORIZON_DAYS
    else:
        length, planned = dosing.cycle_days.value, dosing.planned[-1].to_cycle
        every = (visit.every_cycles or 1) * length
        first = ((visit.from_cycle or 1) - 1) * length + visit.offset_days
        last = HORIZON_DAYS if planned is None else (planned - 1) * length + visit.offset_days
    if not every:
        return Series(index, visit, 0, range(first, first + 1))
    return Series(index, visit, every, range(first, min(last, HORIZON_DAYS) + 1, every))


@as_far_as_sound
def _crossing_findings(one: Series, other: Series) -> Iterator[Finding]:
    """Check two visits of the same anchor at all their times.

    Planned on the same day they are one appointment, and their windows may be of any length. On
    different days one window closes before the other opens, so that a day says which visit it is.
    Of two visits the first times that cross are named.
    """
    if one.spec.anchor == other.spec.anchor and (crossed := _first_crossing(one, other)):
        yield _crossing(*sorted(crossed, key=lambda time: (time[1], time[0].index)))


Time = tuple[Series, int]


def _first_crossing(one: Series, other: Series) -> tuple[Time, Time] | None:
    few, many = sorted((one, other), key=lambda series: (len(series.days), series.index))
    for day in few.days:
        opens, closes = day - few.spec.window_before_days, day + few.spec.window_after_days
        for there in many.since(opens - many.spec.window_after_days):
            if there - many.spec.window_before_days > closes:
                break
            if there != day:
                return (few, day), (many, there)
    return None


def _crossing(earlier: Time, later: Time) -> Finding:
    (one, day), (other, next_day) = earlier, later
    closes = day + one.spec.window_after_days
    opens = next_day - other.spec.window_before_days
    key: KeyPath = ("visits", one.index, "window_after_days")
    if opens <= day:
        key = ("visits", other.index, "window_before_days")
    message = (
        f"the window of {one.spec.code!r}, planned on day {day}, closes on day {closes} after"
        f" {_after(one)}, that of {other.spec.code!r}, planned on day {next_day}, opens on day"
        f" {opens}: they overlap"
    )
    return Finding(key, "visit_windows_overlap", message)


def _after(series: Series) -> str:
    return "day 1 of cycle 1" if series.spec.anchor == "cycle_day_1" else series.spec.anchor
