"""Is the person at the keyboard still the one who logged in? Asked before what cannot be undone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from events.outcomes import Reason
from trials.errors import IdentityNotConfirmed
from trials.log_in.passkeys import signed
from trials.models import User
from trials.models.accounts import Kind, Method
from trials.services.log_ins import Attempt, confirmation


Type = Authenticator.Type
FRESH = timedelta(minutes=5)  # since somebody came who has no password here
PASSED = 1  # time steps of 30 seconds by which somebody's clock may be off, either way


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody who is in shows to prove that it is still them; one of these is enough.

    A password, with a ``code`` of the authenticator application or a recovery code for whoever has
    these, each good once. A passkey's signature of the session's challenge. Or, for somebody who
    has no password here, a session that single sign-on or a passkey began moments ago.
    """

    password: str = ""
    code: str = ""
    credential: Any = None
    entered_at: datetime | None = None

    @property
    def method(self) -> Method:
        if self.credential:
            return Method.PASSKEY
        return Method.PASSWORD if self.password else Method.SIGN_ON


def confirms_identity(user: User, shown: Shown) -> Attempt:
    """Return who proved anew who they are, or until when they are not asked again.

    What fails is recorded at once: so this is asked before a service's transaction, never inside
    one. It does not count towards the lock of the log-in, and does not ask for it.

    Raises ``RuntimeError`` inside a transaction, which could take the record back.
    """
    at = timezone.now()
    return confirmation(
        user=user, method=shown.method, check=lambda: _judged(user, shown, at=at), at=at
    )


def _judged(user: User, shown: Shown, *, at: datetime) -> Kind:
    """Return what is to be recorded of it."""
    if not user.is_active:
        right = False
    elif shown.credential:
        right = signed(user, shown.credential)
    elif not user.has_usable_password():
        right = shown.entered_at is not None and at - shown.entered_at < FRESH
    elif not check_password(shown.password, user.password):
        right = False
    else:
        right = not has_code(user) or takes_code(user, shown.code, at=at) is not None
        if not right and was_used(user, shown.code, at=at):
            return Kind.CODE_USED
    return Kind.IDENTITY_CONFIRMED if right else Kind.NOT_CONFIRMED


@dataclass(frozen=True, slots=True)
class Proof:
    """That one person proved anew who they are, for the act that follows at once."""

    user_id: int


def prove_identity(by: User, shown: Shown) -> Proof:
    """Return the proof a service asks for. Called before its transaction, never inside one.

    Raises ``IdentityNotConfirmed``.
    """
    found = confirms_identity(by, shown)
    if found.locked_until:
        until = f"{found.locked_until:%H:%M:%S} UTC"
        told = f"Too many failed attempts. Log in afresh to go on at once, or wait until {until}."
        raise IdentityNotConfirmed(Reason("too_many_attempts", told))
    if found.code_used:
        told = "This code was used already: wait for the next one."
        raise IdentityNotConfirmed(Reason("code_used", told))
    if found.user is None:
        raise IdentityNotConfirmed(Reason("identity_not_confirmed", _NOT_RIGHT[shown.method]))
    return Proof(by.pk)


_NOT_RIGHT = {
    Method.PASSWORD: "The password, or the code, is not right.",
    Method.PASSKEY: "This passkey did not confirm it.",
    Method.SIGN_ON: "Your log-in is too long ago. Log in afresh, and confirm within five minutes.",
}


def require_proof(by: User, proof: Proof) -> None:
    """Raise ``ValueError`` for somebody else's proof: no edge of ours hands one on."""
    if proof.user_id != by.pk:
        raise ValueError("the proof is of another person")


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


def was_used(user: User, code: str, *, at: datetime) -> bool:
    """Return whether a code that was not taken is right, and used up: nobody guesses such a one.

    The one used last counts however long ago that was, for a request that is repeated late.
    """
    held = Authenticator.objects.filter(user=user)
    for one in held.filter(type__in=[Type.TOTP, Type.RECOVERY_CODES]):
        if one.type == Type.RECOVERY_CODES:
            used = set(one.wrap().generate_codes()) - set(one.wrap().get_unused_codes())
        else:
            last = one.data.get("last_step", 0)
            used = {_code(one, step) for step in (*_steps(at), last) if 0 < step <= last}
        if any(constant_time_compare(_typed(code), each) for each in used):
            return True
    return False


def _takes_totp(authenticator: Authenticator, code: str, at: datetime) -> bool:
    for step in _steps(at):
        if step <= authenticator.data.get("last_step", 0):
            continue
        if constant_time_compare(_typed(code), _code(authenticator, step)):
            authenticator.data["last_step"] = step
            authenticator.save(update_fields=["data"])
            return True
    return False


def _steps(at: datetime) -> range:
    now = int(at.timestamp()) // app_settings.TOTP_PERIOD
    return range(now - PASSED, now + PASSED + 1)


def _code(authenticator: Authenticator, step: int) -> str:
    return str(format_hotp_value(hotp_value(decrypt(authenticator.data["secret"]), step)))


def _typed(code: str) -> str:
    return "".join(code.split())
