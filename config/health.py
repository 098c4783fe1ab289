"""``/healthz``: the process answers. ``/readyz``: its database and its Valkey answer too."""

from collections.abc import Callable

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError


class Health:
    """Answers before hosts, sessions and log-ins are looked at: a load balancer has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"status": "ok"})
        if request.path == "/readyz":
            return ready()
        return self.get_response(request)


def ready() -> HttpResponse:
    """Return 200 with every part "ok", or 503 naming the part that does not answer.

    Without Valkey nothing is lost: events wait in PostgreSQL. Without PostgreSQL nothing works.
    """
    parts = {"database": _database(), "valkey": _valkey()}
    well = all(state == "ok" for state in parts.values())
    return JsonResponse(
        {"status": "ok" if well else "unavailable", **parts}, status=200 if well else 503
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM events_outboxevent LIMIT 1")
    except DatabaseError:
        return "unavailable"
    return "ok"


def _valkey() -> str:
    try:
        cache.get("ready")
    except RedisError:
        return "unavailable"
    return "ok"
