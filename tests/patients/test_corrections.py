"""A correction keeps what stood there before, with who, why and under which request."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from structlog.contextvars import bound_contextvars

from events.history import history_model
from events.models import OutboxEvent
from events.outcomes import StaleRecord
from patients.errors import RecordRefused
from patients.models import AdverseEvent, ResponseAssessment
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import correct_adverse_event, record_adverse_event
from patients.services.response import correct_response, record_response
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.permissions import Role


pytestmark = on_postgres

DAY = timedelta(days=1)


@pytest.fixture
def study():
    return Study(kits=0)


@pytest.fixture
def rash(study):
    return record_adverse_event(
        subject_id=study.consented().pk, term="Rash", soc="Skin", grade=2,
        started_on=PartialDate("2026-03-08"), outcome="recovering", related=True, serious=False,
        by=study.system, at=NOW,
    )  # fmt: skip


@pytest.fixture
def response(study):
    return record_response(
        subject_id=study.consented().pk, assessed_on=TODAY, response="SD",
        assessor="investigator", by=study.system, at=NOW,
    )  # fmt: skip


def correct(study, event, *, revision=1, reason="read again", by=None, **changes):
    return correct_adverse_event(
        adverse_event_id=event.pk, revision=revision, reason=reason, by=by or study.coordinator,
        at=NOW, **(changes or {"grade": 3}),
    )  # fmt: skip


def reassess(study, found, *, revision=1, reason="read again", by=None, **changes):
    return correct_response(
        assessment_id=found.pk, revision=revision, reason=reason, by=by or study.coordinator,
        at=NOW, **(changes or {"response": "PD"}),
    )  # fmt: skip


def versions(model, *fields):
    rows = history_model(model).objects.order_by("pgh_id")
    return list(rows.values_list("pgh_label", *fields))


def contexts(model):
    return list(
        history_model(model).objects.order_by("pgh_id").values_list("pgh_context", flat=True)
    )


def refused(error, act, *args, **how):
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return refusal.value


def test_a_correction_keeps_the_old_value_and_says_who_and_why(study, rash):
    with bound_contextvars(request_id="req-3"):
        correct(study, rash, reason="the photograph shows more", grade=3)

    assert versions(AdverseEvent, "grade", "revision") == [("insert", 2, 1), ("update", 3, 2)]
    assert contexts(AdverseEvent)[1] == {
        "actor": study.coordinator.username,
        "role": "coordinator",
        "request_id": "req-3",
        "reason": "the photograph shows more",
    }


def test_a_first_entry_needs_no_reason(study, rash):
    assert contexts(AdverseEvent)[0]["reason"] == ""


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_correction_without_a_reason_is_refused(study, rash, response, reason):
    for error in (
        refused(RecordRefused, correct, study, rash, reason=reason),
        refused(RecordRefused, reassess, study, response, reason=reason),
    ):
        assert [found.code for found in error.reasons] == ["reason_missing"]


def test_a_response_is_corrected_in_its_day_and_its_finding(study, response):
    reassess(study, response, assessed_on=TODAY - DAY)
    reassess(study, response, revision=2, response="PD")

    assert versions(ResponseAssessment, "assessed_on", "response") == [
        ("insert", TODAY, "SD"),
        ("update", TODAY - DAY, "SD"),
        ("update", TODAY - DAY, "PD"),
    ]


def test_a_correction_is_published_like_the_first_entry(study, rash):
    correct(study, rash, grade=4)

    grades = [
        event.payload["grade"]
        for event in OutboxEvent.objects.filter(type="patients.AdverseEventRecorded").order_by("id")
    ]
    assert grades == [2, 4]


def test_a_day_can_be_corrected_to_a_partial_one_and_an_end_taken_back(study, rash):
    correct(study, rash, ended_on=PartialDate("2026-03"), outcome="recovered")
    corrected = correct(study, rash, revision=2, ended_on=None, outcome="recovering")

    assert corrected.ended_on == ""


def test_a_record_that_changed_since_it_was_read_is_not_overwritten(study, rash, response):
    correct(study, rash)
    reassess(study, response)

    refused(StaleRecord, correct, study, rash, revision=1, grade=4)
    refused(StaleRecord, reassess, study, response, revision=1, response="PR")


def test_of_two_corrections_at_once_one_is_told_to_read_again(study, rash):
    answers = at_once(*[partial(correct, study, rash, grade=grade) for grade in (3, 4)])

    assert sorted(type(answer).__name__ for answer in answers) == ["AdverseEvent", "StaleRecord"]
    assert AdverseEvent.objects.get().revision == 2


def test_a_correction_that_contradicts_the_rest_is_refused(study, rash):
    error = refused(RecordRefused, correct, study, rash, grade=5)

    assert [reason.code for reason in error.reasons] == ["grade_5_not_fatal"]


def test_a_response_is_not_moved_onto_another_one_or_into_the_future(study, response):
    record_response(
        subject_id=response.subject_id, assessed_on=TODAY - DAY, response="PR",
        assessor="investigator", by=study.system, at=NOW,
    )  # fmt: skip

    taken = refused(RecordRefused, reassess, study, response, assessed_on=TODAY - DAY)
    future = refused(RecordRefused, reassess, study, response, assessed_on=TODAY + DAY)

    assert [reason.code for reason in taken.reasons] == ["response_recorded"]
    assert [reason.code for reason in future.reasons] == ["future_day"]


def test_nobody_corrects_another_sites_record_or_without_the_permission(study, rash, response):
    stranger = study.person(Role.COORDINATOR, site=study.add_site("DE-02"))
    before = contents()

    with pytest.raises(AdverseEvent.DoesNotExist):
        correct(study, rash, by=stranger)
    with pytest.raises(ResponseAssessment.DoesNotExist):
        reassess(study, response, by=stranger)
    with pytest.raises(PermissionDenied):
        correct(study, rash, by=study.pharmacist)

    assert contents() == before
