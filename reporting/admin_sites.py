"""The sites' list, and each site's page: its life, its people, its approvals and its subjects."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar
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

from dosing.services.sites import close_site
from patients.models import Subject
from patients.services.sites import correct_site
from trials.admin.acting import ActingAdmin, RowForm
from trials.admin.people import state_of
from trials.admin_forms import DayField, TrialForm, form_page, send
from trials.admin_site import may_at, person, site
from trials.models import (
    RoleAssignment,
    Site,
    SiteApproval,
    SiteCorrection,
    SiteStatusChange,
    SiteVersion,
    User,
)
from trials.permissions import Permission
from trials.rules.site_life import TRANSITIONS
from trials.services.setup import add_site
from trials.services.sites import activate_site, hold_site, resume_site


class SiteForm(TrialForm):
    title, icon, submit = "New site", "add_home", "Add planned site"
    permission = Permission.MANAGE_TRIAL
    service = staticmethod(add_site)
    field_of = {
        "site_exists": "code",
        "site_code": "code",
        "site_name": "name",
        "country_not_planned": "country",
        "time_zone_unknown": "time_zone",
    }
    note = "It recruits once it is activated: approved, with a trained investigator."

    code = forms.CharField(max_length=10, help_text="Subjects' numbers begin with it: DE-01")
    name = forms.CharField(max_length=200)
    country = forms.CharField(max_length=2, help_text="Two letters, as in the protocol: DE")
    time_zone = forms.CharField(max_length=40, help_text="As in Europe/Berlin")


class StepForm(RowForm):
    """One step of a site's life."""

    permission = Permission.MANAGE_TRIAL
    field_of = {
        "future_day": "on",
        "before_last_step": "on",
        "reason_missing": "reason",
    }
    take: ClassVar[Callable[..., SiteStatusChange]]

    on = DayField(label="On")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def act(self, *, at: datetime) -> SiteStatusChange:
        step = type(self).take
        return step(site_id=self.row.pk, by=self.by, at=at, **self.arguments())


class ActivateForm(StepForm):
    title, icon, submit = "Activate site", "play_arrow", "Activate"
    note = "Asks for an approved protocol version, an investigator, and everybody's training."
    take = staticmethod(activate_site)


class HoldForm(StepForm):
    title, icon, submit = "Put site on hold", "pause", "Put on hold"
    note = "Nobody is entered or randomised here until it is resumed. Subjects are treated on."
    take = staticmethod(hold_site)


class ResumeForm(StepForm):
    title, icon, submit = "Resume site", "play_arrow", "Resume"
    take = staticmethod(resume_site)


class CloseForm(StepForm):
    title, icon, submit = "Close site", "lock", "Close for good"
    note = "Nothing leads back. No subject may be on treatment; follow-up goes on."
    take = staticmethod(close_site)


class CorrectSiteForm(RowForm):
    title, icon, submit = "Correct name or time zone", "edit_note", "Correct"
    permission = Permission.MANAGE_TRIAL
    note = (
        "A time zone can be corrected while nobody has been at the site: afterwards its clock has "
        "made days of records. Then add a site with the right one and transfer the subjects."
    )
    field_of = {
        "site_name": "name",
        "time_zone_unknown": "time_zone",
        "time_zone_in_use": "time_zone",
        "reason_missing": "reason",
    }

    name = forms.CharField(max_length=200)
    time_zone = forms.CharField(max_length=40, help_text="As in Europe/Berlin")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def __init__(self, *args: Any, row: Site, **options: Any) -> None:
        self.recorded = {"name": row.name, "time_zone": row.time_zone}
        super().__init__(*args, row=row, initial=self.recorded, **options)

    def act(self, *, at: datetime) -> SiteCorrection:
        asked = self.arguments()
        changed = {name: asked[name] for name, was in self.recorded.items() if asked[name] != was}
        return correct_site(
            site_id=self.row.pk, reason=asked["reason"], by=self.by, at=at, **changed
        )


STEPS: dict[str, type[StepForm]] = {
    "activate": ActivateForm,
    "hold": HoldForm,
    "resume": ResumeForm,
    "close": CloseForm,
}
SITE_FORMS: dict[str, type[RowForm]] = {**STEPS, "correct": CorrectSiteForm}


@admin.register(Site, site=site)
class SiteAdmin(ActingAdmin):
    """Sites where the user reads subjects, and all of a trial's for whoever sets it up."""

    read_permission = Permission.READ_SUBJECTS
    add_form = SiteForm
    adders = (Permission.MANAGE_TRIAL,)
    list_display = ("code", "name", "country", "time_zone", "status_label", "trial")
    list_filter = ("status", "country")
    search_fields = ("code", "name")
    list_select_related = ("trial",)

    @display(
        description="Status",
        ordering="status",
        label={"active": "success", "on_hold": "warning", "closed": "danger"},
    )
    def status_label(self, row: Site) -> tuple[str, str]:
        return row.status, row.get_status_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        return Site.objects.visible_to(person(request)) | Site.objects.visible_to(
            person(request), Permission.MANAGE_TRIAL
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        held = (Permission.READ_SUBJECTS, Permission.MANAGE_TRIAL)
        return any(person(request).may(permission) for permission in held)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.step_view)
        own = [path("<uuid:site_id>/step/<slug:step>/", view, name="trials_site_step")]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        place = self.get_object(request, object_id)
        if place is None:
            raise Http404
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            **_page(person(request), place),
            "title": place.code,
            "subtitle": None,
        }
        return TemplateResponse(request, "admin/vigil/site.html", context)

    def step_view(self, request: HttpRequest, site_id: UUID, step: str) -> HttpResponse:
        """Show one step's form, and take the step when it is sent."""
        place = self.get_queryset(request).filter(pk=site_id).first()
        if place is None or step not in SITE_FORMS:
            raise Http404
        if not may_at(person(request), Permission.MANAGE_TRIAL, place):
            raise PermissionDenied
        form = SITE_FORMS[step](request.POST or None, by=person(request), row=place)
        address = reverse("admin:trials_site_change", args=[place.pk])
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, f"{form.title}: recorded.")
            return redirect(address)
        return form_page(self, request, form, back=address, subtitle=place.code)


def _page(user: User, place: Site) -> dict[str, Any]:
    now = timezone.now()
    sets_up = may_at(user, Permission.MANAGE_TRIAL, place)
    reads = may_at(user, Permission.READ_SUBJECTS, place)
    changes = list(place.status_changes.select_related("recorded_by").order_by("recorded_at"))
    roles = RoleAssignment.objects.visible_to(user).filter(site=place)
    approvals = SiteApproval.objects.filter(site=place).select_related("protocol_version")
    return {
        "site": place,
        "tone": {"active": "success", "on_hold": "warning", "closed": "danger"}.get(place.status),
        "changes": changes,
        "corrections": place.corrections.select_related("recorded_by"),
        "to_come": [] if place.status == "closed" else _to_come(place.status),
        "steps": [
            {"step": step, "title": form.title, "icon": form.icon}
            for step, form in SITE_FORMS.items()
            if sets_up and (step == "correct" or place.status in TRANSITIONS[step])
        ],
        "people": [
            {"row": row, "state": state_of(row, now)}
            for row in roles.select_related("user", "given_by").order_by("role", "starts_at")
        ],
        "delegates": may_at(user, Permission.DELEGATE, place)
        or any(held.trial_id == place.trial_id for held in user.may(Permission.MANAGE_PEOPLE)),
        "approvals": approvals,
        "versions": SiteVersion.objects.filter(site=place).select_related("protocol_version"),
        "withdrawn_starts": SiteVersion.with_withdrawn.filter(site=place)
        .exclude(withdrawn_at=None)
        .select_related("protocol_version", "withdrawn_by"),
        "subjects_here": Subject.objects.filter(site=place).count() if reads else None,
        "local_now": place.local_day(now),
    }


def _to_come(status: str) -> list[str]:
    return ["Active", "Closed"] if status == "planned" else ["Closed"]
