"""Who sends a request, proved again in its body."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from events.api.recording import key_of
from events.api.serializers import Shape
from trials.api.authentication import acting_user
from trials.identity import Proof, Shown, prove_identity
from trials.models import User


class ProofIn(Shape):
    """Who you are, proved again: password, and the code of a second factor if you have one."""

    password = serializers.CharField(max_length=200, trim_whitespace=False)
    code = serializers.CharField(max_length=20, allow_blank=True, default="")


def with_proof(
    request: Request,
    body: dict[str, Any],
    prove: Callable[[User, Shown], Proof] = prove_identity,
) -> dict[str, Any]:
    """Return a body with the proof of who sends it in the place of password and code.

    A request that lacks its key is refused before a code is used up.
    """
    key_of(request)
    rest = {name: value for name, value in body.items() if name not in ("password", "code")}
    shown = Shown(password=body["password"], code=body["code"])
    return {**rest, "proof": prove(acting_user(request), shown)}
