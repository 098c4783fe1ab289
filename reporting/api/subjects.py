"""What is derived about subjects: how far each has come, today's gate, and who changed what."""

from typing import Any
from uuid import UUID

import django_filters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.paging import Pages
from events.api.serializers import Shape
from patients.api.serializers import ReasonOut
from patients.models import Subject
from reporting.casebook import gate_today, read_casebook, subject_today
from reporting.roster import State, due_of, with_state
from reporting.row_history import history_of
from trials.api.authentication import acting_user
from trials.models import Site
from trials.models.amendments import VERSIONS_OF_SITES
from trials.permissions import Permission


class ProgressFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    site = django_filters.CharFilter(field_name="site__code")
    number = django_filters.CharFilter(field_name="number")
    state = django_filters.ChoiceFilter(choices=State.choices, method="of_state")

    def of_state(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(state=value)


class DueOut(Shape):
    what = serializers.CharField()
    on = serializers.DateField(help_text="The planned day, before any window.")


class ProgressOut(Shape):
    id = serializers.UUIDField()
    number = serializers.CharField()
    trial = serializers.CharField(source="trial.code")
    site = serializers.CharField(source="site.code")
    state = serializers.ChoiceField(State.choices, help_text="The furthest point reached.")
    last_visit_on = serializers.DateField(allow_null=True)
    next_due = serializers.SerializerMethodField()

    @extend_schema_field(DueOut(allow_null=True))
    def get_next_due(self, row: Any) -> Any:
        due = due_of(row, at=timezone.now())
        return None if due is None else DueOut(due).data


class GateOut(Shape):
    cycle = serializers.IntegerField(help_text="The first one after the last supplied, not held.")
    days = serializers.IntegerField(help_text="A full supply.")
    on = serializers.DateField(help_text="Today at the site.")
    open = serializers.SerializerMethodField()
    reasons = ReasonOut(many=True, help_text="All that stands in the way; empty: open.")

    def get_open(self, gate: Any) -> bool:
        return not gate.reasons


class ChangedField(Shape):
    field = serializers.CharField()
    old = serializers.CharField()
    new = serializers.CharField()


class VersionOut(Shape):
    """One row as it was written; what a record that is new says is in the record's own list."""

    at = serializers.DateTimeField()
    actor = serializers.CharField()
    role = serializers.CharField()
    reason = serializers.CharField()
    record = serializers.CharField(help_text="The kind of record.")
    act = serializers.CharField(help_text="recorded, changed or deleted")
    protocol_version = serializers.CharField(source="under", help_text="Of a record that is new.")
    changes = ChangedField(many=True)


class SubjectProgress(generics.ListAPIView[Subject]):
    """How far the subjects of your sites have come, and what is due next for each."""

    serializer_class = ProgressOut
    filterset_class = ProgressFilter
    queryset = Subject.objects.none()

    def get_queryset(self) -> QuerySet[Any]:
        own = with_state(Subject.objects.visible_to(acting_user(self.request)))
        told = own.select_related("site").prefetch_related("trial", VERSIONS_OF_SITES)
        return told.order_by("number", "pk")


class SubjectGate(APIView):
    """Whether study drug may be handed over to a subject today."""

    @extend_schema(responses=GateOut)
    def get(self, request: Request, subject_id: UUID) -> Response:
        """Return every reason why not. A supply asks the same anew."""
        now = timezone.now()
        subject = subject_today(acting_user(request), subject_id, at=now)
        return Response(GateOut(gate_today(read_casebook(subject), at=now)).data)


class SubjectHistory(APIView):
    """Who changed what about a subject, when and why, the newest first."""

    pagination_class = Pages

    @extend_schema(responses=VersionOut(many=True), operation_id="subjects_history_list")
    def get(self, request: Request, subject_id: UUID) -> Response:
        """List every version of every record, for those who read the subject and its history."""
        by = acting_user(request)
        subject = Subject.objects.visible_to(by).get(pk=subject_id)
        may = Site.objects.visible_to(by, Permission.READ_HISTORY)
        if not may.filter(pk=subject.site_id).exists():
            told = Permission.READ_HISTORY.value
            raise PermissionDenied(f"Your role here does not allow you to {told}.")
        pages = self.pagination_class()
        page: Any = pages.paginate_queryset(history_of(subject), request, view=self)
        return pages.get_paginated_response(VersionOut(page, many=True).data)
