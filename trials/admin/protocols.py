"""Protocol versions."""

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from trials.admin_site import person, site
from trials.models import ProtocolVersion, Trial
from trials.permissions import Permission


@admin.register(ProtocolVersion, site=site)
class ProtocolVersionAdmin(ReadOnlyAdmin):
    """Every protocol file in force once, for those who read its trial's subjects or set it up."""

    read_permission = Permission.READ_HISTORY  # it tells the block size
    list_display = ("trial", "version", "activated_at", "activated_by", "short_digest")
    list_select_related = ("trial", "activated_by")
    fields = ("trial", "version", "activated_at", "activated_by", "digest", "file")
    readonly_fields = ("file",)

    @display(description="Digest")
    def short_digest(self, row: ProtocolVersion) -> str:
        return row.digest[:12]

    @display(description="Protocol file")
    def file(self, row: ProtocolVersion) -> str:
        return row.text

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProtocolVersion]:
        return ProtocolVersion.objects.filter(trial__in=Trial.objects.visible_to(person(request)))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        held = (Permission.READ_HISTORY, Permission.MANAGE_TRIAL)
        return any(person(request).may(permission) for permission in held)
