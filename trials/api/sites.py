"""The life of sites: added as planned, activated, put on hold and resumed; each step is a record.

Closing is at ``dosing.api.sites``: it needs to know who is on treatment.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.authentication import acting_user
from trials.models import Site, SiteStatusChange
from trials.services.sites import activate_site, hold_site, resume_site


class SiteStepIn(Shape):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    on = serializers.DateField()
    reason = serializers.CharField(max_length=2000)


class SiteStepOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="site.trial.code")
    site = serializers.CharField(source="site.code")
    was = serializers.CharField()
    status = serializers.CharField()
    on = serializers.DateField(source="changed_on")
    reason = serializers.CharField()
    recorded_by = serializers.CharField(source="recorded_by.username")
    recorded_at = serializers.DateTimeField()


class SiteStatusChanges(generics.ListAPIView[SiteStatusChange]):
    """Every step of the life of your sites, oldest first."""

    serializer_class = SiteStepOut
    queryset = SiteStatusChange.objects.none()

    def get_queryset(self) -> QuerySet[SiteStatusChange]:
        visible = SiteStatusChange.objects.visible_to(acting_user(self.request))
        return visible.select_related("site__trial", "recorded_by").order_by("recorded_at", "pk")


class SiteSteps(APIView):
    """One kind of step. A subclass names the service."""

    takes: ClassVar[type[Shape]] = SiteStepIn
    answers: ClassVar[type[Shape]] = SiteStepOut
    step: ClassVar[Callable[..., SiteStatusChange]]

    def post(self, request: Request) -> HttpResponse:
        """Record the step, or get every reason why not."""
        body = valid(SiteStepIn, request)

        def act() -> Any:
            by = acting_user(request)
            site = Site.objects.known_to(by).get(trial__code=body["trial"], code=body["site"])
            change = type(self).step(
                site_id=site.pk, on=body["on"], reason=body["reason"], by=by, at=timezone.now()
            )
            return SiteStepOut(change).data

        return recorded(request, act)


class SiteActivations(SiteSteps):
    """A planned site begins: approved, with a trained investigator."""

    step = staticmethod(activate_site)


class SiteHolds(SiteSteps):
    """A site stops recruiting; its subjects are treated on."""

    step = staticmethod(hold_site)


class SiteResumptions(SiteSteps):
    """A site on hold recruits again."""

    step = staticmethod(resume_site)
