"""The levels and the stratum a subject is randomised in."""

from collections.abc import Mapping, Sequence

from patients.rules.screening import is_number
from trials.rules.protocol import Factor, Level, Value, stratum_code_of


def levels_of(values: Mapping[str, Value], factors: Sequence[Factor]) -> dict[str, str]:
    """Return the level of each factor, by their codes.

    A lower bound belongs to its level, an upper bound to the next one.

    Raises ``ValueError`` if no level holds a value, or it is not known: such a subject is not
    eligible.
    """
    return {factor.code: _level(factor, values.get(factor.variable)).code for factor in factors}


def stratum_code(levels: Mapping[str, str], factors: Sequence[Factor]) -> str:
    """Return the code of the stratum that levels make together, those of other factors aside."""
    return stratum_code_of([levels[factor.code] for factor in factors])


def _level(factor: Factor, value: Value) -> Level:
    for level in factor.levels:
        if value is not None and _holds(level, value):
            return level
    raise ValueError(f"no level of {factor.code} holds {value}")


def _holds(level: Level, value: Value) -> bool:
    if level.any_of is not None:
        return any(type(value) is type(answer) and value == answer for answer in level.any_of)
    if is_number(value):
        above = level.at_least is None or level.at_least <= value
        return above and (level.below is None or value < level.below)
    return level.at_least is None and level.below is None  # the only level there is
