"""Times an arm became known, and what was judged of them. Never which arm."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import generics, serializers
from rest_framework.request import Request

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from patients.api.serializers import TEXT, RecordOut
from patients.models import Unblinding, UnblindingAssessment, UnblindingMistake
from patients.queries import with_reviews, with_version
from patients.rules.unblinding import why_review
from patients.services.unblinding import assess_unblinding, record_unblinding_mistake
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
    in_error = serializers.BooleanField(
        default=False, help_text="Entered in error: it stays on record and counts no more."
    )


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
        policy = row.subject.trial.protocol.blind
        return why_review(row.kind, row.looks, policy, in_error=row.in_error)


class AssessmentIn(Shape):
    impact = serializers.ChoiceField(UnblindingAssessment.Impact.choices)
    assessment = serializers.CharField(max_length=TEXT)


class AssessmentOut(RecordOut, AssessmentIn):
    unblinding = serializers.UUIDField(source="unblinding_id")
    recorded_by = serializers.CharField(source="recorded_by.username")


class MistakeIn(Shape):
    reason = serializers.CharField(max_length=TEXT, help_text="what was wrong")


class MistakeOut(RecordOut, MistakeIn):
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


class OfUnblinding(generics.ListAPIView[Any]):
    """What is recorded beside one unblinding. A subclass names the shapes, model and service."""

    filter_backends = ()
    takes: ClassVar[type[Shape]]
    model: ClassVar[Any]
    record: ClassVar[Callable[..., Any]]

    def get_queryset(self) -> QuerySet[Any]:
        visible = Unblinding.objects.visible_to(acting_user(self.request))
        unblinding = visible.get(pk=self.kwargs["record_id"])
        made = self.model.objects.filter(unblinding=unblinding)
        return with_version(made.select_related("recorded_by").order_by("recorded_at", "pk"))

    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Record one, or get every reason why not."""
        body, by = valid(self.takes, request), acting_user(request)
        act, answers = type(self).record, self.get_serializer_class()

        def store() -> Any:
            return answers(act(unblinding_id=record_id, by=by, at=timezone.now(), **body)).data

        return recorded(
            request, store, about=lambda _: Unblinding.objects.visible_to(by).get(pk=record_id)
        )


class UnblindingAssessments(OfUnblinding):
    """What an unblinding means for its subject and the trial, as it was judged, oldest first."""

    takes, serializer_class, model = AssessmentIn, AssessmentOut, UnblindingAssessment
    record = staticmethod(assess_unblinding)
    queryset = UnblindingAssessment.objects.none()


class UnblindingMistakes(OfUnblinding):
    """The mark that an unblinding was entered in error: by another person than who entered it."""

    takes, serializer_class, model = MistakeIn, MistakeOut, UnblindingMistake
    record = staticmethod(record_unblinding_mistake)
    queryset = UnblindingMistake.objects.none()
