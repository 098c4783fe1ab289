"""Randomisation lists, from draft to use."""

import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.outcomes import Refused
from trials.admin_forms import ServiceForm, TrialForm, form_page, send
from trials.admin_site import person, site
from trials.models import RandomisationList
from trials.permissions import Permission
from trials.rules.dry_run import DryRun
from trials.services.lists import (
    APPROVALS_NEEDED,
    approve_list,
    dry_run,
    generate_list,
    load_list,
    saw_dry_run,
    withdraw_list,
)


State = RandomisationList.State
MOST_LINES = 10_000


class NewListForm(TrialForm):
    """What generating and loading have in common. For which trial is chosen, never preset."""

    permission = Permission.LOAD_LIST

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["trial"].initial = None


class GenerateForm(NewListForm):
    title, icon, submit = "Generate a randomisation list", "casino", "Generate the draft"
    service = staticmethod(generate_list)
    note = (
        "By the protocol's design. The list and its seed are sealed: nobody is shown the seed, and "
        "the draft is good for nothing until two people have approved its dry run."
    )

    seed = forms.CharField(
        required=False, max_length=200, min_length=16,
        help_text="16 characters or more. Leave it empty: the system then draws one.",
    )  # fmt: skip
    length = forms.IntegerField(
        required=False, min_value=1, max_value=MOST_LINES,
        help_text="Places of each stratum; empty for the protocol's plan",
    )  # fmt: skip
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}))


class LoadForm(NewListForm):
    title, icon, submit = "Load a list made elsewhere", "upload_file", "Load the draft"
    service = staticmethod(load_list)
    note = "The list is sealed at once and is good for nothing until two people have approved it."

    lines = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}),
        max_length=60 * MOST_LINES,
        label="Lines of the list",
        help_text="One place a line, in the order of allocation: trial,stratum,arm",
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}))

    def clean_lines(self) -> list[tuple[str, ...]]:
        rows = [
            tuple(cell.strip() for cell in line.split(","))
            for line in self.cleaned_data["lines"].splitlines()
            if line.strip()
        ]
        if wrong := [str(n) for n, row in enumerate(rows, start=1) if len(row) != len("tsa")]:
            raise forms.ValidationError(f"No trial,stratum,arm in line {', '.join(wrong[:20])}.")
        if len(rows) > MOST_LINES:
            raise forms.ValidationError(f"At most {MOST_LINES} lines.")
        return rows

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        rows = found.pop("lines")
        named = sorted({row[0] for row in rows})
        return {
            **found,
            "made_for": ", ".join(named),
            "entries": [(stratum, arm) for _, stratum, arm in rows],
        }


class OfListForm(ServiceForm):
    """A form about one draft."""

    def __init__(self, *args: Any, of: RandomisationList, **options: Any) -> None:
        super().__init__(*args, **options)
        self.of = of

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "list_id": self.of.pk}


class ApproveForm(OfListForm):
    title, icon, submit = "Approve this list", "verified", "Approve"
    permission = Permission.APPROVE_LIST
    service = staticmethod(approve_list)
    note = "By the digest you saw in its dry run. The second person's approval makes it live."
    field_of: ClassVar[Any] = {"digest_differs": "digest"}

    digest = forms.CharField(max_length=64, help_text="Copy it from the dry run.")


class WithdrawForm(OfListForm):
    title, icon, submit = "Withdraw this draft", "block", "Withdraw"
    permission = Permission.LOAD_LIST
    service = staticmethod(withdraw_list)
    note = "For good: the draft is kept and can never be used."

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}))


NEW: dict[str, type[NewListForm]] = {"generate": GenerateForm, "load": LoadForm}
ACTS: dict[str, type[OfListForm]] = {"approve": ApproveForm, "withdraw": WithdrawForm}


@admin.register(RandomisationList, site=site)
class RandomisationListAdmin(ReadOnlyAdmin):
    """What commits to the sealed lists, for everybody of the trial; drafts for statisticians."""

    read_permission = Permission.READ_SUBJECTS
    list_before_template = "admin/vigil/lists_before.html"
    list_display = ("title", "state_label", "origin", "short_digest", "made_at", "live_at")
    list_select_related = ("trial",)
    list_filter = ("state",)
    ordering = ("trial", "number", "made_at")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(person(request).assignments)

    @display(description="List", ordering="number")
    def title(self, row: RandomisationList) -> str:
        return f"{row.trial.code} list {row.number}"

    @display(
        description="State",
        ordering="state",
        label={"draft": "warning", "live": "success", "withdrawn": "danger"},
    )
    def state_label(self, row: RandomisationList) -> tuple[str, str]:
        return row.state, row.state.capitalize()

    @display(description="Digest")
    def short_digest(self, row: RandomisationList) -> str:
        return row.digest[:16]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        may = bool(person(request).may(Permission.LOAD_LIST))
        return super().changelist_view(request, {"may_draft": may, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("new/<slug:kind>/", view(self.new_view), name="trials_list_new"),
            path("<uuid:list_id>/dry-run/", view(self.dry_run_view), name="trials_list_dry_run"),
            path("<uuid:list_id>/act/<slug:act>/", view(self.act_view), name="trials_list_act"),
        ]
        return [*own, *super().get_urls()]

    def new_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        form_class = NEW.get(kind)
        if form_class is None:
            raise Http404
        if not person(request).may(form_class.permission):
            raise PermissionDenied
        form = form_class(request.POST or None, by=person(request))
        made = send(form, request, at=timezone.now()) if form.is_valid() else None
        if made is not None:
            messages.success(request, "The draft is sealed. Two people have to approve it.")
            return redirect(_address(uuid.UUID(made)))
        back = reverse("admin:trials_randomisationlist_changelist")
        return form_page(self, request, form, back=back)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        return self._page(request, found)

    def dry_run_view(self, request: HttpRequest, list_id: uuid.UUID) -> HttpResponse:
        """Show the dry run. It is asked for with a button, because each look is logged."""
        found = self._found(request, list_id)
        if request.method != "POST":
            return redirect(_address(found.pk))
        try:
            report = dry_run(list_id=found.pk, by=person(request))
        except Refused as refused:
            messages.error(request, " ".join(reason.detail for reason in refused.reasons))
            return redirect(_address(found.pk))
        return self._page(request, found, report)

    def act_view(self, request: HttpRequest, list_id: uuid.UUID, act: str) -> HttpResponse:
        found, form_class = self._found(request, list_id), ACTS.get(act)
        if form_class is None:
            raise Http404
        form = form_class(request.POST or None, of=found, by=person(request))
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            found.refresh_from_db()
            messages.success(request, f"List {found.number} is {found.state} now.")
            return redirect(_address(found.pk))
        return form_page(self, request, form, back=_address(found.pk))

    def _found(self, request: HttpRequest, list_id: uuid.UUID) -> RandomisationList:
        rows = self.get_queryset(request).select_related("trial")
        found: RandomisationList | None = rows.filter(pk=list_id).first()
        if found is None:
            raise Http404
        if not person(request).may(Permission.APPROVE_LIST):
            raise PermissionDenied
        return found

    def _page(
        self, request: HttpRequest, found: RandomisationList, report: DryRun | None = None
    ) -> TemplateResponse:
        user = person(request)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Randomisation list {found.number}",
            "list": found,
            "approvals": list(found.approvals.select_related("approved_by")),
            "needed": APPROVALS_NEEDED,
            "may_approve": found.state == State.DRAFT and user.may(Permission.APPROVE_LIST),
            "may_withdraw": found.state == State.DRAFT and user.may(Permission.LOAD_LIST),
            "seen": report is not None or saw_dry_run(found, user),
            "report": report,
        }
        return TemplateResponse(request, "admin/vigil/randomisation_list.html", context)


def _address(list_id: uuid.UUID) -> str:
    return reverse("admin:trials_randomisationlist_change", args=[list_id])
