"""What the log says of a request: who asked nothing personal, and nothing a subject is known by."""

import io
import json
import logging

import pytest

from tests.factories import Study
from tests.interface import DRAW, EVENT, KITS, LIST, Caller, caller_for, noun, reasons_of
from tests.marks import on_postgres
from tests.postgres import ask
from trials.models import Trial


pytestmark = on_postgres

ARMS = ("QLEN", "QPBO")


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=2, arms=ARMS)


@pytest.fixture
def lines(study, monkeypatch):
    """Return what is written to the log, from here on, as text."""
    written = io.StringIO()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.get_name() == "out":
            monkeypatch.setattr(handler, "stream", written)
    return written.getvalue


@pytest.fixture
def no_contacts(study):
    """PostgreSQL refuses contacts: something of our own is broken."""
    ask("REVOKE INSERT ON patients_contact FROM vigil_app")
    yield
    ask("GRANT INSERT ON patients_contact TO vigil_app")


def entries(text, event):
    return [one for one in map(json.loads, text.splitlines()) if one["event"] == event]


def test_a_request_is_one_line_with_its_route_and_its_id(study, lines):
    visits = noun("visits")
    subject = visits.subject(study)

    answer = caller_for(study.system).post(
        visits.path(subject), visits.body, **{"X-Request-Id": "from-the-site-0001"}
    )

    (line,) = entries(lines(), "request")
    assert answer["X-Request-Id"] == line["request_id"] == "from-the-site-0001"
    assert line["route"] == "api/v1/subjects/<uuid:subject_id>/visits"
    assert (line["method"], line["status"], line["level"]) == ("POST", 201, "info")
    assert line["ms"] >= 0


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space 12", 'quote"12345', "ü" * 9])
def test_an_id_that_does_not_look_like_one_is_replaced(study, lines, given):
    answer = caller_for(study.system).get("/trials", **{"X-Request-Id": given})

    (line,) = entries(lines(), "request")
    assert answer["X-Request-Id"] == line["request_id"] != given
    assert len(line["request_id"]) == 36


def test_no_line_names_a_subject_a_value_or_an_arm(study, lines):
    event_path = noun("adverse-events").path(subject := study.ready_for_first_kit())
    woman = study.consented(sex="female")
    system, foreign = caller_for(study.system), caller_for(study.pharmacist)
    dispensations = noun("dispensations")

    supplier = caller_for(study.supplier)
    wanted = [{"dose_mg": "5", "arm": arm, "count": 1} for arm in ARMS]
    drawn = supplier.post("/kit-number-draws", {**DRAW, "kits": wanted})
    packed = [{**one, "expires_on": "2030-01-01"} for one in drawn.json()["kits"]]

    made = system.post(event_path, {**EVENT, "term": "Zosterqx", "narrative": "Feverqx"})
    kit = system.post(dispensations.path(subject), dispensations.body)
    correction = f"/adverse-events/{made.json()['id']}/corrections"
    statuses = [
        made,
        kit,
        system.get(f"/subjects?number={subject.number}"),
        system.post(dispensations.path(woman), dispensations.body),
        system.post(event_path, {**EVENT, "grade": "Gradeqx", "Fieldqx": 1}),
        system.raw(event_path, '{"term": "Halfqx'),
        system.post(correction, {"grade": 3, "reason": "Whyqx"}, revision="7"),
        system.get(f"/subjects/{made.json()['id']}/visits"),
        system.get(f"/nowhere/{subject.pk}"),
        foreign.post(event_path, EVENT),
        Caller("Tokenqx").get(event_path),
        drawn,
        supplier.post("/kit-supplies", {**KITS, "kits": packed}),
        caller_for(study.statistician).post(
            "/randomisation-lists",
            {**LIST, "entries": [{"stratum": "Stratumqx", "arm": ARMS[0]}]},
        ),
    ]

    text = lines().lower()
    told = {
        "qx", str(subject.pk), str(woman.pk), subject.number, woman.number, made.json()["id"],
        kit.json()["kit_number"], *ARMS, EVENT["soc"], "token-", "key-",
        *(one["number"] for one in packed),
    }  # fmt: skip
    assert [answer.status_code for answer in statuses] == [
        201, 201, 200, 409, 400, 400, 412, 404, 404, 403, 401, 201, 201, 409,
    ]  # fmt: skip
    assert [word for word in told if word.lower() in text] == []
    assert len(entries(lines(), "request")) == len(statuses) - 1  # an unknown address has no route


def test_a_fault_of_ours_is_said_without_the_row_it_was_about(study, lines, no_contacts):
    contacts = noun("contacts")
    subject = contacts.subject(study)

    answer = caller_for(study.system).post(contacts.path(subject), contacts.body)

    (fault,) = entries(lines(), "request.failed")
    (line,) = entries(lines(), "request")
    assert answer.status_code == line["status"] == 500
    assert answer.json()["code"] == "our_fault"
    assert reasons_of(answer) == set()
    assert answer["X-Request-Id"] == fault["request_id"] == line["request_id"]
    assert fault["exception"] == "ProgrammingError"
    assert any("visits.py" in place for place in fault["passed"])
    assert str(subject.pk) not in lines()
    assert noun("contacts").body["contacted_on"] not in lines()


def test_after_a_fault_of_ours_the_same_request_may_be_sent_again(study):
    contacts = noun("contacts")
    path = contacts.path(contacts.subject(study))
    system = caller_for(study.system)

    ask("REVOKE INSERT ON patients_contact FROM vigil_app")
    try:
        broken = system.post(path, contacts.body, key="again")
    finally:
        ask("GRANT INSERT ON patients_contact TO vigil_app")
    mended = system.post(path, contacts.body, key="again")

    assert (broken.status_code, mended.status_code) == (500, 201)
    assert contacts.model.objects.count() == 1
