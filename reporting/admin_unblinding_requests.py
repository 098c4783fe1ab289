"""Requests to unblind: who asks, the second person who agrees, and the look that follows."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import display

from patients.api.unblinding import arms_file
from patients.models import AdverseEvent, Subject
from patients.services.unblinding import open_safety_look
from reporting.admin_unblinding import Opened, download, kept_nowhere, shown_page
from trials.admin.acting import ActingAdmin, RowForm
from trials.admin_forms import TrialForm, form_page, send
from trials.admin_proof import SHOWN, ProofForm
from trials.admin_site import person, site
from trials.errors import ShownAlready
from trials.models import UnblindingRequest, User
from trials.permissions import Permission
from trials.services.unblinding import prove
from trials.services.unblinding_requests import (
    ASKS,
    agree_to_unblinding,
    looks_on,
    open_trial_look,
    request_trial_unblinding,
    withdraw_unblinding_request,
)


Purpose = UnblindingRequest.Purpose
TONES = {
    "waiting": "warning",
    "agreed": "info",
    "used": "success",
    "withdrawn": "danger",
    "expired": "neutral",
}
WORDS = {
    "waiting": "waiting",
    "agreed": "agreed",
    "used": "looked",
    "withdrawn": "withdrawn",
    "expired": "expired",
}


class TrialRequestForm(TrialForm):
    title, icon, submit = "Unblinding of the trial: request", "group_add", "Ask a second person"
    permission = Permission.UNBLIND_TRIAL
    service = staticmethod(request_trial_unblinding)
    field_of = {"reason_missing": "reason", "still_recruiting": "early_reason"}
    note = (
        "For every subject of the trial. Nothing is opened yet: another person has to agree, and "
        "then you download the list of arms. The request lapses if nobody agrees in time."
    )

    reason = forms.CharField(
        max_length=2000, label="Why the arms are needed", widget=forms.Textarea(attrs={"rows": 3})
    )
    early_reason = forms.CharField(
        required=False, max_length=2000, label="Why it cannot wait, while sites still recruit",
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip


class RequestForm(RowForm, ProofForm):
    """An act on one request by a person who proves anew who they are."""

    def act(self, *, at: datetime) -> Any:
        service = type(self).service
        return service(request_id=self.row.pk, by=self.by, at=at, **self.arguments())


class AgreeForm(RequestForm):
    title, icon, submit = "Agree to an unblinding", "handshake", "Agree"
    service = staticmethod(agree_to_unblinding)
    note = "You are the second person. Agree only if you have read why it is asked for."


class WithdrawForm(RowForm):
    title, icon, submit = "Withdraw a request", "undo", "Withdraw"
    service = staticmethod(withdraw_unblinding_request)
    note = "For good. It stays in the records, and a new request can be made."

    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))

    def act(self, *, at: datetime) -> Any:
        service = type(self).service
        return service(request_id=self.row.pk, by=self.by, at=at, **self.arguments())


class SafetyLookForm(RequestForm):
    title, icon, submit = "Look at the arm of one subject", "visibility", "Show the treatment"
    service = staticmethod(open_safety_look)
    note = "It is shown once, on the next page, and kept nowhere. The site keeps the blind."


class TrialLookForm(RequestForm):
    title, icon, submit = "List of arms", "download", "Download once"
    note = (
        "The trial counts as unblinded from the first download. The file is given out once: keep "
        "it where only those who may know the arms can read it."
    )

    def act(self, *, at: datetime) -> Any:
        return Opened(
            open_trial_look(request_id=self.row.pk, by=self.by, at=at, **self.arguments())
        )


ACTS: dict[str, type[RowForm]] = {
    "agree": AgreeForm,
    "withdraw": WithdrawForm,
    "look": SafetyLookForm,
    "list": TrialLookForm,
}


def acts_for(row: UnblindingRequest, by: User, state: str) -> Iterator[str]:
    """Yield the acts on a request that this person can do now; the services decide in any case."""
    own = row.requested_by_id == by.pk and _may(by, ASKS[Purpose(row.purpose)], row)
    second = row.requested_by_id != by.pk and _may(by, Permission.CONFIRM_UNBLINDING, row)
    if state == "waiting" and second:
        yield "agree"
    if own and row.purpose == Purpose.SAFETY and state == "agreed":
        yield "look"
    if own and row.purpose == Purpose.TRIAL and state in {"agreed", "used"}:
        yield "list"
    if state in {"waiting", "agreed"} and (own or second):
        yield "withdraw"


def _may(by: User, permission: Permission, row: UnblindingRequest) -> bool:
    return any(held.trial_id == row.trial_id for held in by.may(permission))


def _may_open(name: str, row: UnblindingRequest, by: User) -> bool:
    """Return whether the form of an act is for this person at all."""
    asks, agrees = ASKS[Purpose(row.purpose)], Permission.CONFIRM_UNBLINDING
    needed = {"agree": (agrees,), "withdraw": (asks, agrees)}.get(name, (asks,))
    return any(_may(by, permission, row) for permission in needed)


@admin.register(UnblindingRequest, site=site)
class UnblindingRequestAdmin(ActingAdmin):
    """Requests that wait for their second person, and what became of the others."""

    add_form = TrialRequestForm
    adders = (Permission.UNBLIND_TRIAL,)
    list_display = ("requested_at", "what", "of_subject", "where", "requested_by", "until")
    list_display_links = ("what",)
    list_filter = ("purpose",)
    list_select_related = ("requested_by", "trial")
    search_fields = ("subject_number", "requested_by__username")
    search_help_text = "Subject, or who asked"
    ordering = ("-requested_at", "pk")
    list_before_template = "admin/vigil/requests_before.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        held = (
            Permission.SAFETY_UNBLIND,
            Permission.UNBLIND_TRIAL,
            Permission.CONFIRM_UNBLINDING,
            Permission.READ_ACCESS_LOG,
        )
        return any(person(request).may(permission) for permission in held)

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        return rows.with_looks().prefetch_related("answers__answered_by")

    def get_list_display(self, request: HttpRequest) -> Any:
        by = person(request)

        @display(description="To do")
        def to_do(row: UnblindingRequest) -> Any:
            link = '<div><a class="vg-link" href="{}">{}</a></div>'
            offered = ((one["address"], one["title"]) for one in _offered(row, by))
            return format_html_join("", link, offered)

        return [*self.list_display, to_do]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        by = person(request)
        more = {
            "asks_for_trial": self.has_add_permission(request),
            "asks_for_subject": bool(by.may(Permission.SAFETY_UNBLIND)),
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @display(description="Of", ordering="purpose")
    def what(self, row: UnblindingRequest) -> str:
        return "One subject" if row.purpose == Purpose.SAFETY else "The whole trial"

    @display(description="Subject", ordering="subject_number", empty_value="–")
    def of_subject(self, row: UnblindingRequest) -> str | None:
        return row.subject_number or None

    @display(description="Holds until", ordering="expires_at")
    def until(self, row: UnblindingRequest) -> datetime:
        return row.expires_at

    @display(description="State", label={WORDS[state]: TONES[state] for state in WORDS})
    def where(self, row: UnblindingRequest) -> str:
        return WORDS[row.state(timezone.now())]

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        own = [path("<uuid:row_id>/act/<slug:name>/", act, name="trials_unblindingrequest_act")]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        return self._page(request, row)

    def _page(self, request: HttpRequest, row: UnblindingRequest) -> HttpResponse:
        by, state = person(request), row.state(timezone.now())
        subjects = Subject.objects.visible_to(by)
        events = AdverseEvent.objects.visible_to(by)
        context = {
            **self.admin_site.each_context(request),
            "title": "Request to unblind",
            "row": row,
            "state": WORDS[state],
            "tone": TONES[state],
            "answers": list(row.answers.all()),
            "looks": looks_on(row),
            "offered": list(_offered(row, by)),
            "subject": subjects.filter(pk__in=[row.subject_id]).first(),
            "event": events.filter(pk=row.adverse_event_id).first(),
            "back": reverse("admin:trials_unblindingrequest_changelist"),
        }
        return TemplateResponse(request, "admin/vigil/unblinding_request.html", context)

    @method_decorator(sensitive_post_parameters(*SHOWN))
    def act_view(self, request: HttpRequest, row_id: UUID, name: str) -> HttpResponse:
        """Agree to a request, withdraw it, or look on it.

        A form that is sent goes to the service whoever sends it: a refused attempt is kept.
        """
        row = self.get_queryset(request).filter(pk=row_id).first()
        if row is None or name not in ACTS:
            raise Http404
        by = person(request)
        if not _may_open(name, row, by) and request.method != "POST":
            raise PermissionDenied
        form = ACTS[name](request.POST or None, row=row, by=by)
        back = reverse("admin:trials_unblindingrequest_change", args=[row.pk])
        ready = form.is_valid() and (
            not isinstance(form, ProofForm)
            or form.proves(partial(prove, purpose=row.purpose, trial_id=row.trial_id))
        )
        made = send(form, request, at=timezone.now()) if ready else None
        if made is None:
            page = form_page(self, request, form, back=back, facts=list(_facts(row)))
            return kept_nowhere(page)
        if name == "look":
            subject = Subject.objects.visible_to(by).get(pk=row.subject_id)
            return shown_page(self, request, subject, UUID(made))
        if name == "list":
            return self._list(request, UUID(made), back)
        messages.success(request, f"{form.title}: recorded.")
        return redirect(back)

    def _list(self, request: HttpRequest, access_id: UUID, back: str) -> HttpResponse:
        try:
            return download(arms_file(access_id))
        except ShownAlready:
            messages.error(request, "This list was given out already. Ask for it again.")
            return redirect(back)


def _offered(row: UnblindingRequest, by: User) -> Iterator[dict[str, str]]:
    for name in acts_for(row, by, row.state(timezone.now())):
        address = reverse("admin:trials_unblindingrequest_act", args=[row.pk, name])
        yield {"title": ACTS[name].submit, "icon": ACTS[name].icon, "address": address}


def _facts(row: UnblindingRequest) -> Iterator[tuple[str, Any]]:
    yield "Request", row.get_purpose_display()
    yield ("Subject", row.subject_number) if row.subject_number else ("Trial", row.trial.code)
    yield "Asked by", row.requested_by
    yield "Why", row.reason
    if row.early_reason:
        yield "Why it cannot wait", row.early_reason
