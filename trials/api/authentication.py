"""Site systems log in with OAuth2 client credentials, and act as their own machine user."""

from typing import Any

from django.contrib.auth.hashers import check_password
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, ParseError
from rest_framework.request import Request

from events.reading import read_as
from trials.models import MachineClient, User


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
        if why_not := _why_not(token.application):
            raise AuthenticationFailed(why_not)
        read_as(user.pk)
        return user, token


def _why_not(application: Any) -> str:
    """Return why a client's credentials do not hold now; empty when they do."""
    client = getattr(application, "machine_client", None)
    if client is None:
        return "This client was not given by the trial's administrator."
    found: str = client.why_not(timezone.now())
    return found


class Clients(OAuth2Validator):
    """Gives tokens to clients that hold: for their secret, or the one before it in the overlap."""

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Return whether the secret is right. Raises ``InvalidClientError``: it is, and has ended.

        Why credentials no longer hold is said to their holder alone.
        """
        right = bool(super().authenticate_client(request, *args, **kwargs))
        if not right:
            return False
        if why_not := _why_not(request.client):
            raise InvalidClientError(description=why_not, request=request)
        return True

    def _save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep a token; one taken while an old secret holds beside the new holds no longer."""
        client = getattr(request.client, "machine_client", None)
        now = timezone.now()
        if client and client.previous_until and client.previous_until > now:
            left = int((client.previous_until - now).total_seconds())
            token["expires_in"] = min(token["expires_in"], left)
        return super()._save_bearer_token(token, request, *args, **kwargs)

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """Return whether a secret is the client's, or was until lately and still holds."""
        if super()._check_secret(provided_secret, stored_secret):
            return True
        overlap = MachineClient.objects.filter(
            application__client_secret=stored_secret, previous_until__gt=timezone.now()
        ).first()
        return overlap is not None and check_password(provided_secret, overlap.previous_secret)
