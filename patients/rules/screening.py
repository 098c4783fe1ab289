"""What a site enters at screening, read strictly by the protocol's variables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeGuard

from events.outcomes import Reason
from trials.rules.protocol import Value, Variable


EARLIEST_YEAR, LATEST_YEAR = 1900, 2200

_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ValueProblem(StrEnum):
    """Why a screening value cannot be recorded. Values are stable."""

    UNKNOWN = "unknown_variable"
    MISSING = "value_missing"
    WRONG_KIND = "wrong_kind"
    NOT_A_CHOICE = "not_a_choice"
    OUT_OF_BOUNDS = "out_of_bounds"
    TOO_FINE = "too_many_places"


def value_problems(sent: Mapping[str, object], variables: Sequence[Variable]) -> tuple[Reason, ...]:
    """Return every reason values cannot be recorded; each begins with the variable's code.

    Nothing is guessed or rounded: a number is text (``"0.02"``) or a ``Decimal``, a whole number
    and yes or no have their own type, a day is text like 2014-03-09. ``None``, or nothing at all,
    means not known, which a required variable may not be.
    """
    known = {variable.code: variable for variable in variables}
    unknown = [
        Reason(ValueProblem.UNKNOWN, f"{code!r} is not asked for by the protocol.")
        for code in sent
        if code not in known
    ]
    return (*unknown, *_all_problems(sent, variables))


def read_values(sent: Mapping[str, object], variables: Sequence[Variable]) -> dict[str, Value]:
    """Return the value of every variable, ``None`` for what is not known.

    Raises ``ValueError`` for what ``value_problems`` names, which must be asked first.
    """
    if problems := value_problems(sent, variables):
        raise ValueError("; ".join(problem.detail for problem in problems))
    return {variable.code: _read(variable, sent.get(variable.code)) for variable in variables}


def stored_form(values: Mapping[str, Value]) -> dict[str, bool | int | str | None]:
    """Return values as JSON keeps them: numbers as text, so that no digit is lost."""
    return {code: _stored(value) for code, value in values.items()}


def is_number(value: Value) -> TypeGuard[Decimal | int]:
    """Return whether a value is a number; yes and no are not."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def told(variable: Variable, value: Value) -> str:
    """Return a value as people read it, with its unit."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return f"{text} {variable.unit}" if variable.unit else text


def _all_problems(sent: Mapping[str, object], variables: Sequence[Variable]) -> Iterator[Reason]:
    for variable in variables:
        value = sent.get(variable.code)
        if value is not None:
            yield from _problems(variable, value)
        elif variable.required:
            detail = f"{variable.code} is missing: {variable.label}."
            yield Reason(ValueProblem.MISSING, detail)


def _problems(variable: Variable, value: object) -> Iterator[Reason]:
    if problem := _kind_problem(variable, value):
        yield Reason(ValueProblem.WRONG_KIND, f"{variable.code} is {problem}")
        return
    read = _read(variable, value)
    if variable.kind == "choice" and read not in (variable.choices or ()):
        detail = f"{variable.code} is one of {', '.join(variable.choices or ())}."
        yield Reason(ValueProblem.NOT_A_CHOICE, detail)
    if is_number(read):
        yield from _number_problems(variable, Decimal(read))


def _number_problems(variable: Variable, number: Decimal) -> Iterator[Reason]:
    if not variable.lowest <= number <= variable.highest:
        unit = f" {variable.unit}" if variable.unit else ""
        detail = f"{variable.code} lies between {variable.lowest} and {variable.highest}{unit}."
        yield Reason(ValueProblem.OUT_OF_BOUNDS, detail)
    exponent = number.as_tuple().exponent
    if variable.places is not None and isinstance(exponent, int) and -exponent > variable.places:
        detail = f"{variable.code} has at most {variable.places} decimal places."
        yield Reason(ValueProblem.TOO_FINE, detail)


def _kind_problem(variable: Variable, value: object) -> str:
    """Return how a value of the variable's kind is written, or nothing if this one is."""
    match variable.kind:
        case "number":
            fits = isinstance(value, Decimal) and value.is_finite()
            fits = fits or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
            if isinstance(value, str) and value.startswith("-") and variable.lowest >= 0:
                return "a number that is not negative."
            return "" if fits else 'a number, written as text like "2.5".'
        case "whole":
            return "" if type(value) is int else "a whole number, written without quotes."
        case "yes_no":
            return "" if isinstance(value, bool) else "true or false."
        case "choice":
            return "" if isinstance(value, str) else "one of its choices, written as text."
        case "day":
            fits = type(value) is date or (isinstance(value, str) and _is_day(value))
            return "" if fits else "a day, written as text like 2014-03-09."


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        return EARLIEST_YEAR <= date.fromisoformat(text).year <= LATEST_YEAR
    except ValueError:
        return False


def _read(variable: Variable, value: object) -> Value:
    match variable.kind, value:
        case "number", str():
            return Decimal(value)
        case "day", str():
            return date.fromisoformat(value)
        case _, None | bool() | int() | str() | Decimal() | date():
            return value
    raise ValueError(f"{variable.code} is of another kind")


def _stored(value: Value) -> bool | int | str | None:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value
