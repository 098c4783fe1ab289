"""Sites of a trial."""

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from trials.admin_site import person, site
from trials.models import Site
from trials.permissions import Permission


@admin.register(Site, site=site)
class SiteAdmin(ReadOnlyAdmin):
    """Sites where the user reads subjects, and all of a trial's for whoever sets it up."""

    read_permission = Permission.READ_SUBJECTS
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

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        held = (Permission.READ_SUBJECTS, Permission.MANAGE_TRIAL)
        return any(person(request).may(permission) for permission in held)
