"""Who answers the telephone."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from trials.admin.acting import ActingAdmin, RowForm
from trials.admin.people import PersonForm
from trials.admin_site import person, site
from trials.models import OnCall, Trial
from trials.permissions import Permission
from trials.rules.delegation import Period
from trials.rules.on_call import gaps
from trials.services.on_call import cancel_duty, enter_duty, on_call


AHEAD = timedelta(days=14)


class InstantField(forms.DateTimeField):
    """A day and a time of UTC, written as ISO does."""

    def __init__(self, **options: Any) -> None:
        attrs = {"placeholder": "YYYY-MM-DD HH:MM", "autocomplete": "off"}
        widget = forms.DateTimeInput(attrs=attrs, format="%Y-%m-%d %H:%M")
        options = {"help_text": "UTC", **options}
        super().__init__(
            input_formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"], widget=widget, **options
        )


class DutyForm(PersonForm):
    title, icon, submit = "On-call duty", "support_agent", "Put on call"
    service = staticmethod(enter_duty)
    field_of = {
        **PersonForm.field_of,
        "ends_before_start": "ends_at",
        "duty_is_over": "ends_at",
        "not_medical_monitor": "person",
        "on_call_already": "starts_at",
    }
    note = "Sites are shown this number before a blind is broken in an emergency."

    telephone = forms.CharField(max_length=40, help_text="As in +49 30 1234567")
    starts_at = InstantField(label="From")
    ends_at = InstantField(label="Until", help_text="UTC; the first moment that no longer counts")

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        found["person"] = found.pop("user")
        return found


class CancelForm(RowForm):
    title, icon, submit = "Cancel a duty", "event_busy", "Cancel duty"

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def act(self, *, at: datetime) -> OnCall:
        return cancel_duty(duty_id=self.row.pk, by=self.by, at=at, **self.arguments())


@admin.register(OnCall, site=site)
class OnCallAdmin(ActingAdmin):
    """The medical monitors' on-call list, for everybody in the trial."""

    add_form, row_form = DutyForm, CancelForm
    adders = (Permission.MANAGE_ON_CALL,)
    list_display = ("starts_at", "ends_at", "person", "telephone", "state")
    list_select_related = ("person",)
    ordering = ("-starts_at",)
    list_before_template = "admin/vigil/on_call_before.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(person(request).assignments)

    def can_act(self, request: HttpRequest, row: OnCall) -> bool:
        held = person(request).may(Permission.MANAGE_ON_CALL)
        keeps = any(a.trial_id == row.trial_id for a in held)
        return keeps and row.cancelled_at is None and row.ends_at > timezone.now()

    @display(
        description="State",
        label={"on call now": "success", "to come": "info", "cancelled": "warning"},
    )
    def state(self, row: OnCall) -> str:
        now = timezone.now()
        if row.cancelled_at is not None:
            return "cancelled"
        if row.starts_at > now:
            return "to come"
        return "on call now" if row.ends_at > now else "over"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        now = timezone.now()
        trials = Trial.objects.visible_to(person(request)).order_by("code")
        more = {
            "answering": [
                {"trial": trial, "duties": on_call(trial, now), "gaps": _gaps(trial, now)}
                for trial in trials
            ]
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})


def _gaps(trial: Trial, now: datetime) -> tuple[Period, ...]:
    duties = OnCall.objects.standing().filter(trial=trial, ends_at__gt=now)
    periods = tuple(Period(duty.starts_at, duty.ends_at) for duty in duties)
    return gaps(periods, start=now, end=now + AHEAD)
