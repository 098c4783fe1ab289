"""Corrections of a site's name or time zone."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import generics, serializers
from rest_framework.request import Request

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from patients.services.sites import correct_site
from trials.api.authentication import acting_user
from trials.models import Site, SiteCorrection


class SiteCorrectionIn(Shape):
    """Send only what was wrong, and why."""

    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    name = serializers.CharField(max_length=200, required=False)
    time_zone = serializers.CharField(
        max_length=40, required=False, help_text="while nobody has been at the site"
    )
    reason = serializers.CharField(max_length=2000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not {"name", "time_zone"} & attrs.keys():
            raise serializers.ValidationError("Name at least one field to correct.")
        return attrs


class SiteCorrectionOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="site.trial.code")
    site = serializers.CharField(source="site.code")
    found = serializers.DictField(child=serializers.CharField())
    corrected = serializers.DictField(child=serializers.CharField())
    reason = serializers.CharField()
    recorded_by = serializers.CharField(source="recorded_by.username")
    recorded_at = serializers.DateTimeField()


class SiteCorrections(generics.ListAPIView[SiteCorrection]):
    """What was corrected about your sites, oldest first."""

    serializer_class = SiteCorrectionOut
    takes = SiteCorrectionIn
    queryset = SiteCorrection.objects.none()

    def get_queryset(self) -> QuerySet[SiteCorrection]:
        visible = SiteCorrection.objects.visible_to(acting_user(self.request))
        return visible.select_related("site__trial", "recorded_by").order_by("recorded_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Correct a site's name or time zone, with the reason."""
        body = valid(SiteCorrectionIn, request)
        by = acting_user(request)
        trial, code = body.pop("trial"), body.pop("site")
        known = Site.objects.known_to(by)

        def act() -> Any:
            site = known.get(trial__code=trial, code=code)
            found = correct_site(site_id=site.pk, by=by, at=timezone.now(), **body)
            return SiteCorrectionOut(found).data

        return recorded(request, act, about=lambda _: known.get(trial__code=trial, code=code))
