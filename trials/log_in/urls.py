"""Where people log in and look after their log-in; the library finds its pages by these names.

What is not here does not exist: nobody signs up, and no password is reset by mail.
"""

from typing import Any

from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

from trials.admin_site import site
from trials.log_in import sign_on, views


def _own(page: Any) -> Any:
    return site.admin_view(page.as_view())


urlpatterns = [
    path("admin/login/", site.login, name="account_login"),
    path("admin/logout/", site.logout, name="account_logout"),
    path("admin/login/second-step/", views.SecondStepPage.as_view(), name="mfa_authenticate"),
    path("admin/login/passkey/", views.PasskeyLogIn.as_view(), name="mfa_login_webauthn"),
    path("admin/security/", _own(views.SecurityPage), name="mfa_index"),
    path(
        "admin/security/passkeys/",
        RedirectView.as_view(pattern_name="mfa_index"),
        name="mfa_list_webauthn",
    ),
    path("admin/security/password/", _own(views.PasswordPage), name="account_change_password"),
    path("admin/security/confirm/", _own(views.ConfirmPage), name="account_reauthenticate"),
    path(
        "admin/security/authenticator/add/",
        _own(views.AddAuthenticatorPage),
        name="mfa_activate_totp",
    ),
    path(
        "admin/security/authenticator/remove/",
        _own(views.RemoveAuthenticatorPage),
        name="mfa_deactivate_totp",
    ),
    path("admin/security/passkeys/add/", _own(views.AddPasskeyPage), name="mfa_add_webauthn"),
    path(
        "admin/security/passkeys/<int:pk>/remove/",
        _own(views.RemovePasskeyPage),
        name="mfa_remove_webauthn",
    ),
    path(
        "admin/security/recovery-codes/",
        _own(views.RecoveryCodesPage),
        name="mfa_view_recovery_codes",
    ),
    path(
        "admin/security/recovery-codes/new/",
        _own(views.NewRecoveryCodesPage),
        name="mfa_generate_recovery_codes",
    ),
]
if settings.OIDC_PROVIDER_ON:
    way = "admin/sign-on/oidc/<slug:provider_id>/login/"
    urlpatterns += [
        path(way, sign_on.begin, name="openid_connect_login"),
        path(f"{way}callback/", sign_on.end, name="openid_connect_callback"),
    ]
