"""One line for each request, under the request's id; no address's ids of people, no bodies."""

import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse


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

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Log our own bug once, under the request's id; Django's own line would quote the path."""
        if not isinstance(error, PermissionDenied | Http404 | SuspiciousOperation):
            log.error("request.failed", exc_info=error)


def without_values(
    logger: Any, method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace an exception by its class and the places it passed, without the values in its text.

    A database error quotes the row it is about, and a row is about a subject.
    """
    exc_info = entry.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    if exc_info and exc_info[0]:
        entry["exception"] = exc_info[0].__name__
        frames = traceback.extract_tb(exc_info[2])
        ours = [frame for frame in frames[:-1] if "site-packages" not in frame.filename]
        entry["passed"] = [
            f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in (*ours[-11:], *frames[-1:])
        ]
    return entry


def is_not_routine(record: logging.LogRecord) -> bool:
    """Leave out what the scheduler says every second."""
    return "Sending due task" not in str(record.msg)
