"""The same request twice: one record, one answer. Another request under the same key: neither."""

import pytest
from django.utils import timezone

from events.acting import as_system
from events.models import IdempotencyRecord, OutboxEvent
from patients.models import AdverseEvent, Consent, Subject
from patients.services.transfers import transfer_subject
from tests.factories import NOW, TODAY, Study
from tests.interface import (
    EVENT,
    SUBJECT,
    Caller,
    caller_for,
    drawn_kits,
    fields_of,
    noun,
    reasons_of,
    token_of,
)
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.models import RoleAssignment, Trial
from trials.permissions import Role
from trials.services.people import give_role


pytestmark = on_postgres

REPLAYED = "Idempotent-Replayed"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


@pytest.fixture
def system(study):
    return caller_for(study.system)


def test_the_same_request_again_gets_the_same_bytes_and_one_row(study, system):
    first = system.post("/subjects", SUBJECT, key="enrol-1")
    before = contents()

    again = system.post("/subjects", SUBJECT, key="enrol-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"] == "application/json"
    assert (REPLAYED in first, again[REPLAYED]) == (False, "true")
    assert Subject.objects.count() == 1
    assert contents() == before


def test_another_body_under_the_same_key_is_refused(study, system):
    system.post("/subjects", SUBJECT, key="enrol-1")
    before = contents()

    other = system.post("/subjects", {**SUBJECT, "sex": "male"}, key="enrol-1")

    assert other.status_code == 422
    assert reasons_of(other) == {("", "idempotency_key_reused")}
    assert contents() == before


def test_another_address_under_the_same_key_is_refused(study, system):
    one, two = study.enrolled(), study.enrolled()
    consents = noun("consents")
    system.post(consents.path(one), consents.body, key="consent")

    other = system.post(consents.path(two), consents.body, key="consent")

    assert other.status_code == 422
    assert Consent.objects.get().subject == one


def test_another_revision_under_the_same_key_is_refused(study, system):
    path = noun("adverse-events").path(study.consented())
    made = system.post(path, EVENT).json()
    correction = f"/adverse-events/{made['id']}/corrections"
    body = {"grade": 3, "reason": "misread"}
    system.post(correction, body, key="correct", revision="1")

    other = system.post(correction, body, key="correct", revision="2")

    assert other.status_code == 422
    assert AdverseEvent.objects.get().revision == 2


def test_a_refusal_is_repeated_even_when_it_would_be_granted_by_now(study, system):
    path = noun("visits").path(subject := study.enrolled())
    body = noun("visits").body
    first = system.post(path, body, key="visit")
    system.post(noun("consents").path(subject), noun("consents").body)

    again = system.post(path, body, key="visit")
    anew = system.post(path, body, key="visit-2")

    assert (first.status_code, again.status_code, anew.status_code) == (409, 409, 201)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"] == "application/problem+json"
    assert again[REPLAYED] == "true"


def test_a_refusal_leaves_nothing_but_its_answer(study, system):
    subject = study.enrolled()
    before = contents()

    system.post(noun("visits").path(subject), noun("visits").body, key="visit")

    after = contents()
    assert after.pop("public.events_idempotencyrecord").count("visit") == 1
    assert after == before


def test_what_was_wrong_in_form_may_be_sent_again_under_its_key(study, system):
    wrong = system.post("/subjects", {**SUBJECT, "sex": "none"}, key="enrol-1")

    right = system.post("/subjects", SUBJECT, key="enrol-1")

    assert (wrong.status_code, right.status_code) == (400, 201)


def test_a_key_that_is_none_is_refused_by_name(study, system):
    before = contents()

    answers = [
        system.post("/subjects", SUBJECT, key=key)
        for key in ("", " ", "k" * 129, "two words", "tab\tkey", "schlüssel", "\x7f")
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert all(fields_of(answer) == {"Idempotency-Key"} for answer in answers)
    assert contents() == before


@pytest.mark.parametrize("key", ["k", "k" * 128, "site/DE-01:2026-03-10#7"])
def test_the_shortest_and_the_longest_key_are_taken(study, system, key):
    assert system.post("/subjects", SUBJECT, key=key).status_code == 201
    assert IdempotencyRecord.objects.get().key == key


def test_two_users_may_use_the_same_key(study, system):
    other = caller_for(study.person(Role.SITE_SYSTEM, site=study.site, name="second-system"))

    answers = [one.post("/subjects", SUBJECT, key="enrol-1") for one in (system, other)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert [REPLAYED in answer for answer in answers] == [False, False]
    assert Subject.objects.count() == 2


def test_the_same_request_at_the_same_moment_takes_effect_once(study):
    token = token_of(study.system)

    answers = at_once(
        *[lambda: Caller(token).post("/subjects", SUBJECT, key="enrol-1") for _ in range(4)]
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted(REPLAYED in answer for answer in answers) == [False, True, True, True]
    assert Subject.objects.count() == 1
    assert OutboxEvent.objects.filter(type="patients.SubjectEnrolled").count() == 1


def test_different_requests_at_the_same_moment_get_numbers_without_gaps(study):
    token = token_of(study.system)

    answers = at_once(*[lambda: Caller(token).post("/subjects", SUBJECT) for _ in range(4)])

    numbers = sorted(answer.json()["number"] for answer in answers)
    assert numbers == ["DE-01-0001", "DE-01-0002", "DE-01-0003", "DE-01-0004"]


# --- What the caller may see no longer --------------------------------------------------------


def end_roles(person):
    with as_system():
        RoleAssignment.objects.filter(user=person).update(ends_at=timezone.now())


def move(study, subject):
    """Move a subject to a site of its own, and return that site."""
    there = study.add_site("DE-02")
    transfer_subject(
        subject_id=subject.pk, to_site="DE-02", transferred_on=TODAY, reason="moved house",
        agreed_by="Dr Example", agreement="letter", by=study.people[Role.DATA_MANAGER], at=NOW,
    )  # fmt: skip
    return there


def sends(study, system):
    """Return requests about one subject, each sent once, and the subject."""
    entered = system.post("/subjects", SUBJECT, key="enrol")
    subject = Subject.objects.get(pk=entered.json()["id"])
    path = f"/subjects/{subject.pk}"
    refused = (f"{path}/visits", noun("visits").body, "visit")
    consent = (f"{path}/consents", noun("consents").body, "consent")
    event = (f"{path}/adverse-events", EVENT, "event")
    for one in (refused, consent):
        system.post(*one[:2], key=one[2])
    made = system.post(*event[:2], key="event").json()
    corrected = (f"/adverse-events/{made['id']}/corrections", {"grade": 3, "reason": "x"}, "fix")
    itself = (f"{path}/corrections", {"year_of_birth": 1951, "reason": "x"}, "birth")
    for one in (corrected, itself):
        assert system.post(*one[:2], key=one[2], revision="1").status_code == 201
    return [("/subjects", SUBJECT, "enrol"), refused, consent, event, corrected, itself], subject


def again(system, requests):
    return [
        system.post(path, body, key=key, revision="1" if path.endswith("corrections") else "")
        for path, body, key in requests
    ]


def test_an_answer_is_repeated_while_its_subject_is_seen(study, system):
    requests, _ = sends(study, system)

    answers = again(system, requests)

    assert [answer.status_code for answer in answers] == [201, 409, 201, 201, 201, 201]
    assert all(answer[REPLAYED] == "true" for answer in answers)


def test_an_answer_about_a_subject_that_moved_is_repeated_to_nobody_at_the_old_site(study, system):
    requests, subject = sends(study, system)
    move(study, subject)
    before = contents()

    answers = again(system, requests)

    assert {answer.status_code for answer in answers} == {404}
    gone = system.get(f"/subjects/{subject.pk}")
    assert {answer.content for answer in answers} == {gone.content}
    assert all(REPLAYED not in answer for answer in answers)
    assert contents() == before


def test_an_answer_is_repeated_to_nobody_whose_role_has_ended(study, system):
    requests, _ = sends(study, system)
    there = study.add_site("DE-02")
    end_roles(study.system)
    give_role(
        user=study.system, trial_id=study.trial.pk, site=there, role=Role.SITE_SYSTEM,
        by=study.admin, at=timezone.now(),
    )  # fmt: skip

    assert {answer.status_code for answer in again(system, requests)} == {404}


def test_a_refused_entry_is_repeated_to_nobody_who_does_not_see_the_site(study, system):
    body = {**SUBJECT, "screened_on": "2190-01-01", "year_of_birth": 1950}
    first = system.post("/subjects", body, key="enrol")
    kept = system.post("/subjects", body, key="enrol")
    end_roles(study.system)

    assert (first.status_code, kept.status_code) == (409, 409)
    assert system.post("/subjects", body, key="enrol").status_code in {401, 403, 404}


def test_what_a_supplier_was_told_of_a_site_is_not_repeated_after_their_role(study):
    supplier = caller_for(study.supplier)
    kits = drawn_kits(supplier)
    sent = [supplier.post("/kit-supplies", kits, key="kits") for _ in range(2)]
    end_roles(study.supplier)

    last = supplier.post("/kit-supplies", kits, key="kits")

    assert [answer.status_code for answer in sent] == [201, 201]
    assert last.status_code in {401, 403, 404}
