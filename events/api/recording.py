"""The one way a POST becomes a record: once per key, answered the same however often it is sent."""

import json
import re
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from events.api.problems import PROBLEM_JSON, refusal_problem
from events.api.serializers import Shape
from events.idempotency import LONGEST_KEY, KeyReused, fingerprint, keep_refusal, once
from events.outcomes import Refused


_SHAPE_OF_A_KEY = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")


class KeyConflict(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "This Idempotency-Key came before with another request: use a new key."
    default_code = "idempotency_key_reused"


About = Callable[[dict[str, Any]], object]
"""Finds anew, from an answer that was kept, what it is about; raises when that is not there."""


def recorded(
    request: Request, act: Callable[[], Any], *, about: About | None = None
) -> HttpResponse:
    """Run ``act`` (a service call that returns the answer's data) once for this request's key.

    A kept answer is given again only if ``about`` still finds what it is about for the caller, who
    may see it no longer: the subject moved, a role ended. Then it is the 404 of any other address.
    """
    claim: dict[str, Any] = {
        "user_id": request.user.pk,
        "key": key_of(request),
        "print_": fingerprint(request.method or "", request.path, _content(request)),
        "at": timezone.now(),
    }
    try:
        try:
            answer = once(**claim, act=lambda: (status.HTTP_201_CREATED, _json(act())))
        except Refused as refused:
            problem = refusal_problem(refused)
            answer = keep_refusal(**claim, status=problem["status"], body=_json(problem))
    except KeyReused as reused:
        raise KeyConflict from reused
    if answer.again and about is not None:
        about(json.loads(answer.body))
    return _response(answer.status, answer.body, again=answer.again)


def recorded_then_shown(
    request: Request,
    act: Callable[[], Any],
    show: Callable[[dict[str, Any]], HttpResponse],
    *,
    about: About | None = None,
) -> HttpResponse:
    """Record as ``recorded`` does, then answer with what ``show`` makes of the record.

    What is shown is no part of the answer that is kept: it is in no table and no cache. A request
    that is repeated comes to ``show`` again, which refuses what was shown before.
    """
    answer = recorded(request, act, about=about)
    if answer.status_code == status.HTTP_201_CREATED:
        answer = show(json.loads(answer.content))
    answer["Cache-Control"] = "no-store"
    return answer


def valid(shape: type[Shape], request: Request) -> dict[str, Any]:
    """Return the body in a shape. Raises ``ValidationError`` with every field's reason."""
    serializer = shape(data=request.data)
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found


def key_of(request: Request) -> str:
    """Return what makes a repeated request the same one. Raises ``ValidationError`` without it."""
    key: str = request.headers.get("Idempotency-Key", "")
    if not _SHAPE_OF_A_KEY.fullmatch(key):
        raise ValidationError(
            {
                "Idempotency-Key": [
                    (
                        f"Send this header with every POST: 1 to {LONGEST_KEY} visible ASCII "
                        "characters, new for each record and the same when you repeat a request."
                    )
                ]
            }
        )
    return key


def _content(request: Request) -> bytes:
    """Return what makes a request this one: its body, and the revision it is meant for."""
    body: bytes = request._request.body
    return f"{request.headers.get('If-Match', '')}\n".encode() + body


def _json(data: Any) -> str:
    return bytes(JSONRenderer().render(data)).decode()


def _response(code: int, body: str, *, again: bool) -> HttpResponse:
    """Answer with a body that is rendered already; when repeated, with the bytes that were kept."""
    kind = PROBLEM_JSON if code >= status.HTTP_400_BAD_REQUEST else "application/json"
    headers = {"Idempotent-Replayed": "true"} if again else {}
    return HttpResponse(body, status=code, content_type=kind, headers=headers)
