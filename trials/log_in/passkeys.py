"""Passkeys: what to sign, and whether it was signed by somebody's own."""

from typing import Any

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth
from django.core.exceptions import ValidationError
from fido2.webauthn import AuthenticationResponse, UserVerificationRequirement

from trials.models import User


ASKED = "vigil_passkey_asked"


def has_passkey(user: User) -> bool:
    held = Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN)
    return bool(held.exists())


def challenge(user: User) -> dict[str, Any] | None:
    """Return what a browser is to have signed by a passkey of the user; nothing without one.

    The passkey asks its owner for a finger, a face or a PIN, so that it counts for both factors.
    The session keeps what was asked, until it is answered or something else is asked, apart from
    what the library asks for its own pages: that may do without finger, face and PIN.
    """
    if not has_passkey(user):
        return None
    options, state = auth.get_server().authenticate_begin(
        credentials=auth.get_credentials(user),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    context.request.session[ASKED] = state
    return dict(options)


def signed(user: User, credential: Any) -> bool:
    """Return whether this answers the session's challenge by a passkey of the user. Once.

    The challenge is taken out of the stored session first: of two requests that bring one answer,
    and wait for one another as ``log_ins.confirmation`` lets them, the second finds none.
    """
    state = _taken()
    try:
        read(AuthenticationResponse, credential)
        if state is not None:
            auth.get_server().authenticate_complete(state, auth.get_credentials(user), credential)
    except (ValidationError, ValueError):
        return False
    return state is not None


def _taken() -> dict[str, Any] | None:
    session = context.request.session
    session.pop(ASKED, None)
    stored = type(session)(session.session_key)
    state: dict[str, Any] | None = stored.pop(ASKED, None)
    if state is not None:
        stored.save()
    return state


def read(kind: Any, credential: Any) -> Any:
    """Return a browser's answer, read. Raises ``ValidationError`` for what is none.

    The library reads bytes that anybody may send, before anything is known of them. Whatever it
    stumbles over there is wrong with them, and no fault of ours.
    """
    try:
        return kind.from_dict(credential)
    except Exception as error:
        raise get_adapter().validation_error("incorrect_code") from error
