"""Shapes: what a request may hold. Anything it does not name is refused, by name."""

from typing import Any

from rest_framework import serializers


class Shape(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields instead of dropping them."""

    def to_internal_value(self, data: Any) -> Any:
        problems: dict[str, Any] = {}
        if isinstance(data, dict):
            known = {name for name, field in self.fields.items() if not field.read_only}
            problems = {
                str(name): ["This field is not known."] for name in data if name not in known
            }
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if problems and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **problems}) from error
            raise
        if problems:
            raise serializers.ValidationError(problems)
        return value
