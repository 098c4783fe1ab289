"""Forms about accounts and credentials: each asks for what one service takes."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.conf import settings

from trials.admin_forms import DayField, ServiceForm, offer_trials
from trials.admin_proof import ProofForm
from trials.api.scopes import Scope
from trials.models import MachineClient, Site, Trial, User
from trials.permissions import Permission
from trials.services.accounts import (
    add_person,
    bind_sign_on,
    end_address_lock,
    end_lock,
    give_password,
    remove_second_factors,
    switch_on_log_in,
)
from trials.services.clients import end_client, give_client, give_site_client, renew_client


SHOWN_ONCE = "It is shown once, on the next page, and kept nowhere."


class SecretForm(ServiceForm):
    """A form whose service makes a secret, which its page shows once and nothing keeps."""

    made: Any = None
    secret: str = ""
    secret_is: ClassVar[str] = ""


class AddPersonForm(SecretForm):
    title, icon, submit = "New person", "person_add", "Make the account"
    permission = Permission.MANAGE_PEOPLE
    note = f"The account has no role yet. A password for the first log-in is made. {SHOWN_ONCE}"
    secret_is = "Password for the first log-in"  # noqa: S105 - a label

    username = forms.CharField(max_length=150, label="User name")
    first_name = forms.CharField(max_length=150)
    last_name = forms.CharField(max_length=150)
    email = forms.EmailField(required=False, label="E-mail")

    def act(self, *, at: datetime) -> User:
        self.made, self.secret = add_person(by=self.by, at=at, **self.arguments())
        found: User = self.made
        return found


class AboutPerson(ServiceForm):
    """A form about somebody's account, for whoever manages people in all their trials."""

    permission = Permission.MANAGE_PEOPLE
    reason = forms.CharField(max_length=300, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, person: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.person = person

    def act(self, *, at: datetime) -> Any:
        service = type(self).service
        return service(person=self.person, by=self.by, at=at, **self.arguments())


class GivePasswordForm(AboutPerson, SecretForm):
    title, icon, submit = "Give a password", "key", "Make a password"
    note = f"Make sure who asks. It must be changed at the first log-in. {SHOWN_ONCE}"
    secret_is = "Password for the next log-in"  # noqa: S105 - a label

    def act(self, *, at: datetime) -> User:
        self.made = self.person
        _, self.secret = give_password(person=self.person, by=self.by, at=at, **self.arguments())
        return self.person


class EndLockForm(AboutPerson):
    title, icon, submit = "End the lock", "lock_open", "End the lock"
    note = "Make sure who asks: the failed attempts may have been somebody else's."
    service = staticmethod(end_lock)


class EndAddressLockForm(ServiceForm):
    title, icon, submit = "End the lock of an address", "lock_open", "End the lock"
    note = "Make sure that those behind it ask: the failed attempts may go on."
    permission = Permission.MANAGE_PEOPLE
    service = staticmethod(end_address_lock)

    address = forms.GenericIPAddressField(label="Network address")
    reason = forms.CharField(max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


class SwitchOnForm(AboutPerson):
    title, icon, submit = "Switch the log-in on", "person_check", "Switch on"
    note = (
        "For somebody who left and came back. Roles, password, sessions and clients do not come "
        "back: give a password and roles next."
    )
    service = staticmethod(switch_on_log_in)


class RemoveFactorsForm(AboutPerson):
    title, icon, submit = "Remove second factors", "phonelink_erase", "Remove all second factors"
    note = "For somebody who lost theirs. Make sure who asks."
    service = staticmethod(remove_second_factors)


class BindSignOnForm(AboutPerson):
    title, icon, submit = "Bind single sign-on", "link", "Bind"
    note = "The subject (`sub`) by which your identity provider knows this person."
    service = staticmethod(bind_sign_on)
    field_of = {"subject_taken": "subject"}

    subject = forms.CharField(max_length=191)
    field_order = ("subject", "reason")


ABOUT_PERSON: dict[str, type[AboutPerson]] = {
    "password": GivePasswordForm,
    "lock": EndLockForm,
    "switch-on": SwitchOnForm,
    "factors": RemoveFactorsForm,
    "sign-on": BindSignOnForm,
}


def scope_choices(*, without: tuple[Scope, ...] = ()) -> list[tuple[str, str]]:
    """Return the scopes with what each allows, as the interface's documentation says it."""
    said: Any = settings.OAUTH2_PROVIDER["SCOPES"]
    return [(one.value, f"{one.value}: {said[one]}") for one in Scope if one not in without]


class GiveClientForm(SecretForm, ProofForm):
    title, icon, submit = "New client", "key", "Give credentials"
    permission = Permission.MANAGE_CLIENTS
    note = f"For one program of one site. The secret is made. {SHOWN_ONCE}"
    secret_is = "Client secret"  # noqa: S105 - a label
    field_of = {
        "name_taken": "name",
        "expires_in_the_past": "expires_on",
        "expires_too_late": "expires_on",
    }

    site = forms.ModelChoiceField(Site.objects.none(), empty_label="Choose…")
    name = forms.CharField(max_length=100, help_text="What the program is, for whoever reads lists")
    scopes = forms.MultipleChoiceField(
        choices=scope_choices(without=(Scope.MANAGE, Scope.UNBLIND)),
        widget=forms.CheckboxSelectMultiple,
    )
    expires_on = DayField(label="Last day", help_text="At most a year from now")
    field_order = ("site", "name", "expires_on", "scopes", "password", "code")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        sites = Site.objects.visible_to(self.by, Permission.MANAGE_CLIENTS).select_related("trial")
        self.fields["site"].queryset = sites  # type: ignore[attr-defined]

    def act(self, *, at: datetime) -> MachineClient:
        self.made, self.secret = give_site_client(by=self.by, at=at, **self.arguments())
        found: MachineClient = self.made
        return found


class OwnClientForm(SecretForm, ProofForm):
    title, icon, submit = "Program of your own", "terminal", "Make credentials"
    note = (
        "For a script of yours: it may do what you may, within the scopes, and every record names"
        f" you. The secret is made. {SHOWN_ONCE}"
    )
    secret_is = "Client secret"  # noqa: S105 - a label
    field_of = GiveClientForm.field_of

    trial = forms.ModelChoiceField(Trial.objects.none())
    name = forms.CharField(max_length=100, help_text="What the program is, as in R at my desk")
    scopes = forms.MultipleChoiceField(choices=scope_choices(), widget=forms.CheckboxSelectMultiple)
    expires_on = DayField(label="Last day", help_text="At most a year from now")
    field_order = ("trial", "name", "expires_on", "scopes", "password", "code")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        offer_trials(self, Trial.objects.visible_to(self.by))

    def act(self, *, at: datetime) -> MachineClient:
        self.made, self.secret = give_client(user=self.by, by=self.by, at=at, **self.arguments())
        found: MachineClient = self.made
        return found


class AboutClient(ServiceForm):
    permission = Permission.MANAGE_CLIENTS

    def __init__(self, *args: Any, client: MachineClient, **options: Any) -> None:
        super().__init__(*args, **options)
        self.client = client


class RenewClientForm(AboutClient, SecretForm, ProofForm):
    title, icon, submit = "Renew", "autorenew", "Make a new secret"
    note = (
        "The old secret, and every access token that is out, holds beside the new one for the hours"
        f" you state; with 0 both end at once. {SHOWN_ONCE}"
    )
    secret_is = "New client secret"  # noqa: S105 - a label
    field_of = {
        "expires_in_the_past": "expires_on",
        "expires_too_late": "expires_on",
        "overlap_too_long": "overlap_hours",
    }

    expires_on = DayField(label="New last day")
    overlap_hours = forms.IntegerField(
        min_value=0, max_value=10_000, label="The old secret holds for, hours"
    )
    field_order = ("expires_on", "overlap_hours", "password", "code")

    def act(self, *, at: datetime) -> MachineClient:
        asked = self.arguments()
        self.made, self.secret = renew_client(
            client_id=self.client.pk,
            expires_on=asked["expires_on"],
            overlap=timedelta(hours=asked["overlap_hours"]),
            proof=asked["proof"],
            by=self.by,
            at=at,
        )
        found: MachineClient = self.made
        return found


class EndClientForm(AboutClient):
    title, icon, submit = "End", "block", "End now"
    note = "Its secrets and access tokens stop at once."

    reason = forms.CharField(max_length=300, widget=forms.Textarea(attrs={"rows": 2}))

    def act(self, *, at: datetime) -> MachineClient:
        return end_client(client_id=self.client.pk, by=self.by, at=at, **self.arguments())


ABOUT_CLIENT: dict[str, type[AboutClient]] = {"renew": RenewClientForm, "end": EndClientForm}
