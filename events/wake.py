"""Telling the relay that something is due. Losing this call costs a second, never an event."""

import structlog
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError


log = structlog.get_logger(__name__)
COALESCE_SECONDS = 0.25


def wake_the_relay() -> None:
    """Queue one drain, unless one was queued a moment ago; the sweep finds what is missed."""
    from events.tasks import drain

    try:
        if cache.add("relay-woken", 1, COALESCE_SECONDS):
            drain.apply_async(retry=False, expires=5)
    except (OperationalError, RedisError) as error:
        log.warning("relay.not_woken", error=type(error).__name__)
