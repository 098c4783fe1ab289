"""How large a request may be; the body is read once, here, for all who look at it later."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from events.api.problems import PROBLEM_JSON, problem


class BodyLimit:
    """Refuse an oversize API request with 413, before anything is parsed.

    A missing or false length cannot get round it: the server reads no more than was announced.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/api/"):
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            length = request.META.get("CONTENT_LENGTH") or "0"
            if not length.isdigit() or int(length) > limit:
                body = problem(
                    status=413,
                    code="too_large",
                    title=f"A request may hold {limit} bytes at most",
                )
                return JsonResponse(body, status=413, content_type=PROBLEM_JSON)
            request.body  # noqa: B018 - read now, so that authentication and parsers share it
        return self.get_response(request)
