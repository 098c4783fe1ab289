"""How the log-in library asks Vigil: who may enter, what is counted, what is kept secret."""

import base64
import hashlib
import hmac
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.forms import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils import timezone

from trials.admin_site import may_enter
from trials.log_in.devices import device_of, remember
from trials.log_in.requests import address_of, begin_clock
from trials.models import User
from trials.models.accounts import Kind, Method
from trials.rules.log_ins import KNOWN_AT_ADDRESS
from trials.services.accounts import change_password
from trials.services.log_ins import Attempt, attempt, note


WRONG = "Please enter a correct user name and password. Both are case-sensitive."
NAME_LOCKED = (
    "Too many failed attempts under this name. Log-in with it is refused until {until} UTC. "
    "An administrator of the trial can end this sooner."
)
ADDRESS_LOCKED = (
    "Too many failed attempts from this network. Until {until} UTC nobody gets in from here but "
    "who logged in from here in the last {days} days, with the right name and password. "
    "An administrator of the trial can end this sooner."
)


def locked_text(found: Attempt) -> str:
    """Return which lock it is. Of a network's, all hear the same, whosever name they typed."""
    text = ADDRESS_LOCKED if found.at_address else NAME_LOCKED
    return text.format(until=f"{found.locked_until:%H:%M:%S}", days=KNOWN_AT_ADDRESS.days)


class Accounts(DefaultAccountAdapter):
    """People log in here; what follows a wrong name, password, role or kind of user is the same."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": WRONG,
        "incorrect_password": "This is not your password.",
        "enter_current_password": "This is not your password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return who it is. Raises ``ValidationError`` where the name or address is locked."""

        def check() -> User | None:
            user = authenticate(request, **credentials)
            return user if isinstance(user, User) and may_enter(user) else None

        name = str(credentials.get("username", ""))
        found = attempt(
            name=name,
            device=device_of(request, User.objects.filter(username=name).first()),
            address=address_of(request),
            method=Method.PASSWORD,
            check=check,
            at=timezone.now(),
        )
        if found.locked_until:
            raise ValidationError(locked_text(found), code="locked")
        return found.user

    def is_reauthentication_required(self, *, app: str, **options: Any) -> bool:
        """Return false: the pages here ask by themselves, for more and each time anew."""
        return False

    def pre_login(self, request: HttpRequest, user: Any, **hints: Any) -> HttpResponse | None:
        """Turn back whoever has no role in force, whichever way they came: passkey, sign-on."""
        if may_enter(user):
            return None
        method = first_step(request, user)
        address = address_of(request)
        note(Kind.FAILED, user=user, at=timezone.now(), address=address, method=method)
        return self.respond_user_inactive(request, user)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        messages.error(request, WRONG)
        return redirect("account_login")

    def login(self, request: HttpRequest, user: Any) -> None:
        """Open a session under a new key, when every step of the log-in has been taken."""
        super().login(request, user)
        begin_clock(request, at=timezone.now())
        method = first_step(request, user)
        note(
            Kind.LOGGED_IN,
            user=user,
            at=timezone.now(),
            address=address_of(request),
            method=method,
            device=device_of(request, user),
        )

    def post_login(self, request: HttpRequest, user: Any, **hints: Any) -> HttpResponse:
        """Have the browser know from now on that this person logs in here."""
        response: HttpResponse = super().post_login(request, user, **hints)
        remember(request, response, user)
        return response

    def logout(self, request: HttpRequest) -> None:
        if isinstance(request.user, User):
            address = address_of(request)
            note(Kind.LOGGED_OUT, user=request.user, at=timezone.now(), address=address)
        super().logout(request)

    def set_password(self, user: Any, password: str) -> None:
        change_password(user=user, password=password, at=timezone.now())

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return resolve_url("mfa_index")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send nothing: what happened to a log-in stands in its own record."""

    def add_message(self, *args: Any, **options: Any) -> None:
        """Say nothing in the library's words; the pages say it in ours."""


_METHODS = {
    "password": Method.PASSWORD,
    "mfa": Method.PASSKEY,
    "socialaccount": Method.SIGN_ON,
}


def first_step(request: HttpRequest, user: User) -> Method:
    """Return how somebody began the log-in that they are in."""
    records = get_authentication_records(request, user)
    return _METHODS[str(records[0]["method"]) if records else "password"]


class SecondFactors(DefaultMFAAdapter):
    """Secrets of second factors lie encrypted in the database; the key is not in it."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "This code is not valid, or was used already.",
    }

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()

    def get_totp_issuer(self) -> str:
        return "Vigil"

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())


def _cipher() -> Fernet:
    key = hmac.new(settings.SECRET_KEY.encode(), b"second factors", hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(key))
