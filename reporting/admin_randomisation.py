"""The randomisation log, the mis-stratification report and the verification."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.outcomes import Refused
from patients.queries import randomisation_log
from reporting.api.views import file_of
from reporting.documents.certificate import printable_certificate, rendered_certificate
from reporting.services.randomisation import BURST_MINUTES, stratification_report
from reporting.unblinded.verification import verify_randomisation
from trials.admin_site import person, site
from trials.api.access import trial_for
from trials.models import Allocation, Trial
from trials.permissions import Permission


class MinutesForm(forms.Form):
    """How close two randomisations of a site must be to be asked about."""

    minutes = forms.IntegerField(min_value=1, max_value=24 * 60)


def _trial(request: HttpRequest, code: str, permission: Permission) -> Trial:
    try:
        return trial_for(person(request), code, permission)
    except Trial.DoesNotExist as missing:
        raise Http404 from missing


@admin.register(Allocation, site=site)
class AllocationAdmin(ReadOnlyAdmin):
    """The randomisation log: who was randomised where and when, in which stratum. No arm.

    It shows the subjects who are at the reader's sites now, wherever they were randomised.
    """

    read_permission = Permission.READ_RANDOMISATION
    list_display = (
        "allocated_at", "number", "subject", "place", "stratum", "randomised_on", "allocated_by",
    )  # fmt: skip
    list_display_links = ("number",)
    list_filter = ("stratum",)
    list_select_related = ("site", "allocated_by", "protocol_version__trial")
    search_fields = ("number", "subject_number")
    ordering = ("-allocated_at", "pk")
    fields = (
        "number", "place", "stratum", "levels", "inputs", "randomised_on", "allocated_at",
        "allocated_by", "protocol_version", "algorithm",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Allocation]:
        return randomisation_log(person(request))

    list_before_template = "admin/vigil/randomisation_log_before.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        mine = Trial.objects.with_permission(person(request), Permission.READ_RANDOMISATION)
        verifies = Trial.objects.with_permission(person(request), Permission.VERIFY_RANDOMISATION)
        context = {"reports": list(mine), "verifies": list(verifies)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("report/<slug:code>/", view(self.report_view), name="stratification_report"),
            path("verify/<slug:code>/", view(self.verify_view), name="randomisation_verify"),
        ]
        return [*own, *super().get_urls()]

    def report_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """Show strata that were wrong, mistakes, and bursts at one site."""
        trial = _trial(request, code, Permission.READ_RANDOMISATION)
        asked = MinutesForm(request.GET if "minutes" in request.GET else {"minutes": BURST_MINUTES})
        minutes = asked.cleaned_data["minutes"] if asked.is_valid() else BURST_MINUTES
        report = stratification_report(trial=trial, burst_minutes=minutes, by=person(request))
        context = {"title": "Mis-stratification report", "report": report, "asked": asked}
        return self._page(request, "admin/vigil/stratification_report.html", context)

    def verify_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """Verify when it is asked for with the button, because each look is logged."""
        trial = _trial(request, code, Permission.VERIFY_RANDOMISATION)
        context: dict[str, Any] = {"title": "Verification of the randomisation", "trial": trial}
        if request.method == "POST":
            annex = request.POST.get("annex") == "yes"
            at = timezone.now()
            try:
                found = verify_randomisation(trial=trial, annex=annex, by=person(request), at=at)
            except Refused as refused:
                messages.error(request, " ".join(reason.detail for reason in refused.reasons))
                return redirect(request.path)
            if request.POST.get("as") == "pdf":
                name = f"{trial.code}-randomisation.pdf"
                pages = rendered_certificate(found, "pdf")
                return file_of(pages, "application/pdf", name)
            context["told"] = printable_certificate(found)
        return self._page(request, "admin/vigil/verification.html", context)

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        everywhere = self.admin_site.each_context(request)
        answer = TemplateResponse(request, template, {**everywhere, **context})
        answer["Cache-Control"] = "private, no-store"
        return answer

    @display(description="Subject", ordering="subject_number")
    def subject(self, row: Allocation) -> str:
        found: str = row.subject_number  # type: ignore[attr-defined]
        return found

    @display(description="Randomised at", ordering="site__code")
    def place(self, row: Allocation) -> str:
        return row.site.code
