"""Who may take part: criteria over screening variables, days to randomisation, exclusions."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from trials.rules.protocol.screening import Answer, Bound
from trials.rules.protocol.sourced import Claim, Code, DayCount, Label, Part, Text


class Test(Part):
    """One question about one variable; all its limits must hold."""

    __test__ = False  # a question of the protocol's, not one of pytest's

    variable: Code
    at_least: Bound | None = None
    above: Bound | None = None
    at_most: Bound | None = None
    below: Bound | None = None
    unit: Text | None = None
    equals: Answer | None = Field(default=None, alias="is")
    one_of: Annotated[tuple[Code, ...], Field(min_length=1)] | None = None

    @property
    def limits(self) -> dict[str, Decimal]:
        """The limits that are written, by their key."""
        named = {
            "at_least": self.at_least,
            "above": self.above,
            "at_most": self.at_most,
            "below": self.below,
        }
        return {key: limit for key, limit in named.items() if limit is not None}


class Criterion(Claim):
    """What must hold, whenever all of ``when`` does; ``label`` says in words that it does not.

    ``require`` is one test, ``any_of`` several of which one must hold. ``missing`` is the code
    of the reason when it cannot be told because a value is not known.
    """

    code: Code
    label: Label
    require: Test | None = None
    any_of: Annotated[tuple[Test, ...], Field(min_length=2)] | None = None
    when: Annotated[tuple[Test, ...], Field(min_length=1)] | None = None
    named_missing: Code | None = Field(default=None, alias="missing")

    @property
    def missing(self) -> str:
        return self.named_missing or f"{self.code}_missing"

    @property
    def tests(self) -> tuple[Test, ...]:
        """The tests of which one must hold."""
        return (self.require,) if self.require is not None else self.any_of or ()

    @property
    def conditions(self) -> tuple[Test, ...]:
        return self.when or ()


class Timing(Claim):
    """Days that must lie between a day found at screening and the day of randomisation.

    Both ends are included; without ``at_least_days`` the same day is the first.
    """

    code: Code
    label: Label
    variable: Code
    at_least_days: DayCount | None = None
    at_most_days: DayCount | None = None
    named_missing: Code | None = Field(default=None, alias="missing")

    @property
    def first_day(self) -> int:
        return self.at_least_days or 0

    @property
    def too_soon(self) -> str:
        return f"too_soon_after_{self.code}"

    @property
    def too_late(self) -> str:
        return f"too_late_after_{self.code}"

    @property
    def missing(self) -> str:
        return self.named_missing or f"{self.code}_missing"


class Exclusion(Claim):
    code: Code
    label: Label

    @property
    def reason(self) -> str:
        return f"exclusion_{self.code}"


class Eligibility(Part):
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    timing: tuple[Timing, ...] = ()
    exclusions: tuple[Exclusion, ...]
