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
