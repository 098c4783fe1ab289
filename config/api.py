"""How an exception becomes a problem document. Named in the settings, imported by nobody."""

from typing import Any

import structlog
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.settings import api_settings

from events.api.problems import PROBLEM_JSON, problem, refusal_problem
from events.outcomes import Refused, StaleRecord


log = structlog.get_logger(__name__)


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem document for an exception, or nothing for a bug of ours (500, logged)."""
    headers: dict[str, str] = {}
    match error:
        case Refused():
            body = refusal_problem(error)
        case StaleRecord():
            body = _one(412, "stale", "The record has changed since it was read", str(error))
        case Http404() | ObjectDoesNotExist():
            body = problem(status=404, code="not_found", title="There is no such record")
        case PermissionDenied() | exceptions.PermissionDenied():
            body = _one(403, *_forbidden(error), str(error))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            body = _one(401, "not_logged_in", "Log in, or send a valid access token", str(error))
            headers["WWW-Authenticate"] = 'Bearer realm="vigil"'
        case exceptions.ValidationError() | exceptions.ParseError():
            body = problem(
                status=400,
                code="invalid",
                title="The request is not in the expected form",
                reasons=field_reasons(error.detail),
            )
        case exceptions.APIException():
            body = _one(
                error.status_code, str(error.default_code), _title(error), str(error.detail)
            )
        case _:
            return None
    log.info("request.refused", status=body["status"], code=body["code"])
    response = Response(body, status=body["status"], headers=headers)
    response.content_type = PROBLEM_JSON
    return response


def _one(code: int, name: str, title: str, detail: str) -> dict[str, Any]:
    return problem(status=code, code=name, title=title, reasons=[{"code": name, "detail": detail}])


def _forbidden(error: Exception) -> tuple[str, str]:
    if getattr(error, "default_code", "") == "scope_missing":
        return "scope_missing", "The access token does not allow this"
    return "not_your_role", "Your role does not allow this"


def _title(error: exceptions.APIException) -> str:
    return {
        status.HTTP_405_METHOD_NOT_ALLOWED: "This address does not take this method",
        status.HTTP_428_PRECONDITION_REQUIRED: "Say which revision you read",
        status.HTTP_422_UNPROCESSABLE_ENTITY: "The key was used for another request",
        status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "Send JSON",
    }.get(error.status_code, "The request could not be answered")


def field_reasons(detail: Any, field: str = "") -> "list[dict[str, str]]":
    """Flatten nested field errors into reasons that name the field (``results.0.value``)."""
    if isinstance(detail, dict):
        pairs = [(_inside(field, name), value) for name, value in detail.items()]
    elif isinstance(detail, list):
        pairs = [
            (f"{field}.{i}".strip(".") if isinstance(value, dict | list) else field, value)
            for i, value in enumerate(detail)
        ]
    else:
        code = str(getattr(detail, "code", "invalid"))
        return [{"code": code, "field": field or "body", "detail": str(detail)}]
    return [reason for name, value in pairs if value for reason in field_reasons(value, name)]


def _inside(field: str, name: object) -> str:
    """Return the dotted name of what is wrong; what is wrong with a whole is named by the whole."""
    return field if name == api_settings.NON_FIELD_ERRORS_KEY else f"{field}.{name}".strip(".")
