"""The screens behind which an arm may be seen, and the forms about what became known.

What is shown stands in one answer that no browser keeps; it is never in a session or a message.
"""

from datetime import datetime
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
from django.utils.html import format_html_join
from django.views.decorators.debug import sensitive_post_parameters

from dosing.admin_forms import DosingForm, InstantField
from events.admin import ReadOnlyAdmin
from patients.admin import address_of
from patients.admin_forms import SubjectForm
from patients.api.unblinding import arms_file
from patients.models import AdverseEvent, Subject, Unblinding
from patients.services.unblinding import (
    EMERGENCY,
    break_blind,
    needs_review,
    open_safety_look,
    record_contingency_opening,
    record_inadvertent_unblinding,
    request_safety_unblinding,
    shown_arm,
    whom_to_call,
)
from trials.admin_forms import ServiceForm, form_page, send
from trials.admin_site import may_at, person, site
from trials.errors import IdentityNotConfirmed, ShownAlready
from trials.models import UnblindingRequest
from trials.permissions import Permission
from trials.services.unblinding import Proof, prove
from trials.services.unblinding_requests import (
    agree_to_unblinding,
    open_trial_look,
    withdraw_unblinding_request,
)


class ProofForm(ServiceForm):
    """Who you are, proved again."""

    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), strip=False
    )
    code = forms.CharField(
        required=False,
        label="Code of your second factor",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}),
    )

    proof: Proof | None = None

    def arguments(self) -> dict[str, Any]:
        rest = {n: v for n, v in super().arguments().items() if n not in ("password", "code")}
        return {**rest, "proof": self.proof}

    def proves(self, *, purpose: str, **about: UUID | None) -> bool:
        """Ask who this is, before any transaction; what is refused stands on the form."""
        sent = self.cleaned_data
        try:
            self.proof = prove(
                self.by, password=sent["password"], code=sent["code"], purpose=purpose, **about
            )
        except IdentityNotConfirmed as refusal:
            self.refuse(refusal)
        return self.proof is not None


class EmergencyForm(SubjectForm, ProofForm):
    title, icon, submit = "Emergency unblinding", "emergency", "Show the treatment"
    permission = Permission.EMERGENCY_UNBLIND
    service = staticmethod(break_blind)

    would_change_treatment = forms.TypedChoiceField(
        label="Would knowing change the treatment now?",
        choices=[("yes", "Yes"), ("no", "No, but I need to know")],
        coerce=lambda value: value == "yes",
    )
    reason = forms.CharField(max_length=2000, label="Why", widget=forms.Textarea(attrs={"rows": 2}))
    field_order = ("would_change_treatment", "reason", "password", "code")


class AfterwardsForm(DosingForm):
    permission = Permission.RECORD_UNBLINDING
    note = "Record that it became known, to whom and how. Never write which treatment it is."

    happened_at = InstantField(label="When")
    learned_by = forms.CharField(max_length=200, label="Who learned it")
    reason = forms.CharField(
        max_length=2000, label="How and why", widget=forms.Textarea(attrs={"rows": 3})
    )


class AccidentForm(AfterwardsForm):
    title, icon = "Unblinding by accident", "visibility"
    service = staticmethod(record_inadvertent_unblinding)


class OpeningForm(AfterwardsForm):
    title, icon = "Contingency sheet opened", "drafts"
    service = staticmethod(record_contingency_opening)


class SafetyRequestForm(SubjectForm):
    title, icon, submit = "Safety unblinding: request", "group_add", "Ask a second person"
    permission = Permission.SAFETY_UNBLIND
    service = staticmethod(request_safety_unblinding)
    note = "For one event that is serious, related and unexpected. A second person must agree."

    adverse_event = forms.ModelChoiceField(AdverseEvent.objects.none(), label="Adverse event")
    expectedness = forms.CharField(max_length=2000, label="Unexpected against which reference text")
    reason = forms.CharField(max_length=2000, label="Why the arm is needed")

    def __init__(self, *args: Any, subject: Subject | None, **options: Any) -> None:
        super().__init__(*args, subject=subject, **options)
        events = AdverseEvent.objects.filter(subject=subject, serious=True, related=True)
        self.fields["adverse_event"].queryset = events  # type: ignore[attr-defined]

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is not None

    def act(self, *, at: datetime) -> Any:
        fields = self.arguments()
        event = fields.pop("adverse_event")
        return request_safety_unblinding(adverse_event_id=event.pk, by=self.by, at=at, **fields)


FORMS: dict[str, type[SubjectForm]] = {
    "unblinding-by-accident": AccidentForm,
    "contingency-sheet-opened": OpeningForm,
    "safety-unblinding": SafetyRequestForm,
}


@sensitive_post_parameters("password", "code")
def emergency_page(
    request: HttpRequest, model_admin: ReadOnlyAdmin, subject: Subject
) -> HttpResponse:
    """Ask, then show the arm once, in this answer alone."""
    by = person(request)
    if not may_at(by, EmergencyForm.permission, subject.site) and request.method != "POST":
        raise PermissionDenied
    form = EmergencyForm(request.POST or None, subject=subject, by=by)
    if form.is_valid() and form.proves(purpose=EMERGENCY, subject_id=subject.pk):
        made = send(form, request, at=timezone.now())
        if made is not None:
            return _shown(model_admin, request, subject, UUID(made))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": form.title,
        "form": form,
        "subject": subject,
        "back": address_of(subject),
        "advisers": whom_to_call(subject, timezone.now()),
        "earlier": Unblinding.objects.filter(subject=subject).order_by("-happened_at"),
        "ends_treatment": (
            subject.trial.protocol.blind.after_emergency_unblinding.value == "end_treatment"
        ),
    }
    return _kept_nowhere(TemplateResponse(request, "admin/vigil/emergency.html", context))


def _shown(
    model_admin: ReadOnlyAdmin, request: HttpRequest, subject: Subject, unblinding_id: UUID
) -> HttpResponse:
    try:
        arm = shown_arm(unblinding_id, by=person(request))
    except ShownAlready:
        arm = None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Treatment",
        "subject": subject,
        "back": address_of(subject),
        "arm": arm,
        "review": needs_review(subject),
        "emergency": Unblinding.objects.get(pk=unblinding_id).kind == Unblinding.Kind.EMERGENCY,
    }
    return _kept_nowhere(TemplateResponse(request, "admin/vigil/shown.html", context))


def _kept_nowhere(answer: TemplateResponse) -> HttpResponse:
    answer["Cache-Control"] = "no-store"
    return answer


class RequestForm(ProofForm):
    """An act on one request by a person who proves anew who they are."""

    def __init__(self, *args: Any, row: UnblindingRequest, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row = row

    def act(self, *, at: datetime) -> Any:
        service = type(self).service
        return service(request_id=self.row.pk, by=self.by, at=at, **self.arguments())


class AgreeForm(RequestForm):
    title, icon, submit = "Agree to an unblinding", "handshake", "Agree"
    service = staticmethod(agree_to_unblinding)


class WithdrawForm(ServiceForm):
    title, icon, submit = "Withdraw a request", "undo", "Withdraw"

    reason = forms.CharField(max_length=2000)

    def __init__(self, *args: Any, row: UnblindingRequest, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row = row

    def act(self, *, at: datetime) -> Any:
        return withdraw_unblinding_request(
            request_id=self.row.pk, by=self.by, at=at, **self.arguments()
        )


class SafetyLookForm(RequestForm):
    title, icon, submit = "Look at the arm of one subject", "visibility", "Show the treatment"
    service = staticmethod(open_safety_look)


class TrialLookForm(RequestForm):
    title, icon, submit = "List of arms", "download", "Download once"
    note = "The trial counts as unblinded from the first download."

    def act(self, *, at: datetime) -> Any:
        return _Opened(
            open_trial_look(request_id=self.row.pk, by=self.by, at=at, **self.arguments())
        )


class _Opened:
    def __init__(self, pk: UUID) -> None:
        self.pk = pk


ACTS: dict[str, type[Any]] = {
    "agree": AgreeForm,
    "withdraw": WithdrawForm,
    "look": SafetyLookForm,
    "list": TrialLookForm,
}


@admin.register(UnblindingRequest, site=site)
class UnblindingRequestAdmin(ReadOnlyAdmin):
    """Requests that wait for their second person, and what became of the others."""

    list_display = ("requested_at", "purpose", "subject_number", "requested_by", "where", "acts")
    list_filter = ("purpose",)
    list_select_related = ("requested_by", "trial")
    fields = (
        "trial", "purpose", "subject_number", "expectedness", "reason", "early_reason",
        "requested_by", "requested_at", "expires_at",
    )  # fmt: skip
    ordering = ("-requested_at",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        held = (
            Permission.SAFETY_UNBLIND,
            Permission.UNBLIND_TRIAL,
            Permission.CONFIRM_UNBLINDING,
            Permission.READ_ACCESS_LOG,
        )
        return any(person(request).may(permission) for permission in held)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("answers")

    @admin.display(description="State")
    def where(self, row: UnblindingRequest) -> str:
        return row.state(timezone.now())

    @admin.display(description="")
    def acts(self, row: UnblindingRequest) -> Any:
        state = row.state(timezone.now())
        look = "look" if row.purpose == UnblindingRequest.Purpose.SAFETY else "list"
        names = {"waiting": ("agree", "withdraw"), "agreed": (look, "withdraw")}.get(state, ())
        addresses = [(self._address(row, name), ACTS[name].submit) for name in names]
        return format_html_join(" · ", '<a class="vg-link" href="{}">{}</a>', addresses)

    def _address(self, row: UnblindingRequest, name: str) -> str:
        return reverse("admin:trials_unblindingrequest_act", args=[row.pk, name])

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        own = [path("<uuid:row_id>/act/<slug:name>/", act, name="trials_unblindingrequest_act")]
        return [*own, *super().get_urls()]

    def act_view(self, request: HttpRequest, row_id: UUID, name: str) -> HttpResponse:
        """Agree to a request, withdraw it, or look on it."""
        row = self.get_queryset(request).filter(pk=row_id).first()
        if row is None or name not in ACTS:
            raise Http404
        form = ACTS[name](request.POST or None, row=row, by=person(request))
        back = reverse("admin:trials_unblindingrequest_changelist")
        ready = form.is_valid() and (
            not isinstance(form, ProofForm)
            or form.proves(purpose=row.purpose, trial_id=row.trial_id)
        )
        made = send(form, request, at=timezone.now()) if ready else None
        if made is None:
            return _kept_nowhere(form_page(self, request, form, back=back, subtitle=str(row)))
        if name == "look":
            subject = Subject.objects.visible_to(person(request)).get(pk=row.subject_id)
            return _shown(self, request, subject, UUID(made))
        if name == "list":
            return self._list(request, UUID(made), back)
        messages.success(request, "It is recorded.")
        return redirect(back)

    def _list(self, request: HttpRequest, access_id: UUID, back: str) -> HttpResponse:
        try:
            answer = arms_file(access_id)
        except ShownAlready:
            messages.error(request, "This list was given out already. Ask for it again.")
            return redirect(back)
        answer.status_code = 200
        answer["Cache-Control"] = "no-store"
        return answer
