"""Sites, protocol versions, roles, the event log and its deliveries: to look at."""

import json
from typing import Any, ClassVar

import structlog
from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.models import Delivery, OutboxEvent
from events.relay import replay
from trials.admin_site import person, site
from trials.models import ProtocolVersion, RoleAssignment, SealedAccess, Site, Trial, User
from trials.permissions import Permission


log = structlog.get_logger(__name__)


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


@admin.register(SealedAccess, site=site)
class SealedAccessAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_ACCESS_LOG
    list_display = ("opened_at", "person", "role", "purpose", "detail", "trial")
    list_filter = ("purpose",)
    list_select_related = ("person", "trial")
    ordering = ("-opened_at",)


@admin.register(OutboxEvent, site=site)
class EventAdmin(ReadOnlyAdmin):
    """The log as it is chained: who reads the history of one site sees that site's events."""

    read_permission = Permission.READ_HISTORY
    list_display = ("seq", "type", "stream", "occurred_at", "recorded_at", "actor", "short_digest")
    list_display_links = ("seq", "type")
    list_filter = ("stream", "type")
    list_select_related = ("link",)
    search_fields = ("type", "actor")
    ordering = ("-id",)
    fields = (
        "seq",
        "type",
        "stream",
        "occurred_at",
        "recorded_at",
        "actor",
        "request_id",
        "caused_by",
        "facts",
        "digest",
        "previous",
    )
    readonly_fields = ("seq", "facts", "digest", "previous")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        rows: QuerySet[OutboxEvent] = OutboxEvent.objects.all()
        return rows.filter(_readable(person(request)))

    @display(description="No.", ordering="link__seq", empty_value="not yet chained")
    def seq(self, row: OutboxEvent) -> int | None:
        return row.link.seq if hasattr(row, "link") else None

    @display(description="Digest")
    def short_digest(self, row: OutboxEvent) -> str | None:
        return row.link.digest[:12] if hasattr(row, "link") else None

    @display(description="Digest")
    def digest(self, row: OutboxEvent) -> str | None:
        return row.link.digest if hasattr(row, "link") else None

    @display(description="Digest before it")
    def previous(self, row: OutboxEvent) -> str | None:
        return row.link.previous if hasattr(row, "link") else None

    @display(description="Payload")
    def facts(self, row: OutboxEvent) -> str:
        return json.dumps(row.payload, indent=2, sort_keys=True)


def _readable(user: User) -> Q:
    readable = Q(pk__in=[])
    for held in user.may(Permission.READ_HISTORY):
        here = Q(stream=held.trial.code)
        readable |= here if held.site_id is None else here & Q(payload__site_id=str(held.site_id))
    return readable


class DeliveryState(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Dead")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        if self.value() == "delivered":
            return rows.exclude(delivered_at=None)
        return {"waiting": rows.waiting, "dead": rows.dead}.get(self.value() or "", rows.all)()


@admin.register(Delivery, site=site)
class DeliveryAdmin(ReadOnlyAdmin):
    read_permission = Permission.MANAGE_DELIVERIES
    list_display = ("event", "subscriber", "state", "attempts", "due_at", "last_error")
    list_filter = (DeliveryState, "subscriber")
    list_select_related = ("event",)
    ordering = ("-id",)
    actions: ClassVar[Any] = ("replay_dead",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        held = person(request).may(Permission.MANAGE_DELIVERIES)
        return Delivery.objects.filter(event__stream__in={row.trial.code for row in held})

    @display(
        description="State", label={"dead": "danger", "waiting": "warning", "delivered": "success"}
    )
    def state(self, row: Delivery) -> str:
        if row.dead_at is not None:
            return "dead"
        return "waiting" if row.delivered_at is None else "delivered"

    @admin.action(description="Replay dead deliveries")
    def replay_dead(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        count = replay(list(rows), at=timezone.now())
        log.info("delivery.replayed", count=count, actor=person(request).username)
        messages.success(request, f"{count} dead deliveries start again; others are left alone.")


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
