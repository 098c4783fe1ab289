"""Delivering: each due delivery runs in one transaction with the mark that it is done."""

from datetime import datetime

import structlog
from django.db import transaction

from events.acting import as_system
from events.models import Delivery
from events.registry import subscriber


log = structlog.get_logger(__name__)


def deliver_next(*, at: datetime) -> bool:
    """Run one due delivery; return whether there was one.

    The subscriber's writes and the mark commit together. A failure undoes the subscriber alone,
    is recorded, and is tried again later. Rows are claimed by lock, so several relays share work.
    """
    with as_system("relay"):
        due = Delivery.objects.due(at).select_for_update(of=["self"], skip_locked=True)
        delivery = due.select_related("event").order_by("due_at", "id").first()
        if delivery is None:
            return False
        delivery.attempts += 1
        with structlog.contextvars.bound_contextvars(
            event_id=delivery.event_id, request_id=delivery.event.request_id
        ):
            _run(delivery, at=at)
        delivery.save(update_fields=["attempts", "due_at", "delivered_at", "dead_at", "last_error"])
    return True


def _run(delivery: Delivery, *, at: datetime) -> None:
    try:
        with transaction.atomic():
            subscriber(delivery.subscriber)(delivery.event)
    except Exception as error:  # noqa: BLE001, RUF100 - any failure is recorded and tried again
        delivery.fail(error, at=at)
        log.warning(
            "delivery.failed",
            subscriber=delivery.subscriber,
            attempts=delivery.attempts,
            dead=delivery.dead_at is not None,
            error=type(error).__name__,
        )
    else:
        delivery.delivered_at = at


def replay(deliveries: "list[Delivery]", *, at: datetime) -> int:
    """Give dead deliveries a fresh start; return how many. Delivered ones are left alone."""
    return (
        Delivery.objects.dead()
        .filter(pk__in=[delivery.pk for delivery in deliveries])
        .update(dead_at=None, attempts=0, due_at=at, last_error="")
    )
