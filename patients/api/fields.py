"""Field types of clinical records."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from patients.rules.partial_dates import PartialDate


EARLIEST_YEAR, LATEST_YEAR = 1900, 2200


@extend_schema_field(
    {"type": "string", "pattern": r"^\d{4}(-\d{2}(-\d{2})?)?$", "example": "2014-03"}
)
class PartialDateField(serializers.Field[PartialDate, Any, str, Any]):
    """A year, a month or a day: ``2014``, ``2014-03``, ``2014-03-09``; kept as it was given."""

    def to_internal_value(self, data: Any) -> PartialDate:
        if not isinstance(data, str):
            raise serializers.ValidationError("Write a date as text, like 2014-03-09 or 2014-03.")
        try:
            return PartialDate(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: Any) -> Any:
        return str(value) or None


class Instant(serializers.DateTimeField):
    """An instant with its offset; without one it is refused, not guessed."""

    def to_internal_value(self, value: Any) -> Any:
        if isinstance(value, str) and not (
            value.endswith("Z") or "+" in value[10:] or "-" in value[10:]
        ):
            raise serializers.ValidationError(
                "Give the offset too, like 2014-03-09T08:30:00+01:00."
            )
        instant = super().to_internal_value(value)
        if not EARLIEST_YEAR <= instant.year <= LATEST_YEAR:
            raise serializers.ValidationError(f"{instant.year} cannot be the year.")
        return instant


def decimal(*, digits: int, places: int, most: int, **more: Any) -> serializers.DecimalField:
    """Return a field for a measured number that is not negative."""
    return serializers.DecimalField(
        max_digits=digits, decimal_places=places, min_value=0, max_value=most, **more
    )
