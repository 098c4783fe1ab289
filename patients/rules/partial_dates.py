"""Days as they were told: a year, a month or a day, kept as given and never filled in silently."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self


_SHAPE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")


@dataclass(frozen=True, slots=True)
class PartialDate:
    """``"2014"``, ``"2014-03"`` or ``"2014-03-09"``: every day from ``first_day`` to ``last_day``.

    Raises ``ValueError`` for another shape and for a day that is in no calendar. Two partial
    dates have no natural order; ask ``is_before`` and ``is_after``, which answer only what is
    certain.
    """

    text: str

    def __post_init__(self) -> None:
        if not _SHAPE.fullmatch(self.text):
            raise ValueError(f"{self.text!r} is not a year, a month or a day like 2014-03-09")
        try:
            self.first_day  # noqa: B018 - the calendar refuses what does not exist
        except ValueError:
            raise ValueError(f"{self.text!r} is in no calendar") from None

    @classmethod
    def of(cls, day: date) -> Self:
        return cls(day.isoformat())

    @property
    def is_complete(self) -> bool:
        return len(self._numbers()) == 3

    @property
    def first_day(self) -> date:
        year, month, day = (*self._numbers(), 1, 1)[:3]
        return date(year, month, day)

    @property
    def last_day(self) -> date:
        year, *rest = self._numbers()
        month = rest[0] if rest else 12
        day = rest[1] if len(rest) == 2 else monthrange(year, month)[1]
        return date(year, month, day)

    def is_after(self, day: date) -> bool:
        """Return whether every day it can mean lies after ``day``."""
        return self.first_day > day

    def is_before(self, other: "PartialDate") -> bool:
        """Return whether every day it can mean lies before every day the other can."""
        return self.last_day < other.first_day

    def covers(self, day: date) -> bool:
        return self.first_day <= day <= self.last_day

    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.text.split("-"))

    def __str__(self) -> str:
        return self.text


class Imputation(StrEnum):
    """How a day came about. Values are stable: analysis data sets show them."""

    AS_RECORDED = "as_recorded"
    EARLIEST_NOT_BEFORE = "earliest_not_before"


@dataclass(frozen=True, slots=True)
class ImputedDay:
    """A day to reckon with, and the rule that made it."""

    day: date
    rule: Imputation

    @property
    def is_imputed(self) -> bool:
        return self.rule is not Imputation.AS_RECORDED


def earliest_not_before(partial: PartialDate, floor: date) -> ImputedDay:
    """Return the recorded day or, if it is partial, the earliest it can mean from ``floor`` on.

    When every possible day lies before ``floor``, the first of them: the rule chooses among
    the days that were told and never makes another.

    Source: common practice for onset days, with the first dose as the floor; the trial's own
    analysis plan is not public.
    """
    if partial.is_complete:
        return ImputedDay(partial.first_day, Imputation.AS_RECORDED)
    day = floor if partial.covers(floor) else partial.first_day
    return ImputedDay(day, Imputation.EARLIEST_NOT_BEFORE)
