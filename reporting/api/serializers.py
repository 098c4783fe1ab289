"""Shapes of the reports' addresses."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from events.api.serializers import Shape
from reporting.documents.formats import PFS_FORMATS
from reporting.documents.safety_summary import CONTENT_TYPES as SUMMARY_TYPES


class InstantField(serializers.Field[Any, Any, Any, Any]):
    """An instant of ISO 8601 that says its offset; none is guessed."""

    default_error_messages = {
        "invalid": "An instant with its offset is expected, like 2016-04-29T12:00:00Z."
    }

    def to_internal_value(self, data: Any) -> datetime:
        try:
            found = datetime.fromisoformat(str(data))
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise serializers.ValidationError(self.error_messages["invalid"])

    def to_representation(self, value: Any) -> Any:
        return value


class AsQuery(Shape):
    """The kind of file asked for. The name ``format`` is taken by the framework."""

    kinds: tuple[str, ...] = tuple(SUMMARY_TYPES)

    def get_fields(self) -> dict[str, Any]:
        kind = serializers.ChoiceField(choices=self.kinds, default="json")
        return {**super().get_fields(), "as": kind}


class PfsQuery(AsQuery):
    kinds = PFS_FORMATS
    cutoff = serializers.DateField()
    as_known_at = InstantField(required=False)


class SafetySummaryOut(Shape):
    id = serializers.UUIDField()
    period_start = serializers.DateField()
    period_end = serializers.DateField()
    edition = serializers.IntegerField()
    as_known_at = serializers.DateTimeField()
    digest = serializers.CharField()
    written_by = serializers.CharField()
    written_at = serializers.DateTimeField()


class WholeSafetySummaryOut(Shape):
    content = serializers.JSONField()
    digest = serializers.CharField()
    edition = serializers.IntegerField()
    written_by = serializers.CharField()
    written_at = serializers.DateTimeField()


class CountOut(Shape):
    name = serializers.CharField(help_text="A month like 2014-03, a site or a stratum.")
    screened = serializers.IntegerField()
    randomised = serializers.IntegerField()


class AccrualOut(Shape):
    trial = serializers.CharField()
    planned = serializers.IntegerField()
    screened = serializers.IntegerField()
    not_eligible = serializers.IntegerField()
    randomised = serializers.IntegerField()
    by_month = CountOut(many=True)
    by_site = CountOut(many=True)
    by_stratum = CountOut(many=True)
