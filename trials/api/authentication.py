"""Site systems log in with OAuth2 client credentials, and act as their own machine user."""

from typing import Any

from django.core.exceptions import SuspiciousOperation
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, ParseError
from rest_framework.request import Request

from events.reading import read_as
from trials.models import User


def acting_user(request: Request) -> User:
    """Return who is logged in; the default permission lets nobody else through to a view."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


class SiteSystem(OAuth2Authentication):
    """Accept an access token in its header; the user is the one its client belongs to.

    A token in an address is no token: addresses are written to logs.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if not request.headers.get("Authorization", "").lower().startswith("bearer "):
            return None
        try:
            found = super().authenticate(request._request)
        except (ValueError, SuspiciousOperation) as error:
            raise ParseError("The address holds what is not URL-encoded.") from error
        if found is None:
            raise AuthenticationFailed("The access token is not valid, or has expired.")
        user, token = found
        user = user or token.application.user
        if user is None or not user.is_active:
            raise AuthenticationFailed("This client belongs to nobody who may log in.")
        read_as(user.pk)
        return user, token
