"""The trial's own addresses: trials and sites."""

from django.db.models import QuerySet
from rest_framework import generics

from trials.api.authentication import acting_user
from trials.api.serializers import SiteOut, TrialOut
from trials.models import Site, Trial


class Trials(generics.ListAPIView[Trial]):
    """Trials in which you have a role."""

    serializer_class = TrialOut
    queryset = Trial.objects.none()

    def get_queryset(self) -> QuerySet[Trial]:
        return Trial.objects.visible_to(acting_user(self.request)).order_by("code")


class Sites(generics.ListAPIView[Site]):
    """Sites whose subjects you may read."""

    serializer_class = SiteOut
    queryset = Site.objects.none()

    def get_queryset(self) -> QuerySet[Site]:
        visible = Site.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial").order_by("trial__code", "code")
