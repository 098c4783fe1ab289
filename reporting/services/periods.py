"""Calendar periods of safety summaries: weeks, months and quarters of whole days (UTC)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class PeriodKind(StrEnum):
    """How often a protocol asks for a summary."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"


MONTHS_IN = {PeriodKind.MONTHLY: 1, PeriodKind.QUARTERLY: 3}
_NAMED = {
    PeriodKind.WEEKLY: re.compile(r"(\d{4})-W(\d{2})"),
    PeriodKind.MONTHLY: re.compile(r"(\d{4})-(\d{2})"),
    PeriodKind.QUARTERLY: re.compile(r"(\d{4})-Q([1-4])"),
}
EXAMPLE = {
    PeriodKind.WEEKLY: "2016-W12",
    PeriodKind.MONTHLY: "2016-03",
    PeriodKind.QUARTERLY: "2016-Q1",
}


@dataclass(frozen=True, slots=True)
class Period:
    """The days from ``start`` to ``end``, both included. Weeks begin on Monday (ISO 8601)."""

    kind: PeriodKind
    start: date
    end: date

    @property
    def name(self) -> str:
        """``2016-W12``, ``2016-03`` or ``2016-Q1``."""
        match self.kind:
            case PeriodKind.WEEKLY:
                year, week, _ = self.start.isocalendar()
                return f"{year}-W{week:02d}"
            case PeriodKind.MONTHLY:
                return f"{self.start:%Y-%m}"
            case PeriodKind.QUARTERLY:
                return f"{self.start.year}-Q{(self.start.month + 2) // 3}"

    def holds(self, day: date) -> bool:
        return self.start <= day <= self.end

    def next(self) -> "Period":
        return period_of(self.end + timedelta(days=1), self.kind)

    def previous(self) -> "Period":
        return period_of(self.start - timedelta(days=1), self.kind)


def period_of(day: date, kind: PeriodKind) -> Period:
    """Return the period a day lies in."""
    if kind is PeriodKind.WEEKLY:
        monday = day - timedelta(days=day.weekday())
        return Period(kind, monday, monday + timedelta(days=6))
    length = MONTHS_IN[kind]
    first = (day.month - 1) // length * length + 1
    start = date(day.year, first, 1)
    following = date(day.year + (first + length > 12), (first + length - 1) % 12 + 1, 1)
    return Period(kind, start, following - timedelta(days=1))


def period_named(name: str, kind: PeriodKind) -> Period:
    """Return the period of a name such as ``2016-03``. Raises ``ValueError`` for another shape."""
    found = _NAMED[kind].fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is not a {kind} period like {EXAMPLE[kind]}")
    year, number = int(found[1]), int(found[2])
    try:
        if kind is PeriodKind.WEEKLY:
            return period_of(date.fromisocalendar(year, number, 1), kind)
        return period_of(date(year, (number - 1) * MONTHS_IN[kind] + 1, 1), kind)
    except ValueError:
        raise ValueError(f"{name!r} is in no calendar") from None


def periods_between(first: date, last: date, kind: PeriodKind) -> Iterator[Period]:
    """Yield the periods from the one that holds ``first`` to the one that holds ``last``."""
    period = period_of(first, kind)
    while period.start <= last:
        yield period
        period = period.next()
