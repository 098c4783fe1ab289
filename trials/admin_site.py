"""The web admin as a site of its own: who may enter, and what its menu shows to whom.

Nothing is registered here that is not ours: token secrets, groups and Django's rights have no page.
"""

from typing import Any, cast

from allauth.account.adapter import get_adapter
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, reverse
from unfold.sites import UnfoldAdminSite

from trials.models import Site, User
from trials.permissions import Permission


def person(request: HttpRequest) -> User:
    """Return who is logged in, on pages that let nobody else in."""
    return cast("User", request.user)


def may_enter(user: Any) -> bool:
    """Return whether this is an active person with a role in force; Django's flags do not count."""
    return bool(
        user.is_authenticated and user.is_active and not user.is_machine and user.assignments
    )


def may_at(user: User, permission: Permission, site: Site) -> bool:
    """Return whether a user holds a permission at a site."""
    return any(
        held.trial_id == site.trial_id and held.site_id in (None, site.pk)
        for held in user.may(permission)
    )


class VigilSite(UnfoldAdminSite):
    index_title = "Trial"

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Answer with the one door of people: no way here leads past the second factor."""
        from trials.log_in.views import LogInPage

        return LogInPage.as_view()(request)

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """End the session, when asked by a form of ours."""
        if request.method == "POST":
            get_adapter(request).logout(request)
        shown = self.each_context(request)
        return TemplateResponse(request, "admin/vigil/logged_out.html", shown)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return redirect("account_change_password")

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return nothing to a stranger at the log-in page, who holds no role to ask about."""
        return super().get_app_list(request, app_label) if may_enter(request.user) else []

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return Unfold's addresses without the one that answers about any row of any table."""
        dropped = {"view_on_site", "password_change_done"}
        return [url for url in super().get_urls() if getattr(url, "name", "") not in dropped]

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> Any:
        return redirect("admin:index")

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        raise Http404


site = VigilSite(name="admin")


MENU: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Subjects",
        (
            ("patients.subject", "group", "Subjects"),
            ("patients.screening", "fact_check", "Screenings"),
            ("patients.visit", "event_available", "Visits"),
            ("patients.labresult", "labs", "Laboratory"),
            ("patients.adverseevent", "warning", "Adverse events"),
            ("patients.responseassessment", "monitoring", "Responses"),
        ),
    ),
    (
        "Study drug",
        (
            ("dosing.dosedecision", "tune", "Dose decisions"),
            ("dosing.dispensation", "medication", "Dispensations"),
            ("dosing.kit", "inventory_2", "Kits"),
            ("dosing.kitnumberdraw", "pin", "Kit numbers"),
            ("dosing.pregnancytest", "pregnancy", "Pregnancy tests"),
        ),
    ),
    (
        "Randomisation",
        (
            ("trials.randomisationlist", "list_alt_check", "Randomisation lists"),
            ("trials.allocation", "casino", "Randomisation log"),
        ),
    ),
    (
        "Oversight",
        (
            ("reporting.safetysummary", "summarize", "Safety summaries"),
            ("reporting.notice", "notifications", "Notices"),
            ("events.outboxevent", "history", "Event log"),
        ),
    ),
    (
        "The blind",
        (
            ("patients.unblinding", "lock_open", "Unblindings"),
            ("trials.unblindingrequest", "group_add", "Unblinding requests"),
            ("admin:contingency_sheets", "drafts", "Contingency sheets"),
            ("trials.sealedaccess", "visibility_lock", "Looks behind the blind"),
            ("trials.refusedlook", "block", "Refused attempts to look"),
        ),
    ),
    (
        "People",
        (
            ("trials.oncall", "support_agent", "On call"),
            ("trials.roleassignment", "badge", "Delegation log"),
            ("trials.training", "school", "Trainings"),
            ("trials.user", "person", "People and log-ins"),
            ("trials.loginrecord", "login", "Log-ins"),
            ("trials.accessreview", "manage_search", "Access reviews"),
            ("trials.leaver", "person_off", "Leavers"),
            ("admin:who_may_do_what", "rule", "Who may do what"),
        ),
    ),
    (
        "Administration",
        (
            ("trials.site", "home_health", "Sites"),
            ("trials.protocolversion", "description", "Protocol versions"),
            ("trials.machineclient", "key", "Clients of programs"),
            ("events.delivery", "outbox", "Deliveries"),
            ("reporting.noticemail", "mail", "E-mails"),
            ("django_celery_beat.periodictask", "schedule", "Schedules"),
        ),
    ),
)


# Who may open a page that is no list; where nobody is named, everybody who gets in.
PAGES: dict[str, tuple[Permission, ...]] = {
    "admin:contingency_sheets": (Permission.PRINT_CONTINGENCY, Permission.CONFIRM_UNBLINDING),
}


def may_open(request: HttpRequest, page: str) -> bool:
    """Return whether the user may open a page that is no list."""
    needed = PAGES.get(page)
    return needed is None or any(person(request).may(permission) for permission in needed)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu: what is registered and the user may look at."""
    admins = {model._meta.label_lower: admin for model, admin in site._registry.items()}
    home = {"title": "Trial overview", "icon": "space_dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"title": "", "items": [home]}]
    for title, entries in MENU:
        items = [
            {"title": name, "icon": icon, "link": _address(label)}
            for label, icon, name in entries
            if (label.startswith("admin:") and may_open(request, label))
            or (label in admins and admins[label].has_module_permission(request))
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def own_menu(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what stands under one's own name."""
    return [
        {"title": "Security", "link": reverse("mfa_index")},
        {"title": "My programs", "link": reverse("admin:trials_machineclient_changelist")},
    ]


def stylesheet(request: HttpRequest) -> str:
    return static("vigil/vigil.css")


def mark(request: HttpRequest) -> str:
    return static("vigil/mark.svg")


def _address(label: str) -> str:
    if label.startswith("admin:"):
        return reverse(label)
    return reverse(f"admin:{label.replace('.', '_')}_changelist")
