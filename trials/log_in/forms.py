"""The library's forms, with every wrong password and code counted where the log-in's are."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm, LoginForm
from allauth.core import context
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
)
from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from fido2.webauthn import AuthenticationResponse, RegistrationResponse

from trials.admin_proof import ProofForm
from trials.identity import takes_code
from trials.log_in.adapters import first_step, locked_text
from trials.log_in.devices import device_of
from trials.log_in.passkeys import read
from trials.log_in.requests import address_of
from trials.models import User
from trials.models.accounts import Kind, Method
from trials.services.log_ins import Attempt, attempt, confirmation


class LogIn(LoginForm):
    """User name and password."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["login"].label = "User name"


class ChangePassword(ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        old: str = self.cleaned_data["oldpassword"]
        if not get_adapter().reauthenticate(self.user, old):
            raise get_adapter().validation_error("enter_current_password")
        return old


class _Counted(forms.Form):
    """A code is asked of the one place that uses codes up."""

    user: User
    authenticator: Authenticator

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        at = timezone.now()

        def check() -> User | None:
            found = takes_code(self.user, code, at=at)
            if found is None:
                return None
            self.authenticator = found
            self.authenticator.user = self.user
            return self.user

        _counted(self.user, Method.CODE, check)
        return code


class SecondStep(_Counted, AuthenticateForm):
    pass


class Confirm(ProofForm):
    """Nothing is recorded by it but the proof, so that it needs no key of its own."""

    key = None  # type: ignore[assignment]  # a field that is taken away


class AddPasskey(AddWebAuthnForm):
    def clean_credential(self) -> Any:
        """Return what can be read as a new passkey; who made it for whom is asked afterwards."""
        credential = self.cleaned_data["credential"]
        made = read(RegistrationResponse, credential)
        if made.response.attestation_object.auth_data.credential_data is None:
            raise get_mfa_adapter().validation_error("incorrect_code")
        return credential


class _Signed(AuthenticateWebAuthnForm):
    def clean_credential(self) -> Authenticator:
        read(AuthenticationResponse, self.cleaned_data["credential"])
        return super().clean_credential()


class LogInByPasskey(_Signed, LoginWebAuthnForm):
    pass


class SecondStepByPasskey(_Signed):
    def clean_credential(self) -> Authenticator:
        found: list[Authenticator] = []

        def check() -> User | None:
            try:
                found.append(super(SecondStepByPasskey, self).clean_credential())
            except ValidationError:
                return None
            return self.user  # type: ignore[no-any-return]  # no types there

        _counted(self.user, Method.PASSKEY, check)
        return found[0]


def _counted(user: User, method: Method, check: Callable[[], User | None]) -> None:
    found = _second_step(user, method, check, at=timezone.now())
    if found.locked_until:
        raise ValidationError(locked_text(found), code="locked")
    if found.user is None:
        raise get_mfa_adapter().validation_error("incorrect_code")


def _second_step(
    user: User, method: Method, check: Callable[[], User | None], *, at: datetime
) -> Attempt:
    """Ask for a second factor and count the answer.

    Who came by single sign-on has shown who they are: what others try under their name, or at
    their address, does not keep them out. See docs/decisions/0018.
    """
    if first_step(context.request, user) == Method.SIGN_ON:

        def judged() -> Kind:
            return Kind.IDENTITY_CONFIRMED if check() else Kind.NOT_CONFIRMED

        return confirmation(user=user, method=method, check=judged, at=at)
    return attempt(
        name=user.username,
        device=device_of(context.request, user),
        address=address_of(context.request),
        method=method,
        check=check,
        at=at,
    )
