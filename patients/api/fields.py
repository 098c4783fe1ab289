"""Field types of clinical records."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from events.api.serializers import year_problem
from patients.rules.partial_dates import PartialDate


_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)


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


def decimal(*, digits: int, places: int, most: int, **more: Any) -> serializers.DecimalField:
    """Return a field for a measured number that is not negative."""
    return serializers.DecimalField(
        max_digits=digits, decimal_places=places, min_value=0, max_value=most, **more
    )
