"""Who tried to look behind the blind and was refused."""

import django_filters
from django.db.models import QuerySet
from rest_framework import generics, serializers

from events.api.serializers import Shape
from trials.api.authentication import acting_user
from trials.models import RefusedLook


class RefusedLookFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    purpose = django_filters.CharFilter(field_name="purpose")
    person = django_filters.CharFilter(field_name="person__username")
    subject = django_filters.CharFilter(field_name="subject_number")
    reason = django_filters.CharFilter(field_name="reason")


class RefusedLookOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="person.username")
    purpose = serializers.CharField()
    subject = serializers.CharField(source="subject_number")
    reason = serializers.CharField()
    refused_at = serializers.DateTimeField()


class RefusedLooks(generics.ListAPIView[RefusedLook]):
    """Attempts to look that were refused, the newest first."""

    serializer_class = RefusedLookOut
    filterset_class = RefusedLookFilter
    queryset = RefusedLook.objects.none()

    def get_queryset(self) -> QuerySet[RefusedLook]:
        visible = RefusedLook.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "person").order_by("-refused_at", "pk")
