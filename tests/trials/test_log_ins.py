"""Log-ins of people: real ones, through the pages, as a browser makes them."""

import time
from datetime import timedelta
from functools import partial

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import NOW, TRAINED, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import at_once
from trials.identity import Shown, confirms_identity, takes_code, was_used
from trials.log_in.requests import BEGAN, LAST, PROVED
from trials.models import LogInRecord, UsedPassword
from trials.models.accounts import Kind, Method
from trials.permissions import Role
from trials.services.accounts import add_person, end_lock, give_password
from trials.services.log_ins import attempt, confirmation_refused_until, note_refused_sign_on
from trials.services.setup import create_trial


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_log_ins")]

PASSWORD = "a long pass phrase"
OTHER = "quite another phrase"
LOGIN, HOME, API = "/admin/login/", "/admin/", "/api/v1/trials"


def with_password(someone):
    someone.set_password(PASSWORD)
    someone.save()
    return someone


class Office(Study):
    """A trial with people and a site, and no list or kit: nothing here looks behind the blind."""

    def __init__(self) -> None:
        self.admin = user("admin")
        self.trial = create_trial(
            protocol_text=protocol_text(), training=TRAINED,
            conduct="live", administrator=self.admin,
            at=NOW - timedelta(1),
        )  # fmt: skip
        self.admin.forget_assignments()
        self.site = self.add_site("DE-01")
        self.coordinator = self.person(Role.COORDINATOR, site=self.site)
        self.system = self.person(Role.SITE_SYSTEM, site=self.site)


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def person(study):
    study.coordinator.set_password(PASSWORD)
    study.coordinator.save()
    return study.coordinator


def enter(name: str, password: str = PASSWORD, client: Client | None = None, **extra):
    return (client or Client()).post(LOGIN, {"login": name, "password": password}, **extra)


def logged_in(name: str, password: str = PASSWORD) -> Client:
    client = Client()
    assert enter(name, password, client).status_code == 302
    return client


def enrolled(person) -> str:
    """Give somebody an authenticator application; return its secret."""
    secret = generate_totp_secret()
    TOTP.activate(person, secret)
    return secret


def code(secret: str, steps: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def kinds(person) -> list[str]:
    return list(
        LogInRecord.objects.filter(person=person).order_by("pk").values_list("kind", flat=True)
    )


def shift(client: Client, name: str, ago: timedelta) -> None:
    session = client.session
    session[name] = (timezone.now() - ago).timestamp()
    session.save()


# --- The door --------------------------------------------------------------------------------


def test_a_log_in_rotates_the_session_and_is_recorded(person):
    client = Client()
    client.get(LOGIN)
    client.session.save()
    before = client.session.session_key

    answer = enter(person.username, client=client)

    assert (answer.status_code, answer.url) == (302, HOME)
    assert client.session.session_key != before
    assert kinds(person) == [Kind.LOGGED_IN]


def test_the_page_asked_for_follows_and_no_other_host_does(person):
    asked = {"login": person.username, "password": PASSWORD}

    here = Client().post(LOGIN, {**asked, "next": "/admin/patients/subject/"})
    elsewhere = Client().post(LOGIN, {**asked, "next": "https://elsewhere.example/"})

    assert here.url == "/admin/patients/subject/"
    assert elsewhere.url == HOME


def test_unknown_names_machines_and_people_without_a_role_hear_the_same(study, person):
    user("stranger", password=PASSWORD)
    study.system.set_password(PASSWORD)
    study.system.is_machine = True
    study.system.save()
    gone = study.person(Role.MONITOR, name="gone")
    gone.set_password(PASSWORD)
    gone.is_active = False
    gone.save()
    names = ("nobody", "stranger", study.system.username, "gone", person.username)

    pages = [enter(name, "wrong" if name == person.username else PASSWORD) for name in names]

    texts = {
        page.content.decode().replace(n, "").split("<form")[0]
        for page, n in zip(pages, names, strict=True)
    }
    assert {page.status_code for page in pages} == {200}
    assert len(texts) == 1


def test_the_ways_the_library_would_offer_do_not_exist():
    for path in ("signup/", "password/reset/", "email/", "login/code/"):
        assert Client().get(f"/admin/{path}").status_code in {302, 404}
        assert Client().get(f"/accounts/{path}").status_code == 404


def test_the_door_and_the_second_step_wear_the_site_s_look(person):
    enrolled(person)
    client = Client()
    first = client.get(LOGIN)
    second = enter(person.username, client=client, follow=True)
    out = client.post(reverse("admin:logout"))

    for page in (first, second, out):
        assert b"vigil/vigil.css" in page.content


def test_logging_out_is_recorded(person):
    client = logged_in(person.username)

    client.post(reverse("admin:logout"))

    assert kinds(person) == [Kind.LOGGED_IN, Kind.LOGGED_OUT]
    assert client.get(HOME).status_code == 302


# --- The lock --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coordinator-DE-01", "nobody"])
def test_the_limit_locks_and_one_less_does_not(person, name):
    answers = [enter(name, "wrong") for _ in range(4)]

    said = ["Too many failed attempts" in answer.content.decode() for answer in answers]
    assert said == [False, False, False, True]


def test_one_failure_less_than_the_limit_lets_the_right_password_in(person):
    for _ in range(2):
        enter(person.username, "wrong")

    assert enter(person.username).status_code == 302


def test_at_the_limit_the_right_password_is_refused_and_said_so_in_the_record(person):
    for _ in range(3):
        enter(person.username, "wrong")

    assert enter(person.username).status_code == 200
    assert kinds(person) == [Kind.FAILED, Kind.FAILED, Kind.FAILED, Kind.LOCKED, Kind.REFUSED]


def test_the_lock_holds_to_its_last_second_and_no_longer(person, settings):
    now = timezone.now()

    def at(seconds: float, right: bool = False):
        return attempt(
            name=person.username, address=None, method=Method.PASSWORD,
            check=lambda: person if right else None, at=now + timedelta(seconds=seconds),
        )  # fmt: skip

    for _ in range(3):
        at(0)

    assert at(settings.VIGIL_LOCK_SECONDS - 1, right=True).user is None
    assert at(settings.VIGIL_LOCK_SECONDS, right=True).user == person


@pytest.mark.parametrize(("apart", "lets_in"), [(0, True), (-1, False)])
def test_failures_count_together_when_they_are_closer_than_a_lock_lasts(
    person, settings, apart, lets_in
):
    now, lasts = timezone.now(), settings.VIGIL_LOCK_SECONDS

    def at(seconds: float, right: bool = False):
        return attempt(
            name=person.username, address=None, method=Method.PASSWORD,
            check=lambda: person if right else None, at=now + timedelta(seconds=seconds),
        )  # fmt: skip

    for seconds in (0, 1, lasts + apart):
        at(seconds)

    assert (at(lasts + apart + 1, right=True).user == person) is lets_in


def test_a_log_in_begins_the_count_anew_and_half_of_one_does_not(person):
    for _ in range(2):
        enter(person.username, "wrong")
    enter(person.username)
    enter(person.username, "wrong")
    enter(person.username, "wrong")
    assert enter(person.username).status_code == 302

    enrolled(person)
    for _ in range(2):
        enter(person.username, "wrong")
    assert enter(person.username).url == reverse("mfa_authenticate")
    enter(person.username, "wrong")

    assert b"Too many failed attempts" in enter(person.username).content


def test_a_lock_that_is_ended_early_begins_the_count_anew(study, person):
    for _ in range(3):
        enter(person.username, "wrong")
    end_lock(person=person, reason="telephoned", by=study.admin, at=timezone.now())
    for _ in range(2):
        enter(person.username, "wrong")

    assert enter(person.username).status_code == 302


def test_a_name_in_other_letters_is_the_same_name(person):
    for name in ("NOBODY", "nobody ", "Nobody"):
        enter(name, "wrong")

    assert b"Too many failed" in enter("nobody").content


def test_one_address_trying_many_names_is_locked_and_another_address_is_not(person, settings):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4
    for number in range(3):
        enter(f"name-{number}", "wrong", REMOTE_ADDR="203.0.113.9")
    assert b"Too many failed" not in enter("name-3", REMOTE_ADDR="203.0.113.9").content

    assert b"Too many failed" in enter(person.username, REMOTE_ADDR="203.0.113.9").content
    assert enter(person.username, REMOTE_ADDR="203.0.113.10").status_code == 302


def test_the_lock_of_an_address_holds_to_its_last_second_and_no_longer(person, settings):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4
    now = timezone.now()

    def at(seconds: float, name: str, right: bool = False):
        return attempt(
            name=name, address="203.0.113.9", method=Method.PASSWORD,
            check=lambda: person if right else None, at=now + timedelta(seconds=seconds),
        )  # fmt: skip

    for number in range(4):
        at(0, f"name-{number}")

    assert at(settings.VIGIL_LOCK_SECONDS - 1, person.username, right=True).user is None
    assert at(settings.VIGIL_LOCK_SECONDS, person.username, right=True).user == person


def test_a_hospital_whose_people_are_not_bound_yet_is_not_locked(person, settings):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4
    for number in range(5):
        note_refused_sign_on(subject=f"s-{number}", address="203.0.113.9", at=timezone.now())

    assert enter(person.username, REMOTE_ADDR="203.0.113.9").status_code == 302
    assert LogInRecord.objects.filter(kind=Kind.FAILED, method=Method.SIGN_ON).count() == 5


@pytest.mark.parametrize(("behind_proxy", "locked"), [(True, False), (False, True)])
def test_the_proxys_word_for_the_address_counts_only_where_there_is_one(
    person, settings, behind_proxy, locked
):
    settings.VIGIL_LOCK_ADDRESS_FAILURES = 4
    settings.VIGIL_BEHIND_PROXY = behind_proxy
    for number in range(4):
        forged = f"203.0.113.{number}"
        enter(f"name-{number}", "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.1, {forged}")

    answer = enter(person.username, HTTP_X_FORWARDED_FOR="203.0.113.9")

    assert (answer.status_code == 200) is locked


def test_what_is_kept_of_an_attempt_holds_neither_password_nor_typed_name(person):
    enter("typed-my-password-here", "and-a-wrong-one")

    row = str(LogInRecord.objects.values().get())
    assert "typed-my" not in row
    assert "wrong-one" not in row


@on_postgres
def test_attempts_at_once_get_no_more_tries_than_the_limit():
    tried = []

    def one():
        return attempt(
            name="nobody", address=None, method=Method.PASSWORD,
            check=lambda: tried.append(1), at=timezone.now(),
        )  # fmt: skip

    at_once(*[one] * 6)

    assert len(tried) == 3
    assert LogInRecord.objects.filter(kind=Kind.REFUSED).count() == 3


# --- The second factor -----------------------------------------------------------------------


def test_a_password_alone_does_not_pass_a_second_factor(person):
    enrolled(person)
    client = Client()

    answer = enter(person.username, client=client)

    assert answer.url == reverse("mfa_authenticate")
    assert client.get(HOME).status_code == 302
    assert client.get(API).status_code == 401
    assert Kind.LOGGED_IN not in kinds(person)


def test_password_and_code_let_in_and_the_code_is_good_once(person):
    secret = enrolled(person)
    first, second = Client(), Client()
    enter(person.username, client=first)
    enter(person.username, client=second)
    once = code(secret)

    passed = first.post(reverse("mfa_authenticate"), {"code": once})
    again = second.post(reverse("mfa_authenticate"), {"code": once})

    assert (passed.status_code, passed.url) == (302, HOME)
    assert again.status_code == 200
    assert b"not valid, or was used already" in again.content


@pytest.mark.parametrize(("steps", "fits"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(person, steps, fits):
    secret = enrolled(person)
    at = timezone.now()
    then = format_hotp_value(hotp_value(secret, int(at.timestamp()) // 30 + steps))

    assert (takes_code(person, then, at=at) is not None) == fits


def test_a_code_older_than_the_last_one_used_is_not_good(person):
    secret = enrolled(person)
    at = timezone.now()
    step = int(at.timestamp()) // 30

    assert takes_code(person, format_hotp_value(hotp_value(secret, step)), at=at)
    assert not takes_code(person, format_hotp_value(hotp_value(secret, step - 1)), at=at)


def test_wrong_codes_lock_like_wrong_passwords(person):
    secret = enrolled(person)
    client = Client()
    enter(person.username, client=client)
    for _ in range(3):
        client.post(reverse("mfa_authenticate"), {"code": "000000"})

    answer = client.post(reverse("mfa_authenticate"), {"code": code(secret)})

    assert b"Too many failed attempts" in answer.content
    assert client.get(HOME).status_code == 302


def test_knowing_the_password_does_not_reset_the_count_of_wrong_codes(person):
    enrolled(person)
    for _ in range(3):
        client = Client()
        enter(person.username, client=client)
        client.post(reverse("mfa_authenticate"), {"code": "000000"})

    assert b"Too many failed attempts" in enter(person.username).content


def test_the_secret_of_a_second_factor_is_not_in_the_database_in_clear(person):
    secret = enrolled(person)

    assert secret not in str(Authenticator.objects.get().data)


def test_somebody_enrols_an_application_gets_codes_once_and_uses_one(person):
    client = logged_in(person.username)
    add = reverse("mfa_activate_totp")
    assert client.get(add).url.startswith(reverse("account_reauthenticate"))
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": add})
    client.get(add)
    secret = client.session["mfa.totp.secret"]

    added = client.post(add, {"code": code(secret)})
    shown = client.get(added.url).content.decode()
    again = client.get(added.url).content.decode()
    recovery = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    later = Client()
    enter(person.username, client=later)
    passed = later.post(reverse("mfa_authenticate"), {"code": recovery})
    twice = Client()
    enter(person.username, client=twice)
    refused = twice.post(reverse("mfa_authenticate"), {"code": recovery})

    assert refused.status_code == 200
    assert twice.get(HOME).status_code == 302
    assert recovery in shown
    assert recovery not in again
    assert passed.url == HOME
    assert Kind.FACTOR_ADDED in kinds(person)


def test_where_a_second_factor_is_required_only_its_pages_are_reached(person, settings):
    settings.VIGIL_MFA_REQUIRED = True
    client = logged_in(person.username)

    page, api = client.get(HOME), client.get(API)
    security = client.get(reverse("mfa_index"))
    enrolled(person)

    assert page.url == reverse("mfa_index")
    assert (api.status_code, api.json()["code"]) == (403, "second_factor_required")
    assert b"asks everybody for a second factor" in security.content
    assert client.get(HOME).status_code == 200


# --- Idle, and too old -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "setting", "kind", "said"),
    [
        (LAST, "VIGIL_IDLE_SECONDS", Kind.IDLE_ENDED, "nothing was done here for 30 minutes"),
        (BEGAN, "SESSION_COOKIE_AGE", Kind.TOO_OLD, "a log-in lasts 8 hours"),
    ],
)
def test_a_session_ends_at_its_limit_and_not_before(person, settings, mark, setting, kind, said):
    limit = timedelta(seconds=getattr(settings, setting))
    before, at = logged_in(person.username), logged_in(person.username)
    shift(before, mark, limit - timedelta(seconds=2))
    shift(at, mark, limit)

    assert before.get(HOME).status_code == 200
    assert at.get(HOME).status_code == 302
    assert said in at.get(LOGIN).content.decode()
    assert kinds(person)[-1] == kind


def test_an_idle_session_is_nobody_at_the_interface(person, settings):
    before, at = logged_in(person.username), logged_in(person.username)
    shift(before, LAST, timedelta(seconds=settings.VIGIL_IDLE_SECONDS - 2))
    shift(at, LAST, timedelta(seconds=settings.VIGIL_IDLE_SECONDS))

    assert before.get(API).status_code == 200
    assert at.get(API).status_code == 401


def test_a_session_that_ended_does_not_come_back_with_its_cookie(person, settings):
    client = logged_in(person.username)
    key = client.session.session_key
    shift(client, LAST, timedelta(seconds=settings.VIGIL_IDLE_SECONDS))
    client.get(HOME)

    again = Client()
    again.cookies[settings.SESSION_COOKIE_NAME] = key

    assert again.get(HOME).status_code == 302


@pytest.mark.parametrize(("ago", "asks"), [(298, False), (302, True)])
def test_who_confirmed_who_they_are_is_asked_anew_after_five_minutes(person, ago, asks):
    client = logged_in(person.username)
    confirms_on_page(client)
    shift(client, PROVED, timedelta(seconds=ago))

    assert (client.get(reverse("mfa_add_webauthn")).status_code == 302) is asks


CHANGES = ("mfa_activate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes")
UNDOINGS = ("mfa_deactivate_totp", "mfa_remove_webauthn")


def confirms_on_page(client: Client, password: str = PASSWORD, **sent: str):
    return client.post(reverse("account_reauthenticate"), {"password": password, **sent})


@pytest.mark.parametrize("name", [*CHANGES, *UNDOINGS])
def test_a_log_in_of_a_moment_ago_changes_no_way_in_until_it_is_confirmed(person, name):
    client = logged_in(person.username)
    address = reverse(name, args=[1] if name == "mfa_remove_webauthn" else [])
    before = kinds(person)

    asked = [client.get(address), client.post(address, {"code": "000000"})]
    confirms_on_page(client)
    now = client.get(address)

    assert {answer.url.split("?")[0] for answer in asked} == {reverse("account_reauthenticate")}
    assert before == kinds(person)[:-1]
    assert now.status_code != 302 or now.url == reverse("mfa_activate_totp")


def test_one_confirmation_is_good_for_one_change(person):
    enrolled(person)
    client, address = Client(), reverse("mfa_generate_recovery_codes")
    client.force_login(person)
    session = client.session
    session[PROVED] = timezone.now().timestamp()
    session.save()

    first, again = client.post(address), client.post(address)

    assert first.url == reverse("mfa_view_recovery_codes")
    assert again.url.startswith(reverse("account_reauthenticate"))
    assert kinds(person) == [Kind.CODES_MADE]


def test_whoever_has_a_second_factor_changes_a_way_in_by_password_and_code(person):
    secret = enrolled(person)
    client, address = Client(), reverse("mfa_add_webauthn")
    client.force_login(person)

    alone = confirms_on_page(client)
    wrong = confirms_on_page(client, "wrong", code=code(secret))
    both = confirms_on_page(client, code=code(secret), next=address)

    assert [answer.status_code for answer in (alone, wrong)] == [200, 200]
    assert "The password, or the code, is not right" in alone.content.decode()
    assert both.url == address
    assert kinds(person) == [Kind.NOT_CONFIRMED, Kind.NOT_CONFIRMED, Kind.IDENTITY_CONFIRMED]


def test_somebody_of_single_sign_on_alone_adds_a_way_in_soon_after_they_came(person):
    person.set_unusable_password()
    person.save()
    client, page = Client(), reverse("account_reauthenticate")
    client.force_login(person)
    client.get(HOME)

    shift(client, BEGAN, timedelta(seconds=302))
    late = client.post(page)
    shift(client, BEGAN, timedelta(seconds=290))
    soon = client.post(page, {"next": reverse("mfa_activate_totp")})

    assert "Your log-in is too long ago" in late.content.decode()
    assert client.get(soon.url).status_code == 200


def test_who_was_confirmed_goes_to_no_other_host(person):
    client = logged_in(person.username)

    assert confirms_on_page(client, next="https://elsewhere.example/").url == reverse("mfa_index")


def test_work_puts_the_idle_limit_off_and_the_longest_time_not(person):
    client = logged_in(person.username)
    began = client.session[BEGAN]
    shift(client, LAST, timedelta(minutes=20))

    client.get(HOME)

    assert timezone.now().timestamp() - client.session[LAST] < 60
    assert client.session[BEGAN] == began


# --- Passwords -------------------------------------------------------------------------------


def change(client: Client, new: str, old: str = PASSWORD):
    body = {"oldpassword": old, "password1": new, "password2": new}
    return client.post(reverse("account_change_password"), body)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("elevenchars", "too short"),
        ("qwertyqwerty", "too common"),
        ("coordinator-DE-01", "too similar"),
        ("123456789012345", "entirely numeric"),
        (PASSWORD, "not one of your last"),
    ],
)
def test_a_password_against_the_rules_is_refused_by_name(person, new, said):
    answer = change(logged_in(person.username), new)

    person.refresh_from_db()
    assert said in answer.content.decode().replace("was not one", "not one")
    assert person.check_password(PASSWORD)


def test_twelve_characters_are_enough(person):
    assert change(logged_in(person.username), "twelve-chars").status_code == 302
    assert [len("elevenchars"), len("twelve-chars")] == [11, 12]


@pytest.mark.parametrize("code", [200, 302])
def test_the_number_of_remembered_passwords_is_the_settings(person, settings, code):
    """The present one and one before it are refused; with none before it, the first is not."""
    rule = settings.AUTH_PASSWORD_VALIDATORS[-1]
    remembered = {200: 1, 302: 0}[code]
    settings.AUTH_PASSWORD_VALIDATORS = [{**rule, "OPTIONS": {"remembered": remembered}}]
    client = logged_in(person.username)
    change(client, OTHER)

    assert change(client, OTHER, OTHER).status_code == 200
    assert change(client, PASSWORD, OTHER).status_code == code


def test_the_old_password_is_asked_for_and_a_wrong_one_counts(person):
    client = logged_in(person.username)

    wrong = [change(client, OTHER, "wrong").status_code for _ in range(3)]
    right = change(client, OTHER)

    person.refresh_from_db()
    assert wrong == [200, 200, 200]
    assert b"Too many failed attempts" in right.content
    assert person.check_password(PASSWORD)


def test_the_last_passwords_are_refused_and_the_one_before_them_is_not(person, settings):
    words = [
        f"pass phrase number {word}" for word in ("one", "two", "three", "four", "five", "six")
    ]
    client = logged_in(person.username)
    for old, new in zip([PASSWORD, *words], words, strict=False):
        assert change(client, new, old).status_code == 302

    assert change(client, words[0], words[-1]).status_code == 200
    assert change(client, PASSWORD, words[-1]).status_code == 302
    assert UsedPassword.objects.count() == 7


def test_somebody_without_a_password_has_none_to_change(study):
    client = Client()
    client.force_login(study.coordinator)

    assert client.get(reverse("account_change_password")).url == reverse("mfa_index")
    assert b"Your account has none" in client.get(reverse("mfa_index")).content


def test_changing_the_password_ends_the_other_sessions(person):
    here, there = logged_in(person.username), logged_in(person.username)

    change(here, OTHER)

    assert here.get(HOME).status_code == 200
    assert there.get(HOME).status_code == 302
    assert Kind.PASSWORD_CHANGED in kinds(person)


def test_a_password_somebody_else_chose_is_changed_before_anything_else(study, person):
    _, given = give_password(person=person, reason="lost", by=study.admin, at=timezone.now())
    client = logged_in(person.username, given)

    page, api = client.get(HOME), client.get(API)
    change(client, OTHER, given)

    assert page.url == reverse("account_change_password")
    assert api.json()["code"] == "password_change_required"
    assert client.get(HOME).status_code == 200


def test_a_new_person_gets_in_with_a_role_and_a_password_of_their_own(study):
    found, given = add_person(
        username="newcomer", first_name="New", last_name="Comer", email="", by=study.admin,
        at=timezone.now(),
    )  # fmt: skip

    assert enter("newcomer", given).status_code == 200
    assert found.must_change_password


# --- Asked anew ------------------------------------------------------------------------------


def confirms(person, password=PASSWORD, **shown):
    return confirms_identity(person, Shown(password=password, **shown)).user == person


def test_identity_is_confirmed_by_password_and_code_and_a_code_is_good_once(person):
    secret = enrolled(person)
    once = code(secret)

    assert not confirms(person)
    assert confirms(person, code=once)
    assert not confirms(person, code=once)


def test_a_right_code_that_was_used_is_refused_and_counted_as_no_failure(person):
    once = code(enrolled(person))
    confirms(person, code=once)

    again = [confirms_identity(person, Shown(password=PASSWORD, code=once)) for _ in range(4)]

    assert {(one.user, one.locked_until, one.code_used) for one in again} == {(None, None, True)}
    assert kinds(person) == [Kind.IDENTITY_CONFIRMED] + [Kind.CODE_USED] * 4


def test_a_wrong_code_is_refused_and_counted(person):
    secret = enrolled(person)
    confirms(person, code=code(secret))
    wrong = "000000" if code(secret) != "000000" else "000001"

    found = [confirms_identity(person, Shown(password=PASSWORD, code=wrong)) for _ in range(4)]

    assert [bool(one.locked_until) for one in found] == [False, False, False, True]
    assert not any(one.code_used for one in found)
    assert kinds(person) == [Kind.IDENTITY_CONFIRMED] + [Kind.NOT_CONFIRMED] * 3


def test_whoever_has_a_used_code_and_guesses_the_password_is_counted_and_told_nothing(person):
    once = code(enrolled(person))
    confirms(person, code=once)

    found = [confirms_identity(person, Shown(password="wrong", code=once)) for _ in range(4)]

    assert not any(one.code_used for one in found)
    assert found[-1].locked_until


@pytest.mark.parametrize(("steps", "known"), [(0, True), (-1, False), (1, False)])
def test_the_code_used_last_is_known_however_late_it_comes_again(person, steps, known):
    secret = enrolled(person)
    at = timezone.now()
    used_at = at - timedelta(minutes=10)
    step = int(used_at.timestamp()) // 30
    assert takes_code(person, format_hotp_value(hotp_value(secret, step)), at=used_at)

    then = format_hotp_value(hotp_value(secret, step + steps))

    assert was_used(person, then, at=at) is known


def test_a_recovery_code_that_was_used_is_known_and_an_unused_one_is_not(person):
    enrolled(person)
    codes = RecoveryCodes.activate(person).get_unused_codes()
    confirms(person, code=codes[0])

    assert [was_used(person, each, at=timezone.now()) for each in codes[:2]] == [True, False]
    assert not confirms(person, code=codes[0])


def test_without_a_second_factor_the_password_is_enough_and_a_wrong_one_is_not(person):
    assert confirms(person)
    assert not confirms(person, "wrong")
    assert kinds(person) == [Kind.IDENTITY_CONFIRMED, Kind.NOT_CONFIRMED]


def test_failed_log_ins_of_anybody_keep_nobody_who_is_in_from_confirming(person):
    inside = logged_in(person.username)
    for _ in range(4):
        enter(person.username, "wrong")
    assert b"Too many failed attempts" in enter(person.username).content

    assert confirms(person)
    assert inside.get(HOME).status_code == 200


def test_failed_confirmations_end_with_the_third_and_lock_no_log_in(person):
    failed = [confirms_identity(person, Shown(password="wrong")) for _ in range(3)]
    refused = confirms_identity(person, Shown(password=PASSWORD))

    assert [found.locked_until for found in failed] == [None, None, None]
    assert refused.user is None
    assert refused.locked_until
    assert kinds(person) == [Kind.NOT_CONFIRMED] * 3
    assert enter(person.username).status_code == 302


def test_two_failed_confirmations_are_forgiven_by_the_third(person):
    for password in ("wrong", "wrong", PASSWORD, "wrong", "wrong"):
        confirms(person, password)

    assert confirms(person)


def test_a_new_log_in_opens_the_way_to_confirm_at_once(person):
    for _ in range(3):
        confirms(person, "wrong")
    assert not confirms(person)

    logged_in(person.username)

    assert confirms(person)


@pytest.mark.parametrize(("seconds", "asked"), [(-1, False), (0, True)])
def test_too_many_failed_confirmations_are_over_when_the_lock_is(person, settings, seconds, asked):
    for _ in range(3):
        confirms(person, "wrong")
    last = LogInRecord.objects.latest("at").at
    at = last + timedelta(seconds=settings.VIGIL_LOCK_SECONDS + seconds)

    assert (confirmation_refused_until(person, at=at) is None) is asked


@on_postgres
def test_guesses_at_the_same_moment_are_no_more_than_the_limit(person):
    at_once(*[partial(confirms, person, "wrong")] * 8)

    assert kinds(person) == [Kind.NOT_CONFIRMED] * 3


@pytest.mark.parametrize(("ago", "confirmed"), [(299, True), (301, False)])
def test_whoever_has_no_password_here_confirms_soon_after_they_came(person, ago, confirmed):
    person.set_unusable_password()
    person.save()
    entered = timezone.now() - timedelta(seconds=ago)

    assert confirms(person, "", entered_at=entered) is confirmed


def test_whoever_has_a_password_does_not_confirm_by_having_come(person):
    assert not confirms(person, "", entered_at=timezone.now())
