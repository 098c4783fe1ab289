"""Lists of what was recorded about subjects; corrections; the event log."""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.models import OutboxEvent
from patients.admin_forms import (
    AdverseEventCorrection,
    Correction,
    ResponseCorrection,
)
from patients.models import AdverseEvent, LabResult, ResponseAssessment, Screening, Subject, Visit
from patients.queries import readable_events
from trials.admin_forms import ServiceForm, form_page, send
from trials.admin_site import may_at, person, site
from trials.models import Site
from trials.permissions import Permission


class SiteFilter(admin.SimpleListFilter):
    """The sites the user may read, and no others' names."""

    title = "site"
    parameter_name = "site"
    path: ClassVar[str] = "subject__site"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        sites = Site.objects.visible_to(request.user)  # type: ignore[arg-type]  # our User
        return [(row.code, row.code) for row in sites.order_by("code")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.filter(**{f"{self.path}__code": self.value()}) if self.value() else rows


class RecordAdmin(ReadOnlyAdmin):
    """One kind of clinical record at all of the user's sites."""

    read_permission = Permission.READ_SUBJECTS
    list_filter: Any = (SiteFilter,)
    search_fields: Any = ("subject__number",)
    list_select_related: Any = ("subject",)
    ordering = ("-recorded_at", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("subject")

    @display(description="Subject", ordering="subject__number")
    def subject_link(self, row: Any) -> str:
        return format_html(
            '<a class="vg-link" href="{}">{}</a>', address_of(row.subject), row.subject.number
        )


def address_of(subject: Subject) -> str:
    return reverse("admin:patients_subject_change", args=[subject.pk])


@admin.register(Screening, site=site)
class ScreeningAdmin(RecordAdmin):
    list_display = ("assessed_on", "subject_link", "verdict", "stratum", "why")
    list_filter = (SiteFilter, "eligible")

    @display(description="Result", label={"eligible": "success", "not_eligible": "warning"})
    def verdict(self, row: Screening) -> tuple[str, str]:
        return ("eligible", "Eligible") if row.eligible else ("not_eligible", "Not eligible")

    @display(description="Reasons")
    def why(self, row: Screening) -> str:
        return "; ".join(reason["detail"] for reason in row.reasons) or "–"


@admin.register(Visit, site=site)
class VisitAdmin(RecordAdmin):
    list_display = ("visited_on", "subject_link", "kind", "cycle")
    list_filter = (SiteFilter, "kind")
    ordering = ("-visited_on", "pk")


@admin.register(LabResult, site=site)
class LabResultAdmin(RecordAdmin):
    list_display = ("taken_on", "subject_link", "analyte", "value", "unit")
    list_filter = (SiteFilter, "analyte")
    ordering = ("-taken_on", "pk")


class CorrectableAdmin(RecordAdmin):
    """A record that one service corrects: whoever may, gets its form instead of the plain page."""

    form_class: ClassVar[type[Correction]]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        subject = Subject.objects.select_related("site", "trial").get(pk=row.subject_id)
        if not may_at(request.user, Permission.CORRECT_CLINICAL, subject.site):  # type: ignore[arg-type]
            if request.method == "POST":
                raise PermissionDenied
            page: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
            return page
        form = self.form_class(request.POST or None, row=row, subject=subject, by=request.user)
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, "The correction is recorded, with its reason.")
            return redirect(address_of(subject))
        return subject_form_page(self, request, form, subject)


def subject_form_page(
    model_admin: ReadOnlyAdmin, request: HttpRequest, form: ServiceForm, subject: Subject | None
) -> TemplateResponse:
    """Return the page of a form about a subject, or about one that is not there yet."""
    back = address_of(subject) if subject else reverse("admin:patients_subject_changelist")
    number = subject.number if subject else None
    return form_page(model_admin, request, form, back=back, subject=subject, subtitle=number)


@admin.register(AdverseEvent, site=site)
class AdverseEventAdmin(CorrectableAdmin):
    form_class = AdverseEventCorrection
    list_display = ("started_on", "term", "grade_label", "subject_link", "is_serious", "outcome")
    list_display_links = ("started_on", "term")
    list_filter = (SiteFilter, "grade", "serious", "outcome")
    search_fields = ("subject__number", "term", "soc")
    ordering = ("-started_on", "pk")

    @display(
        description="Grade",
        ordering="grade",
        label={3: "warning", 4: "danger", 5: "danger"},
    )
    def grade_label(self, row: AdverseEvent) -> tuple[int, str]:
        return row.grade, f"Grade {row.grade}"

    @display(description="Serious", ordering="serious", label={"serious": "danger"})
    def is_serious(self, row: AdverseEvent) -> str:
        return "serious" if row.serious else ""


@admin.register(ResponseAssessment, site=site)
class ResponseAssessmentAdmin(CorrectableAdmin):
    form_class = ResponseCorrection
    list_display = ("assessed_on", "subject_link", "response_label", "assessor")
    list_filter = (SiteFilter, "response", "assessor")
    ordering = ("-assessed_on", "pk")

    @display(description="Response", ordering="response", label={"PD": "danger"})
    def response_label(self, row: ResponseAssessment) -> tuple[str, str]:
        return row.response, row.get_response_display()


@admin.register(OutboxEvent, site=site)
class EventAdmin(ReadOnlyAdmin):
    """The log as it is chained, as far as the user may read it."""

    read_permission = Permission.READ_HISTORY
    list_display = ("seq", "type", "stream", "occurred_at", "recorded_at", "actor", "short_digest")
    list_display_links = ("seq", "type")
    list_filter = ("stream", "type")
    list_select_related = ("link",)
    search_fields = ("type", "actor")
    ordering = ("-id",)
    fields = (
        "seq",
        "type",
        "stream",
        "occurred_at",
        "recorded_at",
        "actor",
        "request_id",
        "caused_by",
        "facts",
        "digest",
        "previous",
    )
    readonly_fields = ("seq", "facts", "digest", "previous")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        return readable_events(person(request))

    @display(description="No.", ordering="link__seq", empty_value="not yet chained")
    def seq(self, row: OutboxEvent) -> int | None:
        return row.link.seq if hasattr(row, "link") else None

    @display(description="Digest")
    def short_digest(self, row: OutboxEvent) -> str | None:
        return row.link.digest[:12] if hasattr(row, "link") else None

    @display(description="Digest")
    def digest(self, row: OutboxEvent) -> str | None:
        return row.link.digest if hasattr(row, "link") else None

    @display(description="Digest before it")
    def previous(self, row: OutboxEvent) -> str | None:
        return row.link.previous if hasattr(row, "link") else None

    @display(description="Payload")
    def facts(self, row: OutboxEvent) -> str:
        return json.dumps(row.payload, indent=2, sort_keys=True)
