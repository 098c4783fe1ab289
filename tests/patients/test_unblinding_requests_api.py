"""Two people unblind over the interface: one alone is refused, the third comes too late.

What they see is in one answer; afterwards the arm is in no table, notice, event or line of the log.
"""

import csv
import io
import logging
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from events.tasks import drain
from patients.models import Unblinding, UnblindingAssessment
from reporting.models import Notice
from tests.config.test_api_queries import statements
from tests.factories import Study, user
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import (
    ARMS,
    WORD,
    ask_for,
    break_it,
    naming_an_arm,
    reaction,
    with_password,
    with_passwords,
)
from tests.postgres import contents
from trials.models import RefusedLook, SealedAccess, UnblindingAnswer, UnblindingRequest
from trials.permissions import Role
from trials.services.unblinding_requests import request_trial_unblinding


pytestmark = on_postgres

PROOF = {"password": WORD}
PROTOCOL_TABLES = {"public.trials_protocolversion", "public.trials_protocolversionhistory"}
WORDS = (*ARMS, "Lenalidomide", "Placebo")


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    study = with_passwords(Study(arms=ARMS, kits=0))
    with_password(study.second_statistician)
    return study


@pytest.fixture
def lines(study, monkeypatch):
    """Return what is written to the log, from here on, as text."""
    written = io.StringIO()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.get_name() == "out":
            monkeypatch.setattr(handler, "stream", written)
    return written.getvalue


def calling(study, role):
    return caller_for(study.people[role])


def second_officer(study):
    return with_password_of(study.person(Role.SAFETY_OFFICER, name="second-officer"))


def with_password_of(person):
    with_password(person)
    return person


def safety_request(study, subject):
    """Ask over the interface, as the safety officer, and return the request's address."""
    body = {
        "adverse_event": str(reaction(study, subject).pk),
        "expectedness": "Not in the reference text, 5.1",
        "reason": "Expedited report",
    }
    answer = calling(study, Role.SAFETY_OFFICER).post("/safety-unblinding-requests", body)
    return f"/unblinding-requests/{answer.json()['id']}"


def trial_request(study):
    """Ask over the interface, as the statistician, and return the request's address."""
    body = {"trial": "CLLM1", "reason": "Final analysis", "early_reason": "Sites close next week"}
    answer = caller_for(study.statistician).post("/trial-unblinding-requests", body)
    return f"/unblinding-requests/{answer.json()['id']}"


def of_long_ago(study):
    """A request of each kind that nobody agreed to in time, by address of its look."""
    at = timezone.now() - timedelta(days=30)
    subject = study.randomised()
    safety = ask_for(study, reaction(study, subject), at=at)
    trial = request_trial_unblinding(
        trial_id=study.trial.pk, reason="Analysis", early_reason="Closing", by=study.statistician,
        at=at,
    )  # fmt: skip
    return f"/unblinding-requests/{safety.pk}", f"/unblinding-requests/{trial.pk}"


def codes(answer):
    return (answer.status_code, {code for _, code in reasons_of(answer)})


# --- One subject ------------------------------------------------------------------------------


def test_one_person_alone_learns_no_arm_and_is_told_why(study):
    request = safety_request(study, study.randomised())
    officer = calling(study, Role.SAFETY_OFFICER)
    looks = SealedAccess.objects.count()

    alone = officer.post(f"{request}/looks", PROOF)
    own = officer.post(f"{request}/agreements", PROOF)

    assert codes(alone) == (409, {"second_person_missing"})
    assert codes(own) == (409, {"same_person"})
    assert SealedAccess.objects.count() == looks
    assert set(RefusedLook.objects.values_list("purpose", "reason")) == {
        ("safety unblinding", "second_person_missing"),
        ("agree: safety unblinding", "same_person"),
    }


def test_two_people_learn_one_arm_once_and_a_third_comes_too_late(study):
    study.randomised()
    request = safety_request(study, study.randomised())
    officer, monitor = (calling(study, r) for r in (Role.SAFETY_OFFICER, Role.MEDICAL_MONITOR))
    third = caller_for(second_officer(study))

    agreed = monitor.post(f"{request}/agreements", PROOF)
    by_third = third.post(f"{request}/looks", PROOF)
    first = officer.post(f"{request}/looks", PROOF, key="one")
    again = officer.post(f"{request}/looks", PROOF, key="one")
    anew = officer.post(f"{request}/looks", PROOF, key="two")
    late = third.post(f"{request}/agreements", PROOF)

    assert agreed.status_code == 201
    assert codes(by_third) == (409, {"not_the_requester"})
    assert (first.status_code, first.json()["arm"]) == (201, "QXCONTR")
    assert first["Cache-Control"] == "no-store"
    assert codes(again) == (409, {"shown_already"})
    assert codes(anew) == (409, {"look_refused"})
    assert codes(late) == (409, {"agreed_already"})
    assert Unblinding.objects.get().kind == "safety"


def test_after_a_safety_look_the_arm_is_in_no_table_notice_or_line_of_the_log(study, lines):
    request = safety_request(study, study.randomised())
    calling(study, Role.MEDICAL_MONITOR).post(f"{request}/agreements", PROOF)
    before = naming_an_arm()

    shown = calling(study, Role.SAFETY_OFFICER).post(f"{request}/looks", PROOF, key="one")
    calling(study, Role.SAFETY_OFFICER).post(f"{request}/looks", PROOF, key="one")
    drain()

    assert shown.json()["treatment"] == "Lenalidomide"
    assert naming_an_arm("public") == PROTOCOL_TABLES
    assert naming_an_arm() == before
    assert "unblinded for a safety report" in Notice.objects.get(kind="subject_unblinded").text
    assert f"{request.rpartition('/')[2]}" not in lines()
    assert '"status": 201' in lines()
    assert [word for word in (*WORDS, WORD) if word in lines()] == []


def test_the_state_of_a_request_is_told_from_first_to_last(study):
    request = safety_request(study, study.randomised())
    officer, monitor = (calling(study, r) for r in (Role.SAFETY_OFFICER, Role.MEDICAL_MONITOR))

    def state():
        return [row["state"] for row in monitor.get("/unblinding-requests").json()["results"]]

    told = [state()]
    monitor.post(f"{request}/agreements", PROOF)
    told.append(state())
    officer.post(f"{request}/looks", PROOF)
    told.append(state())

    assert told == [["waiting"], ["agreed"], ["used"]]


# --- The whole trial --------------------------------------------------------------------------


def test_one_statistician_alone_gets_no_list_and_is_told_why(study):
    study.randomised()
    request = trial_request(study)
    looks = SealedAccess.objects.count()

    alone = caller_for(study.statistician).post(f"{request}/lists-of-arms", PROOF)
    agreeing = caller_for(study.second_statistician).post(f"{request}/agreements", PROOF)

    assert codes(alone) == (409, {"second_person_missing"})
    assert codes(agreeing) == (403, {"not_your_role"})
    assert SealedAccess.objects.count() == looks
    assert not UnblindingAnswer.objects.exists()


def test_two_people_get_the_list_once_and_a_third_gets_none(study, lines):
    subjects = [study.randomised() for _ in range(3)]
    request = trial_request(study)
    statistician = caller_for(study.statistician)
    before = naming_an_arm()

    calling(study, Role.MEDICAL_MONITOR).post(f"{request}/agreements", PROOF)
    third = caller_for(study.second_statistician).post(f"{request}/lists-of-arms", PROOF)
    first = statistician.post(f"{request}/lists-of-arms", PROOF, key="one")
    again = statistician.post(f"{request}/lists-of-arms", PROOF, key="one")
    drain()

    assert codes(third) == (409, {"not_the_requester"})
    rows = list(csv.DictReader(io.StringIO(first.content.decode())))
    assert [(row["subject"], row["arm"]) for row in rows] == [
        (subjects[0].number, "QXACTIVE"),
        (subjects[1].number, "QXCONTR"),
        (subjects[2].number, "QXACTIVE"),
    ]
    assert first["Cache-Control"] == "no-store"
    assert codes(again) == (409, {"shown_already"})
    assert SealedAccess.objects.filter(purpose="trial unblinding").count() == 1
    assert naming_an_arm("public") == PROTOCOL_TABLES
    assert naming_an_arm() == before
    assert [word for word in (*WORDS, WORD) if word in lines()] == []


def test_while_sites_recruit_a_trial_request_says_why_it_cannot_wait(study):
    body = {"trial": "CLLM1", "reason": "Analysis"}

    answer = caller_for(study.statistician).post("/trial-unblinding-requests", body)

    assert codes(answer) == (409, {"still_recruiting"})
    assert not UnblindingRequest.objects.exists()


# --- What is over -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [safety_request, trial_request])
def test_a_withdrawn_request_is_agreed_to_and_used_by_nobody(study, make):
    asked = [study, study.randomised()][: make.__code__.co_argcount]
    request = make(*asked)
    monitor = calling(study, Role.MEDICAL_MONITOR)
    monitor.post(f"{request}/agreements", PROOF)
    looks = SealedAccess.objects.count()

    stopped = monitor.post(f"{request}/withdrawals", {"reason": "The wrong day"})
    agreed = calling(study, Role.MEDICAL_MONITOR).post(f"{request}/agreements", PROOF)
    safety = calling(study, Role.SAFETY_OFFICER).post(f"{request}/looks", PROOF)
    listed = caller_for(study.statistician).post(f"{request}/lists-of-arms", PROOF)

    assert stopped.status_code == 201
    assert codes(agreed) == (409, {"request_withdrawn", "agreed_already"})
    assert {safety.status_code, listed.status_code} <= {403, 409}
    assert any("request_withdrawn" in codes(one)[1] for one in (safety, listed))
    assert SealedAccess.objects.count() == looks


def test_an_expired_request_is_agreed_to_and_used_by_nobody(study):
    safety, trial = of_long_ago(study)
    monitor = calling(study, Role.MEDICAL_MONITOR)
    looks = SealedAccess.objects.count()

    agreed = [monitor.post(f"{request}/agreements", PROOF) for request in (safety, trial)]
    shown = calling(study, Role.SAFETY_OFFICER).post(f"{safety}/looks", PROOF)
    listed = caller_for(study.statistician).post(f"{trial}/lists-of-arms", PROOF)

    assert [codes(one) for one in agreed] == [(409, {"request_expired"})] * 2
    expected = (409, {"request_expired", "second_person_missing"})
    assert [codes(shown), codes(listed)] == [expected] * 2
    assert SealedAccess.objects.count() == looks


# --- Who has no business there ----------------------------------------------------------------


@pytest.mark.parametrize("act", ["agreements", "looks", "lists-of-arms", "withdrawals"])
@pytest.mark.parametrize("role", [Role.INVESTIGATOR, Role.COORDINATOR])
def test_for_people_of_any_site_a_request_is_not_there(study, role, act):
    request = safety_request(study, study.randomised())
    stranger = study.person(role, site=study.add_site("DE-02"), name="a-stranger")
    callers = [caller_for(with_password_of(stranger)), calling(study, role)]
    before = contents("sealed")

    answers = [one.post(f"{request}/{act}", {**PROOF}) for one in callers]
    answers += [one.post(f"{request}/{act}", {"reason": "None of mine"}) for one in callers]

    assert {answer.status_code for answer in answers} <= {400, 404}
    assert 404 in {answer.status_code for answer in answers}
    assert all(c.get("/unblinding-requests").json()["results"] == [] for c in callers)
    assert contents("sealed") == before


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.UNBLINDED_STATISTICIAN])
def test_who_may_only_read_a_request_neither_agrees_nor_looks_and_the_attempt_is_kept(study, role):
    request = safety_request(study, study.randomised())
    caller = calling(study, role)

    answers = [caller.post(f"{request}/{act}", PROOF) for act in ("agreements", "looks")]

    assert {answer.status_code for answer in answers} == {403}
    kept = RefusedLook.objects.filter(person=study.people[role])
    assert set(kept.values_list("reason", flat=True)) == {"not_your_role"}
    assert kept.count() == 2


def test_a_wrong_password_neither_agrees_nor_looks(study):
    request = safety_request(study, study.randomised())
    monitor = calling(study, Role.MEDICAL_MONITOR)

    answer = monitor.post(f"{request}/agreements", {"password": "a wrong pass phrase"})

    assert codes(answer) == (409, {"identity_not_confirmed"})
    assert not UnblindingAnswer.objects.exists()
    assert RefusedLook.objects.get().reason == "identity_not_confirmed"


# --- Assessments, and the log ------------------------------------------------------------------


def test_a_look_is_assessed_by_a_second_person_and_by_nobody_of_the_site(study):
    unblinding = break_it(study, study.randomised())
    address = f"/unblindings/{unblinding.pk}/assessments"
    body = {"impact": "limited", "assessment": "Treatment ended with it."}
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"), name="a-stranger")

    own = calling(study, Role.INVESTIGATOR).post(address, body)
    other = caller_for(stranger).post(address, body)
    naming = calling(study, Role.MEDICAL_MONITOR).post(
        address, {**body, "assessment": "He had placebo."}
    )
    done = calling(study, Role.MEDICAL_MONITOR).post(address, body)

    assert [own.status_code, other.status_code] == [403, 404]
    assert codes(naming) == (409, {"names_an_arm"})
    assert (done.status_code, done.json()["impact"]) == (201, "limited")
    assert UnblindingAssessment.objects.count() == 1


def test_the_log_of_looks_is_for_those_who_audit_and_names_no_arm(study):
    request = safety_request(study, study.randomised())
    calling(study, Role.SAFETY_OFFICER).post(f"{request}/looks", PROOF)
    calling(study, Role.MEDICAL_MONITOR).post(f"{request}/agreements", PROOF)
    calling(study, Role.SAFETY_OFFICER).post(f"{request}/looks", PROOF)

    auditor, coordinator = (calling(study, r) for r in (Role.AUDITOR, Role.COORDINATOR))
    looks, refused = auditor.get("/looks"), auditor.get("/refused-looks")

    assert looks.json()["results"][0]["purpose"] == "safety unblinding"
    assert refused.json()["results"][0]["reason"] == "second_person_missing"
    assert not any(word in (looks.content + refused.content).decode() for word in WORDS)
    assert coordinator.get("/looks").json()["results"] == []
    assert coordinator.get("/refused-looks").json()["results"] == []


# --- What is told of it afterwards ------------------------------------------------------------


def marked(person, subject):
    """Return the mark in the list of subjects and in the subject's own answer."""
    caller = caller_for(person)
    listed = {row["id"]: row for row in caller.get("/subjects").json()["results"]}
    alone = caller.get(f"/subjects/{subject.pk}").json()
    return listed[str(subject.pk)]["needs_review"], alone["needs_review"]


def test_a_subject_looked_at_twice_needs_a_review_and_one_looked_at_once_does_not(study):
    once, twice = study.randomised(), study.randomised()
    break_it(study, once)
    break_it(study, twice)
    before = marked(study.coordinator, twice)

    break_it(study, twice)

    assert before == (False, False)
    for role in (Role.COORDINATOR, Role.PHARMACIST, Role.MEDICAL_MONITOR, Role.AUDITOR):
        assert marked(study.people[role], twice) == (True, True)
        assert marked(study.people[role], once) == (False, False)


def test_only_looks_in_an_emergency_count_for_the_review(study):
    subject = study.randomised()
    break_it(study, subject)
    study.make_sheets()
    seen = {"happened_at": timezone.now().isoformat(), "learned_by": "A nurse", "reason": "Seen"}
    for kind in ("inadvertent-unblindings", "contingency-openings"):
        answer = calling(study, Role.COORDINATOR).post(f"/subjects/{subject.pk}/{kind}", seen)
        assert answer.status_code == 201

    assert marked(study.coordinator, subject) == (False, False)


def test_another_site_is_not_told_of_the_review(study):
    subject = study.randomised()
    break_it(study, subject)
    break_it(study, subject)
    elsewhere = study.person(Role.COORDINATOR, site=study.add_site("DE-02"))

    assert caller_for(elsewhere).get("/subjects").json()["count"] == 0
    assert caller_for(elsewhere).get(f"/subjects/{subject.pk}").status_code == 404


def test_the_marks_of_many_subjects_cost_what_those_of_one_cost(study):
    caller = caller_for(study.system)

    def looked_at_twice():
        subject = study.randomised()
        break_it(study, subject)
        break_it(study, subject)

    looked_at_twice()
    one = statements(lambda: caller.get("/subjects"))
    for _ in range(3):
        looked_at_twice()

    assert [row["needs_review"] for row in caller.get("/subjects").json()["results"]] == [True] * 4
    assert statements(lambda: caller.get("/subjects")) == one


def test_everybody_of_a_trial_is_told_since_when_it_is_unblinded_and_nobody_before(study):
    study.randomised()
    path = trial_request(study)
    calling(study, Role.MEDICAL_MONITOR).post(f"{path}/agreements", PROOF)
    since = lambda person: caller_for(person).get("/trials").json()["results"]  # noqa: E731
    before = [since(person)[0]["unblinded_since"] for person in study.people.values()]

    assert caller_for(study.statistician).post(f"{path}/lists-of-arms", PROOF).status_code == 201
    assert caller_for(study.statistician).post(f"{path}/lists-of-arms", PROOF).status_code == 201

    first = SealedAccess.objects.filter(purpose="trial unblinding").earliest("opened_at")
    told = {since(person)[0]["unblinded_since"] for person in study.people.values()}
    assert set(before) == {None}
    assert [datetime.fromisoformat(one) for one in told] == [first.opened_at]
    assert since(user("somebody-without-a-role")) == []


def test_a_look_at_one_subject_leaves_the_trial_blinded(study):
    break_it(study, study.randomised())

    assert caller_for(study.admin).get("/trials").json()["results"][0]["unblinded_since"] is None
