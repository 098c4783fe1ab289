"""Deliveries of events, for those who look after them."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db.models import QuerySet

from events.models import Delivery
from events.relay import replay
from trials.models import User
from trials.permissions import Permission


log = structlog.get_logger(__name__)


def deliveries_of(by: User) -> QuerySet[Delivery]:
    """Return the deliveries of the trials where somebody may replay the dead ones."""
    held = by.may(Permission.MANAGE_DELIVERIES)
    return Delivery.objects.filter(event__stream__in={row.trial.code for row in held})


def replay_dead(deliveries: Iterable[Delivery], *, by: User, at: datetime) -> int:
    """Start dead deliveries afresh, of those ``by`` looks after; return how many there were."""
    own = deliveries_of(by).filter(pk__in=[delivery.pk for delivery in deliveries])
    count = replay(list(own), at=at)
    log.info("delivery.replayed", count=count, actor=by.username)
    return count
