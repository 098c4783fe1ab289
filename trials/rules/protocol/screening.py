"""What screening asks for: the variables that criteria and strata are judged from.

Every trial has ``age``, ``sex`` and ``site``; they come from the subject and are never entered
with a screening. All others stand in the protocol file.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from trials.rules.protocol.sourced import Bare, Claim, Code, Label, Part, Text


def _answer(value: object) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise ValueError("true, false, or one of the variable's choices")


Kind = Literal["number", "whole", "yes_no", "choice", "day"]
Value = Decimal | int | bool | str | date | None
Bound = Annotated[Bare, Field(ge=-1_000_000, le=1_000_000)]
Answer = Annotated[bool | str, PlainValidator(_answer)]
Places = Annotated[int, Field(strict=True, ge=1, le=9)]
Choices = Annotated[tuple[Code, ...], Field(min_length=2, max_length=60)]

NUMERIC = ("number", "whole")


class Variable(Claim):
    """One thing screening finds out. ``min`` and ``max`` are included; unit as it is written."""

    code: Code
    label: Label
    kind: Kind
    required: Annotated[bool, Field(strict=True)]
    unit: Text | None = None
    min: Bound | None = None
    max: Bound | None = None
    places: Places | None = None
    choices: Choices | None = None

    @property
    def lowest(self) -> Decimal:
        """The lowest value; for numbers only."""
        return Decimal(0) if self.min is None else self.min

    @property
    def highest(self) -> Decimal:
        """The highest value; for numbers only."""
        return Decimal(0) if self.max is None else self.max


class Screening(Part):
    variables: Annotated[tuple[Variable, ...], Field(max_length=100)]


_ENROLLED = "Recorded when the subject is entered"
AGE = Variable(
    code="age",
    label="Age at consent",
    kind="whole",
    required=True,
    unit="years",
    min=Decimal(0),
    max=Decimal(130),
    source=_ENROLLED + "; the years certainly completed at the first consent",
    flag="published",
)
SEX = Variable(
    code="sex",
    label="Sex",
    kind="choice",
    required=True,
    choices=("female", "male"),
    source=_ENROLLED,
    flag="published",
)
DERIVED = {variable.code: variable for variable in (AGE, SEX)}
SITE = "site"

# Names that a screening already uses for something else, beside the derived variables.
RESERVED = frozenset({*DERIVED, SITE, "assessed_on", "exclusions", "key", "values"})
