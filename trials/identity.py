"""Is the person at the keyboard still the one who logged in? Asked before what cannot be undone."""

from datetime import datetime

from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from trials.models import User
from trials.models.accounts import Kind, Method
from trials.services.log_ins import attempt, note


Type = Authenticator.Type
PASSED = 1  # time steps of 30 seconds by which somebody's clock may be off, either way


def confirms_identity(user: User, *, password: str, code: str = "") -> bool:
    """Return whether a user proves anew who they are: password, and ``code`` with a second factor.

    ``code`` is one of the authenticator application or a recovery code, and each is good once; it
    is ignored for somebody who has neither. A failure counts towards the lock of the log-in, and
    is recorded at once: so this is asked before a service's transaction, never inside one.

    Raises ``RuntimeError`` inside a transaction, which could take the record back.
    """
    at = timezone.now()

    def check() -> User | None:
        if not user.is_active or not check_password(password, user.password):
            return None
        return user if not has_code(user) or takes_code(user, code, at=at) else None

    method = Method.PASSWORD
    found = attempt(name=user.username, address=None, method=method, check=check, at=at).user
    if found is not None:
        note(Kind.IDENTITY_CONFIRMED, user=user, method=method, at=at)
    return found is not None


def has_second_factor(user: User) -> bool:
    held = Authenticator.objects.filter(user=user, type__in=[Type.TOTP, Type.WEBAUTHN])
    return bool(held.exists())


def has_code(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type=Type.TOTP).exists())


@transaction.atomic
def takes_code(user: User, code: str, *, at: datetime) -> Authenticator | None:
    """Return whose code it is, authenticator application or recovery codes, and use it up.

    The row is locked and keeps the last time step used: a code is good once, in whatever process
    it arrives, and none before it is good after it.

    Source: RFC 6238 5.2 (one-time, and at most one step off either way).
    """
    held = Authenticator.objects.select_for_update().filter(user=user).order_by("pk")
    for one in held.filter(type__in=[Type.TOTP, Type.RECOVERY_CODES]):
        if one.type == Type.RECOVERY_CODES:
            fits = bool(one.wrap().validate_code(code))
        else:
            fits = _takes_totp(one, code, at)
        if fits:
            return one
    return None


def _takes_totp(authenticator: Authenticator, code: str, at: datetime) -> bool:
    secret = decrypt(authenticator.data["secret"])
    now = int(at.timestamp()) // app_settings.TOTP_PERIOD
    typed = "".join(code.split())
    for step in range(now - PASSED, now + PASSED + 1):
        if step <= authenticator.data.get("last_step", 0):
            continue
        if constant_time_compare(typed, format_hotp_value(hotp_value(secret, step))):
            authenticator.data["last_step"] = step
            authenticator.save(update_fields=["data"])
            return True
    return False
