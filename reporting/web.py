"""Reports as pages for people who are logged in."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_safe

from events.outcomes import Refused
from reporting.api.serializers import AsQuery, PfsQuery
from reporting.documents.formats import CONTENT_TYPES, rendered
from reporting.documents.safety_summary import CONTENT_TYPES as SUMMARY_TYPES
from reporting.documents.safety_summary import rendered_summary
from reporting.services.reading import safety_summary_for, stored
from reporting.unblinded.pfs import pfs_report
from trials.admin_site import person
from trials.api.access import trial_for
from trials.models import Trial
from trials.permissions import Permission


KINDS = (("html", "a page"), ("pdf", "PDF"), ("svg", "the figure alone"), ("json", "data"))


@require_safe
@login_required
def pfs_page(request: HttpRequest, code: str) -> HttpResponse:
    """Show the report by arm on the cut asked for; without one, ask, and look at nothing."""
    trial = _trial(request, code, Permission.READ_UNBLINDED_REPORT)
    if "cutoff" not in request.GET:
        return _form(request, trial, [])
    query: Any = PfsQuery(data={"as": "html", **_given(request)})
    if not query.is_valid():
        return _form(request, trial, _problems(query.errors), status=400)
    asked = query.validated_data
    try:
        report = pfs_report(
            trial=trial,
            cutoff_on=asked["cutoff"],
            as_known_at=asked.get("as_known_at"),
            by=person(request),
            at=timezone.now(),
        )
    except Refused as refused:
        return _form(request, trial, [reason.detail for reason in refused.reasons], status=409)
    return _page(rendered(report, asked["as"]), CONTENT_TYPES[asked["as"]])


@require_safe
@login_required
def safety_page(request: HttpRequest, code: str, summary_id: UUID) -> HttpResponse:
    """Show one blinded safety summary."""
    query: Any = AsQuery(data={"as": "html", **_given(request)})
    if not query.is_valid():
        raise Http404
    try:
        summary = safety_summary_for(person(request), code, summary_id)
    except ObjectDoesNotExist as missing:
        raise Http404 from missing
    kind = query.validated_data["as"]
    return _page(rendered_summary(stored(summary), kind), SUMMARY_TYPES[kind])


def _trial(request: HttpRequest, code: str, permission: Permission) -> Trial:
    try:
        return trial_for(person(request), code, permission)
    except Trial.DoesNotExist as missing:
        raise Http404 from missing


def _given(request: HttpRequest) -> dict[str, Any]:
    return {name: value for name, value in request.GET.items() if value}


def _problems(errors: dict[str, Any]) -> list[str]:
    return [f"{field}: {' '.join(map(str, said))}" for field, said in errors.items()]


def _form(
    request: HttpRequest, trial: Trial, reasons: list[str], *, status: int = 200
) -> HttpResponse:
    context = {
        "trial": trial,
        "reasons": reasons,
        "kinds": KINDS,
        "cutoff": request.GET.get("cutoff", trial.protocol.analysis.data_cutoff.isoformat()),
        "as_known_at": request.GET.get("as_known_at", ""),
    }
    return render(request, "reporting/pfs_form.html", context, status=status)


def _page(content: bytes, content_type: str) -> HttpResponse:
    response = HttpResponse(content, content_type=content_type)
    response["Cache-Control"] = "private, no-store"
    return response


web_urlpatterns = [
    path("reports/<slug:code>/pfs", pfs_page, name="pfs-page"),
    path("reports/<slug:code>/safety/<uuid:summary_id>", safety_page, name="safety-page"),
]
