"""Field types of clinical records."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from events.api.serializers import year_problem
from patients.rules.partial_dates import PartialDate


MOST_VALUES = 100
LONGEST_VALUE = 100


@extend_schema_field(
    {
        "type": "string",
        "pattern": (
            "^(19[0-9]{2}|2[01][0-9]{2}|2200)(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$"
        ),
        "example": "2014-03",
    }
)
class PartialDateField(serializers.Field[PartialDate, Any, str, Any]):
    """A year, a month or a day: ``2014``, ``2014-03``, ``2014-03-09``; kept as it was given."""

    def to_internal_value(self, data: Any) -> PartialDate:
        if not isinstance(data, str) or len(data) > len("2014-03-09"):
            raise serializers.ValidationError("Write a date as text, like 2014-03-09 or 2014-03.")
        try:
            day = PartialDate(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        if problem := year_problem(day.first_day.year):
            raise serializers.ValidationError(problem)
        return day

    def to_representation(self, value: Any) -> Any:
        return str(value) or None


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": {
            "oneOf": [
                {"type": "string", "maxLength": 100},
                {"type": "integer"},
                {"type": "boolean"},
            ],
            "nullable": True,
        },
        "example": {"ecog": 1, "age_group": "adult", "haemoglobin_g_dl": "11.2"},
    }
)
class ScreeningValues(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """Values by code. Which codes there are, and of what kind, the protocol says."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or len(data) > MOST_VALUES:
            raise serializers.ValidationError(f"Write an object with {MOST_VALUES} values at most.")
        wrong = {
            code[:LONGEST_VALUE]: [problem]
            for code, value in data.items()
            if (problem := _plain(code) or _plain(value))
        }
        if wrong:
            raise serializers.ValidationError(wrong)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return "" if len(value) <= LONGEST_VALUE else f"At most {LONGEST_VALUE} characters."
    if value is None or type(value) in (int, bool):
        return ""
    return 'Write text, a whole number, true, false or null; a decimal as text, like "2.5".'


def decimal(*, digits: int, places: int, most: int, **more: Any) -> serializers.DecimalField:
    """Return a field for a measured number that is not negative."""
    return serializers.DecimalField(
        max_digits=digits, decimal_places=places, min_value=0, max_value=most, **more
    )
