"""A browser somebody logged in with before is not locked by what others try elsewhere."""

import time

import pytest
from django.core.signing import TimestampSigner, b62_encode
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.trials.test_log_ins import (
    HOME,
    OTHER,
    PASSWORD,
    Kind,
    Office,
    change,
    code,
    enrolled,
    enter,
    kinds,
    logged_in,
    with_password,
)
from tests.trials.test_passkeys import browser, knocks, owner_of
from trials.log_in.devices import LASTS, MOST
from trials.models import LogInRecord
from trials.permissions import Role
from trials.queries import standing_of
from trials.services.accounts import end_lock, give_password


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_log_ins")]

LOCKED = "Too many failed attempts"


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def person(study):
    return with_password(study.coordinator)


@pytest.fixture
def other(study):
    return with_password(study.person(Role.MONITOR))


def known(someone) -> Client:
    """A browser in which somebody logged in, and out again."""
    client = logged_in(someone.username)
    client.post(reverse("admin:logout"))
    return client


def copied(client: Client) -> Client:
    """Another browser with the same cookies, as a thief would have them."""
    copy = Client()
    for name, morsel in client.cookies.items():
        copy.cookies[name] = morsel.value
    return copy


def cookie_of(someone) -> str:
    return f"vigil_device_{someone.pk}"


def gets_in(someone, client: Client | None = None, password: str = PASSWORD, **extra) -> bool:
    return enter(someone.username, password, client, **extra).status_code == 302


def locks(someone, client: Client | None = None) -> None:
    for _ in range(3):
        enter(someone.username, "wrong", client)


# --- In, and out -----------------------------------------------------------------------------


def test_a_lock_that_others_cause_keeps_out_strange_browsers_and_not_the_known_one(person):
    here = known(person)
    locks(person)

    assert LOCKED in enter(person.username).content.decode()
    assert gets_in(person, here)


def test_the_second_step_too_is_open_in_the_known_browser_alone(person):
    here = known(person)
    secret = enrolled(person)
    strange = Client()
    for client in (here, strange):
        enter(person.username, client=client)
    locks(person)
    step = reverse("mfa_authenticate")

    refused = strange.post(step, {"code": code(secret)})
    passed = here.post(step, {"code": code(secret)})

    assert LOCKED in refused.content.decode()
    assert passed.url == HOME


def test_the_lock_of_an_address_reaches_no_known_browser(person, settings):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4
    here, address = known(person), {"REMOTE_ADDR": "203.0.113.9"}
    for number in range(4):
        enter(f"name-{number}", "wrong", **address)

    assert not gets_in(person, **address)
    assert gets_in(person, here, **address)


def test_a_log_in_in_a_known_browser_does_not_end_the_lock_for_others(person):
    here = known(person)
    locks(person)

    assert gets_in(person, here)
    assert not gets_in(person)


def test_a_passkey_makes_a_browser_known_as_a_password_does(person):
    key, client = owner_of(person), browser()
    knocks(client, key)

    assert client.cookies[cookie_of(person)].value


def test_a_password_alone_makes_no_browser_known_to_whoever_has_a_second_factor(person):
    enrolled(person)
    client = Client()

    enter(person.username, client=client)

    assert cookie_of(person) not in client.cookies


# --- No other cookie will do -----------------------------------------------------------------


def test_the_cookie_of_somebody_else_helps_under_neither_name(person, other):
    theirs = known(other)
    as_theirs = copied(theirs)
    as_theirs.cookies[cookie_of(person)] = theirs.cookies[cookie_of(other)].value
    locks(person)

    assert not gets_in(person, theirs)
    assert not gets_in(person, as_theirs)


@pytest.mark.parametrize(
    "forged",
    [
        lambda right, person: "x" + right,
        lambda right, person: right[:-1] + ("A" if right[-1] != "A" else "B"),
        lambda right, person: right.rpartition(":")[0],
        lambda right, person: "",
        lambda right, person: TimestampSigner(salt=f"device of {person.pk} ").sign("mine"),
        lambda right, person: TimestampSigner(
            key="another", salt=f"device of {person.pk} {person.password}"
        ).sign("mine"),
    ],
    ids=["other name", "other signature", "none", "empty", "no password", "other key"],
)
def test_a_cookie_that_was_made_up_does_not_help(person, forged):
    here = known(person)
    locks(person)
    right = here.cookies[cookie_of(person)].value
    made_up = copied(here)
    made_up.cookies[cookie_of(person)] = forged(right, person)

    assert not gets_in(person, made_up)
    assert gets_in(person, here)


@pytest.mark.parametrize(("beyond", "helps"), [(-60, True), (1, False)])
def test_a_cookie_helps_for_its_time_and_no_longer(person, monkeypatch, beyond, helps):
    made = b62_encode(int(time.time() - LASTS.total_seconds() - beyond))
    with monkeypatch.context() as then:
        then.setattr(TimestampSigner, "timestamp", lambda self: made)
        here = known(person)
    locks(person)

    assert gets_in(person, here) is helps


def test_a_changed_password_ends_every_cookie_but_the_one_of_the_browser_it_was_changed_in(person):
    there = known(person)
    here = logged_in(person.username)
    change(here, OTHER)
    here.post(reverse("admin:logout"))
    locks(person)

    assert not gets_in(person, there, OTHER)
    assert gets_in(person, here, OTHER)


def test_a_password_given_by_an_administrator_ends_every_cookie(study, person):
    here = known(person)
    _, given = give_password(person=person, reason="lost", by=study.admin, at=timezone.now())
    locks(person)

    assert not gets_in(person, here, given)


# --- Its own count ---------------------------------------------------------------------------


def test_failures_in_a_known_browser_lock_that_browser_alone(person):
    here, there = known(person), known(person)
    locks(person, here)

    assert LOCKED in enter(person.username, client=here).content.decode()
    assert gets_in(person, there)
    assert gets_in(person)


def test_one_failure_less_than_the_limit_locks_no_known_browser(person):
    here = known(person)
    for _ in range(2):
        enter(person.username, "wrong", here)

    assert gets_in(person, here)


def test_who_copied_a_cookie_guesses_as_often_as_anybody_and_locks_no_later_one(person):
    here = known(person)
    stolen = copied(here)
    assert gets_in(person, here)
    here.post(reverse("admin:logout"))

    locks(person, stolen)

    assert not gets_in(person, stolen)
    assert gets_in(person, here)


def test_what_was_tried_in_a_known_browser_says_so_in_the_record(person):
    here = known(person)
    enter(person.username, "wrong", here)
    enter(person.username, "wrong")

    failed = LogInRecord.objects.filter(kind=Kind.FAILED).order_by("pk")
    assert [row.known_browser for row in failed] == [True, False]
    assert kinds(person) == [Kind.LOGGED_IN, Kind.LOGGED_OUT, Kind.FAILED, Kind.FAILED]


def test_an_administrator_sees_and_ends_the_lock_of_a_known_browser(study, person):
    here = known(person)
    locks(person, here)
    at = timezone.now()
    state = standing_of([person], at=at)[person.pk].state

    end_lock(person=person, reason="telephoned", by=study.admin, at=at)

    assert state == "locked"
    assert standing_of([person], at=timezone.now())[person.pk].state == "open"
    assert gets_in(person, here)


# --- The cookie ------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [True, False])
def test_the_cookie_is_for_the_server_alone_and_lasts(person, settings, secure):
    settings.SESSION_COOKIE_SECURE = secure
    client = logged_in(person.username)
    cookie = client.cookies[cookie_of(person)]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/admin/")
    assert bool(cookie["secure"]) is secure
    assert cookie["max-age"] == LASTS.total_seconds()
    assert person.username not in cookie.value


def test_a_browser_remembers_the_last_people_and_no_more_than_it_can_carry(person):
    client = Client()
    for number in range(MOST + 1):  # the latest first
        signed = f"nonce:{b62_encode(2_000_000_000 - number)}:signature"
        client.cookies[f"vigil_device_{10_000 + number}"] = signed
    client.cookies["vigil_device_20000"] = "no cookie of ours"

    enter(person.username, client=client)

    kept = {name for name, one in client.cookies.items() if one.value and "device" in name}
    latest = {f"vigil_device_{10_000 + number}" for number in range(MOST - 1)}
    assert kept == latest | {cookie_of(person)}
