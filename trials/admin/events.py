"""The deliveries of events. The log itself is in ``patients.admin``: whose is a subject's event?"""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from events.models import Delivery
from trials.admin_site import person, site
from trials.permissions import Permission
from trials.services.deliveries import deliveries_of, replay_dead


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
        return deliveries_of(person(request))

    @display(
        description="State", label={"dead": "danger", "waiting": "warning", "delivered": "success"}
    )
    def state(self, row: Delivery) -> str:
        if row.dead_at is not None:
            return "dead"
        return "waiting" if row.delivered_at is None else "delivered"

    @admin.action(description="Replay dead deliveries")
    def replay_dead(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        count = replay_dead(rows, by=person(request), at=timezone.now())
        messages.success(request, f"{count} dead deliveries start again; others are left alone.")
