"""Looks behind the blind."""

from django.contrib import admin

from events.admin import ReadOnlyAdmin
from trials.admin_site import site
from trials.models import SealedAccess
from trials.permissions import Permission


@admin.register(SealedAccess, site=site)
class SealedAccessAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_ACCESS_LOG
    list_display = ("opened_at", "person", "role", "purpose", "detail", "trial")
    list_filter = ("purpose",)
    list_select_related = ("person", "trial")
    ordering = ("-opened_at",)
