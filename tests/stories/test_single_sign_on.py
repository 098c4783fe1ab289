"""Single sign-on, turned on as documented: a real site, a real provider, the whole way round."""

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.utils import timezone

from config.demo import site
from config.processes import ProcessGroup
from tests.identity_provider import (
    CLIENT,
    SECRET,
    IdentityProvider,
    identity_provider,
    new_key,
)
from tests.marks import on_postgres
from tests.stories.live import owner_url
from tests.trials.test_log_ins import HOME, Kind, Office, code, enrolled, kinds
from trials.log_in.adapters import WRONG
from trials.log_in.sign_on import CANCELLED, CLOCKS, NOT_BELIEVED, NOT_BOUND, NOT_REACHED
from trials.models import LogInRecord, RoleAssignment, User
from trials.models.accounts import Method
from trials.permissions import Role
from trials.services.accounts import bind_sign_on, give_password
from trials.services.log_ins import lock_ends, name_key
from trials.services.people import deactivate_person, end_role


pytestmark = [on_postgres, pytest.mark.servers]

DOOR = "/admin/login/"
BEGIN = "/admin/sign-on/oidc/sign-on/login/"
DOCUMENTED = "/admin/sign-on/oidc/sign-on/login/callback/"
GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/run-in-production.md"
SUBJECT = "subject-of-a-coordinator"


@dataclass
class Live:
    address: str
    provider: IdentityProvider


@pytest.fixture(scope="module")
def live(django_db_setup, tmp_path_factory):
    """A web server with the four variables of the guide, on this run's database."""
    home = tmp_path_factory.mktemp("site")
    (home / ".vigil" / "logs").mkdir(parents=True)
    port = site.free_port(0)
    callback = f"http://127.0.0.1:{port}{DOCUMENTED}"
    with identity_provider(callback) as provider, ProcessGroup(home) as group:
        env = {
            "VIGIL_HOME": str(home), "VIGIL_SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": owner_url(), "REDIS_URL": settings.REDIS_URL,
            "VIGIL_OIDC_ISSUER": provider.issuer, "VIGIL_OIDC_NAME": "Hospital log-in",
            "VIGIL_OIDC_CLIENT_ID": CLIENT, "VIGIL_OIDC_CLIENT_SECRET": SECRET,
        }  # fmt: skip
        address = site.start_web(group, port=port, logs=home / ".vigil" / "logs", env=env)
        yield Live(address, provider)


@pytest.fixture
def provider(live) -> IdentityProvider:
    live.provider.tells_the_truth()
    return live.provider


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def bound(study) -> User:
    """A coordinator whom the administrator bound to the subject the provider answers for."""
    bind(study, study.coordinator, SUBJECT)
    return study.coordinator


def bind(study, person, subject) -> None:
    bind_sign_on(
        person=person, subject=subject, reason="first day", by=study.admin, at=timezone.now()
    )


@pytest.fixture
def browser(live):
    with httpx.Client(base_url=live.address) as client:
        yield client


def leaves(browser: httpx.Client, **query: str) -> httpx.Response:
    """Press the button at the door; return what leads to the provider."""
    browser.get(DOOR)
    token = {"X-CSRFToken": browser.cookies["csrftoken"]}
    return browser.post(BEGIN, params=query, headers=token)


def comes_back(browser: httpx.Client, **query: str) -> str:
    """Go to the provider; return the address it sends the browser back to."""
    away = leaves(browser, **query)
    return httpx.get(away.headers["location"]).headers["location"]


def signs_on(browser: httpx.Client, **query: str) -> httpx.Response:
    return browser.get(comes_back(browser, **query))


def said(browser: httpx.Client, answer: httpx.Response) -> str:
    """Return what the door says to somebody it turned back."""
    assert answer.headers["location"] == DOOR
    assert browser.get(HOME).status_code == 302
    return browser.get(DOOR).text.replace("&#x27;", "'")


# --- The way round ---------------------------------------------------------------------------


def test_a_bound_person_goes_the_whole_way_round_and_is_in(browser, provider, bound):
    door = browser.get(DOOR).text
    answer = signs_on(browser)

    assert "Hospital log-in" in door
    assert answer.headers["location"] == HOME
    assert browser.get(HOME).status_code == 200
    record = LogInRecord.objects.last()
    assert (record.kind, record.method, record.person) == ("logged_in", Method.SIGN_ON, bound)
    assert record.address == "127.0.0.1"


def test_the_address_the_provider_is_given_is_the_documented_one(browser, provider, bound):
    comes_back(browser)

    asked = provider.asked[-1]["redirect_uri"]
    assert urlsplit(asked).path == DOCUMENTED
    assert f"https://vigil.example{DOCUMENTED}" in GUIDE.read_text()


def test_the_page_asked_for_follows_and_no_other_host_does(browser, provider, bound):
    here = signs_on(browser, next="/admin/patients/subject/")
    browser.cookies.clear()
    elsewhere = signs_on(browser, next="https://elsewhere.example/")

    assert here.headers["location"] == "/admin/patients/subject/"
    assert elsewhere.headers["location"] == HOME


def test_only_the_subject_is_asked_for_and_only_it_is_kept(browser, provider, bound):
    signs_on(browser)

    kept = SocialAccount.objects.get()
    assert provider.asked[-1]["scope"] == "openid"
    assert set(kept.extra_data["id_token"]) == {"sub", "nonce"}
    assert User.objects.get(pk=bound.pk).email == ""


def test_an_address_made_by_somebody_else_changes_nothing_of_what_is_asked(browser, provider):
    odd = "redirect_uri=https%3A%2F%2Felsewhere.example&prompt=none"
    leads = leaves(browser, process="connect", scope="email", auth_params=odd).headers["location"]

    assert "elsewhere" not in leads
    assert "prompt" not in leads
    assert "email" not in leads
    assert httpx.get(leads).status_code == 302


def test_the_door_is_left_by_its_button_alone(browser, provider):
    looked = browser.get(BEGIN)
    forged = browser.post(BEGIN)

    assert looked.headers["location"] == DOOR
    assert forged.status_code == 403


# --- Who does not get in ---------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["somebody-else", SUBJECT.upper(), f"{SUBJECT} ", "x" * 191])
def test_a_subject_nobody_is_bound_to_stays_out_and_gets_no_account(
    browser, provider, bound, subject
):
    provider.subject = subject
    people = User.objects.count()

    text = said(browser, signs_on(browser))

    assert NOT_BOUND in text
    assert (User.objects.count(), SocialAccount.objects.count()) == (people, 1)
    record = LogInRecord.objects.last()
    assert (record.kind, record.method, record.person) == ("failed", Method.SIGN_ON, None)
    assert subject.strip() not in str(LogInRecord.objects.values())


def test_an_address_of_mail_binds_nobody(browser, provider, study):
    User.objects.filter(pk=study.coordinator.pk).update(email="somebody@example.org")

    assert NOT_BOUND in said(browser, signs_on(browser))


def test_no_session_binds_itself(browser, provider, study):
    """An open log-in that goes there with a subject of nobody's stays without it."""
    signs_on_as(browser, study)

    signs_on(browser, process="connect")

    assert not SocialAccount.objects.filter(user=study.coordinator).exists()


def signs_on_as(browser, study) -> None:
    _, given = give_password(
        person=study.coordinator, reason="first day", by=study.admin, at=timezone.now()
    )
    User.objects.filter(pk=study.coordinator.pk).update(must_change_password=False)
    browser.get(DOOR)
    form = {"login": study.coordinator.username, "password": given}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
    assert browser.post(DOOR, data=form).headers["location"] == HOME


GONE = {
    "a leaver": lambda study, person: deactivate_person(
        user=person, reason="left", by=study.admin, at=timezone.now()
    ),
    "an ended role": lambda study, person: end_role(
        role_id=RoleAssignment.objects.get(user=person).pk, reason="left", by=study.admin,
        at=timezone.now(),
    ),
    "a machine": lambda study, person: User.objects.filter(pk=person.pk).update(is_machine=True),
}  # fmt: skip


@pytest.mark.parametrize("leave", GONE.values(), ids=GONE)
def test_who_may_not_enter_hears_what_a_right_password_hears(
    browser, provider, study, bound, leave
):
    _, given = give_password(person=bound, reason="first day", by=study.admin, at=timezone.now())
    leave(study, bound)

    by_sign_on = said(browser, signs_on(browser))
    form = {"login": bound.username, "password": given}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
    by_password = browser.post(DOOR, data=form)

    assert WRONG in by_sign_on
    assert WRONG in by_password.text
    assert (LogInRecord.objects.last().kind, LogInRecord.objects.last().person) == ("failed", bound)
    assert Kind.LOGGED_IN not in kinds(bound)


def test_an_open_session_ends_with_the_role_whichever_way_it_began(browser, provider, study, bound):
    signs_on(browser)
    assert browser.get(HOME).status_code == 200

    GONE["an ended role"](study, bound)

    assert browser.get(HOME).status_code == 302


# --- A second factor is asked for all the same ------------------------------------------------


def test_who_has_a_second_factor_shows_it_after_single_sign_on(browser, provider, bound):
    secret = enrolled(bound)

    answer = signs_on(browser)
    before = browser.get(HOME).status_code
    page = browser.get(answer.headers["location"])
    form = {"code": code(secret), "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    passed = browser.post(answer.headers["location"], data=form)

    assert answer.headers["location"] == "/admin/login/second-step/"
    assert (before, page.status_code) == (302, 200)
    assert passed.headers["location"] == HOME
    assert browser.get(HOME).status_code == 200


def test_what_others_try_under_a_name_keeps_nobody_from_the_step_after_single_sign_on(
    browser, provider, bound, live
):
    secret = enrolled(bound)
    with httpx.Client(base_url=live.address) as stranger:
        stranger.get(DOOR)
        for _ in range(settings.VIGIL_LOCK_FAILURES):
            form = {"login": bound.username, "password": "a guess"}
            form["csrfmiddlewaretoken"] = stranger.cookies["csrftoken"]
            stranger.post(DOOR, data=form)
    assert lock_ends([name_key(bound.username)], at=timezone.now())
    answer = signs_on(browser)
    browser.get(answer.headers["location"])

    form = {"code": code(secret), "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    passed = browser.post(answer.headers["location"], data=form)

    assert passed.headers["location"] == HOME


def test_wrong_codes_after_single_sign_on_are_counted(browser, provider, bound):
    secret = enrolled(bound)
    answer = signs_on(browser)
    browser.get(answer.headers["location"])

    for number in range(settings.VIGIL_LOCK_FAILURES + 1):
        right = number == settings.VIGIL_LOCK_FAILURES
        form = {"code": code(secret) if right else "000000"}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        last = browser.post(answer.headers["location"], data=form)

    assert "Too many failed attempts" in last.text
    assert browser.get(HOME).status_code == 302


# --- An answer that is not to be believed -----------------------------------------------------


def seconds_from_now(seconds: float) -> int:
    return int(time.time() + seconds)


NEAR = CLOCKS.total_seconds()
LIES = {
    "another audience": lambda p: p.claims.update(aud="another client"),
    "others too, for another": lambda p: p.claims.update(aud=[CLIENT, "x"], azp="x"),
    "no audience": lambda p: p.claims.update(aud=None),
    "another nonce": lambda p: p.claims.update(nonce="another"),
    "no nonce": lambda p: p.claims.update(nonce=None),
    "another issuer": lambda p: p.claims.update(iss="https://id.example"),
    "no issuer": lambda p: p.claims.update(iss=None),
    "expired": lambda p: p.claims.update(exp=seconds_from_now(-NEAR - 1)),
    "no end": lambda p: p.claims.update(exp=None),
    "from the future": lambda p: p.claims.update(iat=seconds_from_now(NEAR + 5)),
    "not yet": lambda p: p.claims.update(nbf=seconds_from_now(NEAR + 5)),
    "asked too long ago": lambda p: p.claims.update(auth_time=seconds_from_now(-330 - 5)),
    "asked in the future": lambda p: p.claims.update(auth_time=seconds_from_now(NEAR + 5)),
    "never asked": lambda p: p.claims.update(auth_time=None),
    "asked at no time": lambda p: p.claims.update(auth_time="now"),
    "no subject": lambda p: p.claims.update(sub=None),
    "an empty subject": lambda p: p.claims.update(sub=""),
    "a subject that is no text": lambda p: p.claims.update(sub=7),
    "a subject too long": lambda p: p.claims.update(sub="x" * 192),
    "another key": lambda p: setattr(p, "key", new_key()),
    "another algorithm": lambda p: setattr(p, "algorithm", "PS256"),
    "a password for a key": lambda p: vars(p).update(key="k" * 32, algorithm="HS256"),
    "no signature": lambda p: vars(p).update(key=None, algorithm="none"),
    "no token": lambda p: p.token.update(id_token=None),
    "a token that is none": lambda p: p.token.update(id_token="x.y.z"),
    "a token that is no text": lambda p: p.token.update(id_token=7),
    "no access token": lambda p: p.token.update(access_token=None),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_answer_that_is_not_to_be_believed_lets_nobody_in(browser, provider, bound, lie):
    lie(provider)

    text = said(browser, signs_on(browser))

    assert NOT_BELIEVED in text
    assert [record.kind for record in LogInRecord.objects.filter(method="sign_on")] == ["failed"]
    assert Kind.LOGGED_IN not in kinds(bound)


TRUE = {
    "within the difference of clocks": lambda p: p.claims.update(exp=seconds_from_now(5 - NEAR)),
    "a clock ahead": lambda p: p.claims.update(iat=seconds_from_now(NEAR - 5)),
    "asked just within five minutes": lambda p: p.claims.update(auth_time=seconds_from_now(-320)),
    "others too, for us": lambda p: p.claims.update(aud=[CLIENT, "x"], azp=CLIENT),
}


@pytest.mark.parametrize("truth", TRUE.values(), ids=TRUE)
def test_an_answer_just_within_what_is_believed_lets_in(browser, provider, bound, truth):
    truth(provider)

    assert signs_on(browser).headers["location"] == HOME


def test_the_longest_subject_can_be_bound(browser, provider, study):
    provider.subject = "x" * 191
    bind(study, study.coordinator, provider.subject)

    assert signs_on(browser).headers["location"] == HOME


def test_an_answer_is_taken_once_and_by_the_browser_that_asked(live, browser, provider, bound):
    back = comes_back(browser)
    with httpx.Client(base_url=live.address) as another:
        another.get(DOOR)
        stolen = another.get(back)
        assert NOT_BELIEVED in said(another, stolen)

    assert browser.get(back).headers["location"] == HOME
    browser.cookies.clear()
    assert NOT_BELIEVED in said(browser, browser.get(back))


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?code=x&state=x", "?error=server_error", "?code=%00"]
)
def test_an_answer_to_nothing_that_was_asked_is_turned_back(browser, provider, query):
    assert NOT_BELIEVED in said(browser, browser.get(DOCUMENTED + query))
    assert not LogInRecord.objects.exists()


def test_who_stops_at_the_provider_is_told_so_and_no_failure_is_kept(browser, provider, bound):
    provider.answer = "no"

    assert CANCELLED in said(browser, signs_on(browser))
    assert not LogInRecord.objects.filter(method="sign_on").exists()


OTHERS = {
    "another issuer": {"issuer": "https://id.example/realm"},
    "no issuer": {"issuer": None},
    "no place for the token": {"token_endpoint": None},
    "no keys": {"jwks_uri": None},
    "keys elsewhere": {"jwks_uri": "ftp://127.0.0.1/keys"},
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_a_provider_that_is_another_is_not_gone_to(browser, provider, config):
    provider.config = config

    assert NOT_REACHED in said(browser, leaves(browser))
    assert not LogInRecord.objects.exists()


@pytest.mark.parametrize("gone", ["token_endpoint", "jwks_uri"])
def test_a_provider_that_cannot_be_reached_is_no_fault_of_ours(browser, provider, bound, gone):
    back = comes_back(browser)
    provider.config = {gone: f"http://127.0.0.1:{site.free_port(0)}/"}

    answer = browser.get(back)

    assert answer.status_code == 302
    assert "Single sign-on did not let you in" in said(browser, answer)


def test_a_provider_that_is_down_is_told_at_the_door(browser, provider):
    provider.answer = "down"

    assert NOT_REACHED in said(browser, leaves(browser))


def test_another_provider_is_not_there(browser, provider):
    assert browser.get("/admin/sign-on/oidc/other/login/callback/").status_code == 404


# --- Bound -----------------------------------------------------------------------------------


def test_each_of_two_people_gets_in_as_themselves(browser, provider, study, bound):
    monitor = study.person(Role.MONITOR)
    bind(study, monitor, "subject-of-a-monitor")

    signs_on(browser)
    browser.cookies.clear()
    provider.subject = "subject-of-a-monitor"
    signs_on(browser)

    assert kinds(bound).count("logged_in") == kinds(monitor).count("logged_in") == 1
