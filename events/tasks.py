"""Celery's side of the relay."""

from celery import shared_task
from django.utils import timezone

from events.chain import BATCH, lay_links
from events.idempotency import forget_old_answers
from events.relay import deliver_next


MOST_IN_ONE_TASK = 500


@shared_task(name="events.tasks.drain")
def drain() -> int:
    """Number new events, then deliver what is due; return how many deliveries ran."""
    while lay_links() == BATCH:
        continue
    delivered = 0
    while delivered < MOST_IN_ONE_TASK and deliver_next(at=timezone.now()):
        delivered += 1
    return delivered


@shared_task(name="events.tasks.forget_old_answers")
def forget() -> int:
    """Drop remembered answers that are older than the promised day."""
    return forget_old_answers(at=timezone.now())
