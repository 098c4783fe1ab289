"""Protocol versions in the web admin: where each is in force, and its way to the sites."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from reporting.impact import LABELS
from reporting.services.amendments import Impact, activate_version, approved_sites, impact_of
from trials.admin.protocol_forms import StartForm, SubmitForm
from trials.admin_forms import REHEARSE, DayField, ServiceForm, form_page, send
from trials.admin_site import person, site
from trials.models import ProtocolVersion, Site, User
from trials.permissions import Permission
from trials.queries import at_sites, sites_to_come, trials_with_protocol
from trials.rules.protocol.amendment import by_section, changes
from trials.rules.protocol_check import predictability_of
from trials.services.amendments import record_approval
from trials.services.withdrawn_starts import withdraw_start


class ApprovalForm(ServiceForm):
    title, icon, submit = "Record an approval", "approval", "Record"
    permission = Permission.MANAGE_TRIAL
    note = "The committee's or authority's approval of this version for one site."
    field_of = {"future_day": "approved_on", "reference_missing": "reference"}

    site = forms.ModelChoiceField(Site.objects.none(), label="Site")
    approved_on = DayField(label="Approved on")
    reference = forms.CharField(max_length=100, help_text="Of the letter, as in EC 12/2026")

    def __init__(self, *args: Any, version: ProtocolVersion, by: User, **options: Any) -> None:
        super().__init__(*args, by=by, **options)
        self.version = version
        open_ = version.trial.sites.exclude(approvals__protocol_version=version)
        open_ = open_.exclude(status=Site.Status.CLOSED).order_by("code")
        self.fields["site"].queryset = open_  # type: ignore[attr-defined]  # a choice of rows

    def act(self, *, at: datetime) -> Any:
        return record_approval(version=self.version, by=self.by, at=at, **self.arguments())


class WhereAndWhenForm(forms.Form):
    """At which sites and from which day: what the impact is asked for."""

    sites = forms.ModelMultipleChoiceField(
        Site.objects.none(), to_field_name="code", widget=forms.CheckboxSelectMultiple
    )
    in_force_from = DayField(label="In force from")

    def __init__(self, *args: Any, version: ProtocolVersion, **options: Any) -> None:
        super().__init__(*args, **options)
        ready = version.trial.sites.filter(pk__in=[place.pk for place in approved_sites(version)])
        self.fields["sites"].queryset = ready.order_by("code")  # type: ignore[attr-defined]


class ActivationForm(ServiceForm):
    """Sent from beneath the impact report, and names the report it stood beneath."""

    title, icon, submit = "Put in force", "rocket_launch", "Put in force"
    permission = Permission.MANAGE_TRIAL

    impact_digest = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(
        self,
        *args: Any,
        version: ProtocolVersion,
        sites: Sequence[Site],
        in_force_from: date,
        by: User,
        **options: Any,
    ) -> None:
        super().__init__(*args, by=by, **options)
        self.version, self.sites, self.day = version, sites, in_force_from

    def act(self, *, at: datetime) -> Any:
        return activate_version(
            version=self.version,
            sites=self.sites,
            in_force_from=self.day,
            impact_digest=self.cleaned_data["impact_digest"],
            by=self.by,
            at=at,
        )


class WithdrawalForm(ServiceForm):
    title, icon, submit = "Withdraw a start", "event_busy", "Withdraw"
    permission = Permission.MANAGE_TRIAL
    note = (
        "The version does not begin at these sites on that day: they go on with the one they run."
        " Its approvals stay, and it or another version can be put in force there from any day"
        " to come."
    )
    field_of = {
        "begun_already": "sites",
        "no_start": "sites",
        "only_version": "sites",
        "reason_missing": "reason",
    }

    sites = forms.ModelMultipleChoiceField(
        Site.objects.none(), to_field_name="code", widget=forms.CheckboxSelectMultiple
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def __init__(self, *args: Any, version: ProtocolVersion, by: User, **options: Any) -> None:
        super().__init__(*args, by=by, **options)
        self.version = version
        to_come = [place.pk for place in sites_to_come(version, at=timezone.now())]
        rows = version.trial.sites.filter(pk__in=to_come).order_by("code")
        self.fields["sites"].queryset = rows  # type: ignore[attr-defined]  # a choice of rows

    def act(self, *, at: datetime) -> Any:
        return withdraw_start(version=self.version, by=self.by, at=at, **self.arguments())


@admin.register(ProtocolVersion, site=site)
class ProtocolVersionAdmin(ReadOnlyAdmin):
    """Every version of a protocol, for those who read its history or set its trial up."""

    read_permission = Permission.READ_HISTORY  # it tells the block size
    list_before_template = "admin/vigil/versions_before.html"
    list_display = ("trial", "version", "state", "submitted_at", "submitted_by", "short_digest")
    list_display_links = ("trial", "version")
    list_select_related = ("trial", "submitted_by")
    ordering = ("-submitted_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = ProtocolVersion.objects.filter(trial__in=trials_with_protocol(person(request)))
        return rows.annotate(begun=Count("at_sites", filter=Q(at_sites__withdrawn_at=None)))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(trials_with_protocol(person(request)))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(person(request).may(Permission.MANAGE_TRIAL))

    @display(description="State", label={"submitted": "info", "activated": "success"})
    def state(self, row: Any) -> tuple[str, str]:
        if not row.begun:
            return "submitted", "Submitted"
        return "activated", f"Activated at {row.begun} site{'' if row.begun == 1 else 's'}"

    @display(description="Digest")
    def short_digest(self, row: ProtocolVersion) -> str:
        return row.digest[:12]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        may = self.has_add_permission(request)
        return super().changelist_view(request, {"may_start": may, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "trials_protocolversion"
        own = [
            path("another-trial/", view(self.start_view), name="trials_trial_start"),
            path("<uuid:pk>/since/<uuid:other>/", view(self.compare_view), name=f"{name}_compare"),
            path("<uuid:pk>/approval/", view(self.approval_view), name=f"{name}_approval"),
            path("<uuid:pk>/activation/", view(self.activation_view), name=f"{name}_activation"),
            path("<uuid:pk>/withdrawal/", view(self.withdrawal_view), name=f"{name}_withdrawal"),
        ]
        return [*own, *super().get_urls()]

    # --- Pages ----------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        version = self._version(request, object_id)
        rows = at_sites(version, at=timezone.now())
        others = version.trial.versions.exclude(pk=version.pk).order_by("submitted_at")
        return self._page(
            request,
            "admin/vigil/protocol_version.html",
            version,
            title=f"Protocol {version.version}",
            rows=rows,
            approved=sum(row.approved_on is not None for row in rows),
            begun=sum(row.in_force_from is not None and not row.scheduled for row in rows),
            scheduled=sum(row.scheduled for row in rows),
            others=others,
            modifications=version.protocol.dosing.modifications,
            form_version=version.protocol.consent,
            predictability=predictability_of(version.protocol),
        )

    def compare_view(self, request: HttpRequest, pk: UUID, other: UUID) -> HttpResponse:
        version, before = self._version(request, pk), self._version(request, other)
        if before.trial_id != version.trial_id:
            raise Http404
        return self._page(
            request,
            "admin/vigil/protocol_changes.html",
            version,
            title=f"From {before.version} to {version.version}",
            before=before,
            sections=by_section(changes(before.protocol, version.protocol)),
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        said = "The version is submitted. Record the sites' approvals next."
        return self._file_page(request, SubmitForm, said=said)

    def start_view(self, request: HttpRequest) -> HttpResponse:
        said = "The trial is there, and you administer it. Add people and sites next."
        return self._file_page(request, StartForm, said=said)

    def _file_page(
        self, request: HttpRequest, kind: type[SubmitForm | StartForm], *, said: str
    ) -> HttpResponse:
        """Take a protocol file: only check it, where that was asked, or act on it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = kind(request.POST or None, by=person(request))
        checked = None
        if form.is_valid():
            if REHEARSE in request.POST:
                checked = form.check()
            elif send(form, request, at=timezone.now()) is not None:
                messages.success(request, said)
                return redirect("admin:trials_protocolversion_changelist")
        back = reverse("admin:trials_protocolversion_changelist")
        return form_page(
            self, request, form, back=back, template="admin/vigil/protocol_file.html",
            checked=checked, sections=by_section(checked.changes) if checked else (),
        )  # fmt: skip

    def approval_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        version = self._to_manage(request, pk)
        form = ApprovalForm(request.POST or None, version=version, by=person(request))
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            place = form.cleaned_data["site"].code
            messages.success(request, f"The approval at {place} is recorded.")
            return redirect(_address(version))
        return form_page(
            self, request, form, back=_address(version), subtitle=f"of {version.version}"
        )

    def activation_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask where and when, show the impact, and only beneath it the button."""
        version = self._to_manage(request, pk)
        asked = WhereAndWhenForm(request.GET or None, version=version)
        if not asked.is_valid():
            return self._activation_page(request, version, asked)
        places = list(asked.cleaned_data["sites"])
        day = asked.cleaned_data["in_force_from"]
        form = ActivationForm(
            request.POST or None,
            version=version,
            sites=places,
            in_force_from=day,
            by=person(request),
        )
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            text = f"{version.version} is in force from {day} at {len(places)} sites."
            messages.success(request, text)
            return redirect(_address(version))
        impact = impact_of(version=version, sites=places, in_force_from=day, by=person(request))
        return self._activation_page(request, version, asked, form=form, impact=impact)

    def withdrawal_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        version = self._to_manage(request, pk)
        form = WithdrawalForm(
            request.POST or None,
            version=version,
            by=person(request),
            initial={"sites": request.GET.getlist("sites")},
        )
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            places = ", ".join(place.code for place in form.cleaned_data["sites"])
            text = f"The start of {version.version} is withdrawn: it does not begin at {places}."
            messages.success(request, text)
            return redirect(_address(version))
        facts = [("Trial", version.trial.code), ("Version", version.version)]
        return form_page(self, request, form, back=_address(version), facts=facts)

    def _activation_page(
        self,
        request: HttpRequest,
        version: ProtocolVersion,
        asked: WhereAndWhenForm,
        *,
        form: ActivationForm | None = None,
        impact: Impact | None = None,
    ) -> TemplateResponse:
        return self._page(
            request,
            "admin/vigil/activation.html",
            version,
            title=f"Put {version.version} in force",
            asked=asked,
            form=form,
            impact=impact,
            labels={effect.value: label for effect, label in LABELS.items()},
        )

    # --- Whose version --------------------------------------------------------------------------

    def _page(
        self, request: HttpRequest, template: str, version: ProtocolVersion, **context: Any
    ) -> TemplateResponse:
        manages = any(
            row.trial_id == version.trial_id for row in person(request).may(Permission.MANAGE_TRIAL)
        )
        common = {
            **self.admin_site.each_context(request),
            "subtitle": version.trial.code,
            "version": version,
            "manages": manages,
            "back": _address(version),
        }
        return TemplateResponse(request, template, {**common, **context})

    def _version(self, request: HttpRequest, pk: UUID | str) -> ProtocolVersion:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found: ProtocolVersion | None = self.get_object(request, str(pk))
        if found is None:
            raise Http404
        return found

    def _to_manage(self, request: HttpRequest, pk: UUID) -> ProtocolVersion:
        version = self._version(request, pk)
        held = person(request).may(Permission.MANAGE_TRIAL)
        if not any(row.trial_id == version.trial_id for row in held):
            raise PermissionDenied
        return version


def _address(version: ProtocolVersion) -> str:
    return reverse("admin:trials_protocolversion_change", args=[version.pk])
