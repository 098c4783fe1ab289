"""The trial's own addresses: trials and sites."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import generics
from rest_framework.request import Request

from events.api.recording import recorded, valid
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.api.serializers import SiteIn, SiteOut, TrialIn, TrialOut
from trials.models import Site, Trial
from trials.permissions import Permission
from trials.queries import read_current_versions
from trials.services.people import Trained
from trials.services.setup import add_site, start_trial
from trials.services.unblinding_requests import when_unblinded


class Trials(generics.ListAPIView[Trial]):
    """Trials in which you have a role."""

    serializer_class = TrialOut
    takes = TrialIn
    queryset = Trial.objects.none()

    def get_queryset(self) -> QuerySet[Trial]:
        return Trial.objects.visible_to(acting_user(self.request)).order_by("code")

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page of trials, each with its version and since when it is unblinded."""
        page = super().paginate_queryset(queryset)
        trials = page or []
        read_current_versions(trials)
        since = when_unblinded(trials)
        for trial in trials:
            trial.unblinded_since = since.get(trial.pk)
        return page

    def post(self, request: Request) -> HttpResponse:
        """Start another trial, with yourself as its first administrator."""
        body = valid(TrialIn, request)

        def act() -> Any:
            started = start_trial(
                protocol_text=body["text"],
                conduct=body["conduct"],
                training=Trained(**body["training"]),
                by=acting_user(request),
                at=timezone.now(),
            )
            return TrialOut(started).data

        return recorded(request, act)


class Sites(generics.ListAPIView[Site]):
    """Sites whose subjects you may read, or which you set up."""

    serializer_class = SiteOut
    takes = SiteIn
    queryset = Site.objects.none()

    def get_queryset(self) -> QuerySet[Site]:
        by = acting_user(self.request)
        reads = Site.objects.visible_to(by)
        visible = reads | Site.objects.visible_to(by, Permission.MANAGE_TRIAL)
        return visible.select_related("trial").order_by("trial__code", "code")

    def post(self, request: Request) -> HttpResponse:
        """Add a planned site."""
        body = valid(SiteIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = trial_for(by, body.pop("trial"), Permission.MANAGE_TRIAL)
            return SiteOut(add_site(trial_id=trial.pk, by=by, at=timezone.now(), **body)).data

        return recorded(request, act)
