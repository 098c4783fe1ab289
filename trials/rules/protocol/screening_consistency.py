"""What must hold between screening variables, the criteria over them and the factors.

The strata must hold every subject that eligibility lets in, and each in one: levels of a factor
meet without overlap or hole over the whole range that the unconditional criteria leave.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from math import prod
from typing import NamedTuple

from trials.rules.protocol.eligibility import Criterion, Eligibility, Test, Timing
from trials.rules.protocol.factors import Factor, Level
from trials.rules.protocol.finding import Finding, repeated
from trials.rules.protocol.screening import (
    DERIVED,
    NUMERIC,
    RESERVED,
    SITE,
    Screening,
    Variable,
)
from trials.rules.toml_lines import KeyPath


MOST_STRATA = 1_000
LONGEST_STRATUM_CODE = 20

Variables = Mapping[str, Variable]


def variables_of(screening: Screening) -> Variables:
    return DERIVED | {variable.code: variable for variable in screening.variables}


# --- Variables ------------------------------------------------------------------------------------


def screening_findings(screening: Screening) -> Iterator[Finding]:
    yield from repeated(screening.variables, ("screening", "variables"))
    for index, variable in enumerate(screening.variables):
        yield from _variable_findings(variable, ("screening", "variables", index))


# The keys a kind must have, and may have.
_KEYS_OF = {
    "number": ({"min", "max", "places", "unit"}, set[str]()),
    "whole": ({"min", "max"}, {"unit"}),
    "yes_no": (set[str](), set[str]()),
    "choice": ({"choices"}, set[str]()),
    "day": (set[str](), set[str]()),
}


def _variable_findings(variable: Variable, key: KeyPath) -> Iterator[Finding]:
    if variable.code in RESERVED:
        message = f"{variable.code!r} has a meaning of its own in every trial"
        yield Finding((*key, "code"), "code_reserved", message)
    needed, allowed = _KEYS_OF[variable.kind]
    for name in ("unit", "min", "max", "places", "choices"):
        there = getattr(variable, name) is not None
        if name in needed and not there:
            yield Finding((*key, name), "missing", f"a variable of kind {variable.kind} needs it")
        if there and name not in needed | allowed:
            message = f"a variable of kind {variable.kind} has none"
            yield Finding((*key, name), "key_of_another_kind", message)
    if variable.kind in NUMERIC and variable.lowest >= variable.highest:
        yield Finding((*key, "max"), "range_reversed", "the highest value must be above the lowest")
    choices = variable.choices or ()
    for choice in sorted({choice for choice in choices if choices.count(choice) > 1}):
        yield Finding((*key, "choices"), "choice_repeated", f"the choice {choice!r} is there twice")


# --- Criteria -------------------------------------------------------------------------------------


def eligibility_findings(eligibility: Eligibility, screening: Screening) -> Iterator[Finding]:
    table, variables = ("eligibility",), variables_of(screening)
    yield from repeated(eligibility.exclusions, (*table, "exclusions"))
    yield from repeated(eligibility.criteria, (*table, "criteria"))
    yield from repeated(eligibility.timing, (*table, "timing"))
    for index, criterion in enumerate(eligibility.criteria):
        yield from _criterion_findings(criterion, (*table, "criteria", index), variables)
    for index, timing in enumerate(eligibility.timing):
        yield from _timing_findings(timing, (*table, "timing", index), variables)


def _criterion_findings(
    criterion: Criterion, key: KeyPath, variables: Variables
) -> Iterator[Finding]:
    if (criterion.require is None) == (criterion.any_of is None):
        message = "a criterion has either one test to require, or any_of with several"
        yield Finding(key, "one_requirement", message)
    if criterion.require is not None:
        yield from _test_findings(criterion.require, (*key, "require"), variables)
    for name in ("any_of", "when"):
        for index, test in enumerate(getattr(criterion, name) or ()):
            yield from _test_findings(test, (*key, name, index), variables)


def _test_findings(test: Test, key: KeyPath, variables: Variables) -> Iterator[Finding]:
    variable = variables.get(test.variable)
    if variable is None:
        yield _unknown(test.variable, key)
        return
    asked = {*test.limits} | {
        name for name, value in (("is", test.equals), ("one_of", test.one_of)) if value is not None
    }
    if not asked:
        yield Finding(key, "test_empty", "the test asks for nothing")
    for name in sorted(asked - _asks_of(variable)):
        message = f"{variable.code} is of kind {variable.kind}, which is not tested so"
        yield Finding((*key, name), "test_of_another_kind", message)
    yield from _unit_findings(test.unit, variable, key, has_limits=bool(test.limits))
    yield from _limit_findings(test.limits, variable, key)
    if not isinstance(test.equals, bool | None):
        yield from _choice_findings((test.equals,), variable, (*key, "is"))
    yield from _choice_findings(test.one_of or (), variable, (*key, "one_of"))
    if variable.kind == "yes_no" and not isinstance(test.equals, bool | None):
        yield Finding((*key, "is"), "choice_unknown", "is it true or false?")


def _unknown(code: str, key: KeyPath) -> Finding:
    message = f"screening has no variable {code!r}"
    return Finding((*key, "variable"), "variable_unknown", message)


def _asks_of(variable: Variable) -> set[str]:
    if variable.kind in NUMERIC:
        return {"at_least", "above", "at_most", "below"}
    return {"yes_no": {"is"}, "choice": {"is", "one_of"}}.get(variable.kind, set())


def _unit_findings(
    unit: str | None, variable: Variable, key: KeyPath, *, has_limits: bool
) -> Iterator[Finding]:
    if has_limits and variable.kind in NUMERIC and unit != variable.unit:
        expected = f"in {variable.unit}" if variable.unit else "without a unit"
        message = f"{variable.code} is recorded {expected}"
        yield Finding((*key, "unit"), "unit_differs", message)


def _limit_findings(
    limits: Mapping[str, Decimal], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    if variable.kind not in NUMERIC:
        return
    for name, limit in limits.items():
        if not variable.lowest <= limit <= variable.highest:
            message = f"{limit} lies outside {variable.lowest} to {variable.highest}"
            yield Finding((*key, name), "outside_bounds", message)
        elif _places(limit) > (variable.places or 0):
            message = f"{variable.code} is not recorded as finely as {limit}"
            yield Finding((*key, name), "too_fine", message)
    low = max((limits[name] for name in ("at_least", "above") if name in limits), default=None)
    high = min((limits[name] for name in ("at_most", "below") if name in limits), default=None)
    if low is not None and high is not None and low > high:
        yield Finding(key, "range_reversed", f"nothing lies between {low} and {high}")


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _choice_findings(
    asked: Sequence[bool | str | None], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    for choice in asked if variable.kind == "choice" else ():
        if choice not in (variable.choices or ()):
            message = f"{choice!r} is no choice of {variable.code}"
            yield Finding(key, "choice_unknown", message)


def _timing_findings(timing: Timing, key: KeyPath, variables: Variables) -> Iterator[Finding]:
    variable = variables.get(timing.variable)
    if variable is None:
        yield _unknown(timing.variable, key)
    elif variable.kind != "day":
        message = f"{variable.code} is of kind {variable.kind}; days are counted from a day"
        yield Finding((*key, "variable"), "test_of_another_kind", message)
    if timing.at_least_days is None and timing.at_most_days is None:
        yield Finding(key, "test_empty", "neither a first nor a last day is given")
    if timing.at_most_days is not None and timing.at_most_days < timing.first_day:
        message = "the last day is before the first"
        yield Finding((*key, "at_most_days"), "range_reversed", message)


# --- Factors --------------------------------------------------------------------------------------


def factor_findings(
    factors: Sequence[Factor], screening: Screening, eligibility: Eligibility
) -> Iterator[Finding]:
    yield from repeated(factors, ("factors",))
    variables = variables_of(screening)
    for index, factor in enumerate(factors):
        key: KeyPath = ("factors", index)
        if factor.code == SITE:
            message = "only a minimisation balances sites, and needs no factor of the protocol"
            yield Finding((*key, "code"), "code_reserved", message)
        if factor.variable not in variables:
            yield _unknown(factor.variable, key)
        else:
            variable = variables[factor.variable]
            yield from _factor_findings(factor, variable, eligibility, key)
    yield from _size_findings(factors)


def _size_findings(factors: Sequence[Factor]) -> Iterator[Finding]:
    count = prod(len(factor.levels) for factor in factors)
    if count > MOST_STRATA:
        message = f"{count} strata; at most {MOST_STRATA}"
        yield Finding(("factors",), "too_many_strata", message)
    longest = [max((len(level.code) for level in factor.levels), default=0) for factor in factors]
    if sum(longest) + len(longest) - 1 > LONGEST_STRATUM_CODE:
        message = f"the codes of levels together make more than {LONGEST_STRATUM_CODE} characters"
        yield Finding(("factors",), "stratum_code_too_long", message)


def _factor_findings(
    factor: Factor, variable: Variable, eligibility: Eligibility, key: KeyPath
) -> Iterator[Finding]:
    yield from repeated(factor.levels, (*key, "levels"))
    if variable.kind == "day":
        message = "a day has no levels"
        yield Finding((*key, "variable"), "level_of_another_kind", message)
        return
    if not variable.required and not _is_asked(variable.code, eligibility):
        message = f"{variable.code} may be unknown for an eligible subject: require it"
        yield Finding((*key, "variable"), "factor_may_be_unknown", message)
    shaped = [*_shape_findings(factor, variable, key)]
    yield from shaped
    yield from _unit_findings(factor.unit, variable, key, has_limits=variable.kind in NUMERIC)
    if shaped:
        return
    if variable.kind in NUMERIC:
        yield from _interval_findings(factor, eligible_range(variable, eligibility), variable, key)
    else:
        yield from _answer_findings(factor, eligible_answers(variable, eligibility), variable, key)


def _is_asked(code: str, eligibility: Eligibility) -> bool:
    return any(test.variable == code for test in _unconditional(eligibility))


def _unconditional(eligibility: Eligibility) -> Iterator[Test]:
    """Yield the tests that every eligible subject has passed."""
    for criterion in eligibility.criteria:
        if criterion.require is not None and not criterion.conditions:
            yield criterion.require


def _shape_findings(factor: Factor, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    numeric = variable.kind in NUMERIC
    for index, level in enumerate(factor.levels):
        bounds = [name for name in ("at_least", "below") if getattr(level, name) is not None]
        wrong = (["any_of"] if level.any_of is not None else []) if numeric else bounds
        for name in wrong:
            message = f"{variable.code} is of kind {variable.kind}, whose levels are not made so"
            yield Finding((*key, "levels", index, name), "level_of_another_kind", message)
        if not wrong and not bounds and level.any_of is None and len(factor.levels) > 1:
            yield Finding((*key, "levels", index), "level_empty", "the level has no bounds")


class Range(NamedTuple):
    """From ``low`` to ``high``, each included or not."""

    low: Decimal
    high: Decimal
    low_included: bool = True
    high_included: bool = True


def eligible_range(variable: Variable, eligibility: Eligibility) -> Range:
    """Return the values of a number that the unconditional criteria let in."""
    low, high = (variable.lowest, True), (variable.highest, True)
    for test in _unconditional(eligibility):
        if test.variable == variable.code:
            lows = [(test.at_least, True), (test.above, False)]
            highs = [(test.at_most, True), (test.below, False)]
            low = max([low, *[(v, i) for v, i in lows if v is not None]], key=_narrower_low)
            high = min([high, *[(v, i) for v, i in highs if v is not None]], key=_narrower_high)
    return Range(low[0], high[0], low[1], high[1])


def _narrower_low(bound: tuple[Decimal, bool]) -> tuple[Decimal, bool]:
    return bound[0], not bound[1]


def _narrower_high(bound: tuple[Decimal, bool]) -> tuple[Decimal, bool]:
    return bound[0], bound[1]


def _interval_findings(
    factor: Factor, eligible: Range, variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    for index, level in enumerate(factor.levels):
        place: KeyPath = (*key, "levels", index)
        bounds = {
            name: bound
            for name, bound in (("at_least", level.at_least), ("below", level.below))
            if bound is not None
        }
        yield from _limit_findings(bounds, variable, place)
        if level.below is not None and level.below == level.at_least:
            yield Finding((*place, "below"), "level_empty", f"nothing lies in {level.code}")
        yield from _reach_findings(level, eligible, place)
    ordered = sorted(enumerate(factor.levels), key=lambda item: _begins(item[1], variable))
    yield from _ends_findings(ordered, eligible, key)
    for (index, low), (_, high) in pairwise(ordered):
        yield from _seam_findings(low, high, (*key, "levels", index, "below"), variable)


def _begins(level: Level, variable: Variable) -> tuple[bool, Decimal]:
    return level.at_least is not None, level.at_least or variable.lowest


def _reach_findings(level: Level, eligible: Range, key: KeyPath) -> Iterator[Finding]:
    above = level.at_least is not None and (
        level.at_least > eligible.high
        or (level.at_least == eligible.high and not eligible.high_included)
    )
    if above or (level.below is not None and level.below <= eligible.low):
        message = f"no eligible subject is in {level.code}"
        yield Finding(key, "level_never_eligible", message)


def _ends_findings(
    ordered: Sequence[tuple[int, Level]], eligible: Range, key: KeyPath
) -> Iterator[Finding]:
    lowest, first = ordered[0]
    if first.at_least is not None and first.at_least != eligible.low:
        message = f"the lowest level must begin at {eligible.low}, where eligibility begins"
        yield Finding((*key, "levels", lowest, "at_least"), "levels_not_from_minimum", message)
    highest, last = ordered[-1]
    if last.below is not None and (
        last.below < eligible.high or (last.below == eligible.high and eligible.high_included)
    ):
        message = f"no level holds {last.below} to {eligible.high}, which is eligible"
        yield Finding((*key, "levels", highest, "below"), "levels_gap", message)


def _seam_findings(low: Level, high: Level, key: KeyPath, variable: Variable) -> Iterator[Finding]:
    begins = variable.lowest if high.at_least is None else high.at_least
    if low.below is None or low.below > begins:
        message = f"{low.code} and {high.code} overlap from {begins}"
        yield Finding(key, "levels_overlap", message)
    elif low.below < begins:
        yield Finding(key, "levels_gap", f"no level holds {low.below} to {begins}")


def eligible_answers(variable: Variable, eligibility: Eligibility) -> tuple[bool | str, ...]:
    """Return the choices, or the answers yes and no, that the unconditional criteria let in."""
    found: list[bool | str] = [*(variable.choices or (True, False))]
    for test in _unconditional(eligibility):
        if test.variable == variable.code:
            if test.equals is not None:
                found = [answer for answer in found if answer == test.equals]
            if test.one_of is not None:
                found = [answer for answer in found if answer in test.one_of]
    return tuple(found)


def _answer_findings(
    factor: Factor, eligible: Sequence[bool | str], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    known: tuple[bool | str, ...] = variable.choices or (True, False)
    holder: dict[bool | str, str] = {}
    for index, level in enumerate(factor.levels):
        place: KeyPath = (*key, "levels", index, "any_of")
        for answer in level.any_of or known:
            if answer not in known:
                message = f"{answer!r} is no answer to {variable.code}"
                yield Finding(place, "choice_unknown", message)
            elif answer in holder:
                message = f"{holder[answer]} and {level.code} both hold {_said(answer)}"
                yield Finding(place, "levels_overlap", message)
            holder.setdefault(answer, level.code)
        if not any(answer in eligible for answer in level.any_of or known):
            message = f"no eligible subject is in {level.code}"
            yield Finding(place, "level_never_eligible", message)
    if left := [_said(answer) for answer in eligible if answer not in holder]:
        message = f"no level holds {', '.join(left)}, which is eligible"
        yield Finding((*key, "levels"), "levels_gap", message)


def _said(answer: bool | str) -> str:
    return answer if isinstance(answer, str) else ("yes" if answer else "no")
