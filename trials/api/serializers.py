"""Shapes of the trial's own addresses."""

from rest_framework import serializers

from events.api.serializers import Shape


class TrialOut(Shape):
    code = serializers.CharField()
    title = serializers.CharField()
    conduct = serializers.CharField()
    protocol_version = serializers.CharField(source="current_version.version")


class SiteIn(Shape):
    trial = serializers.CharField(max_length=40)
    code = serializers.CharField(max_length=10)
    name = serializers.CharField(max_length=200)
    country = serializers.CharField(max_length=2)
    time_zone = serializers.CharField(max_length=40, help_text="as in Europe/Berlin")


class SiteOut(Shape):
    trial = serializers.CharField(source="trial.code")
    code = serializers.CharField()
    name = serializers.CharField()
    country = serializers.CharField()
    time_zone = serializers.CharField()
    status = serializers.CharField()


class ListEntryIn(Shape):
    stratum = serializers.CharField(max_length=20)
    arm = serializers.CharField(max_length=20)


class RandomisationListIn(Shape):
    trial = serializers.CharField(max_length=40)
    entries = ListEntryIn(many=True, help_text="In the order of allocation within each stratum.")
    reason = serializers.CharField(max_length=2000)

    def validate_entries(self, value: list[dict[str, str]]) -> list[dict[str, str]]:
        if len(value) > MOST_ENTRIES:
            raise serializers.ValidationError(f"At most {MOST_ENTRIES} entries.")
        return value


class RandomisationListOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    digest = serializers.CharField(help_text="Commits to the list without showing it.")
    entries = serializers.IntegerField()
    loaded_at = serializers.DateTimeField()


MOST_ENTRIES = 10_000
