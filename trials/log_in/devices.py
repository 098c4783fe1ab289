"""Browsers in which somebody logged in before: what is tried elsewhere does not lock them out here.

Source: OWASP, Slow Down Online Guessing Attacks with Device Cookies.
"""

import secrets
from datetime import timedelta

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner, b62_decode
from django.http import HttpRequest, HttpResponse

from trials.models import User


LASTS = timedelta(days=365)
MOST = 10  # people whom one browser remembers: it sends the cookie of each with every request
NAME, PATH = "vigil_device_", "/admin/"


def device_of(request: HttpRequest | None, user: User | None) -> str:
    """Return the name of the browser a person is known in; empty, if they are not known in it.

    The signature is of this person and their password as it is now: it is nobody else's, and ends
    with the password.
    """
    if request is None or user is None:
        return ""
    try:
        return _signer(user).unsign(request.COOKIES.get(f"{NAME}{user.pk}", ""), max_age=LASTS)
    except BadSignature:
        return ""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Have the browser keep that somebody logged in here, under a name that is new each time.

    So whoever copied an older cookie guesses on a count of their own, as few times as anybody.
    """
    own = f"{NAME}{user.pk}"
    response.set_cookie(
        own,
        _signer(user).sign(secrets.token_urlsafe(12)),
        max_age=LASTS,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    others = [name for name in request.COOKIES if name.startswith(NAME) and name != own]
    others.sort(key=lambda name: _signed_at(request.COOKIES[name]))
    for name in others[: -(MOST - 1)]:
        response.delete_cookie(name, path=PATH, samesite="Lax")


def _signed_at(value: str) -> int:
    """Return when a cookie says that it was signed; nothing but its eviction hangs on it."""
    try:
        return b62_decode(value.split(":")[-2])
    except (IndexError, ValueError):
        return 0


def _signer(user: User) -> TimestampSigner:
    return TimestampSigner(salt=f"device of {user.pk} {user.password}")
