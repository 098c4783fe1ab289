"""Publishing: the event and its deliveries are stored in the caller's own transaction."""

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone
from structlog.contextvars import get_contextvars

from events.acting import current_actor
from events.models import Delivery, OutboxEvent
from events.outcomes import Event
from events.registry import subscribers_of
from events.wake import wake_the_relay


def publish(
    event: Event, *, at: datetime | None = None, caused_by: OutboxEvent | None = None
) -> OutboxEvent:
    """Store an event with one delivery for each subscriber.

    ``at`` is when it happened (default: now). Raises ``RuntimeError`` outside a transaction: an
    event that could survive its own change, or be lost from it, is not one.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an event is published inside the transaction that makes it true")
    now = timezone.now()
    stored = OutboxEvent.objects.create(
        stream=event.stream,
        type=event.type,
        version=event.version,
        payload=event.payload(),
        occurred_at=at or now,
        recorded_at=now,
        actor=current_actor(),
        request_id=get_contextvars().get("request_id", ""),
        caused_by=caused_by,
    )
    Delivery.objects.bulk_create(
        Delivery(event=stored, subscriber=name, due_at=now) for name in subscribers_of(event.type)
    )
    transaction.on_commit(wake_the_relay, robust=True)
    return stored
