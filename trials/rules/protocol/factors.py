"""What randomisation is balanced for: factors with levels, and the strata they make together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from pydantic import Field

from trials.rules.protocol.screening import Answer, Bound
from trials.rules.protocol.sourced import Claim, Code, Label, Part, ShortCode, Text


UNSTRATIFIED = "ALL"


class Level(Part):
    """One level: ``at_least <= value < below``, or one of ``any_of``. A missing bound is none."""

    code: ShortCode
    label: Label
    at_least: Bound | None = None
    below: Bound | None = None
    any_of: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=60)] | None = None


class Factor(Claim):
    """Levels of one variable. The site is no such factor: a minimisation balances it by itself."""

    code: Code
    label: Label
    variable: Code
    unit: Text | None = None
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=20)]


@dataclass(frozen=True, slots=True)
class Stratum:
    """One combination of levels: ``levels`` holds the level of each factor, by their codes."""

    code: str
    label: str
    levels: Mapping[str, str]


def code_of(levels: Sequence[str]) -> str:
    """Return the code of the stratum that levels make, in the order of the factors."""
    return "-".join(levels) or UNSTRATIFIED


def strata_of(factors: Sequence[Factor]) -> tuple[Stratum, ...]:
    """Return every combination of levels, in the order of the file."""
    return tuple(_combined(factors))


def _combined(factors: Sequence[Factor]) -> Iterator[Stratum]:
    for levels in product(*(factor.levels for factor in factors)):
        yield Stratum(
            code=code_of([level.code for level in levels]),
            label=", ".join(level.label for level in levels) or "All subjects",
            levels={factor.code: level.code for factor, level in zip(factors, levels, strict=True)},
        )
