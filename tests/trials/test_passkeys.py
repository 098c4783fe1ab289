"""Passkeys, made and used over the pages a browser opens, by an authenticator in software."""

import json
import re
from dataclasses import replace

import pytest
from allauth.mfa.models import Authenticator as Kept
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.authenticator import Authenticator, decoded, encoded
from tests.trials.test_log_ins import (
    HOME,
    LOGIN,
    PASSWORD,
    Kind,
    Office,
    enter,
    kinds,
    with_password,
)
from trials.log_in.adapters import WRONG
from trials.models import LogInRecord, RoleAssignment
from trials.models.accounts import Method
from trials.permissions import Role
from trials.services.people import end_role


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_log_ins")]

PASSKEY = "/admin/login/passkey/"
ADD = "/admin/security/passkeys/add/"
SECOND = "/admin/login/second-step/"
REFUSED = "This passkey did not let you in"


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def person(study):
    return with_password(study.coordinator)


def browser() -> Client:
    return Client(SERVER_NAME="localhost", raise_request_exception=False)


def options_on(page, name: str = "js_data") -> dict:
    """Return what a page hands to the browser's ``navigator.credentials``."""
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', page.content.decode(), re.S)
    (options,) = json.loads(found[1]).values()
    return options


def asked(client: Client) -> dict:
    return client.get(PASSKEY, headers={"X-Requested-With": "XMLHttpRequest"}).json()[
        "request_options"
    ]


def adds(client: Client, credential, *, alone: bool = True):
    body = {"name": "Telephone", "credential": json.dumps(credential)}
    return client.post(ADD, body | ({"passwordless": "on"} if alone else {}))


def confirmed(name: str) -> Client:
    """A browser somebody logged in with and has just confirmed in that it is still them."""
    client = browser()
    assert enter(name, client=client).status_code == 302
    confirms(client)
    return client


def confirms(client: Client):
    return client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def owner_of(person, **how) -> Authenticator:
    """Somebody's authenticator, with a passkey it made here."""
    made = Authenticator(**how)
    client = confirmed(person.username)
    answer = adds(client, made.makes(options_on(client.get(ADD))), alone=made.verifies)
    assert answer.status_code == 302
    return made


def knocks(client: Client, authenticator: Authenticator):
    """Try to log in with a passkey alone."""
    return sends(client, authenticator.signs(asked(client)))


def sends(client: Client, credential):
    return client.post(PASSKEY, {"credential": json.dumps(credential)}, follow=True)


def is_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


# --- Made and used ---------------------------------------------------------------------------


def test_somebody_makes_a_passkey_logs_out_and_logs_in_with_it_alone(person):
    client, telephone = confirmed(person.username), Authenticator()
    added = adds(client, telephone.makes(options_on(client.get(ADD))))
    client.post(reverse("admin:logout"))
    assert not is_in(client)

    answer = knocks(client, telephone)

    assert added.url == reverse("mfa_view_recovery_codes")
    assert answer.redirect_chain[-1][0] == HOME
    assert is_in(client)
    assert kinds(person) == [
        Kind.LOGGED_IN, Kind.IDENTITY_CONFIRMED, Kind.FACTOR_ADDED, Kind.LOGGED_OUT,
        Kind.LOGGED_IN,
    ]  # fmt: skip
    assert LogInRecord.objects.last().method == Method.PASSKEY


def test_a_passkey_is_the_second_step_after_a_password(person):
    key = owner_of(person, verifies=False)
    client = browser()
    first = enter(person.username, client=client)
    assert first.url == SECOND
    assert not is_in(client)

    options = options_on(client.get(SECOND))
    second = client.post(SECOND, {"credential": json.dumps(key.signs(options))})

    assert second.url == HOME
    assert is_in(client)
    assert LogInRecord.objects.last().method == Method.PASSWORD


def test_a_passkey_confirms_that_it_is_still_the_same_person(person):
    key = owner_of(person)
    client = browser()
    knocks(client, key)
    page = reverse("account_reauthenticate")

    def sends_signed(signer):
        options = options_on(client.get(page), "vg-passkey-options")
        return client.post(page, {"credential": json.dumps(signer.signs(options)), "next": ADD})

    wrong, right = sends_signed(Authenticator()), sends_signed(key)

    assert "This passkey did not confirm it" in wrong.content.decode()
    assert right.url == ADD
    assert client.get(ADD).status_code == 200


def test_where_a_second_factor_is_required_a_passkey_alone_is_enough(person, settings):
    key = owner_of(person)
    settings.VIGIL_MFA_REQUIRED = True
    client = browser()

    knocks(client, key)

    assert is_in(client)


def test_a_passkey_is_not_made_by_a_session_that_did_not_confirm_who_it_is(person):
    client = browser()
    enter(person.username, client=client)

    page = client.get(ADD)
    answer = adds(client, Authenticator().makes({"publicKey": NEW}))

    assert page.url.startswith(reverse("account_reauthenticate"))
    assert answer.status_code == 302
    assert not Kept.objects.exists()


NEW = {"challenge": encoded(bytes(32)), "rp": {"id": "localhost"}, "user": {"id": "MQ"}}


# --- Refused at the door ---------------------------------------------------------------------


WRONG_AUTHENTICATORS = {
    "another key": lambda own: replace(Authenticator(), **of(own, "credential_id", "user_handle")),
    "another passkey": lambda own: replace(Authenticator(), **of(own, "user_handle")),
    "nobody's passkey": lambda own: Authenticator(user_handle=encoded(b"99999")),
    "no owner": lambda own: replace(own, user_handle=""),
    "another site's page": lambda own: replace(own, origin="https://vigil.example"),
    "a page at its own address": lambda own: replace(own, origin="http://localhost.example"),
    "a page that is not safe": lambda own: replace(own, origin="http://127.0.0.1"),
    "made for another site": lambda own: replace(own, rp_id="vigil.example"),
    "nobody's finger": lambda own: replace(own, verifies=False),
}


def of(own: Authenticator, *names: str) -> dict:
    return {name: getattr(own, name) for name in names}


@pytest.mark.parametrize("made", WRONG_AUTHENTICATORS.values(), ids=WRONG_AUTHENTICATORS)
def test_a_wrong_authenticator_is_refused_and_the_right_one_is_not(person, made):
    own = owner_of(person)
    before, client = kinds(person), browser()

    answer = knocks(client, made(own))

    assert REFUSED in answer.content.decode()
    assert not is_in(client)
    assert Kind.LOGGED_IN not in kinds(person)[len(before) :]
    knocks(client, own)
    assert is_in(client)


def test_a_passkey_of_one_person_does_not_let_in_as_another(study, person):
    other = with_password(study.person(Role.MONITOR))
    own, theirs = owner_of(person), owner_of(other)
    client = browser()

    answer = knocks(client, replace(own, user_handle=theirs.user_handle))

    assert REFUSED in answer.content.decode()
    assert not is_in(client)


def test_an_answer_is_good_once(person):
    own, client = owner_of(person), browser()
    answer = own.signs(asked(client))
    sends(client, answer)
    assert is_in(client)
    client.post(reverse("admin:logout"))

    sends(client, answer)
    assert not is_in(client)

    asked(client)
    sends(client, answer)
    assert not is_in(client)


def test_an_answer_to_the_question_of_another_browser_is_refused(person):
    own, here, there = owner_of(person), browser(), browser()
    answer = own.signs(asked(there))
    asked(here)

    refused = sends(here, answer)

    assert REFUSED in refused.content.decode()
    assert not is_in(here)


@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
def test_an_answer_with_one_bit_changed_is_refused(person, part):
    own, client = owner_of(person), browser()
    answer = own.signs(asked(client))
    content = bytearray(decoded(answer["response"][part]))
    content[-1] ^= 1
    answer["response"][part] = encoded(bytes(content))

    refused = sends(client, answer)

    assert refused.status_code == 200
    assert not is_in(client)


@pytest.mark.parametrize("change", ["gone", "no role", "machine"])
def test_who_may_not_enter_hears_what_a_right_password_hears_there(study, person, change):
    own = owner_of(person)
    if change == "gone":
        person.is_active = False
    elif change == "machine":
        person.is_machine = True
    else:
        role = RoleAssignment.objects.get(user=person)
        end_role(role_id=role.pk, reason="left", by=study.admin, at=timezone.now())
    person.save()
    client = browser()

    by_passkey = knocks(client, own)
    by_password = enter(person.username, client=browser())

    assert WRONG in by_passkey.content.decode()
    assert WRONG in by_password.content.decode()
    assert not is_in(client)


# --- The lock --------------------------------------------------------------------------------


def test_a_lock_does_not_shut_out_who_has_a_passkey_for_an_emergency(person):
    own, client = owner_of(person), browser()
    for _ in range(3):
        enter(person.username, "wrong")
    assert "Too many failed" in enter(person.username).content.decode()

    knocks(client, own)

    assert is_in(client)


def test_wrong_passkeys_at_the_second_step_lock_like_wrong_codes(person):
    own, client = owner_of(person), browser()
    enter(person.username, client=client)

    def tries(key):
        options = options_on(client.get(SECOND))
        return client.post(SECOND, {"credential": json.dumps(key.signs(options))})

    said = [tries(Authenticator()).content.decode() for _ in range(3)]
    right = tries(own)

    assert ["not valid" in text for text in said] == [True, True, True]
    assert "Too many failed" in right.content.decode()
    assert not is_in(client)


def test_guesses_at_the_door_lock_nobody_out(person):
    own, client = owner_of(person), browser()

    for _ in range(4):
        knocks(client, replace(Authenticator(), **of(own, "credential_id", "user_handle")))

    assert enter(person.username).status_code == 302


# --- Refused when it is made -----------------------------------------------------------------


WRONG_WHEN_MADE = {
    "another site's page": {"origin": "https://vigil.example"},
    "a page that is not safe": {"origin": "http://127.0.0.1"},
    "made for another site": {"rp_id": "vigil.example"},
    "nobody's finger": {"verifies": False},
}


@pytest.mark.parametrize("lie", WRONG_WHEN_MADE.values(), ids=WRONG_WHEN_MADE)
def test_a_passkey_that_was_made_wrongly_is_not_kept(person, lie):
    client = confirmed(person.username)

    answer = adds(client, Authenticator(**lie).makes(options_on(client.get(ADD))))

    assert answer.status_code == 200
    assert "not valid" in answer.content.decode()
    assert not Kept.objects.exists()
    assert Kind.FACTOR_ADDED not in kinds(person)


def test_a_passkey_without_a_finger_is_kept_as_a_second_factor_alone(person):
    client, key = confirmed(person.username), Authenticator(verifies=False)

    answer = adds(client, key.makes(options_on(client.get(ADD))), alone=False)
    alone = browser()
    refused = knocks(alone, key)

    assert answer.status_code == 302
    assert REFUSED in refused.content.decode()
    assert not is_in(alone)


def test_what_was_sent_to_make_a_passkey_makes_it_once(study, person):
    first, other = confirmed(person.username), with_password(study.person(Role.MONITOR))
    sent = Authenticator().makes(options_on(first.get(ADD)))
    second = confirmed(other.username)
    second.get(ADD)

    assert adds(first, sent).status_code == 302
    confirms(first)
    assert adds(first, sent).status_code == 200
    assert adds(second, sent).status_code == 200
    assert Kept.objects.filter(type="webauthn").count() == 1


# --- What is no answer of an authenticator ---------------------------------------------------


NO_CREDENTIAL = [
    None, 7, "text", [], {}, {"response": "text"}, {"response": []}, {"response": {}},
    {"id": "x", "rawId": "x", "type": "public-key", "response": None},
    {"id": 7, "rawId": 7, "type": "public-key", "response": {"userHandle": 7}},
]  # fmt: skip
NO_VALUE = [None, 7, True, [], {}, "", "x", "=", "\x00", "é", "A" * 100_000]


def broken(answer: dict) -> list:
    """Every answer in which one part is what it never can be."""
    parts = [name for name in answer if name != "response"]
    whole = [{**answer, name: wrong} for name in parts for wrong in NO_VALUE]
    inner = answer["response"]
    return [*NO_CREDENTIAL, *whole] + [
        {**answer, "response": {**inner, name: wrong}} for name in inner for wrong in NO_VALUE
    ]


def test_what_is_no_answer_of_an_authenticator_is_refused_and_is_no_fault_of_ours(person):
    own, client = owner_of(person), browser()
    sent = [*broken(own.signs(asked(client))), own.makes({"publicKey": NEW})]

    answers = []
    for credential in sent:
        asked(client)
        answers.append((str(credential)[:200], sends(client, credential).status_code))
    text = client.post(PASSKEY, {"credential": "{"}, follow=True)

    assert [pair for pair in answers if pair[1] != 200] == []
    assert text.status_code == 200
    assert not is_in(client)


@pytest.mark.parametrize("at", ["add", "second step"])
def test_nor_behind_the_door(person, settings, at):
    settings.VIGIL_LOCK_FAILURES = 10_000
    if at == "add":
        client, name, page = confirmed(person.username), "makes", ADD
    else:
        owner_of(person)
        client, name, page = browser(), "signs", SECOND
        enter(person.username, client=client)
    options = options_on(client.get(page))
    kept = Kept.objects.count()

    answers = []
    for credential in broken(getattr(Authenticator(), name)(options)):
        client.get(page)
        sent = {"credential": json.dumps(credential), "name": "x"}
        answers.append((str(credential)[:200], client.post(page, sent).status_code))

    assert [pair for pair in answers if pair[1] != 200] == []
    assert Kept.objects.count() == kept


def test_the_door_says_nothing_about_who_has_passkeys(person):
    owner_of(person)

    options = asked(browser())["publicKey"]

    assert not options.get("allowCredentials")
    assert LOGIN in browser().get(PASSKEY).url
