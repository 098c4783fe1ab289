"""The pages of the log-in and of a person's own security, in Vigil's look."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.mixins import NextRedirectMixin
from allauth.account.views import LoginView, PasswordChangeView
from allauth.mfa.base.views import AuthenticateView, IndexView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    LoginWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from trials.admin_proof import SHOWN
from trials.admin_site import may_enter, site
from trials.identity import FRESH
from trials.log_in.devices import remember
from trials.log_in.forms import Confirm
from trials.log_in.requests import PROVED, address_of, instant
from trials.models import User
from trials.models.accounts import Kind, Method
from trials.services.log_ins import note


ENDED = {
    Kind.IDLE_ENDED: "You were logged out, because nothing was done here for {minutes} minutes.",
    Kind.TOO_OLD: "You were logged out: a log-in lasts {hours} hours.",
}


class LogInPage(LoginView):
    """The one door of people; the second step follows for whoever has a second factor."""

    template_name = "admin/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated and not may_enter(request.user):
            name = request.user.get_username()
            get_adapter(request).logout(request)
            request.session["vigil_ended"] = f"{name} has no role in a trial at present."
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        ended = self.request.session.pop("vigil_ended", "")
        text = ENDED.get(ended, str(ended)).format(
            minutes=settings.VIGIL_IDLE_SECONDS // 60, hours=settings.SESSION_COOKIE_AGE // 3600
        )
        return {
            **site.each_context(self.request),
            **super().get_context_data(**kwargs),
            "ended": text,
            "sign_on": settings.VIGIL_OIDC_NAME if settings.OIDC_PROVIDER_ON else "",
            "sign_on_provider": settings.OIDC_PROVIDER,
        }


class PasskeyLogIn(LoginWebAuthnView):
    """Not a page: the door asks it what to sign, and sends it what was signed."""

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, "This passkey did not let you in.")
        return redirect("account_login")


class SecondStepPage(AuthenticateView):
    template_name = "account/second_step.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.stage.login.user
        kinds = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
        held = {"has_codes": bool(kinds - {"webauthn"}), "has_passkeys": "webauthn" in kinds}
        found = super().get_context_data(**kwargs)
        return {**site.each_context(self.request), **found, **held}


class _Own:
    """A page of somebody who is logged in, framed by the admin."""

    title = ""
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]  # a mixin
        return {**site.each_context(self.request), "title": self.title, **found}

    def note(self, kind: Kind, method: Method) -> None:
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - admin_view lets nobody else through
        address = address_of(self.request)
        note(kind, user=user, at=timezone.now(), address=address, method=method)


class SecurityPage(_Own, IndexView):
    template_name = "account/security.html"
    title = "Security"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        held = found["authenticators"]
        user = self.request.user
        found["enrolled"] = "totp" in held or "webauthn" in held
        found["required"] = settings.VIGIL_MFA_REQUIRED and not found["enrolled"]
        found["bound"] = SocialAccount.objects.filter(user_id=user.pk).exists()
        return found


class PasswordPage(_Own, PasswordChangeView):
    template_name = "account/form.html"
    title = "Change password"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user = request.user
        if isinstance(user, User) and not user.has_usable_password():  # by single sign-on alone
            return redirect("mfa_index")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            answer = super().form_valid(form)
        remember(self.request, answer, form.user)
        return answer


@method_decorator(sensitive_post_parameters(*SHOWN), name="dispatch")
class ConfirmPage(_Own, NextRedirectMixin, FormView):  # type: ignore[type-arg]  # has none at run time
    template_name = "account/confirm.html"
    title = "Confirm it is you"
    form_class = Confirm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "by": self.request.user}

    def form_valid(self, form: Confirm) -> HttpResponse:
        if not form.proves():
            return self.form_invalid(form)
        self.request.session[PROVED] = timezone.now().timestamp()
        return super().form_valid(form)

    def get_default_success_url(self) -> str:
        return resolve_url("mfa_index")


class _Proved(_Own):
    """A page that changes how somebody gets in: each change asks anew who they are."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        proved = instant(request, PROVED)
        if proved is None or timezone.now() - proved >= FRESH:
            asks = urlencode({REDIRECT_FIELD_NAME: request.path})
            return redirect(f"{resolve_url('account_reauthenticate')}?{asks}")
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # a mixin

    def form_valid(self, form: Any) -> Any:
        answer = super().form_valid(form)  # type: ignore[misc]  # a mixin
        del self.request.session[PROVED]
        return answer


class AddAuthenticatorPage(_Proved, ActivateTOTPView):
    template_name = "account/add_authenticator.html"
    title = "Add an authenticator application"

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            answer = super().form_valid(form)
            self.note(Kind.FACTOR_ADDED, Method.CODE)
        return answer


class RemoveAuthenticatorPage(_Proved, DeactivateTOTPView):
    template_name = "account/remove.html"
    title = "Remove the authenticator application"

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            answer = super().form_valid(form)
            self.note(Kind.FACTOR_REMOVED, Method.CODE)
        return answer


class AddPasskeyPage(_Proved, AddWebAuthnView):
    template_name = "account/add_passkey.html"
    title = "Add a passkey"

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            answer = super().form_valid(form)
            self.note(Kind.FACTOR_ADDED, Method.PASSKEY)
        return answer


class RemovePasskeyPage(_Proved, RemoveWebAuthnView):
    template_name = "account/remove.html"
    title = "Remove a passkey"

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            super().form_valid(form)
            self.note(Kind.FACTOR_REMOVED, Method.PASSKEY)
        return redirect("mfa_index")


class RecoveryCodesPage(_Own, ViewRecoveryCodesView):
    template_name = "account/recovery_codes.html"
    title = "Recovery codes"


class NewRecoveryCodesPage(_Proved, GenerateRecoveryCodesView):
    template_name = "account/remove.html"
    title = "Make new recovery codes"

    def form_valid(self, form: Any) -> Any:
        with transaction.atomic():
            answer = super().form_valid(form)
            self.note(Kind.CODES_MADE, Method.CODE)
        return answer
