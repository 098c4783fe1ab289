"""Who may do what, where, from when until when: the delegation log, trainings and leavers."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display

from trials.admin.acting import ActingAdmin, RowForm
from trials.admin.files import csv_file
from trials.admin_forms import DayField, ServiceForm, offer_trials
from trials.admin_site import may_at, person, site
from trials.models import Leaver, RoleAssignment, Site, Training, Trial
from trials.permissions import (
    AT_ONE_SITE,
    AT_ONE_SITE_OR_ALL,
    DELEGABLE,
    GROUPS,
    TABLE,
    Permission,
    Role,
    kind_of,
)
from trials.services.people import (
    deactivate_person,
    end_role,
    give_role,
    person_named,
    record_training,
)


FIELD_OF = {
    "person_unknown": "person",
    "role_needs_site": "site",
    "role_has_no_site": "site",
    "starts_in_past": "starts_on",
    "ends_before_start": "ends_on",
    "not_trained": "person",
    "training_after_start": "starts_on",
    "training_recorded": "document",
    "log_in_off": "person",
    "own_role": "person",
    "role_held": "role",
    "blinded_and_unblinded": "role",
    "reason_missing": "reason",
}


class PersonForm(ServiceForm):
    """A form about somebody who is named by their log-in name: no list shows all there are."""

    field_of = FIELD_OF

    trial = forms.ModelChoiceField(Trial.objects.none())
    person = forms.CharField(max_length=150, label="Log-in name")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        offer_trials(self, Trial.objects.visible_to(self.by))

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        found["user"] = person_named(found.pop("person"))
        found["trial_id"] = found.pop("trial").pk
        return found


class TrainingForm(PersonForm):
    title, icon = "Training", "school"
    service = staticmethod(record_training)
    note = "A training comes before any role: nobody is given access on a promise."

    document = forms.CharField(max_length=120, help_text="As in: Protocol, or Handling of kits")
    version = forms.CharField(max_length=20)
    completed_on = DayField(label="Completed on")


class RoleForm(PersonForm):
    title, icon, submit = "Role", "badge", "Give role"
    service = staticmethod(give_role)
    note = (
        "A line of the delegation log. It is never changed: it can be ended, and whoever works on "
        "gets a new line."
    )

    role = forms.ChoiceField(
        choices=[(role.value, role.label) for role in Role if not kind_of(role).for_machine]
    )
    site = forms.ModelChoiceField(
        Site.objects.none(), required=False, empty_label="The whole trial",
        help_text="A site's staff need one",
    )  # fmt: skip
    starts_on = DayField(label="From", required=False, help_text="Empty is now")
    ends_on = DayField(
        label="Until", required=False, help_text="The last day that counts; empty is open"
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        manages = bool(self.by.may(Permission.MANAGE_PEOPLE))
        permission = Permission.MANAGE_PEOPLE if manages else Permission.DELEGATE
        field: Any = self.fields["site"]
        field.queryset = Site.objects.visible_to(self.by, permission).order_by("code")
        if not manages:
            role: Any = self.fields["role"]
            role.choices = [("", "Choose…"), *((r.value, r.label) for r in Role if r in DELEGABLE)]
            field.initial = field.queryset.first()


class EndRoleForm(RowForm):
    title, icon, submit = "End of a role", "event_busy", "End role now"
    field_of = FIELD_OF
    note = "Access ends at once, in every open session too. The line stays in the log."

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def act(self, *, at: datetime) -> RoleAssignment:
        return end_role(role_id=self.row.pk, by=self.by, at=at, **self.arguments())


class LeaverForm(PersonForm):
    title, icon, submit = "Somebody has left", "person_off", "Switch log-in off"
    note = "Switches the log-in off and ends every role at once."

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        del found["trial_id"]
        return found

    service = staticmethod(deactivate_person)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in_force", "In force"), ("to_come", "To come"), ("over", "Over")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        now = timezone.now()
        wanted = {
            "in_force": Q(starts_at__lte=now) & (Q(ends_at=None) | Q(ends_at__gt=now)),
            "to_come": Q(starts_at__gt=now),
            "over": Q(ends_at__lte=now),
        }
        chosen = wanted.get(self.value() or "")
        return rows.filter(chosen) if chosen is not None else rows


@admin.register(RoleAssignment, site=site)
class RoleAssignmentAdmin(ActingAdmin):
    """The delegation log of the trial, or of the investigator's own site."""

    read_permission = Permission.READ_PEOPLE
    add_form, row_form = RoleForm, EndRoleForm
    adders = (Permission.MANAGE_PEOPLE, Permission.DELEGATE)
    list_display = ("user", "role", "place", "starts_at", "ends_at", "given_by", "state")
    list_filter = (StateFilter, "role")
    search_fields = ("user__username",)
    list_select_related = ("user", "trial", "site", "given_by")
    ordering = ("user__username", "role")
    list_before_template = "admin/vigil/roles_before.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        held = (Permission.READ_PEOPLE, Permission.DELEGATE)
        return any(person(request).may(permission) for permission in held)

    def can_act(self, request: HttpRequest, row: RoleAssignment) -> bool:
        if row.ends_at is not None and row.ends_at <= timezone.now():
            return False
        by = person(request)
        if any(held.trial_id == row.trial_id for held in by.may(Permission.MANAGE_PEOPLE)):
            return True
        at_own_site = row.site is not None and may_at(by, Permission.DELEGATE, row.site)
        return at_own_site and Role(row.role) in DELEGABLE

    @display(description="Site", ordering="site__code", empty_value="all sites")
    def place(self, row: RoleAssignment) -> str | None:
        return row.site.code if row.site else None

    @display(
        description="State",
        label={"in force": "success", "to come": "info", "ended early": "warning"},
    )
    def state(self, row: RoleAssignment) -> str:
        return state_of(row, timezone.now())

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        sites = Site.objects.filter(pk__in=self.get_queryset(request).values("site"))
        more = {"sites": sites.select_related("trial").order_by("code")}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("table/", view(self.table_view), name="who_may_do_what"),
            path("site/<uuid:site_id>/", view(self.log_view), name="delegation_log"),
            path("site/<uuid:site_id>/csv/", view(self.csv_view), name="delegation_log_csv"),
        ]
        return [*own, *super().get_urls()]

    def table_view(self, request: HttpRequest) -> HttpResponse:
        """Show the table of permissions as it is in the code, to everybody who gets in."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Who may do what",
            "subtitle": None,
            "roles": [
                {"role": role, "place": place_of(role), "own": role in _own(request)}
                for role in Role
            ],
            "groups": [
                {
                    "title": title,
                    "rows": [
                        {"permission": p, "held": [p in TABLE[role] for role in Role]}
                        for p in permissions
                    ],
                }
                for title, permissions in GROUPS.items()
            ],
        }
        return TemplateResponse(request, "admin/vigil/permissions.html", context)

    def log_view(self, request: HttpRequest, site_id: Any) -> HttpResponse:
        """Show one site's delegation log, to be read and printed."""
        place, rows = self._log(request, site_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delegation log {place.code}",
            "subtitle": None,
            "site": place,
            "printed_at": timezone.now(),
            "lines": rows,
        }
        return TemplateResponse(request, "admin/vigil/delegation_log.html", context)

    def csv_view(self, request: HttpRequest, site_id: Any) -> HttpResponse:
        place, rows = self._log(request, site_id)
        name = f"delegation-log-{place.trial.code}-{place.code}"
        return csv_file(name, LOG_COLUMNS, (_csv_line(line) for line in rows))

    def _log(self, request: HttpRequest, site_id: Any) -> tuple[Site, list[dict[str, Any]]]:
        if not self.has_view_permission(request):
            raise Http404
        rows = self.get_queryset(request).filter(site=site_id)
        place = Site.objects.known_to(person(request)).filter(pk=site_id).first()
        if place is None or not rows.exists():
            raise Http404
        people = rows.select_related("user", "given_by", "ended_by").order_by("starts_at", "pk")
        trained: dict[int, list[Training]] = {}
        for training in Training.objects.filter(trial=place.trial_id, user__in=rows.values("user")):
            trained.setdefault(training.user_id, []).append(training)
        now = timezone.now()
        return place, [
            {
                "row": row,
                "trainings": trained.get(row.user_id, []),
                "may": sorted(p.value for p in TABLE[Role(row.role)]),
                "state": state_of(row, now),
            }
            for row in people
        ]


LOG_COLUMNS = (
    "person", "name", "role", "from", "until", "state", "given by", "given at", "ended by",
    "ended at", "reason of the end", "trainings",
)  # fmt: skip


def _csv_line(line: dict[str, Any]) -> list[Any]:
    row: RoleAssignment = line["row"]
    return [
        row.user.username,
        row.user.get_full_name(),
        Role(row.role).label,
        _instant(row.starts_at),
        _instant(row.ends_at),
        line["state"],
        row.given_by or "",
        _instant(row.given_at),
        row.ended_by or "",
        _instant(row.ended_at),
        row.end_reason,
        "; ".join(str(training) for training in line["trainings"]),
    ]


def _instant(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds") if at else ""


def state_of(row: RoleAssignment, now: datetime) -> str:
    if row.starts_at > now and row.ended_at is None:
        return "to come"
    if row.ends_at is None or row.ends_at > now:
        return "in force"
    return "ended early" if row.ended_at else "over"


def place_of(role: Role) -> str:
    if role in AT_ONE_SITE:
        return "at one site"
    return "at one site or all" if role in AT_ONE_SITE_OR_ALL else "whole trial"


def _own(request: HttpRequest) -> set[str]:
    return {held.role for held in person(request).assignments}


@admin.register(Training, site=site)
class TrainingAdmin(ActingAdmin):
    """Trainings of the people the user may see."""

    add_form = TrainingForm
    adders = (Permission.MANAGE_PEOPLE, Permission.DELEGATE)
    list_display = ("user", "document", "version", "completed_on", "recorded_by", "recorded_at")
    list_filter = ("document",)
    search_fields = ("user__username", "document")
    list_select_related = ("user", "recorded_by")
    ordering = ("user__username", "completed_on")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        held = (Permission.READ_PEOPLE, Permission.DELEGATE)
        return any(person(request).may(permission) for permission in held)


@admin.register(Leaver, site=site)
class LeaverAdmin(ActingAdmin):
    """Log-ins that were switched off."""

    read_permission = Permission.READ_PEOPLE
    add_form = LeaverForm
    adders = (Permission.MANAGE_PEOPLE,)
    list_display = ("user", "reason", "recorded_by", "recorded_at")
    list_select_related = ("user", "recorded_by")
    ordering = ("-recorded_at",)
