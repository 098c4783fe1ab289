"""Shapes of the trial's own addresses."""

from rest_framework import serializers

from events.api.serializers import Shape


class TrialOut(Shape):
    code = serializers.CharField()
    title = serializers.CharField()
    conduct = serializers.CharField()
    protocol_version = serializers.CharField(source="current_version.version")


class SiteOut(Shape):
    trial = serializers.CharField(source="trial.code")
    code = serializers.CharField()
    name = serializers.CharField()
    country = serializers.CharField()
    time_zone = serializers.CharField()
    status = serializers.CharField()
