import pytest
from django.db import IntegrityError, transaction

from events.acting import as_system
from events.models import OutboxEvent
from patients.errors import RecordRefused
from patients.models import AdverseEvent
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from tests.factories import NOW, Study
from tests.marks import on_postgres
from tests.postgres import contents


pytestmark = on_postgres

RASH = {
    "term": "Rash", "soc": "Skin", "grade": 3, "started_on": PartialDate("2026-03-08"),
    "outcome": "recovering", "related": True, "serious": False,
}  # fmt: skip
FATAL = {
    **RASH, "grade": 5, "outcome": "fatal", "serious": True, "seriousness": ["death"],
}  # fmt: skip


@pytest.fixture
def study():
    return Study(kits=0)


@pytest.fixture
def subject(study):
    return study.consented()


def record(study, subject, **fields):
    return record_adverse_event(subject_id=subject.pk, by=study.system, at=NOW, **fields)


def test_an_event_is_graded_by_the_version_the_protocol_names(study, subject):
    event = record(study, subject, **RASH)

    assert (event.ctcae_version, event.grade, event.revision) == ("4.0", 3, 1)


def test_an_event_keeps_its_days_as_they_were_given(study, subject):
    dates = {"started_on": PartialDate("2026-03"), "ended_on": PartialDate("2026")}

    event = record(study, subject, **{**RASH, **dates})

    assert (event.started_on, event.ended_on) == ("2026-03", "2026")


def test_a_fatal_event_is_of_grade_five_serious_and_names_death(study, subject):
    record(study, subject, **FATAL)

    published = OutboxEvent.objects.get(type="patients.AdverseEventRecorded")
    assert (published.payload["grade"], published.payload["serious"]) == (5, True)


def test_an_event_is_published_without_its_words(study, subject):
    record(study, subject, **RASH, narrative="told by the subject's wife")

    published = OutboxEvent.objects.get(type="patients.AdverseEventRecorded")
    assert set(published.payload) == {
        "subject_id", "site_id", "adverse_event_id", "grade", "serious",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ended_on": PartialDate("2026-03-07")}, {"ends_before_start"}),
        ({"ended_on": PartialDate("2026-03-11")}, {"ends_in_future"}),
        ({"grade": 5}, {"grade_5_not_fatal"}),
        ({"outcome": "fatal"}, {"fatal_not_grade_5", "fatal_not_serious"}),
        ({"serious": True}, {"serious_without_criterion"}),
        ({"seriousness": ["disability"]}, {"criterion_without_serious"}),
        (
            {"ended_on": PartialDate("2026-03-07"), "grade": 5, "serious": True},
            {"ends_before_start", "grade_5_not_fatal", "serious_without_criterion"},
        ),
    ],
)
def test_an_event_that_contradicts_itself_is_refused_whole(study, subject, changed, expected):
    before = contents()

    with pytest.raises(RecordRefused) as refusal:
        record(study, subject, **{**RASH, **changed})

    assert {reason.code for reason in refusal.value.reasons} == expected
    assert contents() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"grade": 0},
        {"grade": 6},
        {"grade": 5},
        {"outcome": "fatal"},
        {"serious": True},
        {"seriousness": ["death"]},
        {"started_on": "2026-13"},
        {"started_on": ""},
        {"ended_on": "yesterday"},
    ],
)
def test_the_database_holds_the_same_line_whoever_writes(study, subject, changed):
    event = record(study, subject, **RASH)

    with pytest.raises(IntegrityError), transaction.atomic(), as_system():
        AdverseEvent.objects.filter(pk=event.pk).update(**changed)
