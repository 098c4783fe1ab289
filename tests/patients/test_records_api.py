"""Every noun of a subject at the interface: recorded, listed, and kept from whom it is not for."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from events.models import OutboxEvent
from patients.models import Consent
from tests.factories import Study
from tests.interface import (
    API,
    DAY,
    NOUNS,
    Caller,
    application_of,
    caller_for,
    noun,
    reasons_of,
    token_of,
)
from tests.marks import on_postgres
from tests.postgres import contents
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres

BEARER = 'Bearer realm="vigil"'
NOT_THERE = {noun.name: set() for noun in NOUNS}

every_noun = pytest.mark.parametrize("noun", NOUNS, ids=str)


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY)


@pytest.fixture
def elsewhere(study):
    """A second site with a system of its own."""
    return study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))


@pytest.fixture
def paths(study):
    """Each noun under a subject of the first site that is ready for it."""
    return {noun: noun.path(noun.subject(study)) for noun in NOUNS}


def statuses(status):
    return {noun.name: status for noun in NOUNS}


@every_noun
def test_a_record_is_made_announced_and_listed(study, noun):
    subject = noun.subject(study)
    system = caller_for(study.system)
    before = noun.model.objects.count()
    announced = OutboxEvent.objects.filter(type=noun.event)
    events = announced.count()

    answer = system.post(noun.path(subject), noun.body)
    listed = system.get(noun.path(subject)).json()

    assert (answer.status_code, answer["Content-Type"]) == (201, "application/json")
    assert noun.model.objects.count() == before + 1
    assert announced.count() == events + 1
    assert announced.last().actor == study.system.username
    assert announced.last().request_id == answer["X-Request-Id"]
    assert {row["protocol_version"] for row in listed["results"]} == {"1.0"}
    made = answer.json()[0] if noun.name == "labs" else answer.json()
    assert made in listed["results"]
    assert listed["count"] == len(listed["results"]) == before + 1


def test_another_sites_subject_is_not_there(study, elsewhere, paths):
    foreign = caller_for(elsewhere)
    before = contents()

    reads = {noun: foreign.get(path) for noun, path in paths.items()}
    writes = {noun: foreign.post(path, noun.body) for noun, path in paths.items()}

    assert {noun.name: reasons_of(answer) for noun, answer in reads.items()} == NOT_THERE
    assert {noun.name: reasons_of(answer) for noun, answer in writes.items()} == NOT_THERE
    assert {answer.status_code for answer in (*reads.values(), *writes.values())} == {404}
    assert contents() == before


def test_a_role_that_may_only_read_writes_nothing(study, paths):
    readers = {role: caller_for(study.people[role]) for role in {n.refused_role for n in NOUNS}}
    before = contents()

    reads = {noun.name: readers[noun.refused_role].get(path) for noun, path in paths.items()}
    writes = {
        noun.name: readers[noun.refused_role].post(path, noun.body) for noun, path in paths.items()
    }

    assert {name: answer.status_code for name, answer in reads.items()} == statuses(200)
    assert {name: answer.status_code for name, answer in writes.items()} == statuses(403)
    assert all(reasons_of(answer) == {("", "not_your_role")} for answer in writes.values())
    assert contents() == before


@pytest.mark.parametrize("token", ["none", "late", "unknown", "basic", "empty"])
def test_nobody_gets_in_without_a_token_that_holds(study, paths, token):
    caller = {
        "none": lambda: Caller(),
        "late": lambda: Caller(token_of(study.system, lasts=timedelta(seconds=-1))),
        "unknown": lambda: Caller("no-such-token"),
        "basic": lambda: Caller(Authorization="Basic eDp5"),
        "empty": lambda: Caller(Authorization="Bearer "),
    }[token]()
    before = contents()

    reads = {noun.name: caller.get(path) for noun, path in paths.items()}
    writes = {noun.name: caller.post(path, noun.body) for noun, path in paths.items()}

    for answers in (reads, writes):
        assert {name: answer.status_code for name, answer in answers.items()} == statuses(401)
        assert {answer["WWW-Authenticate"] for answer in answers.values()} == {BEARER}
        assert all(reasons_of(answer) == {("", "not_logged_in")} for answer in answers.values())
    assert contents() == before


def test_who_is_not_logged_in_learns_nothing_about_the_body(study):
    path = f"/subjects/{study.enrolled().pk}/consents"

    answers = [Caller().raw(path, "{"), Caller("x").raw(path, "a=b", content_type="text/plain")]

    assert [answer.status_code for answer in answers] == [401, 401]


def test_a_list_comes_in_pages(study):
    visits = noun("visits")
    subject = visits.subject(study)
    system = caller_for(study.system)
    for number in range(1, 6):
        system.post(visits.path(subject), visits.another(number))

    first = system.get(f"{visits.path(subject)}?page_size=2").json()
    last = system.get(f"{visits.path(subject)}?page_size=2&page=3").json()

    assert (first["count"], len(first["results"]), len(last["results"])) == (5, 2, 1)
    assert (first["previous"], last["next"]) == (None, None)
    assert "page=2" in first["next"]
    assert first["results"][0]["cycle"] == 1
    assert last["results"][0]["cycle"] == 5


def test_a_page_that_is_not_there_is_said_so(study):
    path = f"/subjects/{study.consented().pk}/visits"
    system = caller_for(study.system)

    answers = [system.get(f"{path}?page={page}") for page in ("0", "99", "x", "-1", "9" * 5000)]

    assert {answer.status_code for answer in answers} == {404}
    assert all(reasons_of(answer) == {("", "not_found")} for answer in answers)


def test_the_last_day_is_in_and_tomorrow_is_not(study):
    subject = study.consented()
    visits = noun("visits")
    system = caller_for(study.system)
    today = study.site.local_day(timezone.now())

    now = system.post(visits.path(subject), {**visits.another(1), "visited_on": today})
    later = system.post(
        visits.path(subject), {**visits.another(2), "visited_on": today + timedelta(1)}
    )

    assert (now.status_code, later.status_code) == (201, 409)
    assert reasons_of(later) == {("", "future_day")}


def test_a_person_writes_with_a_session_and_its_csrf_token(study):
    subject = study.enrolled()
    person = Client(enforce_csrf_checks=True)
    person.force_login(study.coordinator)
    person.get("/admin/login/")
    token = person.cookies["csrftoken"].value if "csrftoken" in person.cookies else "a" * 32
    path = f"{API}/subjects/{subject.pk}/consents"
    body = {"version": "1.0", "signed_on": DAY}
    named = {"Idempotency-Key": "by-hand"}

    without = person.post(path, body, content_type="application/json", headers=named)
    person.cookies["csrftoken"] = token
    with_it = person.post(
        path, body, content_type="application/json", headers={**named, "X-CSRFToken": token}
    )

    assert without.status_code == 403
    assert with_it.status_code == 201
    assert Consent.objects.get().recorded_by == study.coordinator


def test_a_token_in_the_address_is_no_token(study):
    subject = study.consented()
    token = token_of(study.system)

    answer = Caller().get(f"/subjects/{subject.pk}/visits?access_token={token}")

    assert answer.status_code == 401


def test_the_token_address_gives_a_token_that_works(study):
    client_id, secret = application_of(study.system)

    granted = Client().post(
        "/oauth/token",
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret},
    )
    answer = Caller(granted.json()["access_token"]).get("/subjects")

    assert (granted.status_code, answer.status_code) == (200, 200)


def test_a_machine_that_was_switched_off_gets_no_further(study):
    token = token_of(study.system)
    study.system.is_active = False
    study.system.save(update_fields=["is_active"])

    assert Caller(token).get("/subjects").status_code == 401
