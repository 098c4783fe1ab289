"""Who looked behind the blind, what it showed, and how it was judged."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import generics, serializers

from events.api.serializers import Shape
from reporting.looks import last_assessment, shown_at, with_outcome
from trials.api.authentication import acting_user
from trials.models import SealedAccess


class LookFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    purpose = django_filters.CharFilter(field_name="purpose")
    person = django_filters.CharFilter(field_name="person__username")
    subject = django_filters.CharFilter(field_name="subject_number")


class LookAssessment(Shape):
    impact = serializers.CharField()
    text = serializers.CharField(source="assessment")
    assessed_by = serializers.CharField(source="recorded_by.username")
    assessed_at = serializers.DateTimeField(source="recorded_at")


class LookOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="person.username")
    role = serializers.CharField()
    purpose = serializers.CharField()
    subject = serializers.CharField(source="subject_number")
    detail = serializers.CharField()
    opened_at = serializers.DateTimeField()
    shown = serializers.SerializerMethodField(help_text="What it showed, in words; never an arm.")
    assessment = serializers.SerializerMethodField(
        help_text="As last judged; null: not judged, or nothing to judge."
    )

    def get_shown(self, look: Any) -> str:
        return shown_at(look)

    @extend_schema_field(LookAssessment(allow_null=True))
    def get_assessment(self, look: Any) -> dict[str, Any] | None:
        last = last_assessment(look)
        return None if last is None else dict(LookAssessment(last).data)


class Looks(generics.ListAPIView[SealedAccess]):
    """Looks behind the blind, what each showed and how it was judged, the newest first.

    For those who audit them. A look that broke off before anything was shown says so.
    """

    serializer_class = LookOut
    filterset_class = LookFilter
    queryset = SealedAccess.objects.none()

    def get_queryset(self) -> QuerySet[SealedAccess]:
        visible = SealedAccess.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "person").order_by("-opened_at", "pk")

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        page = super().paginate_queryset(queryset)
        return None if page is None else with_outcome(page)
