"""Geometry of the two pictures of the web admin, in pixels of their own canvas. Pure.

A template only writes the shapes down as SVG; it decides nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from days to pixels."""

    first: date
    last: date
    left: float
    right: float

    def x(self, day: date) -> float:
        span = max((self.last - self.first).days, 1)
        inside = min(max((day - self.first).days, 0), span)
        return round(self.left + (self.right - self.left) * inside / span, 1)


@dataclass(frozen=True, slots=True)
class Shape:
    """A mark at ``x``, ``y``; ``tip`` is what a pointer over it reads."""

    x: float
    y: float
    width: float = 0
    height: float = 0
    text: str = ""
    tone: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Treatment:
    """Dose by cycle, and what happened meanwhile, each in its lane."""

    width: int
    height: int
    base: float
    doses: tuple[Shape, ...]
    levels: tuple[Shape, ...]
    visits: tuple[Shape, ...]
    adverse_events: tuple[Shape, ...]
    reviews: tuple[Shape, ...]
    investigators: tuple[Shape, ...]
    marks: tuple[Shape, ...]
    months: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Dose:
    cycle: int
    mg: Decimal
    on: date
    days: int


@dataclass(frozen=True, slots=True)
class Span:
    """Something from a day to a day; still going on when ``last`` is missing."""

    first: date
    last: date | None
    tone: str
    tip: str


@dataclass(frozen=True, slots=True)
class Mark:
    on: date
    text: str
    tone: str
    tip: str


WIDTH, LEFT, RIGHT = 960, 58, 944
DOSE_TOP, DOSE_BASE = 22, 132
VISIT_Y, REVIEW_Y, INVESTIGATOR_Y, AE_Y = 150, 176, 194, 208
LABEL_HEIGHT = 11
AE_STEP, MOST_LANES = 9, 12


def treatment(
    doses: Sequence[Dose],
    visits: Sequence[Mark],
    adverse_events: Sequence[Span],
    reviews: Sequence[Mark],
    investigators: Sequence[Mark],
    marks: Sequence[Mark],
    ladder_mg: Sequence[Decimal],
) -> Treatment | None:
    """Draw one subject's course; nothing to draw before the first dated thing."""
    days = [
        *(dose.on + timedelta(days=dose.days) for dose in doses),
        *(dose.on for dose in doses),
        *(mark.on for mark in (*visits, *reviews, *investigators, *marks)),
        *(span.first for span in adverse_events),
        *(span.last for span in adverse_events if span.last),
    ]
    if not days:
        return None
    scale = Scale(min(days), max(days), LEFT, RIGHT)
    top = max(ladder_mg)
    lanes = tuple(_lanes(adverse_events, scale))
    height = int(max((shape.y for shape in lanes), default=AE_Y) + 40)
    return Treatment(
        width=WIDTH,
        height=height,
        base=DOSE_BASE,
        doses=tuple(_dose(dose, scale, top) for dose in doses),
        levels=tuple(_levels(ladder_mg, top)),
        visits=tuple(_placed(mark, scale, VISIT_Y) for mark in visits),
        adverse_events=lanes,
        reviews=tuple(_placed(mark, scale, REVIEW_Y) for mark in reviews),
        investigators=tuple(_placed(mark, scale, INVESTIGATOR_Y) for mark in investigators),
        marks=tuple(_placed(mark, scale, DOSE_TOP - 8) for mark in marks),
        months=tuple(_ticks(scale, height - 8)),
    )


def _dose_y(mg: Decimal, top: Decimal) -> float:
    return round(DOSE_BASE - (DOSE_BASE - DOSE_TOP) * float(mg / top), 1)


def _levels(ladder_mg: Sequence[Decimal], top: Decimal) -> Iterator[Shape]:
    """Draw a line at each level, and its number where it does not cover the one above."""
    above = float("-inf")
    for mg in sorted(ladder_mg, reverse=True):
        y = _dose_y(mg, top)
        text = f"{mg.normalize():f}" if y - above >= LABEL_HEIGHT else ""
        above = y if text else above
        yield Shape(LEFT, y, RIGHT - LEFT, text=text)


def _dose(dose: Dose, scale: Scale, top: Decimal) -> Shape:
    left, y = scale.x(dose.on), _dose_y(dose.mg, top)
    right = scale.x(dose.on + timedelta(days=dose.days))
    tip = f"Cycle {dose.cycle}: {dose.mg.normalize():f} mg from {dose.on}, {dose.days} days"
    return Shape(left, y, max(right - left - 1, 1.5), DOSE_BASE - y, f"{dose.cycle}", tip=tip)


def _placed(mark: Mark, scale: Scale, y: float) -> Shape:
    return Shape(scale.x(mark.on), y, text=mark.text, tone=mark.tone, tip=mark.tip)


def _lanes(spans: Sequence[Span], scale: Scale) -> Iterator[Shape]:
    """Place spans so that none covers another, as long as there are lanes left."""
    ends: list[float] = []
    for span in sorted(spans, key=lambda span: span.first):
        left = scale.x(span.first)
        width = max(scale.x(span.last or scale.last) - left, 5)
        lane = next((i for i, end in enumerate(ends) if end < left), len(ends))
        lane = min(lane, MOST_LANES - 1)
        ends[lane : lane + 1] = [left + width + 2]
        yield Shape(left, AE_Y + lane * AE_STEP, width, 6, tone=span.tone, tip=span.tip)


def _ticks(scale: Scale, y: float) -> Iterator[Shape]:
    """Label at most a dozen first days of months, none closer than its text is wide."""
    months = list(_months(scale.first, scale.last))
    every = max(1, -(-len(months) // 12))
    for day in months[::every]:
        yield Shape(scale.x(day), y, text=f"{day:%Y-%m}")


def _months(first: date, last: date) -> Iterator[date]:
    day = first.replace(day=1)
    while day <= last:
        if day >= first:
            yield day
        day = month_after(day)


def month_after(day: date) -> date:
    """Return the first day of the following month."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Accrual:
    """Randomised subjects month by month, their running total, and the planned line."""

    width: int
    height: int
    base: float
    band: float
    most: Shape
    bars: tuple[Shape, ...]
    line: str
    area: str
    plan: str
    rows: tuple[Shape, ...]
    months: tuple[Shape, ...]
    end: Shape | None


A_WIDTH, A_HEIGHT, A_LEFT, A_RIGHT, A_TOP, A_BASE = 960, 320, 40, 944, 16, 214
BAND_TOP, BAND_BASE = 238, 288


def accrual(
    by_month: Sequence[tuple[date, int]],
    *,
    first: date,
    last: date,
    planned: int | None,
    opens: date,
    closes: date,
) -> Accrual:
    """Draw accrual from ``first`` to ``last``: the running total, and below it month by month.

    The plan is a straight line from nobody on ``opens`` to ``planned`` on ``closes``, or absent.
    """
    scale = Scale(first, last, A_LEFT, A_RIGHT)
    total = sum(count for _, count in by_month)
    top = _round_up(max(total, planned or 0, 1))
    busiest = max((count for _, count in by_month), default=0)
    points, running = [(scale.x(first), float(A_BASE))], 0
    for month, count in by_month:
        running += count
        points.append((scale.x(month_after(month)), _height(running, top)))
    line = " ".join(f"{x},{y}" for x, y in points)
    end_x, end_y = points[-1]
    return Accrual(
        width=A_WIDTH,
        height=A_HEIGHT,
        base=A_BASE,
        band=BAND_BASE,
        most=Shape(A_LEFT, BAND_TOP, text=str(busiest)),
        bars=tuple(_bar(month, count, scale, busiest) for month, count in by_month),
        line=line,
        area=f"{A_LEFT},{A_BASE} {line} {end_x},{A_BASE}",
        plan=""
        if planned is None
        else f"{scale.x(opens)},{A_BASE} {scale.x(closes)},{_height(planned, top)}",
        rows=tuple(
            Shape(A_LEFT, _height(n, top), A_RIGHT - A_LEFT, text=str(n))
            for n in range(0, top + 1, top // 5)
        ),
        months=tuple(_ticks(scale, BAND_BASE + 20)),
        end=Shape(end_x, end_y, text=str(total)) if by_month else None,
    )


def _height(count: int, top: int) -> float:
    return round(A_BASE - (A_BASE - A_TOP) * count / top, 1)


def _bar(month: date, count: int, scale: Scale, busiest: int) -> Shape:
    left, right = scale.x(month), scale.x(month_after(month))
    y = BAND_BASE - (BAND_BASE - BAND_TOP) * count / max(busiest, 1)
    tip = f"{month:%Y-%m}: {count} randomised"
    return Shape(left + 1, round(y, 1), max(right - left - 2, 2), round(BAND_BASE - y, 1), tip=tip)


def _round_up(count: int) -> int:
    """Return the next multiple of five that divides into five rows of round numbers."""
    step = 5
    while step < 10**9:
        for factor in (1, 2, 5):
            if count <= step * factor:
                return step * factor
        step *= 10
    return count
