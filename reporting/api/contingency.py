"""Contingency sheets and, for another person, their passwords."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.paging import Pages
from events.api.recording import recorded_then_shown, valid
from events.api.serializers import Shape
from patients.api.unblinding import proved
from reporting.unblinded.contingency import (
    PASSWORDS,
    SHEETS,
    SHEETS_TOLD_TO,
    making_for,
    open_passwords,
    open_sheets,
    passwords_file,
    sheets_by_site,
    sheets_file,
)
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.api.proofs import ProofIn
from trials.models import Site
from trials.permissions import Permission


class ContingencySheetsIn(ProofIn):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    reason = serializers.CharField(max_length=2000)


class ContingencyPasswordsIn(ProofIn):
    making = serializers.UUIDField(help_text="The look by which the sheets were made.")


class PasswordsTaken(Shape):
    taken_at = serializers.DateTimeField(source="opened_at")
    taken_by = serializers.CharField(source="person.username")


class MakingOut(Shape):
    id = serializers.UUIDField(source="look.pk", help_text="Send it as `making` for the passwords.")
    made_at = serializers.DateTimeField(source="look.opened_at")
    made_by = serializers.CharField(source="look.person.username")
    detail = serializers.CharField(source="look.detail", help_text="The site, and why.")
    passwords = PasswordsTaken(many=True)


class SheetsOfSiteOut(Shape):
    trial = serializers.CharField(source="site.trial.code")
    site = serializers.CharField(source="site.code")
    randomised = serializers.IntegerField(help_text="How many there are at the site.")
    without_sheet = serializers.IntegerField(
        help_text="How many of them came, or were randomised, after the last making."
    )
    makings = MakingOut(many=True, help_text="The newest first.")


class ContingencySheets(APIView):
    """Sealed sheets for when the system is down, one for each randomised subject of a site."""

    pagination_class = Pages

    @extend_schema(responses=SheetsOfSiteOut(many=True), operation_id="contingency_sheets_list")
    def get(self, request: Request) -> Response:
        """List what there is at each site; for those who make sheets or keep their passwords.

        Neither reads subjects: how many are without a sheet is told, and not which.
        """
        by = acting_user(request)
        if not any(by.may(permission) for permission in SHEETS_TOLD_TO):
            raise PermissionDenied("Your role does not make sheets or keep their passwords.")
        pages = self.pagination_class()
        page: Any = pages.paginate_queryset(sheets_by_site(by), request, view=self)
        return pages.get_paginated_response(SheetsOfSiteOut(page, many=True).data)

    @extend_schema(
        request=ContingencySheetsIn, responses={(201, "application/zip"): OpenApiTypes.BINARY}
    )
    def post(self, request: Request) -> HttpResponse:
        """Make and download the sheets, once. Their passwords go to somebody else."""
        body = valid(ContingencySheetsIn, request)
        by = acting_user(request)
        trial = trial_for(by, body.pop("trial"), Permission.PRINT_CONTINGENCY)
        sites = Site.objects.visible_to(by, Permission.PRINT_CONTINGENCY)
        site = sites.get(trial=trial, code=body.pop("site"))
        body = proved(request, body, purpose=SHEETS, trial_id=trial.pk)

        def act() -> Any:
            return {"id": str(open_sheets(site_id=site.pk, by=by, **body))}

        return recorded_then_shown(request, act, lambda kept: zipped(UUID(kept["id"])))


class ContingencyPasswords(APIView):
    """The passwords of sheets that somebody else made."""

    @extend_schema(request=ContingencyPasswordsIn, responses={(201, "text/csv"): OpenApiTypes.STR})
    def post(self, request: Request) -> HttpResponse:
        """Download the passwords of one making, once an access."""
        body = valid(ContingencyPasswordsIn, request)
        by = acting_user(request)
        making = making_for(by, body.pop("making"))
        body = proved(request, body, purpose=PASSWORDS, trial_id=making.trial_id)

        def act() -> Any:
            return {"id": str(open_passwords(making_id=making.pk, by=by, **body))}

        return recorded_then_shown(request, act, lambda kept: keys(UUID(kept["id"])))


def zipped(access_id: UUID) -> HttpResponse:
    """Return the sheets as a file, once."""
    content = sheets_file(access_id, at=timezone.now())
    answer = HttpResponse(content, content_type="application/zip", status=201)
    answer["Content-Disposition"] = 'attachment; filename="contingency-sheets.zip"'
    answer["Vigil-Making"] = str(access_id)
    return answer


def keys(access_id: UUID) -> HttpResponse:
    """Return the passwords as a file, once."""
    content = passwords_file(access_id)
    answer = HttpResponse(content, content_type="text/csv; charset=utf-8", status=201)
    answer["Content-Disposition"] = 'attachment; filename="contingency-passwords.csv"'
    return answer
