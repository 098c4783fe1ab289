"""One line for each request, under the request's id; no address's ids of people, no bodies."""

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse


log = structlog.get_logger("vigil.request")
SHAPE_OF_AN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestLog:
    """Bind a request id for every log line, history row and event, and answer with it.

    A client's own ``X-Request-Id`` is kept when it looks like one. The route is logged and never
    the path, which may hold a subject's id.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if SHAPE_OF_AN_ID.fullmatch(given) else str(uuid.uuid4())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        route = request.resolver_match.route if request.resolver_match else ""
        if route:
            log.info(
                "request",
                method=request.method,
                route=route,
                status=response.status_code,
                ms=round((time.perf_counter() - began) * 1000, 1),
            )
        return response
