"""Problem documents (RFC 9457): what went wrong, in a shape a program can read."""

from typing import Any

from events.outcomes import Refused


PROBLEM_JSON = "application/problem+json"


def problem(
    *, status: int, code: str, title: str, reasons: list[dict[str, str]] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "type": f"urn:vigil:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "reasons": reasons or [],
        **more,
    }


def refusal_problem(refused: Refused) -> dict[str, Any]:
    return problem(
        status=409,
        code=refused.code,
        title=refused.title,
        reasons=[{"code": reason.code, "detail": reason.detail} for reason in refused.reasons],
    )
