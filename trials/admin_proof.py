"""The form that asks anew who somebody is, before what cannot be undone or lets in for long."""

from collections.abc import Callable
from typing import Any

from allauth.core import context
from django import forms

from trials.admin_forms import ServiceForm
from trials.errors import IdentityNotConfirmed
from trials.identity import Proof, Shown, prove_identity
from trials.log_in.passkeys import challenge, has_passkey
from trials.log_in.requests import BEGAN, instant
from trials.models import User


SHOWN = ("password", "code", "credential")


class ProofForm(ServiceForm):
    """Who you are, proved again: by password and code, or by a passkey.

    Whoever has no password here, but single sign-on, confirms soon after they came.
    """

    credential = forms.JSONField(required=False, widget=forms.HiddenInput)
    password = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        strip=False,
    )
    code = forms.CharField(
        required=False,
        label="Code of your second factor",
        help_text="Empty, if you have none",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}),
    )

    proof: Proof | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        password: Any = self.fields["password"]
        password.required, password.hint = not has_passkey(self.by), "or your passkey"
        if not self.by.has_usable_password():
            del self.fields["password"], self.fields["code"]

    def passkey_options(self) -> dict[str, Any] | None:
        """Return what the page has a passkey sign. Each asking puts an end to the one before."""
        asked = challenge(self.by)
        return {"request_options": asked} if asked else None

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or self.cleaned_data
        shown = sent.get("password") or sent.get("credential") or self.has_error("password")
        if "password" in self.fields and not shown:
            self.add_error("password", forms.ValidationError("Enter it, or use your passkey."))
        return sent

    def arguments(self) -> dict[str, Any]:
        rest = {n: v for n, v in super().arguments().items() if n not in SHOWN}
        return {**rest, "proof": self.proof}

    def proves(self, prove: Callable[[User, Shown], Proof] = prove_identity) -> bool:
        """Ask who this is, before any transaction; what is refused stands on the form."""
        sent = {name: self.cleaned_data[name] for name in SHOWN if name in self.fields}
        shown = Shown(**sent, entered_at=instant(context.request, BEGAN))
        try:
            self.proof = prove(self.by, shown)
        except IdentityNotConfirmed as refusal:
            self.refuse(refusal)
        return self.proof is not None
