"""Looks behind the blind, and attempts that were refused."""

from django.contrib import admin

from events.admin import ReadOnlyAdmin
from trials.admin_site import site
from trials.models import RefusedLook, SealedAccess
from trials.permissions import Permission


@admin.register(SealedAccess, site=site)
class SealedAccessAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_ACCESS_LOG
    list_display = ("opened_at", "person", "role", "purpose", "subject_number", "detail", "trial")
    fields = ("opened_at", "person", "role", "purpose", "subject_number", "detail", "trial")
    search_fields = ("subject_number", "person__username")
    list_filter = ("purpose",)
    list_select_related = ("person", "trial")
    ordering = ("-opened_at",)


@admin.register(RefusedLook, site=site)
class RefusedLookAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_ACCESS_LOG
    list_display = ("refused_at", "person", "purpose", "subject_number", "reason", "trial")
    fields = ("refused_at", "person", "purpose", "subject_number", "reason", "trial")
    list_filter = ("purpose", "reason")
    list_select_related = ("person", "trial")
    search_fields = ("subject_number", "person__username")
    ordering = ("-refused_at",)
