"""Shapes of the trial's own addresses."""

from rest_framework import serializers

from events.api.serializers import Shape
from trials.models import Trial


LONGEST_FILE = 400_000


def protocol_file() -> serializers.CharField:
    return serializers.CharField(
        max_length=LONGEST_FILE, trim_whitespace=False, help_text="The protocol file, whole."
    )


class OwnTrainingIn(Shape):
    document = serializers.CharField(max_length=120)
    version = serializers.CharField(max_length=20)
    completed_on = serializers.DateField()


class TrialIn(Shape):
    training = OwnTrainingIn(help_text="Your own for this trial: no role is given before one.")
    conduct = serializers.ChoiceField(
        Trial.Conduct.values, help_text="replay: a finished trial, whose acts carry past dates."
    )
    text = protocol_file()


class TrialOut(Shape):
    code = serializers.CharField()
    title = serializers.CharField()
    conduct = serializers.CharField()
    protocol_version = serializers.CharField(source="current_version.version")
    unblinded_since = serializers.DateTimeField(
        default=None, allow_null=True, help_text="When its list of arms was first handed out."
    )


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


class ChangeOut(Shape):
    section = serializers.CharField()
    key = serializers.CharField()
    text = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    unit = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    flag = serializers.CharField()
