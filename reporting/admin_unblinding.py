"""The screens behind which an arm may be seen, and the forms about what became known.

What is shown stands in one answer that no browser keeps; it is never in a session or a message.
"""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from dosing.admin_forms import DosingForm, InstantField
from events.admin import ReadOnlyAdmin
from patients.admin import address_of
from patients.admin_forms import SubjectForm
from patients.models import AdverseEvent, Subject, Unblinding
from patients.queries import with_mistakes
from patients.services.unblinding import (
    EMERGENCY,
    break_blind,
    needs_review,
    record_contingency_opening,
    record_inadvertent_unblinding,
    request_safety_unblinding,
    shown_arm,
    whom_to_call,
)
from trials.admin_forms import send
from trials.admin_proof import SHOWN, ProofForm
from trials.admin_site import may_at, person
from trials.errors import ShownAlready
from trials.permissions import Permission
from trials.services.unblinding import prove


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


@sensitive_post_parameters(*SHOWN)
def emergency_page(
    request: HttpRequest, model_admin: ReadOnlyAdmin, subject: Subject
) -> HttpResponse:
    """Ask, then show the arm once, in this answer alone."""
    by = person(request)
    if not may_at(by, EmergencyForm.permission, subject.site) and request.method != "POST":
        raise PermissionDenied
    form = EmergencyForm(request.POST or None, subject=subject, by=by)
    proving = partial(prove, purpose=EMERGENCY, subject_id=subject.pk)
    if form.is_valid() and form.proves(proving):
        made = send(form, request, at=timezone.now())
        if made is not None:
            return shown_page(model_admin, request, subject, UUID(made))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": form.title,
        "form": form,
        "subject": subject,
        "back": address_of(subject),
        "advisers": whom_to_call(subject.trial, timezone.now()),
        "earlier": with_mistakes(
            Unblinding.objects.filter(subject=subject).order_by("-happened_at")
        ),
        "ends_treatment": (
            subject.trial.protocol.blind.after_emergency_unblinding.value == "end_treatment"
        ),
    }
    return kept_nowhere(TemplateResponse(request, "admin/vigil/emergency.html", context))


def shown_page(
    model_admin: ReadOnlyAdmin, request: HttpRequest, subject: Subject, unblinding_id: UUID
) -> HttpResponse:
    """Show the arm of one subject, if it was not shown before."""
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
    return kept_nowhere(TemplateResponse(request, "admin/vigil/shown.html", context))


def kept_nowhere(answer: HttpResponse) -> HttpResponse:
    """Return an answer that no browser and no proxy keeps."""
    answer["Cache-Control"] = "no-store"
    return answer


class Opened:
    """What is kept of an opening under a form's key: its id."""

    def __init__(self, pk: UUID) -> None:
        self.pk = pk


def download(answer: HttpResponse) -> HttpResponse:
    """Return a file of the interface as the answer to a form."""
    answer.status_code = 200
    return kept_nowhere(answer)
