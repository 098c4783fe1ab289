"""The OpenAPI of views that say what they take and answer, with the headers every POST needs."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from events.api.problems import PROBLEM_JSON
from events.api.serializers import Shape


class ProblemReason(Shape):
    code = serializers.CharField()
    detail = serializers.CharField()
    field = serializers.CharField(required=False)


class Problem(Shape):
    """A problem document (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    reasons = ProblemReason(many=True)


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": 128},
    OpenApiParameter.HEADER,
    required=True,
    description="New for each record, the same when a request is repeated. Kept for 24 hours.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": '^"?[0-9]{1,9}"?$'},
    OpenApiParameter.HEADER,
    required=True,
    description="The `revision` you read.",
)
READING = {
    400: "Not in the expected form; each field's reason",
    401: "Not logged in",
    403: "Not your role",
    404: "Not yours, or not there",
    406: "Only JSON is answered",
}
RECORDING = READING | {
    409: "A rule said no; every reason",
    413: "Too large",
    415: "Not JSON",
    422: "The Idempotency-Key came before with another request",
}
CORRECTING = {412: "Changed since it was read", 428: "If-Match is missing"}


class Schema(AutoSchema):
    """Reads ``takes`` and ``answers`` of our views; documents problems and headers for all."""

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self.method == "POST":
            parameters.append(IDEMPOTENCY_KEY)
            if self._corrects():
                parameters.append(IF_MATCH)
        return parameters

    def get_request_serializer(self) -> Any:
        if self.method == "POST" and (takes := getattr(self.view, "takes", None)):
            return takes()
        return super().get_request_serializer()

    def get_response_serializers(self) -> Any:
        answers = getattr(self.view, "answers", None)
        if answers is None:
            success = self._declared()
        elif self.method == "POST":
            success = {201: answers(many=getattr(self.view, "answers_many", False))}
        else:
            success = {200: answers(many=True)}
        return success

    def _declared(self) -> dict[Any, Any]:
        """Return what a view declares by ``extend_schema`` or its ``serializer_class``."""
        found: Any = super().get_response_serializers()
        if isinstance(found, dict):
            return found
        if self.method == "POST" and hasattr(self.view, "serializer_class"):
            return {201: self.view.serializer_class()}
        return {200: found}

    def _is_list_view(self, serializer: Any = None) -> bool:
        if hasattr(self.view, "answers"):
            return bool(self.method == "GET")
        return bool(super()._is_list_view(serializer))

    def get_filter_backends(self) -> list[Any]:
        return [] if hasattr(self.view, "answers") else list(super().get_filter_backends())

    def _map_serializer_field(
        self, field: Any, direction: Any, bypass_extensions: bool = False
    ) -> Any:
        """Describe decimals as they are taken: text, without sign or exponent."""
        found: Any = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]  # no types there
        if isinstance(field, serializers.DecimalField):
            places = field.decimal_places or 0
            whole = max((field.max_digits or 0) - places, 1)
            found["pattern"] = rf"^[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?$"
        return found

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        found: Any = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # no types there
        if direction == "request" and isinstance(serializer, Shape):
            found["additionalProperties"] = False
        return found

    def _corrects(self) -> bool:
        return self.path.endswith("/corrections")

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        """Describe the problems of every operation, also where a view declares its own answers."""
        known = RECORDING if self.method == "POST" else READING
        if self.method == "POST" and self._corrects():
            known = known | CORRECTING
        problems = {
            str(code): self._get_response_for_code(  # type: ignore[no-untyped-call]  # no types there
                OpenApiResponse(Problem, description=text), str(code), [PROBLEM_JSON], direction
            )
            for code, text in known.items()
        }
        return {**problems, **super()._get_response_bodies(direction)}


class SiteSystemScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # no stubs
    target_class = "trials.api.authentication.SiteSystem"
    name = "siteSystem"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        flow = {"tokenUrl": "/oauth/token", "scopes": settings.OAUTH2_PROVIDER["SCOPES"]}
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}
