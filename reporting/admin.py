"""The subjects' list and page, the safety summaries and the notices."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from unfold.decorators import display

from dosing.admin_forms import FORMS as DOSING_FORMS
from events.admin import ReadOnlyAdmin
from patients.admin import SiteFilter, address_of, subject_form_page
from patients.admin_forms import FORMS as PATIENT_FORMS
from patients.admin_forms import EnrolForm, SubjectForm
from patients.models import Subject
from reporting import (  # noqa: F401 - register their pages
    admin_access_log,
    admin_assessments,
    admin_mails,
    admin_randomisation,
    admin_sites,
    admin_unblinding_requests,
)
from reporting.admin_unblinding import FORMS as UNBLINDING_FORMS
from reporting.admin_unblinding import emergency_page
from reporting.amendment_pages import ProtocolVersionAdmin
from reporting.casebook import (
    Casebook,
    gate_today,
    lab_days,
    lab_limits,
    picture,
    read_casebook,
    subject_today,
    timeline,
)
from reporting.models import Notice, SafetySummary
from reporting.roster import TONES, State, due_of, with_state
from reporting.row_history import history_of
from trials.admin_forms import send
from trials.admin_site import may_at, person, site
from trials.models import User
from trials.models.amendments import VERSIONS_OF_SITES
from trials.permissions import Permission


__all__ = ["NoticeAdmin", "ProtocolVersionAdmin", "SafetySummaryAdmin", "SubjectAdmin"]

FORMS: dict[str, type[SubjectForm]] = {**PATIENT_FORMS, **DOSING_FORMS, **UNBLINDING_FORMS}


class SubjectSiteFilter(SiteFilter):
    path = "site"


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return State.choices

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.filter(state=self.value()) if self.value() in State.values else rows


@admin.register(Subject, site=site)
class SubjectAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_SUBJECTS
    list_display = (
        "number",
        "place",
        "state_label",
        "sex",
        "year_of_birth",
        "last_visit",
        "next_step",
        "next_day",
    )
    list_filter = (StateFilter, SubjectSiteFilter, "sex")
    search_fields = ("number",)
    search_help_text = "Number, as in DE-01-0007"
    ordering = ("number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = Subject.objects.visible_to(person(request))
        return with_state(own).select_related("site").prefetch_related("trial", VERSIONS_OF_SITES)

    @display(description="Site", ordering="site__code")
    def place(self, row: Any) -> str:
        return str(row.site.code)

    @display(
        description="State",
        ordering="state",
        label={state.value: TONES.get(state, "neutral") for state in State},
    )
    def state_label(self, row: Any) -> tuple[str, str]:
        return row.state, State(row.state).label

    @display(description="Last visit", ordering="last_visit_on", empty_value="–")
    def last_visit(self, row: Any) -> Any:
        return row.last_visit_on

    @display(description="Next due", empty_value="–")
    def next_step(self, row: Any) -> str | None:
        due = due_of(row, at=timezone.now())
        return due.what if due else None

    @display(description="On", empty_value="–")
    def next_day(self, row: Any) -> Any:
        due = due_of(row, at=timezone.now())
        return due.on if due else None

    def get_urls(self) -> list[URLPattern]:
        record = self.admin_site.admin_view(self.record_view)
        emergency = self.admin_site.admin_view(self.emergency_view)
        own = [
            path("<uuid:subject_id>/record/<slug:kind>/", record, name="patients_subject_record"),
            path(
                "<uuid:subject_id>/emergency-unblinding/",
                emergency,
                name="patients_subject_emergency",
            ),
        ]
        return [*own, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(person(request).may(Permission.ENROL))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = EnrolForm(request.POST or None, subject=None, by=person(request))
        made = send(form, request, at=timezone.now()) if form.is_valid() else None
        if made is not None:
            messages.success(request, "The subject is entered for screening.")
            return redirect("admin:patients_subject_change", UUID(made))
        return subject_form_page(self, request, form, None)

    def emergency_view(self, request: HttpRequest, subject_id: UUID) -> HttpResponse:
        """Break the blind of one subject, at any hour."""
        subject = _subject(request, subject_id)
        if subject is None:
            raise Http404
        return emergency_page(request, self, subject)

    def record_view(self, request: HttpRequest, subject_id: UUID, kind: str) -> HttpResponse:
        """Show one service's form for a subject, and call the service when it is sent."""
        subject = _subject(request, subject_id)
        form_class = FORMS.get(kind)
        if subject is None or form_class is None:
            raise Http404
        if not may_at(person(request), form_class.permission, subject.site):
            raise PermissionDenied
        form = form_class(request.POST or None, subject=subject, by=person(request))
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, f"{form.title} of {subject.number} is recorded.")
            return redirect(address_of(subject))
        return subject_form_page(self, request, form, subject)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        subject = _subject(request, row.pk)
        if subject is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            **_page(person(request), read_casebook(subject), row),
            "title": subject.number,
            "subtitle": None,
        }
        return TemplateResponse(request, "admin/vigil/subject.html", context)


def _subject(request: HttpRequest, subject_id: UUID) -> Subject | None:
    try:
        return subject_today(person(request), subject_id, at=timezone.now())
    except Subject.DoesNotExist:
        return None


def _page(user: User, book: Casebook, row: Any) -> dict[str, Any]:
    subject = book.subject
    subject.site.trial = subject.trial
    reads_history = may_at(user, Permission.READ_HISTORY, subject.site)
    row.trial = subject.trial
    return {
        "book": book,
        "subject": subject,
        "state": State(row.state).label,
        "tone": TONES.get(State(row.state), ""),
        "last_visit_on": row.last_visit_on,
        "due": due_of(row, at=timezone.now()),
        "gate": gate_today(book, at=timezone.now()),
        "entries": timeline(book),
        "picture": picture(book),
        "lab_days": lab_days(book),
        "lab_limits": lab_limits(book.protocol),
        "forms": list(_offered(user, subject)),
        "may_break": subject.allocation_id is not None
        and may_at(user, Permission.EMERGENCY_UNBLIND, subject.site),
        "tabs": list(_tabs(book, reads_history=reads_history)),
        "may_correct": may_at(user, Permission.CORRECT_CLINICAL, subject.site),
        "history": history_of(subject) if reads_history else None,
    }


def _tabs(book: Casebook, *, reads_history: bool) -> Iterator[tuple[str, str, int]]:
    yield "overview", "Overview", 0
    yield "screening", "Screening", len(book.screenings)
    yield "visits", "Visits and labs", len(book.visits)
    yield "drug", "Study drug", len(book.dispensations)
    yield "safety", "Adverse events", len(book.adverse_events)
    yield "outcome", "Outcome", len(book.responses)
    if reads_history:
        yield "history", "History", 0


def _offered(user: User, subject: Subject) -> Iterator[dict[str, str]]:
    for kind, form in FORMS.items():
        if may_at(user, form.permission, subject.site) and form.offered(subject):
            address = reverse("admin:patients_subject_record", args=[subject.pk, kind])
            yield {"title": form.title, "icon": form.icon, "address": address}


@admin.register(SafetySummary, site=site)
class SafetySummaryAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_SAFETY
    list_display = ("period_start", "period_end", "edition", "trial", "written_by", "written_at")
    list_select_related = ("trial",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("trial")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        summary = self.get_object(request, object_id)
        if summary is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": "Safety summary",
            "subtitle": f"{summary.trial.code}, {summary}",
            "summary": summary,
            "parts": list(told(summary.content)),
        }
        return TemplateResponse(request, "admin/vigil/safety_summary.html", context)


def told(content: Any) -> Iterator[dict[str, Any]]:
    """Yield a summary's parts as titled facts and tables, whatever its keys are."""
    if not isinstance(content, dict):
        return
    plain = {_title(k): v for k, v in content.items() if not isinstance(v, dict | list)}
    if plain:
        yield {"title": "", "facts": plain}
    for key, value in content.items():
        if isinstance(value, dict):
            yield {"title": _title(key), "parts": list(told(value))}
        elif value and isinstance(value, list) and all(isinstance(row, dict) for row in value):
            names = list(dict.fromkeys(name for row in value for name in row))
            rows = [[row.get(name, "") for name in names] for row in value]
            yield {"title": _title(key), "names": [_title(n) for n in names], "rows": rows}
        elif isinstance(value, list):
            yield {"title": _title(key), "lines": value}


def _title(key: str) -> str:
    return str(key).replace("_", " ").capitalize()


@admin.register(Notice, site=site)
class NoticeAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_SUBJECTS
    list_display = ("created_at", "site", "kind", "text", "by_mail")
    list_filter = (SubjectSiteFilter, "kind")
    list_select_related = ("site",)
    search_fields = ("text",)
    fields = ("trial", "site", "subject", "kind", "text", "created_at", "by_mail", "first_sent")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Notice.objects.visible_to(person(request)).with_mails()

    @display(description="By e-mail")
    def by_mail(self, row: Any) -> str:
        if not row.sent_mails + row.unsent_mails:
            return "Not mailed"
        waiting = f", {row.unsent_mails} not sent" if row.unsent_mails else ""
        return f"Sent to {row.sent_mails}{waiting}"

    @display(description="First sent at", empty_value="–")
    def first_sent(self, row: Any) -> str | None:
        return date_format(row.mailed_at, "DATETIME_FORMAT") if row.mailed_at else None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(person(request).assignments)  # of what they see: some are for everybody
