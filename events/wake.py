"""Telling the relay that something is due. Losing this call costs a second, never an event."""

import functools

import structlog
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError


log = structlog.get_logger(__name__)
COALESCE_MS = 200


@functools.cache
def own_connection() -> Redis:
    """Return this process's own connection: Django's cache counts in whole seconds."""
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)


def coalescing_key() -> str:
    """Return the key that stands while a drain of this database was queued a moment ago."""
    return f"vigil:relay-woken:{settings.DATABASES['default']['NAME']}"


def wake_the_relay() -> None:
    """Queue one drain, unless one was queued a moment ago; the sweep finds what is missed."""
    from events.tasks import drain

    try:
        if own_connection().set(coalescing_key(), 1, px=COALESCE_MS, nx=True):
            drain.apply_async(retry=False, expires=5)
    except (OperationalError, RedisError) as error:
        log.warning("relay.not_woken", error=type(error).__name__)
