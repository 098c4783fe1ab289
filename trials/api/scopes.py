"""What a site system's token is good for, asked in one place for every address.

A scope narrows what a program may do; what its user may do at all is a question of roles.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.conf import settings
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.scopes import BaseScopes
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class Scope(StrEnum):
    """What each means stands in the settings, from where the OpenAPI takes it."""

    READ = "read"
    SUBMIT = "submit"
    RANDOMISE = "randomise"
    DISPENSE = "dispense"
    MANAGE = "manage"
    UNBLIND = "unblind"


# The names of addresses whose POST needs another scope than its application's own.
POSTS: Mapping[str, Scope] = {
    "randomisations": Scope.RANDOMISE,
    "dispensations": Scope.DISPENSE,
    "kit-supplies": Scope.MANAGE,
    "kit-number-draws": Scope.MANAGE,
    "packing-lists": Scope.MANAGE,
    "emergency-unblindings": Scope.UNBLIND,
    "unblinding-agreements": Scope.UNBLIND,
    "safety-looks": Scope.UNBLIND,
    "lists-of-arms": Scope.UNBLIND,
    "contingency-sheets": Scope.UNBLIND,
    "contingency-passwords": Scope.UNBLIND,
}
ABOUT_SUBJECTS = ("patients", "dosing")


def scope_of(view: Any, method: str, address: str) -> Scope:
    """Return the one scope a request needs; an address nobody thought of needs the widest."""
    if method in SAFE_METHODS:
        return Scope.READ
    app = type(view).__module__.partition(".")[0]
    return POSTS.get(address, Scope.SUBMIT if app in ABOUT_SUBJECTS else Scope.MANAGE)


class ScopeMissing(PermissionDenied):
    default_code = "scope_missing"


class InScope(BasePermission):
    """Lets a token do what its scopes say. People's sessions have none, and every right of theirs.

    Raises ``ScopeMissing`` naming the scope.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, AccessToken):
            return True
        found = request._request.resolver_match
        needed = scope_of(view, request.method or "", (found and found.url_name) or "")
        if needed.value not in request.auth.scope.split():
            raise ScopeMissing(f"This access token does not have the scope {needed}.")
        return True


class ClientScopes(BaseScopes):
    """A client may ask for the scopes it was given, and gets them all when it asks for none."""

    def get_all_scopes(self) -> Mapping[str, str]:
        return settings.OAUTH2_PROVIDER["SCOPES"]  # type: ignore[return-value]  # a mixed dict

    def get_available_scopes(
        self, application: Application | None = None, request: Any = None, *args: Any, **kw: Any
    ) -> list[str]:
        client = getattr(application, "machine_client", None)
        return list(client.scopes) if client else []

    def get_default_scopes(
        self, application: Application | None = None, request: Any = None, *args: Any, **kw: Any
    ) -> list[str]:
        return self.get_available_scopes(application=application)
