"""What randomisation is balanced for: factors with levels, and the strata they make together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from pydantic import Field

from trials.rules.protocol.screening import SITE, Answer, Bound
from trials.rules.protocol.sourced import Claim, Code, Part, ShortCode, Text


UNSTRATIFIED = "ALL"


class Level(Part):
    """One level: ``at_least <= value < below``, or one of ``any_of``. A missing bound is none."""

    code: ShortCode
    label: Text
    at_least: Bound | None = None
    below: Bound | None = None
    any_of: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=60)] | None = None


class Factor(Claim):
    """Levels of one variable. The factor ``site`` has the sites for levels and names none."""

    code: Code
    label: Text
    variable: Code
    unit: Text | None = None
    levels: Annotated[tuple[Level, ...], Field(max_length=20)] = ()

    @property
    def is_site(self) -> bool:
        return self.code == SITE


@dataclass(frozen=True, slots=True)
class Stratum:
    """One combination of levels: ``levels`` holds the level of each factor but the site."""

    code: str
    label: str
    levels: Mapping[str, str]


def code_of(levels: Sequence[str]) -> str:
    """Return the code of the stratum that levels make, in the order of the factors."""
    return "-".join(levels) or UNSTRATIFIED


def strata_of(factors: Sequence[Factor]) -> tuple[Stratum, ...]:
    """Return every combination of levels, in the order of the file; the site makes no strata."""
    return tuple(_combined(recorded_factors(factors)))


def recorded_factors(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """Return the factors whose level follows from what is recorded about the subject."""
    return tuple(factor for factor in factors if not factor.is_site)


def _combined(factors: Sequence[Factor]) -> Iterator[Stratum]:
    for levels in product(*(factor.levels for factor in factors)):
        yield Stratum(
            code=code_of([level.code for level in levels]),
            label=", ".join(level.label for level in levels) or "All subjects",
            levels={factor.code: level.code for factor, level in zip(factors, levels, strict=True)},
        )
