"""What must hold between screening variables and the criteria over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trials.rules.protocol.eligibility import Criterion, Eligibility, Test, Timing
from trials.rules.protocol.finding import (
    Finding,
    Unsound,
    as_far_as_sound,
    each,
    repeated,
    same_labels,
)
from trials.rules.protocol.reason_codes import reason_findings
from trials.rules.protocol.screening import DERIVED, NUMERIC, RESERVED, Screening, Variable
from trials.rules.toml_lines import KeyPath


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables by their codes, and whether all codes could be read."""

    by_code: Mapping[str, Variable]
    complete: bool

    def find(self, code: str) -> Variable | None:
        """Return the variable of a code, or nothing if there is none.

        Raises ``Unsound`` if it may be the one whose own code could not be read.
        """
        if code not in self.by_code and not self.complete:
            raise Unsound(code)
        return self.by_code.get(code)


def variables_of(screening: Screening) -> Variables:
    stated = screening.variables
    codes = {code: stated[index] for index, code in each(stated, "code")}
    complete = sum(1 for _ in each(stated, "code")) == len(stated)
    return Variables(DERIVED | codes, complete)


def of_kind(variable: Variable, name: str) -> Any:
    """Return a key of a variable. Raises ``Unsound`` if its kind needs it and it is not there.

    That it is missing is named with the variable.
    """
    value = getattr(variable, name)
    if value is None and name in _KEYS_OF[variable.kind][0]:
        raise Unsound(name)
    return value


# --- Variables ------------------------------------------------------------------------------------


@as_far_as_sound
def screening_findings(screening: Screening) -> Iterator[Finding]:
    yield from repeated(screening.variables, ("screening", "variables"))
    yield from same_labels(screening.variables, ("screening", "variables"))
    for index, variable in enumerate(screening.variables):
        key: KeyPath = ("screening", "variables", index)
        yield from _reserved_findings(variable, key)
        for name in ("unit", "min", "max", "places", "choices"):
            yield from _kind_findings(variable, name, (*key, name))
        yield from _span_findings(variable, key)
        yield from _choices_findings(variable, key)


# The keys a kind must have, and may have.
_KEYS_OF = {
    "number": ({"min", "max", "places", "unit"}, set[str]()),
    "whole": ({"min", "max"}, {"unit"}),
    "yes_no": (set[str](), set[str]()),
    "choice": ({"choices"}, set[str]()),
    "day": (set[str](), set[str]()),
}


@as_far_as_sound
def _reserved_findings(variable: Variable, key: KeyPath) -> Iterator[Finding]:
    if variable.code.casefold() in RESERVED:
        message = f"{variable.code!r} has a meaning of its own in every trial"
        yield Finding((*key, "code"), "code_reserved", message)


@as_far_as_sound
def _kind_findings(variable: Variable, name: str, key: KeyPath) -> Iterator[Finding]:
    needed, allowed = _KEYS_OF[variable.kind]
    there = getattr(variable, name) is not None
    if name in needed and not there:
        yield Finding(key, "missing", f"a variable of kind {variable.kind} needs it")
    if there and name not in needed | allowed:
        message = f"a variable of kind {variable.kind} has none"
        yield Finding(key, "key_of_another_kind", message)


@as_far_as_sound
def _span_findings(variable: Variable, key: KeyPath) -> Iterator[Finding]:
    if variable.kind in NUMERIC and of_kind(variable, "min") >= of_kind(variable, "max"):
        yield Finding((*key, "max"), "range_reversed", "the highest value must be above the lowest")


@as_far_as_sound
def _choices_findings(variable: Variable, key: KeyPath) -> Iterator[Finding]:
    choices = variable.choices or ()
    folded = [choice.casefold() for choice in choices]
    for choice in sorted({choice for choice in choices if folded.count(choice.casefold()) > 1}):
        message = f"the choice {choice!r} is there twice, in small or in capital letters"
        yield Finding((*key, "choices"), "choice_repeated", message)


# --- Criteria -------------------------------------------------------------------------------------


def eligibility_findings(eligibility: Eligibility) -> Iterator[Finding]:
    for table in ("criteria", "timing", "exclusions"):
        yield from _repeated_findings(eligibility, table)
    yield from reason_findings(eligibility)
    yield from _criteria_findings(eligibility)
    yield from _timings_findings(eligibility)


@as_far_as_sound
def _repeated_findings(eligibility: Eligibility, table: str) -> Iterator[Finding]:
    yield from repeated(getattr(eligibility, table), ("eligibility", table))
    if table == "exclusions":
        yield from same_labels(eligibility.exclusions, ("eligibility", table))


@as_far_as_sound
def _criteria_findings(eligibility: Eligibility) -> Iterator[Finding]:
    for index, criterion in enumerate(eligibility.criteria):
        yield from _requirement_findings(criterion, ("eligibility", "criteria", index))


@as_far_as_sound
def _requirement_findings(criterion: Criterion, key: KeyPath) -> Iterator[Finding]:
    if (criterion.require is None) == (criterion.any_of is None):
        message = "a criterion has either one test to require, or any_of with several"
        yield Finding(key, "one_requirement", message)


def asked_findings(eligibility: Eligibility, screening: Screening) -> Iterator[Finding]:
    """Check what criteria and timing ask of the variables."""
    yield from _tests_findings(eligibility, screening)
    yield from _days_asked_findings(eligibility, screening)


@as_far_as_sound
def _tests_findings(eligibility: Eligibility, screening: Screening) -> Iterator[Finding]:
    variables = variables_of(screening)
    for index, criterion in enumerate(eligibility.criteria):
        key: KeyPath = ("eligibility", "criteria", index)
        yield from _required_findings(criterion, key, variables)
        for name in ("any_of", "when"):
            yield from _listed_findings(criterion, name, (*key, name), variables)


@as_far_as_sound
def _required_findings(
    criterion: Criterion, key: KeyPath, variables: Variables
) -> Iterator[Finding]:
    if criterion.require is not None:
        yield from _test_findings(criterion.require, (*key, "require"), variables)


@as_far_as_sound
def _listed_findings(
    criterion: Criterion, name: str, key: KeyPath, variables: Variables
) -> Iterator[Finding]:
    for index, test in enumerate(getattr(criterion, name) or ()):
        yield from _test_findings(test, (*key, index), variables)


@as_far_as_sound
def _test_findings(test: Test, key: KeyPath, variables: Variables) -> Iterator[Finding]:
    variable = variables.find(test.variable)
    if variable is None:
        yield unknown(test.variable, key)
        return
    yield from _asked_findings(test, variable, key)
    yield from _test_limit_findings(test, variable, key)
    yield from _answer_findings(test, variable, key)


@as_far_as_sound
def _asked_findings(test: Test, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    asked = {*test.limits} | {
        name for name, value in (("is", test.equals), ("one_of", test.one_of)) if value is not None
    }
    if not asked:
        yield Finding(key, "test_empty", "the test asks for nothing")
    for name in sorted(asked - _asks_of(variable)):
        message = f"{variable.code} is of kind {variable.kind}, which is not tested so"
        yield Finding((*key, name), "test_of_another_kind", message)


@as_far_as_sound
def _test_limit_findings(test: Test, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    limits = test.limits
    yield from unit_findings(test.unit, variable, key, has_limits=bool(limits))
    yield from limit_findings(limits, variable, key)
    yield from _span_of_test_findings(limits, variable, key)


@as_far_as_sound
def _span_of_test_findings(
    limits: Mapping[str, Decimal], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    """Check that a value can be recorded that lies within all limits of one test."""
    if variable.kind not in NUMERIC:
        return
    step = Decimal(1).scaleb(-(of_kind(variable, "places") or 0))
    lowest = {"at_least": Decimal(0), "above": step}
    highest = {"at_most": Decimal(0), "below": -step}
    lows = [limits[name] + more for name, more in lowest.items() if name in limits]
    highs = [limits[name] + more for name, more in highest.items() if name in limits]
    if lows and highs and max(lows) > min(highs):
        stated = ", ".join(f"{name} {limit}" for name, limit in limits.items())
        yield Finding(key, "range_reversed", f"no value of {variable.code} is {stated}")


@as_far_as_sound
def _answer_findings(test: Test, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    if not isinstance(test.equals, bool | None):
        yield from _choice_findings((test.equals,), variable, (*key, "is"))
    yield from _choice_findings(test.one_of or (), variable, (*key, "one_of"))
    if variable.kind == "yes_no" and not isinstance(test.equals, bool | None):
        yield Finding((*key, "is"), "choice_unknown", "is it true or false?")


def unknown(code: str, key: KeyPath) -> Finding:
    message = f"screening has no variable {code!r}"
    return Finding((*key, "variable"), "variable_unknown", message)


def _asks_of(variable: Variable) -> set[str]:
    if variable.kind in NUMERIC:
        return {"at_least", "above", "at_most", "below"}
    return {"yes_no": {"is"}, "choice": {"is", "one_of"}}.get(variable.kind, set())


@as_far_as_sound
def unit_findings(
    unit: str | None, variable: Variable, key: KeyPath, *, has_limits: bool
) -> Iterator[Finding]:
    if has_limits and variable.kind in NUMERIC and unit != of_kind(variable, "unit"):
        expected = f"in {variable.unit}" if variable.unit else "without a unit"
        message = f"{variable.code} is recorded {expected}"
        yield Finding((*key, "unit"), "unit_differs", message)


@as_far_as_sound
def limit_findings(
    limits: Mapping[str, Decimal], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    if variable.kind not in NUMERIC:
        return
    for name, limit in limits.items():
        yield from _bounds_findings(limit, variable, (*key, name))


@as_far_as_sound
def _bounds_findings(limit: Decimal, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    lowest, highest = of_kind(variable, "min"), of_kind(variable, "max")
    if not lowest <= limit <= highest:
        message = f"{limit} lies outside {lowest} to {highest}"
        yield Finding(key, "outside_bounds", message)
    elif _places(limit) > (of_kind(variable, "places") or 0):
        message = f"{variable.code} is not recorded as finely as {limit}"
        yield Finding(key, "too_fine", message)


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


@as_far_as_sound
def _choice_findings(
    asked: Sequence[bool | str | None], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    for choice in asked if variable.kind == "choice" else ():
        if choice not in of_kind(variable, "choices"):
            message = f"{choice!r} is no choice of {variable.code}"
            yield Finding(key, "choice_unknown", message)


@as_far_as_sound
def _days_asked_findings(eligibility: Eligibility, screening: Screening) -> Iterator[Finding]:
    variables = variables_of(screening)
    for index, timing in enumerate(eligibility.timing):
        yield from _day_findings(timing, ("eligibility", "timing", index), variables)


@as_far_as_sound
def _day_findings(timing: Timing, key: KeyPath, variables: Variables) -> Iterator[Finding]:
    variable = variables.find(timing.variable)
    if variable is None:
        yield unknown(timing.variable, key)
    elif variable.kind != "day":
        message = f"{variable.code} is of kind {variable.kind}; days are counted from a day"
        yield Finding((*key, "variable"), "test_of_another_kind", message)


@as_far_as_sound
def _timings_findings(eligibility: Eligibility) -> Iterator[Finding]:
    for index, timing in enumerate(eligibility.timing):
        yield from _days_findings(timing, ("eligibility", "timing", index))


@as_far_as_sound
def _days_findings(timing: Timing, key: KeyPath) -> Iterator[Finding]:
    if timing.at_least_days is None and timing.at_most_days is None:
        yield Finding(key, "test_empty", "neither a first nor a last day is given")
    if timing.at_most_days is not None and timing.at_most_days < timing.first_day:
        message = "the last day is before the first"
        yield Finding((*key, "at_most_days"), "range_reversed", message)
