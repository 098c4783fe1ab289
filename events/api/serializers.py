"""Shapes: what a request may hold. Anything it does not name is refused, by name.

A value must have its field's own JSON type. Django REST framework would read ``"no"``, ``"f"`` and
``0`` as false, ``true`` as text and ``"٣"`` as 3; here each of them is refused, because a value of
a clinical record is never guessed.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from rest_framework import serializers


EARLIEST_YEAR, LATEST_YEAR = 1900, 2200

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


class Shape(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields, and values of another JSON type."""

    def to_internal_value(self, data: Any) -> Any:
        problems = dict(self._problems(data)) if isinstance(data, dict) else {}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            found = error.detail if isinstance(error.detail, dict) else {"": error.detail}
            raise serializers.ValidationError({**found, **problems}) from error
        if problems:
            raise serializers.ValidationError(problems)
        return value

    def json_problem(self, field: Any, value: Any) -> str:
        """Return what is wrong with a value as JSON, before the field itself looks at it."""
        return json_problem(field, value)

    def _problems(self, data: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in data.items():
            field = self.fields.get(name)
            if field is None or field.read_only:
                yield str(name), ["This field is not known."]
            elif isinstance(field, serializers.ListField) and isinstance(value, list):
                found = [self.json_problem(field.child, one) for one in value]
                if any(found):
                    yield name, {i: [problem] for i, problem in enumerate(found) if problem}
            elif problem := self.json_problem(field, value):
                yield name, [problem]


class Query(Shape):
    """The parameters of an address, where every value is text."""

    def json_problem(self, field: Any, value: Any) -> str:
        if isinstance(field, serializers.IntegerField | serializers.BooleanField):
            return "" if str(value).isascii() else "Write it in plain digits or letters."
        return super().json_problem(field, value)


def json_problem(field: Any, value: Any) -> str:
    """Return why a JSON value cannot be one of a field, or nothing. ``null`` is the field's own."""
    if value is not None:
        for kinds, problem in _FORMS:
            if isinstance(field, kinds):
                return problem(value)
    return ""


def year_problem(year: int) -> str:
    """Return why a year cannot be one of a record, or nothing."""
    return "" if EARLIEST_YEAR <= year <= LATEST_YEAR else f"{year:04d} cannot be the year."


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "Write true or false."


def _whole(value: Any) -> str:
    return "" if type(value) is int else "Write a whole number, without quotes."


def _decimal(value: Any) -> str:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return ""
    return 'Write a number that is not negative as text, like "2.5".'


def _day(value: Any) -> str:
    if isinstance(value, str) and _DAY.fullmatch(value):
        return year_problem(int(value[:4]))
    return "Write a day as text, like 2014-03-09."


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "Write text, in quotes."


_FORMS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (serializers.BooleanField, _flag),
    (serializers.IntegerField, _whole),
    (serializers.DecimalField, _decimal),
    (serializers.DateField, _day),
    ((serializers.CharField, serializers.ChoiceField, serializers.DateTimeField), _text),
)


class Instant(serializers.DateTimeField):
    """An instant with its offset; without one it is refused, not guessed."""

    def to_internal_value(self, value: Any) -> Any:
        if isinstance(value, str) and not _INSTANT.fullmatch(value):
            raise serializers.ValidationError(
                "Write an instant with its offset, like 2014-03-09T08:30:00+01:00."
            )
        instant = super().to_internal_value(value)
        if problem := year_problem(instant.year):
            raise serializers.ValidationError(problem)
        return instant
