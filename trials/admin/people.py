"""Who may do what, and where."""

from django.contrib import admin
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from trials.admin_site import site
from trials.models import RoleAssignment
from trials.permissions import Permission


@admin.register(RoleAssignment, site=site)
class RoleAssignmentAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_PEOPLE
    list_display = ("user", "role", "trial", "place", "starts_at", "ends_at")
    list_filter = ("role",)
    search_fields = ("user__username",)
    list_select_related = ("user", "trial", "site")
    ordering = ("user__username", "role")

    @display(description="Site", ordering="site__code", empty_value="all sites")
    def place(self, row: RoleAssignment) -> str | None:
        return row.site.code if row.site else None
