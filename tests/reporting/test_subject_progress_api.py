"""What the subject's page and list derive, over the interface: to those who may open them."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.config.test_api_queries import MANY, statements
from tests.factories import TODAY, Study, user
from tests.interface import EVENT, Caller, caller_for, fields_of, noun, reasons_of
from tests.marks import on_postgres
from trials.models import Trial
from trials.permissions import Permission, Role, allows


pytestmark = on_postgres

PROGRESS = "/subject-progress"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    made = Study(conduct=Trial.Conduct.REPLAY)
    made.there = made.add_site("DE-02")
    made.system_there = made.person(Role.SITE_SYSTEM, site=made.there)
    return made


@pytest.fixture
def system(study):
    return caller_for(study.system)


def gate(subject):
    return f"/subjects/{subject.pk}/gate"


def history(subject):
    return f"/subjects/{subject.pk}/history"


def page_of(person, subject):
    client = Client()
    client.force_login(person)
    return client.get(reverse("admin:patients_subject_change", args=[subject.pk]))


def corrected(system, subject):
    """An adverse event entered and then corrected."""
    made = system.post(f"/subjects/{subject.pk}/adverse-events", EVENT).json()
    path = f"/adverse-events/{made['id']}/corrections"
    sent = {"grade": 3, "reason": "read again in the chart"}
    assert system.post(path, sent, revision=str(made["revision"])).status_code == 201


# --- How far each has come --------------------------------------------------------------------


def test_each_subject_is_told_with_its_state_and_what_is_due_next(study, system):
    entered, randomised = study.enrolled(), study.randomised()
    visits = noun("visits")
    system.post(visits.path(randomised), visits.body)

    told = {row["number"]: row for row in system.get(PROGRESS).json()["results"]}

    assert list(told) == [entered.number, randomised.number]
    assert (told[entered.number]["state"], told[entered.number]["last_visit_on"]) == (
        "screened", None,
    )  # fmt: skip
    assert told[randomised.number]["state"] == "randomised"
    assert told[randomised.number]["last_visit_on"] == TODAY.isoformat()
    assert told[randomised.number]["next_due"]["what"] == "Cycle 2"
    client = Client()
    client.force_login(study.coordinator)
    shown = client.get(reverse("admin:patients_subject_changelist")).context["cl"].result_list
    assert {row.number: row.state for row in shown} == {n: r["state"] for n, r in told.items()}


def test_progress_is_found_by_trial_site_number_and_state(study, system):
    entered, randomised = study.enrolled(), study.randomised()

    def found(query):
        return [row["number"] for row in system.get(PROGRESS + query).json()["results"]]

    assert found("?state=randomised") == found(f"?number={randomised.number}")
    assert found("?state=screened") == [entered.number]
    assert found("?trial=CLLM1&site=DE-01") == [entered.number, randomised.number]
    assert found("?trial=OTHER") == found("?site=DE-02") == []
    assert fields_of(system.get(f"{PROGRESS}?state=x")) == {"state"}


def test_another_sites_subjects_are_derived_for_nobody_else(study):
    subject = study.randomised()

    for person in (study.system_there, user("somebody-without-a-role")):
        caller = caller_for(person)
        assert caller.get(PROGRESS).json()["count"] == 0
        assert caller.get(gate(subject)).status_code == 404
        assert caller.get(history(subject)).status_code == 404
    for path in (PROGRESS, gate(subject), history(subject)):
        assert Caller().get(path).status_code == 401


def test_progress_costs_the_same_at_any_length(study, system):
    study.randomised()
    one = statements(lambda: system.get(PROGRESS))
    for _ in range(MANY):
        study.enrolled()

    page = system.get(f"{PROGRESS}?page_size=20&page=2").json()

    assert (page["count"], len(page["results"])) == (MANY + 1, 1)
    assert statements(lambda: system.get(PROGRESS)) == one


# --- Today's gate -----------------------------------------------------------------------------


def test_the_gate_is_told_as_the_page_tells_it_with_every_reason(study, system):
    subject = study.randomised(sex="female")

    told = system.get(gate(subject)).json()

    shown = page_of(study.coordinator, subject).context["gate"]
    assert (told["open"], told["cycle"], told["days"]) == (False, 1, shown.days)
    assert [one["code"] for one in told["reasons"]] == [one.code for one in shown.reasons]
    assert {one["code"] for one in told["reasons"]} >= {
        "dose_decision_missing", "risk_category_missing",
    }  # fmt: skip


def test_asking_for_the_gate_chooses_no_kit_and_leaves_no_trace(study, system):
    subjects = [study.ready_for_first_kit() for _ in range(3)]
    asked = [system.get(gate(subject)).json() for subject in subjects]

    assert asked[0] == asked[1] == asked[2]


# --- Who changed what -------------------------------------------------------------------------


def test_the_history_tells_who_changed_what_and_why_the_newest_first(study, system):
    subject = study.consented()
    corrected(system, subject)

    told = caller_for(study.people[Role.MONITOR]).get(history(subject)).json()["results"]

    newest = told[0]
    assert (newest["record"], newest["act"], newest["reason"]) == (
        "Adverse event", "changed", "read again in the chart",
    )  # fmt: skip
    assert (newest["actor"], newest["role"]) == (study.system.username, "site system")
    assert {"field": "grade", "old": "4", "new": "3"} in newest["changes"]
    assert (told[1]["act"], told[1]["protocol_version"], told[1]["changes"]) == (
        "recorded", "1.0", [],
    )  # fmt: skip
    assert [row["at"] for row in told] == sorted((row["at"] for row in told), reverse=True)


@pytest.mark.parametrize("role", Role)
def test_the_history_is_for_those_whose_page_has_it(study, role):
    subject = study.consented()
    reads, of_history = Permission.READ_SUBJECTS, Permission.READ_HISTORY

    answer = caller_for(study.people[role]).get(history(subject))

    if not allows(role, reads):
        assert answer.status_code == 404
    elif not allows(role, of_history):
        assert (answer.status_code, reasons_of(answer)) == (403, {("", "not_your_role")})
    else:
        shown = page_of(study.people[role], subject).context["history"]
        assert answer.json()["count"] == len(shown)


def test_a_long_history_costs_what_a_short_one_costs_and_comes_in_pages(study, system):
    subject, monitor = study.consented(), caller_for(study.people[Role.MONITOR])
    corrected(system, subject)
    one = statements(lambda: monitor.get(history(subject)))
    for _ in range(5):
        corrected(system, subject)

    page = monitor.get(f"{history(subject)}?page_size=4&page=2").json()

    assert (page["count"] >= 14, len(page["results"])) == (True, 4)
    assert statements(lambda: monitor.get(history(subject))) == one
    assert monitor.get(f"{history(subject)}?page=x").status_code == 404
