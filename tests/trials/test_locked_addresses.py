"""The lock of a network address: who is slowed behind it, who is not, and who ends it."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.trials.test_account_pages import browser
from tests.trials.test_log_ins import (
    PASSWORD,
    Kind,
    Method,
    Office,
    code,
    enrolled,
    enter,
    kinds,
    with_password,
)
from trials.errors import AccountRefused
from trials.models import LogInRecord
from trials.permissions import Role
from trials.services.accounts import end_address_lock, end_lock
from trials.services.log_ins import address_lock_end, attempt, note


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_log_ins")]

HERE, ELSEWHERE = "203.0.113.9", "203.0.113.10"
NETWORK, NAME = "failed attempts from this network", "failed attempts under this name"
LONGEST = timedelta(days=30)


@pytest.fixture(autouse=True)
def _few(settings) -> None:
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def person(study):
    return with_password(study.coordinator)


@pytest.fixture
def stranger(study):
    return with_password(study.person(Role.MONITOR))


def sprays(address: str = HERE, *, names: int = 4) -> None:
    """Try names nobody has from an address."""
    for number in range(names):
        enter(f"name-{number}", "wrong", REMOTE_ADDR=address)


def says(name: str, password: str = PASSWORD, address: str = HERE) -> str:
    """Return what the door says, without the name; nothing to whoever is let in."""
    answer = enter(name, password, REMOTE_ADDR=address)
    if answer.status_code == 302:
        return ""
    return answer.content.decode().replace(name, "").split("<form")[0]


def came(someone, *, ago: timedelta = timedelta(hours=1), address: str = HERE) -> None:
    note(Kind.LOGGED_IN, user=someone, at=timezone.now() - ago, address=address)


def of_addresses() -> list[str]:
    rows = LogInRecord.objects.filter(name_key="").order_by("pk")
    return list(rows.values_list("kind", flat=True))


# --- Whom it reaches -------------------------------------------------------------------------


def test_who_logged_in_from_an_address_is_not_shut_out_by_others_there(person, stranger):
    assert says(person.username) == ""
    sprays()

    assert says(person.username) == ""
    assert NETWORK in says(stranger.username)
    assert says(stranger.username, address=ELSEWHERE) == ""


def test_a_log_in_at_another_address_makes_nobody_known_here(person):
    assert says(person.username, address=ELSEWHERE) == ""
    sprays()

    assert NETWORK in says(person.username)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.LOGGED_IN])
def test_nothing_but_a_whole_log_in_makes_a_name_known_at_an_address(person, kind):
    note(kind, user=person, at=timezone.now() - timedelta(hours=1), address=HERE)
    sprays()

    assert NETWORK in says(person.username)


@pytest.mark.parametrize(("beyond", "in_"), [(timedelta(0), True), (timedelta(0, 1), False)])
def test_a_name_is_known_at_an_address_for_thirty_days(person, beyond, in_):
    now = timezone.now()
    sprays()
    at = now + timedelta(minutes=1)
    note(Kind.LOGGED_IN, user=person, at=at - LONGEST - beyond, address=HERE)

    found = attempt(
        name=person.username, address=HERE, method=Method.PASSWORD, check=lambda: person, at=at
    )

    assert (found.user == person) is in_


def test_each_name_keeps_its_own_count_behind_a_locked_address(person):
    came(person)
    sprays()
    said = [says(person.username, "wrong") for _ in range(3)]

    assert NETWORK in says(person.username)
    assert all(NETWORK in each for each in said)
    assert NAME in says(person.username, address=ELSEWHERE)
    assert Kind.LOCKED in kinds(person)


def test_one_address_trying_many_names_that_are_not_known_there_is_stopped(study):
    staff = [with_password(study.person(Role.MONITOR, name=f"monitor-{n}")) for n in range(6)]

    for each in staff:
        says(each.username, "wrong")

    assert [kinds(each) for each in staff] == [[Kind.FAILED]] * 4 + [[Kind.REFUSED]] * 2
    assert of_addresses() == [Kind.ADDRESS_LOCKED]


def test_the_second_step_is_open_to_who_is_known_at_the_address_alone(person, stranger):
    steps = []
    came(person)
    for each in (person, stranger):
        client, secret = Client(REMOTE_ADDR=HERE), enrolled(each)
        enter(each.username, client=client)
        steps.append((client, secret))
    sprays()

    answers = [
        client.post(reverse("mfa_authenticate"), {"code": code(secret)}) for client, secret in steps
    ]

    assert [answer.status_code for answer in answers] == [302, 200]
    assert NETWORK in answers[1].content.decode()


# --- What it says ----------------------------------------------------------------------------


def test_the_lock_of_a_name_and_that_of_an_address_are_told_apart(person):
    for _ in range(3):
        says(person.username, "wrong")
    own = says(person.username)
    sprays(ELSEWHERE)

    assert NAME in own
    assert NETWORK not in own
    assert NETWORK in says("name-9", address=ELSEWHERE)


def test_a_locked_address_tells_of_no_name_whether_somebody_has_it(
    study, person, stranger, settings
):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 12  # above what one name is tried, as outside tests
    shut = with_password(study.person(Role.AUDITOR))
    came(person)
    came(shut)
    for _ in range(3):
        says(shut.username, "wrong", ELSEWHERE)
    sprays(names=12)
    names = ("somebody-else", stranger.username, person.username, shut.username)

    said = {says(name, "wrong") for name in names for _ in range(4)}

    assert len(said) == 1


def test_a_locked_address_answers_no_name_sooner_than_another(person):
    came(person)
    sprays()
    asked = []

    def tries(name):
        attempt(
            name=name, address=HERE, method=Method.PASSWORD, check=lambda: asked.append(name),
            at=timezone.now(),
        )  # fmt: skip

    for name in ("nobody", person.username):
        for _ in range(4):
            tries(name)

    assert asked == ["nobody"] * 4 + [person.username] * 4


def test_a_code_is_not_used_up_behind_a_locked_address(person):
    sprays()
    asked = []
    attempt(
        name=person.username, address=HERE, method=Method.CODE, check=lambda: asked.append(1),
        at=timezone.now(),
    )  # fmt: skip

    assert asked == []


# --- Its end ---------------------------------------------------------------------------------


def test_an_administrator_ends_the_lock_of_an_address_and_the_count_begins_anew(study, person):
    sprays()
    sprays(ELSEWHERE)
    ended = end_address_lock(
        address=HERE, reason="a ward was shut out", by=study.admin, at=timezone.now()
    )
    sprays(names=3)

    assert says(person.username) == ""
    assert NETWORK in says(person.username, address=ELSEWHERE)
    assert (ended.person, ended.by, ended.reason) == (None, study.admin, "a ward was shut out")
    assert of_addresses() == [Kind.ADDRESS_LOCKED] * 2 + [Kind.ADDRESS_LOCK_ENDED]


def test_an_address_whose_lock_was_ended_is_locked_again_at_the_limit(study, person):
    sprays()
    end_address_lock(address=HERE, reason="-", by=study.admin, at=timezone.now())
    sprays()

    assert NETWORK in says(person.username)


def test_the_lock_of_an_address_is_ended_while_there_is_one(study):
    sprays(names=3)

    with pytest.raises(AccountRefused) as refused:
        end_address_lock(address=HERE, reason="-", by=study.admin, at=timezone.now())

    assert [reason.code for reason in refused.value.reasons] == ["address_not_locked"]
    assert of_addresses() == []


def test_whoever_manages_nobody_ends_no_lock_of_an_address(study):
    sprays()

    with pytest.raises(PermissionDenied):
        end_address_lock(address=HERE, reason="-", by=study.coordinator, at=timezone.now())

    assert address_lock_end(HERE, at=timezone.now())


def test_the_end_of_a_names_lock_ends_no_addresss(study, person, stranger):
    for _ in range(4):
        says(person.username, "wrong")
    sprays()
    end_lock(person=person, reason="-", by=study.admin, at=timezone.now())

    assert NETWORK in says(stranger.username)


@on_postgres
def test_the_lock_of_an_address_is_ended_over_the_interface_once(study):
    sprays()
    admin, body = caller_for(study.admin), {"address": HERE, "reason": "a ward"}

    ended, again = (admin.post("/address-lock-ends", body) for _ in range(2))
    unreadable = admin.post("/address-lock-ends", {**body, "address": "a ward"})
    listed = admin.get("/log-ins").json()["results"]

    assert (ended.status_code, ended.json()["kind"]) == (201, "address_lock_ended")
    assert ended.json()["address"] == HERE
    assert (again.status_code, reasons_of(again)) == (409, {("", "address_not_locked")})
    assert unreadable.status_code == 400
    assert [one["kind"] for one in listed[:2]] == ["address_lock_ended", "address_locked"]


def test_the_page_of_log_ins_names_locked_addresses_and_ends_their_locks(study):
    page, add = (
        reverse("admin:trials_loginrecord_changelist"),
        reverse("admin:trials_loginrecord_add"),
    )
    sprays()
    admin = browser(study.admin)
    auditor = browser(study.person(Role.AUDITOR))
    of_one_site = browser(study.person(Role.DATA_MANAGER, site=study.site, name="of-one-site"))

    shown, seen = (each.get(page).content.decode() for each in (admin, auditor))
    hidden = of_one_site.get(page)
    offered = admin.get(f"{add}?address={HERE}").content.decode()
    denied = auditor.post(add, {"key": "a", "address": HERE, "reason": "a ward"})
    done = admin.post(add, {"key": "a", "address": HERE, "reason": "a ward"})

    assert f"{add}?address={HERE}" in shown
    assert (HERE in seen, add in seen) == (True, False)
    assert (hidden.status_code, HERE in hidden.content.decode()) == (200, False)
    assert f'value="{HERE}"' in offered
    assert (denied.status_code, done.status_code) == (403, 302)
    assert address_lock_end(HERE, at=timezone.now()) is None
    assert "Locked network addresses" not in admin.get(page).content.decode()
