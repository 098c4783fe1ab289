"""Answers for wrong addresses and for our own bugs: JSON under ``/api/``, else pages."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from events.api.problems import PROBLEM_JSON, problem


def not_found(request: HttpRequest, exception: Any) -> HttpResponse:
    if not request.path.startswith("/api/"):
        return defaults.page_not_found(request, exception)
    return _problem(404, "not_found", "There is nothing at this address")


def bad_request(request: HttpRequest, exception: Any) -> HttpResponse:
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    return _problem(400, "invalid", "The request is not in the expected form")


def server_error(request: HttpRequest) -> HttpResponse:
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    return _problem(500, "our_fault", "Something broke on our side; nothing was recorded")


def _problem(status: int, code: str, title: str) -> HttpResponse:
    body = problem(status=status, code=code, title=title)
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON)
