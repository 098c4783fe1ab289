"""The event log and its deliveries."""

import json
from typing import Any, ClassVar

import structlog
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.models import Delivery, OutboxEvent
from events.relay import replay
from trials.admin_site import person, site
from trials.models import User
from trials.permissions import Permission


log = structlog.get_logger(__name__)


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
