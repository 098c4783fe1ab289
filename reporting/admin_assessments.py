"""Times an arm became known, and what each means for the subject and the trial. Never which arm."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from patients.admin import RecordAdmin, SiteFilter
from patients.models import Unblinding, UnblindingAssessment, UnblindingMistake
from patients.queries import with_author, with_reviews
from patients.rules.unblinding import WRITTEN_AFTERWARDS, why_review
from patients.services.unblinding import assess_unblinding, record_unblinding_mistake
from trials.admin.acting import RowForm
from trials.admin_forms import form_page, send
from trials.admin_site import may_at, person, site
from trials.permissions import Permission


class AssessForm(RowForm):
    title, icon, submit = "Assessment", "rate_review", "Record the assessment"
    permission = Permission.CONFIRM_UNBLINDING
    field_of = {"names_an_arm": "assessment"}

    impact = forms.ChoiceField(
        choices=UnblindingAssessment.Impact.choices, label="Impact on the subject and the trial"
    )
    assessment = forms.CharField(
        max_length=2000, label="What you judge, and what follows",
        help_text="Never write which treatment it is: the site reads this.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )  # fmt: skip

    def act(self, *, at: datetime) -> UnblindingAssessment:
        return assess_unblinding(unblinding_id=self.row.pk, by=self.by, at=at, **self.arguments())


class MistakeForm(RowForm):
    title, icon, submit = "Entered in error", "report", "Mark as entered in error"
    permission = Permission.CONFIRM_UNBLINDING
    field_of = {"names_an_arm": "reason", "reason_missing": "reason"}
    note = (
        "It did not happen, or to another subject. The record stays and is marked. It counts no "
        "more: if it had ended study drug, the gate is open again. This is not taken back."
    )

    reason = forms.CharField(
        max_length=2000, label="What was wrong",
        help_text="Never write which treatment it is: the site reads this.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )  # fmt: skip

    def act(self, *, at: datetime) -> UnblindingMistake:
        return record_unblinding_mistake(
            unblinding_id=self.row.pk, by=self.by, at=at, **self.arguments()
        )


class AssessedFilter(admin.SimpleListFilter):
    title = "assessment"
    parameter_name = "assessed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not assessed"), ("yes", "Assessed")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        wanted = {"yes": True, "no": False}.get(self.value() or "")
        return rows if wanted is None else rows.filter(assessed=wanted)


@admin.register(Unblinding, site=site)
class UnblindingAdmin(RecordAdmin):
    """Every time the arm of one subject became known: in an emergency, on paper, by accident."""

    list_display = (
        "happened_at", "kind", "subject_link", "learned_by", "reason", "review", "impact",
    )  # fmt: skip
    list_display_links = ("happened_at", "kind")
    list_filter = (SiteFilter, "kind", AssessedFilter)
    ordering = ("-happened_at", "pk")
    search_help_text = "Subject"
    list_before_template = "admin/vigil/unblindings_before.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"assesses": bool(person(request).may(Permission.CONFIRM_UNBLINDING))}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_reviews(super().get_queryset(request).select_related("recorded_by"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.mistake_view)
        own = path("<uuid:pk>/mistake/", view, name="patients_unblinding_mistake")
        return [own, *super().get_urls()]

    @display(
        description="To be reviewed", label={"yes": "warning", "error": "info"}, empty_value="–"
    )
    def review(self, row: Any) -> tuple[str, str] | None:
        if row.in_error:
            return "error", "Entered in error"
        why = _why(row)
        return ("yes", why) if why else None

    @display(
        description="Assessment",
        label={"not assessed": "neutral", "none": "success", "limited": "warning",
               "serious": "danger"},
    )  # fmt: skip
    def impact(self, row: Any) -> tuple[str, str]:
        if row.last_impact is None:
            return "not assessed", "Not assessed"
        return row.last_impact, f"{row.last_impact.capitalize()} impact"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one unblinding and, to whoever may judge it, the form of an assessment."""
        row = self.row_or_404(request, object_id)
        by = person(request)
        judges = may_at(by, Permission.CONFIRM_UNBLINDING, row.subject.site)
        if request.method not in {"GET", "HEAD"} and not judges:
            raise PermissionDenied
        form = AssessForm(request.POST or None, by=by, row=row) if judges else None
        if form and form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, "The assessment is recorded.")
            return redirect("admin:patients_unblinding_change", row.pk)
        marks = with_author(UnblindingMistake.objects.filter(unblinding=row))
        context = {
            **self.admin_site.each_context(request),
            "title": "Unblinding",
            "row": row,
            "mistake": marks.first(),
            "may_mark": judges and _can_be_marked(row),
            "why": _why(row),
            "made": list(row.assessments.select_related("recorded_by")),
            "form": form,
            "back": reverse("admin:patients_unblinding_changelist"),
        }
        return TemplateResponse(request, "admin/vigil/unblinding.html", context)

    def mistake_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask a responsible person why what was written afterwards is wrong, and mark it."""
        row, by = self.row_or_404(request, str(pk)), person(request)
        if not may_at(by, MistakeForm.permission, row.subject.site):
            raise PermissionDenied
        if not _can_be_marked(row):
            raise Http404
        form = MistakeForm(request.POST or None, by=by, row=row)
        back = reverse("admin:patients_unblinding_change", args=[row.pk])
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, "It is marked as entered in error, and counts no more.")
            return redirect(back)
        facts = [
            ("What", row.get_kind_display()),
            ("When", f"{row.happened_at:%Y-%m-%d %H:%M} UTC"),
            ("Who learned it", row.learned_by),
        ]
        return form_page(self, request, form, back=back, subject=row.subject, facts=facts)


def _can_be_marked(row: Any) -> bool:
    return row.kind in WRITTEN_AFTERWARDS and not row.in_error


def _why(row: Any) -> str | None:
    policy = row.subject.trial.protocol.blind
    return why_review(row.kind, row.looks, policy, in_error=row.in_error)
