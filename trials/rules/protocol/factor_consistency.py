"""What must hold between the factors of randomisation, screening and eligibility.

The strata must hold every subject that eligibility lets in, and each in one: levels of a factor
meet without overlap or hole over the whole range that the unconditional criteria leave.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

from trials.rules.protocol.eligibility import Eligibility, Test
from trials.rules.protocol.factors import Factor, Level
from trials.rules.protocol.finding import Finding, as_far_as_sound, each, repeated, same_labels
from trials.rules.protocol.screening import NUMERIC, SITE, Screening, Variable
from trials.rules.protocol.screening_consistency import (
    limit_findings,
    of_kind,
    unit_findings,
    unknown,
    variables_of,
)
from trials.rules.protocol.written import told_apart_by
from trials.rules.toml_lines import KeyPath


MOST_STRATA = 1_000
LONGEST_STRATUM_CODE = 20


def factor_findings(factors: Sequence[Factor]) -> Iterator[Finding]:
    yield from repeated(factors, ("factors",))
    for index, code in each(factors, "code"):
        if code.casefold() == SITE:
            message = "only a minimisation balances sites, and needs no factor of the protocol"
            yield Finding(("factors", index, "code"), "code_reserved", message)
    for index, factor in enumerate(factors):
        yield from _level_code_findings(factor, ("factors", index, "levels"))
    yield from _count_findings(factors)
    yield from _stratum_label_findings(factors)
    yield from _code_length_findings(factors)


def strata_findings(
    factors: Sequence[Factor], screening: Screening, eligibility: Eligibility
) -> Iterator[Finding]:
    """Check that the levels of each factor hold whom eligibility lets in."""
    for index, factor in enumerate(factors):
        yield from _factor_findings(factor, screening, eligibility, ("factors", index))


@as_far_as_sound
def _count_findings(factors: Sequence[Factor]) -> Iterator[Finding]:
    count = prod(len(factor.levels) for factor in factors)
    if count > MOST_STRATA:
        message = f"{count} strata; at most {MOST_STRATA}"
        yield Finding(("factors",), "too_many_strata", message)


@as_far_as_sound
def _stratum_label_findings(factors: Sequence[Factor]) -> Iterator[Finding]:
    """Check that no two strata are called the same where the levels of each factor are not."""
    labels = [[told_apart_by(level.label) for level in factor.levels] for factor in factors]
    if any(len(set(told)) < len(told) for told in labels):
        return
    if prod(map(len, labels)) > MOST_STRATA:
        return
    strata = [", ".join(told) for told in product(*labels)]
    if len(set(strata)) < len(strata):
        message = "two strata have the same label, which is made of those of their levels"
        yield Finding(("factors",), "label_repeated", message)


@as_far_as_sound
def _code_length_findings(factors: Sequence[Factor]) -> Iterator[Finding]:
    longest = [max((len(level.code) for level in factor.levels), default=0) for factor in factors]
    if sum(longest) + len(longest) - 1 > LONGEST_STRATUM_CODE:
        message = f"the codes of levels together make more than {LONGEST_STRATUM_CODE} characters"
        yield Finding(("factors",), "stratum_code_too_long", message)


@as_far_as_sound
def _level_code_findings(factor: Factor, key: KeyPath) -> Iterator[Finding]:
    yield from repeated(factor.levels, key)
    yield from same_labels(factor.levels, key)


@as_far_as_sound
def _factor_findings(
    factor: Factor, screening: Screening, eligibility: Eligibility, key: KeyPath
) -> Iterator[Finding]:
    variable = variables_of(screening).find(factor.variable)
    if variable is None:
        yield unknown(factor.variable, key)
        return
    if variable.kind == "day":
        message = "a day has no levels"
        yield Finding((*key, "variable"), "level_of_another_kind", message)
        return
    yield from _unasked_findings(variable, eligibility, key)
    yield from _factor_unit_findings(factor, variable, key)
    shaped = [
        found
        for index, level in enumerate(factor.levels)
        for found in _shape_findings(level, variable, (*key, "levels", index), len(factor.levels))
    ]
    yield from shaped
    if shaped:
        return
    if variable.kind in NUMERIC:
        yield from _interval_findings(factor, eligible_range(variable, eligibility), variable, key)
    else:
        yield from _answer_findings(factor, eligible_answers(variable, eligibility), variable, key)


@as_far_as_sound
def _unasked_findings(
    variable: Variable, eligibility: Eligibility, key: KeyPath
) -> Iterator[Finding]:
    if not variable.required and not _is_asked(variable.code, eligibility):
        message = f"{variable.code} may be unknown for an eligible subject: require it"
        yield Finding((*key, "variable"), "factor_may_be_unknown", message)


@as_far_as_sound
def _factor_unit_findings(factor: Factor, variable: Variable, key: KeyPath) -> Iterator[Finding]:
    yield from unit_findings(factor.unit, variable, key, has_limits=variable.kind in NUMERIC)


def _is_asked(code: str, eligibility: Eligibility) -> bool:
    return any(test.variable == code for test in _unconditional(eligibility))


def _unconditional(eligibility: Eligibility) -> Iterator[Test]:
    """Yield the tests that every eligible subject has passed."""
    for criterion in eligibility.criteria:
        if criterion.require is not None and not criterion.conditions:
            yield criterion.require


@as_far_as_sound
def _shape_findings(
    level: Level, variable: Variable, key: KeyPath, levels: int
) -> Iterator[Finding]:
    bounds = [name for name in ("at_least", "below") if getattr(level, name) is not None]
    answers = ["any_of"] if level.any_of is not None else []
    wrong = answers if variable.kind in NUMERIC else bounds
    for name in wrong:
        message = f"{variable.code} is of kind {variable.kind}, whose levels are not made so"
        yield Finding((*key, name), "level_of_another_kind", message)
    if not bounds and not answers and levels > 1:
        yield Finding(key, "level_empty", "the level has no bounds")


class Range(NamedTuple):
    """From ``low`` to ``high``, each included or not."""

    low: Decimal
    high: Decimal
    low_included: bool = True
    high_included: bool = True


def eligible_range(variable: Variable, eligibility: Eligibility) -> Range:
    """Return the values of a number that the unconditional criteria let in."""
    low, high = (of_kind(variable, "min"), True), (of_kind(variable, "max"), True)
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


@as_far_as_sound
def _interval_findings(
    factor: Factor, eligible: Range, variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    for index, level in enumerate(factor.levels):
        yield from _level_findings(level, eligible, variable, (*key, "levels", index))
    ordered = sorted(enumerate(_read_whole(factor)), key=lambda item: _begins(item[1], variable))
    yield from _ends_findings(ordered, eligible, key)
    for (index, low), (_, high) in pairwise(ordered):
        yield from _seam_findings(low, high, (*key, "levels", index, "below"), variable)


@as_far_as_sound
def _level_findings(
    level: Level, eligible: Range, variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    bounds = {
        name: bound
        for name, bound in (("at_least", level.at_least), ("below", level.below))
        if bound is not None
    }
    yield from limit_findings(bounds, variable, key)
    if level.below is not None and level.at_least is not None and level.below < level.at_least:
        message = f"nothing lies between {level.at_least} and {level.below}"
        yield Finding(key, "range_reversed", message)
    if level.below is not None and level.below == level.at_least:
        yield Finding((*key, "below"), "level_empty", f"nothing lies in {level.code}")
    yield from _reach_findings(level, eligible, key)


def _read_whole(factor: Factor) -> tuple[Level, ...]:
    """Return the levels, whose order tells what is missing only if each can be read whole."""
    for level in factor.levels:
        for name in Level.model_fields:
            getattr(level, name)
    return factor.levels


def _begins(level: Level, variable: Variable) -> tuple[bool, Decimal]:
    begins = level.at_least
    return begins is not None, variable.lowest if begins is None else begins


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
    found: list[bool | str] = [*(of_kind(variable, "choices") or (True, False))]
    for test in _unconditional(eligibility):
        if test.variable == variable.code:
            if test.equals is not None:
                found = [answer for answer in found if answer == test.equals]
            if test.one_of is not None:
                found = [answer for answer in found if answer in test.one_of]
    return tuple(found)


@as_far_as_sound
def _answer_findings(
    factor: Factor, eligible: Sequence[bool | str], variable: Variable, key: KeyPath
) -> Iterator[Finding]:
    known: tuple[bool | str, ...] = of_kind(variable, "choices") or (True, False)
    holder: dict[bool | str, str] = {}
    for index, level in enumerate(_read_whole(factor)):
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
