"""Who looked behind the blind, and who was refused."""

from django.db.models import QuerySet
from rest_framework import generics, serializers

from events.api.serializers import Shape
from trials.api.authentication import acting_user
from trials.models import RefusedLook, SealedAccess


class LookOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="person.username")
    role = serializers.CharField()
    purpose = serializers.CharField()
    subject = serializers.CharField(source="subject_number")
    detail = serializers.CharField()
    opened_at = serializers.DateTimeField()


class RefusedLookOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="person.username")
    purpose = serializers.CharField()
    subject = serializers.CharField(source="subject_number")
    reason = serializers.CharField()
    refused_at = serializers.DateTimeField()


class Looks(generics.ListAPIView[SealedAccess]):
    """Looks behind the blind, the newest first; for those who audit them."""

    serializer_class = LookOut
    queryset = SealedAccess.objects.none()

    def get_queryset(self) -> QuerySet[SealedAccess]:
        visible = SealedAccess.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "person").order_by("-opened_at", "pk")


class RefusedLooks(generics.ListAPIView[RefusedLook]):
    """Attempts to look that were refused, the newest first."""

    serializer_class = RefusedLookOut
    queryset = RefusedLook.objects.none()

    def get_queryset(self) -> QuerySet[RefusedLook]:
        visible = RefusedLook.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "person").order_by("-refused_at", "pk")
