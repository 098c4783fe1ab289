import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from events.acting import as_system
from patients.models import AdverseEvent, Contact, Death, Subject
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.outcomes import record_death
from patients.services.visits import record_contact
from reporting.cuts import take_cut
from reporting.errors import CutRefused
from tests.factories import TODAY, Study
from tests.marks import on_postgres


pytestmark = on_postgres


def cut_of(study: Study, cutoff_on: date = TODAY, **how):
    return take_cut(trial=study.trial, cutoff_on=cutoff_on, now=timezone.now(), **how)


@pytest.mark.parametrize(
    ("cutoff_on", "kept"),
    [(date(2026, 4, 1), 1), (date(2026, 3, 31), 0)],
    ids=["earliest possible day", "day before"],
)
@pytest.mark.parametrize("told", ["2026-04", "2026-04-01"])
def test_a_partial_date_is_kept_from_the_earliest_day_it_can_mean(told, cutoff_on, kept):
    study = Study(kits=0)
    subject = study.consented()
    record_death(
        subject_id=subject.pk, died_on=PartialDate(told), cause="unknown",
        by=study.system, at=timezone.now(),
    )  # fmt: skip

    assert len(cut_of(study, cutoff_on).records(Death)) == kept


def test_what_was_recorded_later_is_not_in_an_older_cut():
    study = Study(kits=0)
    subject = study.consented()
    before = timezone.now()
    record_contact(subject_id=subject.pk, contacted_on=TODAY, by=study.system, at=timezone.now())

    assert cut_of(study, as_known_at=before).records(Contact) == []
    assert len(cut_of(study).records(Contact)) == 1


def test_another_trial_s_records_are_not_in_the_cut():
    study = Study(kits=0)
    study.enrolled()
    mine = cut_of(study)

    others = study.trial.__class__(pk=study.site.pk, code="OTHER")

    assert len(mine.records(Subject)) == 1
    assert type(mine)(others, mine.cutoff_on, mine.as_known_at).records(Subject) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param(
            {"as_known_at": datetime(2100, 1, 1, tzinfo=UTC)}, "future_instant", id="future"
        ),
        pytest.param(
            {"as_known_at": datetime(2000, 1, 1, tzinfo=UTC)}, "before_the_trial", id="old"
        ),
        pytest.param({"cutoff_on": date(2100, 1, 1)}, "future_cutoff", id="cut-off in the future"),
    ],
)
def test_an_impossible_cut_is_refused_with_its_reason(changed, code):
    study = Study(kits=0)

    with pytest.raises(CutRefused) as refusal:
        cut_of(study, **changed)

    assert code in {reason.code for reason in refusal.value.reasons}


def test_a_cut_waits_until_what_began_before_it_is_written():
    study = Study(kits=0)
    subject = study.consented()
    begun, finish = threading.Event(), threading.Event()
    writer = threading.Thread(target=_slow_writer, args=(study, subject, begun, finish))
    writer.start()
    begun.wait(10)
    threading.Timer(0.5, finish.set).start()

    cut = cut_of(study)
    writer.join()

    assert len(cut.records(AdverseEvent)) == 1


def test_a_cut_gives_up_in_words_when_a_writer_does_not_end():
    study = Study(kits=0)
    subject = study.consented()
    begun, finish = threading.Event(), threading.Event()
    writer = threading.Thread(target=_slow_writer, args=(study, subject, begun, finish))
    writer.start()
    begun.wait(10)

    with pytest.raises(CutRefused, match="still being written"):
        cut_of(study, patience_seconds=0.3)

    finish.set()
    writer.join()


def _slow_writer(
    study: Study, subject: Subject, begun: threading.Event, finish: threading.Event
) -> None:
    try:
        with transaction.atomic():
            record_adverse_event(
                subject_id=subject.pk, term="Nausea", soc="Gastrointestinal disorders", grade=1,
                started_on=PartialDate.of(TODAY), outcome="recovered", related=False, serious=False,
                by=study.system, at=timezone.now(),
            )  # fmt: skip
            begun.set()
            finish.wait(10)
    finally:
        connection.close()


def test_the_protocol_of_a_cut_is_the_version_in_force_at_its_instant():
    study = Study(kits=0)
    before = timezone.now()
    with as_system():
        amended = study.trial.current_version
        amended.pk, amended.version = None, "1.1"
        amended.text = amended.text.replace('version = "1.0"', 'version = "1.1"', 1)
        amended.activated_at = before + timedelta(milliseconds=1)
        amended.save(force_insert=True)

    versions = [cut_of(study, as_known_at=before), cut_of(study)]

    assert [cut.protocol().version for cut in versions] == ["1.0", "1.1"]


def test_a_transaction_that_has_written_nothing_yet_is_waited_for_too():
    study = Study(kits=0)
    begun, finish = threading.Event(), threading.Event()
    reader = threading.Thread(target=_open_transaction, args=(begun, finish))
    reader.start()
    begun.wait(10)

    with pytest.raises(CutRefused, match="still being written"):
        cut_of(study, patience_seconds=0.3)

    finish.set()
    reader.join()


def _open_transaction(begun: threading.Event, finish: threading.Event) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            begun.set()
            finish.wait(10)
    finally:
        connection.close()
