"""The reports' addresses: by arm for those who may, pooled and blinded for the others."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import generics
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.problems import PROBLEM_JSON
from events.api.serializers import Shape
from reporting.api.serializers import (
    AccrualOut,
    AsQuery,
    PfsQuery,
    SafetySummaryOut,
    WholeSafetySummaryOut,
)
from reporting.documents.formats import CONTENT_TYPES, PFS_FORMATS, rendered
from reporting.documents.safety_summary import CONTENT_TYPES as SUMMARY_TYPES
from reporting.documents.safety_summary import rendered_summary
from reporting.models import SafetySummary
from reporting.services.accrual import accrual
from reporting.services.reading import safety_summary_for, stored
from reporting.unblinded.pfs import pfs_report
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.permissions import Permission


PROBLEMS = {
    (status, PROBLEM_JSON): OpenApiResponse(OpenApiTypes.OBJECT, description=text)
    for status, text in {
        400: "Not in the expected form; each field's reason",
        401: "Not logged in",
        403: "Not your role",
        404: "Not yours, or not there",
    }.items()
}
REFUSED = {
    (409, PROBLEM_JSON): OpenApiResponse(OpenApiTypes.OBJECT, description="Every reason why not")
}


class AnyAccept(BaseContentNegotiation):
    """Let ``as`` choose the kind of file, whatever the client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


def as_parameter(kinds: tuple[str, ...]) -> OpenApiParameter:
    return OpenApiParameter("as", OpenApiTypes.STR, enum=kinds, description="default: json")


def file_of(content: bytes, content_type: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'inline; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    return response


class PfsReports(APIView):
    """Progression-free survival by arm."""

    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[
            OpenApiParameter("cutoff", OpenApiTypes.DATE, required=True),
            OpenApiParameter("as_known_at", OpenApiTypes.DATETIME, description="default: now"),
            as_parameter(PFS_FORMATS),
        ],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/html"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            (200, "image/svg+xml"): OpenApiTypes.STR,
            **PROBLEMS,
            **REFUSED,
        },
    )
    def get(self, request: Request, code: str) -> HttpResponse:
        """Return the report on a data cut. Every look is entered in the access log."""
        trial = trial_for(acting_user(request), code, Permission.READ_UNBLINDED_REPORT)
        query = asked(PfsQuery, request)
        report = pfs_report(
            trial=trial,
            cutoff_on=query["cutoff"],
            as_known_at=query.get("as_known_at"),
            by=acting_user(request),
            at=timezone.now(),
        )
        kind = query["as"]
        name = f"{trial.code}-pfs-{query['cutoff']}.{kind}"
        return file_of(rendered(report, kind), CONTENT_TYPES[kind], name)


@extend_schema_view(get=extend_schema(responses={200: SafetySummaryOut(many=True), **PROBLEMS}))
class SafetySummaries(generics.ListAPIView[SafetySummary]):
    """The blinded safety summaries of a trial, latest first."""

    serializer_class = SafetySummaryOut
    filter_backends = ()
    queryset = SafetySummary.objects.none()

    def get_queryset(self) -> QuerySet[SafetySummary]:
        trial = trial_for(acting_user(self.request), self.kwargs["code"], Permission.READ_SAFETY)
        return SafetySummary.objects.filter(trial=trial)


class OneSafetySummary(APIView):
    """One edition of one period, arms pooled."""

    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[as_parameter(tuple(SUMMARY_TYPES))],
        responses={
            (200, "application/json"): WholeSafetySummaryOut,
            (200, "text/html"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            **PROBLEMS,
        },
    )
    def get(self, request: Request, code: str, summary_id: UUID) -> HttpResponse:
        """Return the summary as it was stored; the digest covers its content."""
        summary = safety_summary_for(acting_user(request), code, summary_id)
        kind = asked(AsQuery, request)["as"]
        name = f"{code}-safety-{summary.period_start}-{summary.edition}.{kind}"
        return file_of(rendered_summary(stored(summary), kind), SUMMARY_TYPES[kind], name)


class TrialAccrual(APIView):
    """How the trial fills up, at the sites whose subjects you may read."""

    @extend_schema(responses={200: AccrualOut, **PROBLEMS})
    def get(self, request: Request, code: str) -> Response:
        """Return blinded counts by month, site and stratum."""
        trial = trial_for(acting_user(request), code, Permission.READ_SUBJECTS)
        return Response(AccrualOut(accrual(trial=trial, by=acting_user(request))).data)


def asked(shape: type[Shape], request: Request) -> dict[str, Any]:
    query: Any = shape(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    found: dict[str, Any] = query.validated_data
    return found
