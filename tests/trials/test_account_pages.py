"""The administrator's pages about accounts, log-ins and clients, as they are used."""

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.models import IdempotencyRecord
from tests.trials.test_log_ins import PASSWORD, Kind, Office, code, enrolled, enter, kinds
from tests.trials.test_passkeys import options_on, owner_of
from trials.models import MachineClient, User
from trials.permissions import Role


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_log_ins")]

KNOWN = {"password": PASSWORD}


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def admin(study) -> Client:
    return browser(study.admin)


def browser(person) -> Client:
    person.set_password(PASSWORD)
    person.save()
    client = Client()
    client.force_login(person)
    return client


def secret_on(page) -> str:
    return re.search(r'user-select:all">([^<]+)<', page.content.decode())[1]


def test_a_person_is_added_and_given_a_password_once(study, admin):
    form = {"key": "a", "username": "newcomer", "first_name": "New", "last_name": "Comer"}

    page = admin.post(reverse("admin:trials_user_add"), form)
    again = admin.post(reverse("admin:trials_user_add"), form)

    assert User.objects.get(username="newcomer").check_password(secret_on(page))
    assert secret_on(page) not in again.content.decode()
    assert not IdempotencyRecord.objects.filter(body__contains=secret_on(page)).exists()


def test_a_lock_is_ended_and_a_lost_factor_removed_with_a_reason(study, admin):
    someone = study.coordinator
    enrolled(someone)
    for _ in range(3):
        enter(someone.username, "wrong")
    shown = admin.get(reverse("admin:trials_user_change", args=[someone.pk])).content.decode()

    for what in ("lock", "factors", "password"):
        address = reverse("admin:trials_user_form", args=[someone.pk, what])
        assert admin.get(address).status_code == 200
        admin.post(address, {"key": what, "reason": "telephone lost"})

    assert "End the lock" in shown
    assert kinds(someone)[-3:] == [Kind.LOCK_ENDED, Kind.FACTOR_REMOVED, Kind.PASSWORD_GIVEN]


def test_a_client_is_given_renewed_and_ended(study, admin):
    last = timezone.now().date() + timedelta(30)
    form = {"key": "a", "site": study.site.pk, "name": "Ward", "scopes": ["read"], **KNOWN}

    given = admin.post(reverse("admin:trials_machineclient_add"), {**form, "expires_on": last})
    client = MachineClient.objects.get()
    own = reverse("admin:trials_machineclient_change", args=[client.pk])
    forms = own.replace("change/", "forms/")
    renewed = admin.post(
        f"{forms}renew/",
        {"key": "b", "expires_on": last, "overlap_hours": 1, **KNOWN},
    )
    page = admin.get(own)
    admin.post(f"{forms}end/", {"key": "c", "reason": "over"})

    assert secret_on(given) != secret_on(renewed)
    assert client.application.client_id in page.content.decode()
    client.refresh_from_db()
    assert client.ended_by == study.admin


@pytest.mark.parametrize(
    "role",
    [Role.UNBLINDED_STATISTICIAN, Role.UNBLINDED_SUPPLIER, Role.COMMITTEE_MEMBER, Role.AUDITOR],
)
def test_everybody_makes_a_client_for_a_program_of_their_own_and_sees_no_others(study, role):
    one, other = study.person(role), study.person(Role.MONITOR)
    last = timezone.now().date() + timedelta(30)
    form = {"key": "a", "trial": study.trial.pk, "name": "R", "scopes": ["read"], **KNOWN}
    page, theirs = browser(one), browser(other)

    given = page.post(reverse("admin:trials_machineclient_own"), {**form, "expires_on": last})
    client = MachineClient.objects.get()
    token = Client().post(
        "/oauth/token",
        {
            "grant_type": "client_credentials",
            "client_id": client.application.client_id,
            "client_secret": secret_on(given),
        },
    )
    change = reverse("admin:trials_machineclient_change", args=[client.pk])
    listed = [each.get(reverse("admin:trials_machineclient_changelist")) for each in (page, theirs)]

    assert (client.user, client.scopes, token.status_code) == (one, ["read"], 200)
    assert client.application.client_id in page.get(change).content.decode()
    assert theirs.get(change).status_code == 404
    assert [change in each.content.decode() for each in listed] == [True, False]


def test_a_look_behind_the_blind_is_offered_to_programs_of_people_alone(study, admin):
    own = admin.get(reverse("admin:trials_machineclient_own")).content.decode()
    of_site = admin.get(reverse("admin:trials_machineclient_add")).content.decode()

    offered = "unblind: Look behind the blind"
    assert (offered in own, offered in of_site) == (True, False)


def own_program(study, **sent):
    last = timezone.now().date() + timedelta(30)
    trial = study.trial.pk
    return {"key": "a", "trial": trial, "name": "R", "scopes": ["read"], "expires_on": last, **sent}


@pytest.mark.parametrize("shown", [{}, {"password": "wrong"}, {"code": "000000"}])
def test_an_open_session_alone_makes_no_credentials(study, admin, shown):
    own = admin.post(reverse("admin:trials_machineclient_own"), own_program(study, **shown))
    form = {**own_program(study, **shown), "site": study.site.pk}
    for_site = admin.post(reverse("admin:trials_machineclient_add"), form)

    assert [answer.context["form"].secret for answer in (own, for_site)] == ["", ""]
    assert not MachineClient.objects.exists()
    assert set(kinds(study.admin)) <= {Kind.NOT_CONFIRMED}


def test_an_open_session_alone_renews_no_credentials(study, admin):
    admin.post(reverse("admin:trials_machineclient_own"), own_program(study, **KNOWN))
    client = MachineClient.objects.get()
    page = reverse("admin:trials_machineclient_form", args=[client.pk, "renew"])
    form = {"key": "b", "expires_on": client.expires_on, "overlap_hours": 0}

    admin.post(page, {**form, "password": "wrong"})
    client.refresh_from_db()
    before = client.renewed_at
    admin.post(page, {**form, **KNOWN})
    client.refresh_from_db()

    assert before is None
    assert client.renewed_at is not None


def test_credentials_are_made_by_password_and_code_or_by_a_passkey(study, admin):
    page = reverse("admin:trials_machineclient_own")
    key = owner_of(study.admin)
    secret = enrolled(study.admin)
    browser_of_key = Client(SERVER_NAME="localhost")
    browser_of_key.force_login(study.admin)
    options = options_on(browser_of_key.get(page), "vg-passkey-options")
    signed = json.dumps(key.signs(options))

    alone = admin.post(page, own_program(study, **KNOWN))
    both = admin.post(page, own_program(study, **KNOWN, code=code(secret)))
    passkey = own_program(study, credential=signed, key="b", name="S")
    by_key = browser_of_key.post(page, passkey)

    assert alone.context["form"].secret == ""
    assert secret_on(both) != secret_on(by_key)
    assert MachineClient.objects.count() == 2


@pytest.mark.parametrize("days", [-1, 400])
def test_a_program_of_ones_own_has_a_last_day_that_can_be(study, admin, days):
    last = timezone.now().date() + timedelta(days)
    form = {"key": "a", "trial": study.trial.pk, "name": "R", "scopes": ["read"], **KNOWN}

    answer = admin.post(reverse("admin:trials_machineclient_own"), {**form, "expires_on": last})

    assert answer.context["form"].errors["expires_on"]
    assert not MachineClient.objects.exists()


def test_the_menu_names_clients_to_whoever_manages_them_alone(study, admin):
    other = browser(study.coordinator)
    address = f'href="{reverse("admin:trials_machineclient_changelist")}"'

    shown, own = (each.get(reverse("admin:index")).content.decode() for each in (admin, other))

    assert "Clients of programs" in shown
    assert "Clients of programs" not in own
    assert address in own


@pytest.mark.parametrize("name", ["trials_user", "trials_loginrecord"])
def test_the_lists_are_for_the_administrator_and_not_for_a_coordinator(study, admin, name):
    enter("nobody", "wrong")
    other = browser(study.coordinator)
    address = reverse(f"admin:{name}_changelist")

    assert admin.get(address).status_code == 200
    assert other.get(address).status_code == 403
