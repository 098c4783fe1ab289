"""How large a request may be, and in which encoding; the body is read once, here, for all."""

import codecs
import re
from collections.abc import Callable

from django.conf import settings
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found

from events.api.problems import PROBLEM_JSON, problem


_DIGITS = re.compile(r"[0-9]{1,15}")
ACCEPTED_ENCODINGS = {"utf-8", "ascii"}


class BodyLimit:
    """Refuse an oversize API request with 413, and another encoding with 415, unparsed.

    A missing or false length cannot get round it: the server reads no more than was announced.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/api/"):
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            length = request.META.get("CONTENT_LENGTH") or "0"
            if not _DIGITS.fullmatch(length) or int(length) > limit:
                return _refused(413, "too_large", f"A request may hold {limit} bytes at most")
            if request.encoding and codecs.lookup(request.encoding).name not in ACCEPTED_ENCODINGS:
                return _refused(415, "unsupported_media_type", "Send UTF-8")
            request.body  # noqa: B018 - read now, so that authentication and parsers share it
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for names nothing can have, which PostgreSQL will not even look for.

        The token address asks it for any client, the lists of the web admin for any filter.
        """
        if not isinstance(error, DataError):
            return None
        if request.path.startswith("/oauth/"):
            return JsonResponse({"error": "invalid_request"}, status=400)
        if request.path.startswith("/admin/") and request.method in {"GET", "HEAD"}:
            return page_not_found(request, error)
        return None


def _refused(status: int, code: str, title: str) -> HttpResponse:
    body = problem(status=status, code=code, title=title)
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON)
