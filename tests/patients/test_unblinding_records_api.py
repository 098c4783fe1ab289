"""What the pages of the blind list, over the interface: to the same people, and never an arm."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.config.test_api_queries import statements
from tests.factories import NOW, Study, user
from tests.interface import Caller, caller_for, fields_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import (
    ARMS,
    agree,
    ask_for,
    break_it,
    officer_looks,
    reaction,
    with_passwords,
)
from trials.models import SealedAccess, UnblindingRequest
from trials.permissions import Role
from trials.services.unblinding_requests import request_trial_unblinding


pytestmark = on_postgres

WORDS = (*ARMS, "Lenalidomide", "Placebo")
SEEN = {"happened_at": "2026-03-10T12:30:00Z", "learned_by": "A nurse", "reason": "A label"}
JUDGED = {"impact": "serious", "assessment": "Excluded from the second endpoint"}


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    made = with_passwords(Study(arms=ARMS, kits=0))
    made.there = made.add_site("DE-02")
    made.system_there = made.person(Role.SITE_SYSTEM, site=made.there)
    return made


def calling(study, role):
    return caller_for(study.people[role])


def accident(study, subject):
    caller = calling(study, Role.COORDINATOR)
    return caller.post(f"/subjects/{subject.pk}/inadvertent-unblindings", SEEN).json()["id"]


def safety_look(study, subject):
    request = ask_for(study, reaction(study, subject))
    agree(study, request)
    officer_looks(study, request)
    return request


def ask_for_trial(study):
    return request_trial_unblinding(
        trial_id=study.trial.pk, reason="Final", early_reason="Closing", by=study.statistician,
        at=NOW,
    )  # fmt: skip


def listed(person, query=""):
    return caller_for(person).get(f"/unblindings{query}").json()["results"]


def ids(person, query=""):
    return {row["id"] for row in listed(person, query)}


def shown_in_the_admin(person, name):
    client = Client()
    client.force_login(person)
    answer = client.get(reverse(f"admin:{name}_changelist"))
    return set() if answer.status_code == 403 else {
        str(row.pk) for row in answer.context["cl"].result_list
    }  # fmt: skip


# --- Unblindings ------------------------------------------------------------------------------


def test_an_unblinding_says_why_it_is_to_be_reviewed_and_how_it_was_judged(study):
    subject = study.randomised()
    first, second = break_it(study, subject), break_it(study, subject, at=NOW.replace(hour=15))
    by_accident = accident(study, study.randomised())
    calling(study, Role.MEDICAL_MONITOR).post(f"/unblindings/{by_accident}/assessments", JUDGED)

    told = {row["id"]: row for row in listed(study.coordinator)}

    marks = {key: (row["review_because"], row["impact"]) for key, row in told.items()}
    assert marks == {
        str(first.pk): (None, None),
        str(second.pk): ("look 2 at this subject", None),
        by_accident: ("an accident", "serious"),
    }
    assert next(iter(told)) == str(second.pk)
    alone = caller_for(study.coordinator).get(f"/unblindings/{by_accident}").json()
    assert alone == told[by_accident]
    assert (alone["learned_by"], alone["recorded_by"], alone["kind"]) == (
        "A nurse", "coordinator-DE-01", "inadvertent",
    )  # fmt: skip


def test_the_look_of_the_safety_officer_is_listed_and_no_answer_names_an_arm(study):
    subject = study.randomised()
    safety_look(study, subject)
    break_it(study, subject)
    caller = caller_for(study.coordinator)

    (of_safety,) = caller.get("/unblindings?kind=safety").json()["results"]

    assert (of_safety["subject"], of_safety["learned_by"]) == (str(subject.pk), "safety_officer")
    for path in ("/unblindings", f"/unblindings/{of_safety['id']}"):
        text = caller.get(path).content.decode()
        assert [word for word in WORDS if word in text] == []


def test_assessments_are_read_in_the_order_they_were_made(study):
    by_accident = accident(study, study.randomised())
    path, monitor = f"/unblindings/{by_accident}/assessments", calling(study, Role.MEDICAL_MONITOR)
    monitor.post(path, JUDGED)
    monitor.post(path, {**JUDGED, "impact": "none"})

    told = caller_for(study.coordinator).get(path).json()

    assert [(row["impact"], row["recorded_by"]) for row in told["results"]] == [
        ("serious", "medical_monitor"), ("none", "medical_monitor"),
    ]  # fmt: skip
    assert listed(study.coordinator)[0]["impact"] == "none"


def test_unblindings_are_found_by_trial_site_subject_kind_and_assessment(study):
    one, other = study.randomised(), study.randomised()
    first, second = accident(study, one), str(break_it(study, other).pk)
    calling(study, Role.MEDICAL_MONITOR).post(f"/unblindings/{first}/assessments", JUDGED)
    monitor = study.people[Role.MONITOR]

    assert ids(monitor) == ids(monitor, "?trial=CLLM1") == ids(monitor, "?site=DE-01")
    assert ids(monitor, f"?subject={one.pk}") == ids(monitor, "?kind=inadvertent") == {first}
    assert ids(monitor, "?assessed=true") == {first}
    assert ids(monitor, "?assessed=false") == ids(monitor, "?kind=emergency") == {second}
    assert ids(monitor, "?trial=OTHER") == ids(monitor, "?site=DE-02") == set()
    wrong = caller_for(monitor).get("/unblindings?kind=x&assessed=x&subject=x")
    assert (wrong.status_code, fields_of(wrong)) == (400, {"kind", "assessed", "subject"})


def test_everybody_reads_the_unblindings_the_admin_shows_them_and_no_others(study):
    break_it(study, study.randomised())
    accident(study, study.randomised())
    people = {role: one for role, one in study.people.items() if not one.is_machine}

    over_the_interface = {role: ids(person) for role, person in people.items()}

    assert over_the_interface == {
        role: shown_in_the_admin(person, "patients_unblinding") for role, person in people.items()
    }
    assert {len(found) for found in over_the_interface.values()} == {0, 2}
    assert ids(study.system) == over_the_interface[Role.COORDINATOR]


def test_another_sites_unblindings_are_not_there_for_its_neighbour_nor_for_nobody(study):
    made = accident(study, study.randomised())
    one, assessments = f"/unblindings/{made}", f"/unblindings/{made}/assessments"

    for person in (study.system_there, user("somebody-without-a-role")):
        caller = caller_for(person)
        assert caller.get("/unblindings").json()["count"] == 0
        assert [caller.get(path).status_code for path in (one, assessments)] == [404, 404]
    assert [Caller().get(path).status_code for path in (one, assessments)] == [401, 401]


def test_many_unblindings_cost_what_one_costs_and_come_in_pages(study):
    break_it(study, study.randomised())
    caller = caller_for(study.system)
    one = statements(lambda: caller.get("/unblindings"))
    for _ in range(6):
        break_it(study, study.randomised())

    page = caller.get("/unblindings?page_size=5&page=2").json()

    assert (page["count"], len(page["results"])) == (7, 2)
    assert statements(lambda: caller.get("/unblindings")) == one


# --- Requests to unblind ----------------------------------------------------------------------


def test_a_request_tells_who_agreed_and_who_looked_and_no_arm(study):
    request = safety_look(study, study.randomised())
    caller = calling(study, Role.AUDITOR)

    told = caller.get(f"/unblinding-requests/{request.pk}")

    look = SealedAccess.objects.get(request_id=request.pk)
    (answer,) = told.json()["answers"]
    assert told.json()["state"] == "used"
    assert (answer["kind"], answer["answered_by"], answer["reason"]) == (
        "agreed", agree_person(request), "",
    )  # fmt: skip
    assert [(one["person"], one["opened_at"][:19]) for one in told.json()["looks"]] == [
        ("safety_officer", f"{look.opened_at:%Y-%m-%dT%H:%M:%S}")
    ]
    assert [word for word in WORDS if word in told.content.decode()] == []


def agree_person(request):
    return request.answers.get().answered_by.username


def test_a_withdrawn_request_tells_why(study):
    request = ask_for(study, reaction(study, study.randomised()))
    officer = calling(study, Role.SAFETY_OFFICER)
    officer.post(f"/unblinding-requests/{request.pk}/withdrawals", {"reason": "No longer needed"})

    told = officer.get(f"/unblinding-requests/{request.pk}").json()

    assert [(one["kind"], one["reason"]) for one in told["answers"]] == [
        ("withdrawn", "No longer needed")
    ]
    assert (told["state"], told["looks"]) == ("withdrawn", [])


def test_requests_of_each_purpose_have_a_list_of_their_own(study):
    safety = ask_for(study, reaction(study, study.randomised()))
    trial = ask_for_trial(study)
    caller = calling(study, Role.MEDICAL_MONITOR)

    def found(path):
        return {row["id"] for row in caller.get(path).json()["results"]}

    assert found("/unblinding-requests") == {str(safety.pk), str(trial.pk)}
    assert found("/safety-unblinding-requests") == {str(safety.pk)}
    assert found("/trial-unblinding-requests") == {str(trial.pk)}
    assert found("/unblinding-requests?purpose=trial%20unblinding") == {str(trial.pk)}
    assert found("/unblinding-requests?trial=OTHER") == set()
    assert fields_of(caller.get("/unblinding-requests?purpose=x")) == {"purpose"}


def test_everybody_reads_the_requests_the_admin_shows_them_and_no_others(study):
    ask_for(study, reaction(study, study.randomised()))
    request = ask_for_trial(study)
    people = {role: one for role, one in study.people.items() if not one.is_machine}

    for role, person in people.items():
        caller = caller_for(person)
        told = {row["id"] for row in caller.get("/unblinding-requests").json()["results"]}
        assert told == shown_in_the_admin(person, "trials_unblindingrequest"), role
        found = caller.get(f"/unblinding-requests/{request.pk}").status_code
        assert found == (200 if told else 404), role
    assert caller_for(study.system_there).get("/unblinding-requests").json()["count"] == 0
    assert Caller().get(f"/unblinding-requests/{request.pk}").status_code == 401


def test_many_requests_cost_what_one_costs(study):
    safety_look(study, study.randomised())
    caller = calling(study, Role.SAFETY_OFFICER)
    paths = ("/unblinding-requests", "/safety-unblinding-requests")
    one = [statements(lambda path=path: caller.get(path)) for path in paths]
    for _ in range(4):
        safety_look(study, study.randomised())

    assert [statements(lambda path=path: caller.get(path)) for path in paths] == one
    assert UnblindingRequest.objects.count() == 5
