"""The published figures of CLLM1's first analysis beside those a report gave.

Source: Fink et al., Lancet Haematol 2017;4(10):e475-86, and its presentations at ASH 2016. A
figure agrees if it rounds, half up, to the digits as printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


Number = Decimal | float | int
Obtained = Number | None | Sequence[Number | None]

NOT_REACHED = "not reached"
MISSING = "not given"


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure: its parts as printed and how they stand in a line.

    ``form`` has one pair of braces per part. A part ``not reached`` is obtained as None.
    """

    key: str
    label: str
    parts: tuple[str, ...]
    form: str = "{}"

    @property
    def published(self) -> str:
        return self.form.format(*self.parts)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure and what was obtained, rounded alike."""

    figure: Figure
    obtained: str
    agrees: bool


def _percent(key: str, label: str, lenalidomide: str, placebo: str) -> tuple[Figure, Figure]:
    return (
        Figure(f"{key}_lenalidomide", f"{label}, lenalidomide", (lenalidomide,), "{} %"),
        Figure(f"{key}_placebo", f"{label}, placebo", (placebo,), "{} %"),
    )


PUBLISHED: tuple[Figure, ...] = (
    Figure("screened", "Screened", ("468",)),
    Figure("not_eligible", "Not eligible", ("379",)),
    Figure("randomised", "Randomised, lenalidomide : placebo", ("60", "29"), "{} : {}"),
    *_percent("pfs_12", "PFS at 12 months", "90", "57"),
    *_percent("pfs_24", "PFS at 24 months", "77", "25"),
    Figure("median_lenalidomide", "Median PFS, lenalidomide", (NOT_REACHED,)),
    Figure(
        "median_placebo",
        "Median PFS (95 % CI), placebo",
        ("13.3", "9.9", "19.7"),
        "{} months ({} to {})",
    ),
    Figure("hazard_ratio", "Hazard ratio (95 % CI)", ("0.168", "0.074", "0.379"), "{} ({} to {})"),
    Figure("deaths", "Deaths, lenalidomide : placebo", ("1", "2"), "{} : {}"),
    *_percent("skin", "Skin disorders", "63", "28"),
    *_percent("gastrointestinal", "Gastrointestinal disorders", "61", "28"),
    *_percent("infections", "Infections", "54", "66"),
    # The safety summary is blinded: its counts are the two arms' published ones added up.
    Figure("pooled_skin", "Safety summary, skin disorders, both arms", ("43",)),
    Figure("pooled_gastrointestinal", "Safety summary, gastrointestinal, both arms", ("42",)),
    Figure("pooled_infections", "Safety summary, infections, both arms", ("49",)),
    Figure("pooled_deaths", "Safety summary, deaths, both arms", ("3",)),
)


def compare(
    obtained: Mapping[str, Obtained], figures: Iterable[Figure] = PUBLISHED
) -> list[Comparison]:
    """Return every published figure beside what was obtained under its key.

    Give values unrounded: percentages from 0 to 100, times in months, a tuple for a figure of
    several parts, None for what was not reached. A key that is missing does not agree.
    """
    return [_compared(figure, obtained) for figure in figures]


def _compared(figure: Figure, obtained: Mapping[str, Obtained]) -> Comparison:
    if figure.key not in obtained:
        return Comparison(figure, MISSING, agrees=False)
    value = obtained[figure.key]
    values = list(value) if isinstance(value, Sequence) else [value]
    if len(values) != len(figure.parts):
        return Comparison(figure, MISSING, agrees=False)
    parts = [as_printed(one, part) for one, part in zip(values, figure.parts, strict=True)]
    return Comparison(figure, figure.form.format(*parts), agrees=tuple(parts) == figure.parts)


def as_printed(value: Number | None, printed: str) -> str:
    """Return the value with as many decimals as the printed figure has, rounded half up."""
    if value is None or not Decimal(str(value)).is_finite():
        return NOT_REACHED
    _, _, decimals = printed.partition(".")
    places = len(decimals) if printed != NOT_REACHED else 1
    step = Decimal(1).scaleb(-places)
    return str(Decimal(str(value)).quantize(step, rounding=ROUND_HALF_UP))


def render(comparisons: Sequence[Comparison]) -> str:
    """Return an aligned table, one line per figure, and how many agree."""
    rows = [("", "published", "obtained", "")]
    rows += [
        (one.figure.label, one.figure.published, one.obtained, "✓" if one.agrees else "✗ differs")
        for one in comparisons
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    lines.insert(1, "-" * (sum(widths) + 4))
    agreeing = sum(one.agrees for one in comparisons)
    lines.append(f"{agreeing} of {len(comparisons)} published figures are met.")
    return "\n".join(line.rstrip() for line in lines) + "\n"
