"""What runs by the clock."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.models import PeriodicTask

from events.admin import ReadOnlyAdmin
from trials.admin_site import site
from trials.permissions import Permission


@admin.register(PeriodicTask, site=site)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """What runs by the clock; for those who set trials up."""

    read_permission = Permission.MANAGE_TRIAL
    list_display = ("name", "task", "enabled", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "solar", "clocked")
    fields = ("name", "task", "interval", "crontab", "enabled", "last_run_at", "total_run_count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        rows: QuerySet[PeriodicTask] = PeriodicTask.objects.all()
        return rows
