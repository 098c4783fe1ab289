"""Single sign-on: the way to an OpenID Connect provider and back.

The library leads there and takes the code. What is asked of the answer is asked here, all of it.

Source: OpenID Connect Core 1.0, 3.1.2.1 (nonce) and 3.1.3.7 (ID token); Discovery 1.0, 4.3.
"""

import secrets
import time
from datetime import timedelta
from typing import Any, NoReturn

import jwt
import structlog
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from requests import RequestException

from trials.log_in.requests import address_of
from trials.services.log_ins import note_refused_sign_on


log = structlog.get_logger(__name__)

CLOCKS = timedelta(seconds=30)  # by which the provider's may differ from ours
LONGEST_SUBJECT = 191
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
NOT_BOUND = "No account here is bound to the one you used."
NOT_BELIEVED = "The provider's answer was not accepted. Begin again here."
NOT_REACHED = "The provider is not there at present, or not as it was set up."
CANCELLED = "You stopped it there."
CLAIMS = ("iss", "sub", "aud", "exp", "iat", "nonce", "auth_time")
MAX_AGE = timedelta(minutes=5)  # since the provider asked the person, not since it knew the browser


class Exchange(OpenIDConnectOAuth2Adapter):
    """What Vigil says to the provider, and what it believes of the answer."""

    @property
    def openid_config(self) -> dict[str, Any]:
        """Return what the provider says of itself. Raises ``OAuth2Error``: it is another, or less.

        Without TLS somebody in between could be the provider, at any one of its addresses.
        """
        found: dict[str, Any] = super().openid_config
        issuer = self.get_provider().app.settings["server_url"]
        scheme = issuer.partition(":")[0]
        problem = ""
        if str(found.get("issuer")).rstrip("/") != issuer.rstrip("/"):
            problem = "its issuer is not VIGIL_OIDC_ISSUER"
        elif not all(str(found.get(name)).startswith(f"{scheme}:") for name in ENDPOINTS):
            problem = f"it lacks one of {', '.join(ENDPOINTS)} under {scheme}"
        if problem:
            log.error("sign_on.another_provider", problem=problem)
            raise OAuth2Error(problem)
        return found

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **options: Any) -> Any:
        """Return whom the provider names; of what it tells, Vigil keeps the subject alone."""
        claims = self._claims(options["response"].get("id_token"), client_id=app.client_id)
        told = {"id_token": {"sub": claims["sub"], "nonce": claims["nonce"]}}
        return self.get_provider().sociallogin_from_response(request, told)

    def _claims(self, id_token: Any, *, client_id: str) -> dict[str, Any]:
        """Return what a token says. Raises ``OAuth2Error`` unless all of it is true and for us."""
        config = self.openid_config
        with get_adapter().get_requests_session() as session:
            answer = session.get(config["jwks_uri"])
            answer.raise_for_status()
        try:
            key = jwt.PyJWKSet.from_dict(answer.json())[jwt.get_unverified_header(id_token)["kid"]]
            claims = jwt.decode(
                id_token,
                key,
                algorithms=[key.algorithm_name],
                audience=client_id,
                issuer=config["issuer"],
                leeway=CLOCKS,
                options={"require": list(CLAIMS)},
            )
        except (jwt.PyJWTError, KeyError) as error:
            raise OAuth2Error("The ID token is not one to believe.") from error
        if claims.get("azp", client_id) != client_id:
            raise OAuth2Error("The ID token was issued to another client.")
        if not _just_now(claims["auth_time"]):
            raise OAuth2Error("The provider asked the person too long ago, or never.")
        if not 0 < len(claims["sub"]) <= LONGEST_SUBJECT:
            raise OAuth2Error("The ID token's subject cannot be one.")
        return claims


def _just_now(asked: Any) -> bool:
    """Return whether the provider asked the person, by its own word, within ``MAX_AGE``.

    Source: OpenID Connect Core 1.0, 3.1.2.1 (max_age) and 2 (auth_time).
    """
    if not isinstance(asked, int | float) or isinstance(asked, bool):
        return False
    ago = time.time() - asked
    return -CLOCKS.total_seconds() <= ago <= (MAX_AGE + CLOCKS).total_seconds()


class Provider(OpenIDConnectProvider):
    oauth2_adapter_class = Exchange

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        """Return where to go afterwards. Nothing else is decided by who made the address."""
        return {"process": AuthProcess.LOGIN, "next_url": get_next_redirect_url(request)}

    def redirect(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """Send the browser to the provider, with a word that the answer has to bring back.

        Somebody else at the same screen must not come in because the provider still knows the
        browser: it is to ask the person, unless it did a moment ago.
        """
        nonce = secrets.token_urlsafe(32)
        params = {"nonce": nonce, "max_age": str(int(MAX_AGE.total_seconds()))}
        found: HttpResponse = super().redirect(
            request, *args, auth_params=params, nonce=nonce, **options
        )
        return found


class SignOn(DefaultSocialAccountAdapter):
    """Opens existing accounts only, by the subject an administrator recorded."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: Any = None) -> Provider:
        return Provider(request, app=self.get_app(request, provider, client_id=client_id))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        told = sociallogin.account.extra_data["id_token"]
        if not constant_time_compare(told["nonce"], sociallogin.state.get("nonce", "")):
            raise ImmediateHttpResponse(turn_back(request, NOT_BELIEVED))
        if not sociallogin.is_existing:
            raise ImmediateHttpResponse(turn_back(request, NOT_BOUND, subject=told["sub"]))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> NoReturn:
        """Lead back. An answer is kept only if this browser asked for it: anybody can send one."""
        why = CANCELLED if error == AuthError.CANCELLED else NOT_BELIEVED
        raise ImmediateHttpResponse(turn_back(request, why, kept=exception is not None))


def begin(request: HttpRequest, provider_id: str) -> Any:
    """Lead to the provider, when the door's own button asks for it."""
    if request.method != "POST":
        return redirect("account_login")
    return _led(OAuth2LoginView, request, provider_id)


@require_safe
def end(request: HttpRequest, provider_id: str) -> Any:
    """Take the provider's answer."""
    return _led(OAuth2CallbackView, request, provider_id)


def _led(view: Any, request: HttpRequest, provider_id: str) -> Any:
    try:
        return view.adapter_view(Exchange(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    except (OAuth2Error, RequestException) as error:
        log.warning("sign_on.no_provider", problem=type(error).__name__)
        return turn_back(request, NOT_REACHED, kept=False)


def turn_back(
    request: HttpRequest, why: str, *, subject: str = "", kept: bool = True
) -> HttpResponse:
    """Lead back to the door with the reason, and keep it as a failed attempt is kept."""
    if kept:
        note_refused_sign_on(subject=subject, address=address_of(request), at=timezone.now())
    messages.error(request, f"Single sign-on did not let you in. {why}")
    return redirect("account_login")
