"""What a person's session must keep to: not idle, not too old, own password, second factor."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone

from events.api.problems import PROBLEM_JSON, problem
from trials.identity import has_second_factor
from trials.log_in.requests import BEGAN, LAST, address_of, begin_clock, instant
from trials.models import User
from trials.models.accounts import Kind
from trials.services.log_ins import note


WRITTEN_EVERY = timedelta(seconds=5)  # a burst of requests writes its session once

ALWAYS = {"account_login", "login", "logout", "account_logout", "jsi18n"}
PASSWORD = {"account_change_password"}
ENROLMENT = {
    "account_reauthenticate",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "account_change_password",
}


class SessionRules:
    """End sessions that were left alone or are too old, and ask for what log-in still lacks.

    Only sessions of people: a site system brings its token with each request and has none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not isinstance(request.user, User):
            return self.get_response(request)
        at = timezone.now()
        if kind := _over(request, at):
            note(kind, user=request.user, at=at, address=address_of(request))
            logout(request)
            if not request.path.startswith("/api/"):
                request.session["vigil_ended"] = kind
            return self.get_response(request)
        last = instant(request, LAST)
        if last is not None and at - last >= WRITTEN_EVERY:
            request.session[LAST] = at.timestamp()
            _keep(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> HttpResponse | None:
        """Let somebody whose log-in lacks something reach only the page where it is made good."""
        if not isinstance(request.user, User) or request.resolver_match is None:
            return None
        name = request.resolver_match.url_name
        if name in ALWAYS:
            return None
        if request.user.must_change_password and name not in PASSWORD:
            text = "Choose a password of your own on the web admin first."
            return _to(request, "account_change_password", "password_change_required", text)
        if name in ENROLMENT or not settings.VIGIL_MFA_REQUIRED:
            return None
        if not has_second_factor(request.user):
            text = "Add a second factor on the web admin first."
            return _to(request, "mfa_index", "second_factor_required", text)
        return None


def _over(request: HttpRequest, at: datetime) -> Kind | None:
    began, last = instant(request, BEGAN), instant(request, LAST)
    if began is None or last is None:  # begun by a way that keeps no clock: it starts now
        begin_clock(request, at=at)
        _keep(request)
        return None
    if at - began >= timedelta(seconds=settings.SESSION_COOKIE_AGE):
        return Kind.TOO_OLD
    if at - last >= timedelta(seconds=settings.VIGIL_IDLE_SECONDS):
        return Kind.IDLE_ENDED
    return None


def _keep(request: HttpRequest) -> None:
    """Write the clock now, so that a slow answer does not write over what others wrote since."""
    request.session.save()
    request.session.modified = False


def _to(request: HttpRequest, place: str, code: str, text: str) -> HttpResponse:
    if not request.path.startswith("/api/"):
        return redirect(place)
    body = problem(status=403, code=code, title=text, reasons=[{"code": code, "detail": text}])
    return JsonResponse(body, status=403, content_type=PROBLEM_JSON)
