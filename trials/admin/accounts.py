"""Accounts of people, what happened to their log-ins, and the clients of site systems."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import display

from trials.admin.account_forms import (
    ABOUT_CLIENT,
    ABOUT_PERSON,
    AddPersonForm,
    EndAddressLockForm,
    GiveClientForm,
    OwnClientForm,
    SecretForm,
)
from trials.admin.acting import ActingAdmin
from trials.admin_forms import ServiceForm, form_page, send
from trials.admin_proof import SHOWN, ProofForm
from trials.admin_site import person, site
from trials.models import LogInRecord, MachineClient, RoleAssignment, User
from trials.models.accounts import READERS, Kind
from trials.models.people import whole_trials
from trials.permissions import Permission
from trials.queries import Standing, standing_of
from trials.services.log_ins import address_lock_ends


TONES = dict.fromkeys(Kind.values, "info") | {
    "logged_in": "success",
    "failed": "warning",
    "refused": "danger",
    "locked": "danger",
    "address_locked": "danger",
    "factor_removed": "warning",
    "password_given": "warning",
}


class FormsAdmin(ActingAdmin):
    """Pages whose forms call services, one of which may make a secret that is shown once."""

    added: ClassVar[str]

    @method_decorator(sensitive_post_parameters(*SHOWN))
    def answer(
        self,
        request: HttpRequest,
        form: ServiceForm,
        *,
        back: str = "",
        done: str = "",
        **context: Any,
    ) -> HttpResponse:
        """Return the form's page, or what follows when its service was called."""
        back = back or self.back(request, form)
        ready = form.is_valid() and (not isinstance(form, ProofForm) or form.proves())
        if not ready or send(form, request, at=timezone.now()) is None:
            return form_page(self, request, form, back=back, **context)
        if isinstance(form, SecretForm) and form.secret:
            shown = {**self.admin_site.each_context(request), "form": form, "back": back}
            page = TemplateResponse(request, "admin/vigil/secret.html", shown)
            page["Cache-Control"] = "no-store"
            return page
        messages.success(request, done or self.added)
        return redirect(back)


@admin.register(User, site=site)
class AccountAdmin(FormsAdmin):
    read_permission = Permission.READ_PEOPLE
    add_form, added = AddPersonForm, "The account is made."
    adders = (Permission.MANAGE_PEOPLE,)
    list_display = ("username", "name", "kind", "state", "factor", "last_login")
    list_filter = ("is_machine", "is_active")
    search_fields = ("username", "last_name")
    ordering = ("username",)

    @display(description="Name")
    def name(self, row: User) -> str:
        return row.get_full_name() or "–"

    @display(description="Kind")
    def kind(self, row: User) -> str:
        return "site system" if row.is_machine else "person"

    @display(
        description="Log-in", label={"open": "success", "locked": "danger", "switched off": "info"}
    )
    def state(self, row: Any) -> str:
        return str(row.standing.state)

    @display(description="Second factor")
    def factor(self, row: Any) -> str:
        return ", ".join(row.standing.factors) or "–"

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read how the page's accounts stand all at once, whatever their number."""
        found = super().get_changelist_instance(request)
        standing = standing_of(found.result_list, at=timezone.now())
        for row in found.result_list:
            row.standing = standing[row.pk]
        return found

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.form_view)
        return [
            path("<int:pk>/forms/<slug:what>/", view, name="trials_user_form"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        standing = standing_of([row], at=timezone.now())[row.pk]
        context = {
            **self.admin_site.each_context(request),
            "title": row.username,
            "account": row,
            "state": standing.state,
            "factors": standing.factors,
            "roles": self._roles(request, row),
            "bound": standing.signs_on,
            "records": LogInRecord.objects.filter(person=row).order_by("-pk")[:20],
            "forms": self._forms(request, row, standing),
        }
        return TemplateResponse(request, "admin/vigil/account.html", context)

    def form_view(self, request: HttpRequest, pk: int, what: str) -> Any:
        row = self.get_object(request, str(pk))
        form_class = ABOUT_PERSON.get(what)
        if row is None or form_class is None:
            raise Http404
        if not person(request).may(form_class.permission):
            raise PermissionDenied
        form = form_class(request.POST or None, person=row, by=person(request))
        back = reverse("admin:trials_user_change", args=[row.pk])
        return self.answer(request, form, back=back, done="It is done, and recorded.")

    def _roles(self, request: HttpRequest, row: User) -> QuerySet[RoleAssignment]:
        """Return the roles in force of those that the reader may see."""
        seen = RoleAssignment.objects.where(person(request), self.read_permission)
        held = seen.in_force(timezone.now()).filter(user=row)
        return held.select_related("trial", "site")

    def _forms(self, request: HttpRequest, row: User, standing: Standing) -> list[dict[str, str]]:
        if row.is_machine or not person(request).may(Permission.MANAGE_PEOPLE):
            return []
        offered = {
            "password": True,
            "lock": standing.state == "locked",
            "switch-on": not row.is_active,
            "factors": bool(standing.factors),
            "sign-on": settings.OIDC_PROVIDER_ON,
        }
        return [
            {
                "title": form.title,
                "icon": form.icon,
                "address": reverse("admin:trials_user_form", args=[row.pk, what]),
            }
            for what, form in ABOUT_PERSON.items()
            if offered[what]
        ]


@admin.register(LogInRecord, site=site)
class LogInAdmin(FormsAdmin):
    """What happened to log-ins. What is added to it by hand is the end of an address's lock."""

    list_before_template = "admin/vigil/log_ins_before.html"
    read_permission = Permission.READ_PEOPLE
    add_form, added = EndAddressLockForm, "The lock is ended, and that is recorded."
    adders = (Permission.MANAGE_PEOPLE,)
    list_display = ("at", "who", "what", "method", "browser", "address", "by", "reason")
    list_filter = ("kind", "method")
    search_fields = ("person__username",)
    list_select_related = ("person", "by")
    list_display_links = None
    ordering = ("-at", "-pk")

    @display(description="Person")
    def who(self, row: LogInRecord) -> str:
        if row.person is None:
            return "a name nobody has" if row.name_key else "–"
        return row.person.username

    @display(description="Browser")
    def browser(self, row: LogInRecord) -> str:
        return "known" if row.known_browser else "–"

    @display(description="What", label=TONES)
    def what(self, row: LogInRecord) -> tuple[str, str]:
        return row.kind, row.get_kind_display()

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return any(person(request).may(permission) for permission in READERS)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        everywhere = whole_trials(person(request), *READERS)
        locked = address_lock_ends(at=timezone.now()) if everywhere else {}
        return super().changelist_view(request, {"locked": locked, **(extra_context or {})})


@admin.register(MachineClient, site=site)
class MachineClientAdmin(FormsAdmin):
    """Clients of sites' systems for whoever manages them; for everybody those of their own."""

    list_before_template = "admin/vigil/clients_before.html"
    read_permission = Permission.MANAGE_CLIENTS
    add_form, added = GiveClientForm, "The client is given."
    adders = (Permission.MANAGE_CLIENTS,)
    list_display = ("name", "user", "what_for", "expires_on", "state", "last_used")
    list_select_related = ("user", "trial", "application")
    search_fields = ("name", "user__username")
    ordering = ("-given_at",)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True  # of what they see: their own

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(person(request).may(self.read_permission))  # the menu; others: under their name

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        manages = self.has_add_permission(request)
        title = "Clients of programs" if manages else "Programs of your own"
        context = {"manages": manages, "title": title, **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MachineClient]:
        return MachineClient.objects.visible_to(person(request)).with_last_use()

    @display(description="Scopes")
    def what_for(self, row: MachineClient) -> str:
        return ", ".join(row.scopes)

    @display(description="State", label={"holds": "success", "ended": "info", "expired": "danger"})
    def state(self, row: MachineClient) -> str:
        if row.ended_at:
            return "ended"
        return "expired" if row.why_not(timezone.now()) else "holds"

    @display(description="Last token", empty_value="never")
    def last_used(self, row: MachineClient) -> str | None:
        used: datetime | None = getattr(row, "last_used_at", None)  # the queryset's own column
        return f"{used:%Y-%m-%d %H:%M}" if used else None

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "trials_machineclient"
        own = [
            path("own/", view(self.own_view), name=f"{name}_own"),
            path("<uuid:pk>/forms/<slug:what>/", view(self.form_view), name=f"{name}_form"),
        ]
        return [*own, *super().get_urls()]

    def own_view(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request, OwnClientForm(request.POST or None, by=person(request)))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        forms = [] if row.ended_at else ABOUT_CLIENT.items()
        context = {
            **self.admin_site.each_context(request),
            "title": row.name,
            "client": row,
            "state": self.state(row),
            "forms": [
                {
                    "title": form.title,
                    "icon": form.icon,
                    "address": reverse("admin:trials_machineclient_form", args=[row.pk, what]),
                }
                for what, form in forms
            ],
        }
        return TemplateResponse(request, "admin/vigil/client.html", context)

    def form_view(self, request: HttpRequest, pk: UUID, what: str) -> Any:
        row = self.get_object(request, str(pk))
        form_class = ABOUT_CLIENT.get(what)
        if row is None or form_class is None:
            raise Http404
        form = form_class(request.POST or None, client=row, by=person(request))
        back = reverse("admin:trials_machineclient_change", args=[row.pk])
        return self.answer(request, form, back=back, done="The client has ended.")
