"""The values a protocol file is made of: each with its unit, its source and its standing."""

from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


Flag = Literal["published", "assumed"]


def not_text(value: object) -> object:
    """Return a value that is written as a number. Raises ``ValueError`` for any other."""
    if isinstance(value, str | bool | float):
        raise ValueError("a number is written bare, not as text, true or false")
    return value


Text = Annotated[str, Field(strict=True, min_length=1)]
ShortCode = Annotated[str, Field(strict=True, pattern=r"^[A-Z][A-Z0-9]{0,7}$")]
Code = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
Version = Annotated[str, Field(strict=True, pattern=r"^\d+(\.\d+)*$")]
Whole = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Positive = Annotated[int, Field(strict=True, ge=1, le=100_000)]
DayCount = Annotated[int, Field(strict=True, ge=0, le=3_660)]
Number = Annotated[Decimal, BeforeValidator(not_text), Field(ge=0, le=10_000)]
Fraction = Annotated[Decimal, BeforeValidator(not_text), Field(gt=0, lt=1)]
Probability = Annotated[Decimal, BeforeValidator(not_text), Field(gt=0, le=1, decimal_places=4)]
Dose = Annotated[Decimal, BeforeValidator(not_text), Field(gt=0, le=10_000)]

T = TypeVar("T")
U = TypeVar("U")


class Part(BaseModel):
    """A table of the file: read only, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Claim(Part):
    """Something with a source; ``published`` for this trial, or ``assumed`` until confirmed."""

    source: Text
    flag: Flag


class Sourced(Claim, Generic[T, U]):
    """One value ``T`` in the unit ``U``: ``{ value = 50, unit = "10^9/L", source, flag }``."""

    value: T
    unit: U


class SourcedRange(Claim, Generic[T, U]):
    """A lowest and a highest value, both included."""

    min: T
    max: T
    unit: U


Days = Sourced[DayCount, Literal["days"]]
DayRange = SourcedRange[DayCount, Literal["days"]]
Hours = Sourced[Positive, Literal["hours"]]
Cells = Sourced[Number, Literal["10^9/L"]]
Clearance = Sourced[Number, Literal["mL/min"]]
