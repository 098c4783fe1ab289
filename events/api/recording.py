"""The one way a POST becomes a record: once per key, answered the same however often it is sent."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from events.idempotency import LONGEST_KEY, KeyReused, fingerprint, keep_refusal, once
from events.outcomes import Refused
from events.api.problems import refusal_problem


class KeyConflict(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "This Idempotency-Key came before with another request: use a new key."
    default_code = "idempotency_key_reused"


def recorded(request: Request, act: Callable[[], Any]) -> Response:
    """Run ``act`` (a service call that returns the answer's data) once for this request's key."""
    claim: dict[str, Any] = {
        "user_id": request.user.pk,
        "key": _key(request),
        "print_": fingerprint(request.method or "", request.path, request._request.body),
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
    return _response(answer.status, answer.body, again=answer.again)


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise ValidationError(
            {
                "Idempotency-Key": [
                    "Send this header with every POST: any text of 1 to 128 printable characters, "
                    "new for each record and the same when you repeat a request."
                ]
            }
        )
    return key


def _json(data: Any) -> str:
    return bytes(JSONRenderer().render(data)).decode()


class _Rendered(JSONRenderer):
    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return data if isinstance(data, bytes) else super().render(data, *args, **kwargs)


def _response(code: int, body: str, *, again: bool) -> Response:
    response = Response(status=code)
    response.data = body.encode()
    response.accepted_renderer = _Rendered()
    response.accepted_media_type = (
        "application/problem+json" if code >= 400 else "application/json"
    )
    response.renderer_context = {}
    if again:
        response["Idempotent-Replayed"] = "true"
    return response
