"""Times an arm became known, and what was judged of them. Never which arm."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from patients.api.serializers import TEXT, RecordOut
from patients.models import Unblinding, UnblindingAssessment
from patients.queries import with_reviews, with_version
from patients.rules.unblinding import why_review
from patients.services.unblinding import assess_unblinding
from trials.api.authentication import acting_user
from trials.models import User


class UnblindingFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="subject__trial__code")
    site = django_filters.CharFilter(field_name="subject__site__code")
    subject = django_filters.UUIDFilter(field_name="subject_id")
    kind = django_filters.ChoiceFilter(choices=Unblinding.Kind.choices)
    assessed = django_filters.ChoiceFilter(
        choices=[("true", "true"), ("false", "false")], method="of_assessed"
    )

    def of_assessed(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(assessed=value == "true")


class UnblindingOut(RecordOut):
    """That an arm became known; never which."""

    kind = serializers.CharField()
    happened_at = serializers.DateTimeField()
    learned_by = serializers.CharField()
    reason = serializers.CharField()
    would_change_treatment = serializers.BooleanField(allow_null=True)


class ListedUnblinding(UnblindingOut):
    subject_number = serializers.CharField(source="subject.number")
    recorded_by = serializers.CharField(source="recorded_by.username")
    review_because = serializers.SerializerMethodField(
        help_text="Why a responsible person has to judge it; null: it need not be."
    )
    impact = serializers.CharField(
        source="last_impact", allow_null=True, help_text="As last assessed; null: not assessed."
    )

    def get_review_because(self, row: Any) -> str | None:
        return why_review(row.kind, row.looks, row.subject.trial.protocol.blind)


class AssessmentIn(Shape):
    impact = serializers.ChoiceField(UnblindingAssessment.Impact.choices)
    assessment = serializers.CharField(max_length=TEXT)


class AssessmentOut(RecordOut, AssessmentIn):
    unblinding = serializers.UUIDField(source="unblinding_id")
    recorded_by = serializers.CharField(source="recorded_by.username")


class Unblindings(generics.ListAPIView[Unblinding]):
    """Every time an arm of your subjects became known, the latest first; never which arm."""

    serializer_class = ListedUnblinding
    filterset_class = UnblindingFilter
    queryset = Unblinding.objects.none()

    def get_queryset(self) -> QuerySet[Unblinding]:
        return _told(acting_user(self.request)).order_by("-happened_at", "pk")


class OneUnblinding(generics.RetrieveAPIView[Unblinding]):
    """One time an arm became known; never which arm."""

    serializer_class = ListedUnblinding
    filter_backends = ()
    lookup_url_kwarg = "record_id"
    queryset = Unblinding.objects.none()

    def get_queryset(self) -> QuerySet[Unblinding]:
        return _told(acting_user(self.request))


def _told(by: User) -> QuerySet[Unblinding]:
    visible = Unblinding.objects.visible_to(by)
    return with_reviews(with_version(visible.select_related("recorded_by")))


class UnblindingAssessments(generics.ListAPIView[UnblindingAssessment]):
    """What an unblinding means for its subject and the trial, as it was judged, oldest first."""

    serializer_class = AssessmentOut
    filter_backends = ()
    queryset = UnblindingAssessment.objects.none()

    def get_queryset(self) -> QuerySet[UnblindingAssessment]:
        visible = Unblinding.objects.visible_to(acting_user(self.request))
        unblinding = visible.get(pk=self.kwargs["record_id"])
        made = UnblindingAssessment.objects.filter(unblinding=unblinding)
        return with_version(made.select_related("recorded_by").order_by("recorded_at", "pk"))

    @extend_schema(request=AssessmentIn, responses={201: AssessmentOut})
    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Record an assessment of one unblinding."""
        body = valid(AssessmentIn, request)

        def act() -> Any:
            stored = assess_unblinding(
                unblinding_id=record_id, by=acting_user(request), at=timezone.now(), **body
            )
            return AssessmentOut(stored).data

        by = acting_user(request)
        return recorded(
            request, act, about=lambda _: Unblinding.objects.visible_to(by).get(pk=record_id)
        )
