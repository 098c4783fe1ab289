"""Verification of a randomisation, as data, text or a certificate to sign."""

import dataclasses
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.serializers import Query
from patients.api.serializers import RandomisationOut
from patients.queries import randomisation_log
from reporting.api.serializers import AsQuery
from reporting.api.views import PROBLEMS, REFUSED, AnyAccept, as_parameter, asked, file_of
from reporting.documents.certificate import CONTENT_TYPES, rendered_certificate
from reporting.services.randomisation import BURST_MINUTES, stratification_report
from reporting.unblinded.verification import verify_randomisation
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.models import Allocation
from trials.permissions import Permission


class LoggedRandomisation(RandomisationOut):
    """One line of the randomisation log. No arm is in it."""

    subject = serializers.UUIDField(source="subject_id")
    subject_number = serializers.CharField()
    site = serializers.CharField(
        source="site.code", help_text="Where the subject was randomised; it may have moved since."
    )
    levels = serializers.DictField(
        child=serializers.CharField(), help_text="The level of each factor of randomisation."
    )


@extend_schema_view(get=extend_schema(responses={200: LoggedRandomisation(many=True), **PROBLEMS}))
class RandomisationLog(generics.ListAPIView[Allocation]):
    """Who was randomised where, when and in which stratum, oldest first.

    For those who may read it, the subjects who are at their sites now.
    """

    serializer_class = LoggedRandomisation
    filter_backends = ()
    queryset = Allocation.objects.none()

    def get_queryset(self) -> QuerySet[Allocation]:
        by, code = acting_user(self.request), self.kwargs["code"]
        trial = trial_for(by, code, Permission.READ_RANDOMISATION)
        return randomisation_log(by).filter(site__trial=trial).order_by("allocated_at", "pk")


class VerificationQuery(AsQuery, Query):
    kinds = tuple(CONTENT_TYPES)
    annex = serializers.BooleanField(default=False)


class RandomisationVerification(APIView):
    """The trial's randomisation, derived again from its sealed lists."""

    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[
            as_parameter(tuple(CONTENT_TYPES)),
            OpenApiParameter("annex", OpenApiTypes.BOOL, description="add the counts by arm"),
        ],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/plain"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            **PROBLEMS,
            **REFUSED,
        },
    )
    def get(self, request: Request, code: str) -> HttpResponse:
        """Verify now and return the certificate. Each look is entered in the access log."""
        by = acting_user(request)
        trial = trial_for(by, code, Permission.VERIFY_RANDOMISATION)
        query: dict[str, Any] = asked(VerificationQuery, request)
        kind = query["as"]
        certificate = verify_randomisation(
            trial=trial, annex=query["annex"], by=by, at=timezone.now()
        )
        name = f"{trial.code}-randomisation.{'txt' if kind == 'text' else kind}"
        return file_of(rendered_certificate(certificate, kind), CONTENT_TYPES[kind], name)


class StratificationQuery(Query):
    minutes = serializers.IntegerField(min_value=1, max_value=24 * 60, default=BURST_MINUTES)


class StratificationReport(APIView):
    """Subjects in a wrong stratum, subjects randomised in error, and bursts at one site."""

    @extend_schema(
        parameters=[
            OpenApiParameter("minutes", OpenApiTypes.INT, description="how close is a burst")
        ],
        responses={200: OpenApiTypes.OBJECT, **PROBLEMS},
    )
    def get(self, request: Request, code: str) -> Response:
        """Return the report, blinded, for the sites whose randomisation you may read."""
        trial = trial_for(acting_user(request), code, Permission.READ_RANDOMISATION)
        minutes = asked(StratificationQuery, request)["minutes"]
        report = stratification_report(trial=trial, burst_minutes=minutes, by=acting_user(request))
        return Response(dataclasses.asdict(report))
