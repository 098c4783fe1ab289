"""The values a protocol file is made of: each with its unit, its source and its standing."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from trials.rules.protocol.written import (
    has_few_digits,
    in_new_files,
    is_a_day,
    is_a_version,
    is_from,
    is_near,
    no_longer_than,
    shows_as_written,
)


Flag = Literal["published", "assumed"]


@dataclass(frozen=True, slots=True)
class Beyond:
    """A number as it is written, with an exponent beyond what can be kept."""

    written: str

    def __str__(self) -> str:
        return self.written


def not_text(value: object) -> object:
    """Return a value that is written as a number. Raises ``ValueError`` for any other."""
    if isinstance(value, str | bool | float):
        raise ValueError("a number is written bare, not as text, true or false")
    if isinstance(value, Beyond):
        raise ValueError("its exponent is beyond what can be kept")
    return value


Shown = AfterValidator(in_new_files(shows_as_written))
UpTo120 = AfterValidator(in_new_files(no_longer_than(120)))
UpTo200 = AfterValidator(in_new_files(no_longer_than(200)))
UpTo300 = AfterValidator(in_new_files(no_longer_than(300)))
UpTo2000 = AfterValidator(in_new_files(no_longer_than(2_000)))
Written = Annotated[str, Field(strict=True, min_length=1), Shown]
Text = Annotated[Written, UpTo2000]
Title = Annotated[Written, UpTo300]
Label = Annotated[Written, UpTo200]
SocLabel = Annotated[Written, UpTo120]
Reason = Annotated[str, Shown, UpTo2000]
ShortCode = Annotated[str, Field(strict=True, pattern=r"^[A-Z][A-Z0-9]{0,7}$")]
Code = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
Version = Annotated[
    str,
    Field(strict=True, pattern=r"^\d+(\.\d+)*$"),
    AfterValidator(in_new_files(is_a_version)),
]
CtcaeVersion = Annotated[Version, AfterValidator(in_new_files(no_longer_than(10)))]
Whole = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Positive = Annotated[int, Field(strict=True, ge=1, le=100_000)]
DayCount = Annotated[int, Field(strict=True, ge=0, le=3_660)]
FewDigits = AfterValidator(in_new_files(has_few_digits))
Bare = Annotated[Decimal, BeforeValidator(not_text), FewDigits]
Number = Annotated[Bare, Field(ge=0, le=10_000)]
Fraction = Annotated[Bare, Field(gt=0, lt=1)]
Probability = Annotated[Bare, Field(gt=0, le=1, decimal_places=4)]
Dose = Annotated[Bare, Field(gt=0, le=10_000)]
Day = Annotated[
    date,
    BeforeValidator(in_new_files(is_a_day)),
    AfterValidator(in_new_files(is_near)),
]

T = TypeVar("T")
U = TypeVar("U")


def sensibly(low: str, high: str) -> AfterValidator:
    """A number of a new file is from ``low`` to ``high``: bounds that are a choice made here."""
    return AfterValidator(in_new_files(is_from(low, high)))


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
Cells = Sourced[Number, Literal["10^9/L"]]
Clearance = Sourced[Number, Literal["mL/min"]]
