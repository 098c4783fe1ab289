"""The pregnancy-prevention gate with real records: what opens it, and what shuts it for good."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied

from dosing.errors import GateClosed
from dosing.models import Dispensation, PregnancyTest
from dosing.services.dispensing import dispense_kit
from dosing.services.pregnancy_prevention import (
    assess_pregnancy_risk,
    record_counselling,
    record_pregnancy_test,
)
from events.models import Delivery, OutboxEvent
from patients.errors import ConsentMissing, RecordRefused
from patients.models import Subject
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.permissions import Role


pytestmark = on_postgres

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
FIRST = NOW - 12 * DAY


@pytest.fixture
def study():
    return Study()


@pytest.fixture
def woman(study):
    return study.woman_ready_for_first_kit()


def samples(study, woman, *instants, result="negative"):
    for taken_at in instants:
        study.pregnancy_test(woman, taken_at=taken_at, result=result)


def dispense(study, subject, *, prescribed_at=NOW):
    return dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=prescribed_at, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip


def record_test(study, subject, *, taken_at=NOW, by=None, **changed):
    fields = {"result": "negative", "specimen": "serum", "sensitivity_miu_ml": Decimal(25)}
    return record_pregnancy_test(
        subject_id=subject.pk, taken_at=taken_at, by=by or study.system, at=NOW,
        **{**fields, **changed},
    )  # fmt: skip


def assess(study, subject, *, on=TODAY, by=None, at=NOW, **found):
    return assess_pregnancy_risk(
        subject_id=subject.pk, assessed_on=on, by=by or study.system, at=at, **found
    )


def counsel(study, subject, *, on=TODAY, by=None, **changed):
    fields = {"acknowledgement_version": "1.0", "contraception": "condom"}
    return record_counselling(
        subject_id=subject.pk, counselled_on=on, by=by or study.system, at=NOW,
        **{**fields, **changed},
    )  # fmt: skip


def refused(error, act, *args, **how):
    """Return the reasons of a refusal, having seen that it changed nothing at all."""
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


# --- The gate ---------------------------------------------------------------------------------


def test_two_negative_tests_in_time_open_the_gate(study, woman):
    samples(study, woman, FIRST, NOW - 2 * HOUR)

    assert dispense(study, woman).subject == woman


def test_without_tests_the_gate_is_shut(study, woman):
    assert refused(GateClosed, dispense, study, woman) == {
        "first_pregnancy_test_missing", "second_pregnancy_test_missing",
    }  # fmt: skip


def test_a_test_24_hours_before_the_prescription_is_in_time(study, woman):
    samples(study, woman, FIRST, NOW - 24 * HOUR)

    assert dispense(study, woman)


def test_a_test_a_second_earlier_is_not(study, woman):
    samples(study, woman, FIRST, NOW - 24 * HOUR - SECOND)

    assert refused(GateClosed, dispense, study, woman) == {"second_pregnancy_test_missing"}


@pytest.mark.parametrize("days", [10, 14])
def test_the_first_test_is_10_to_14_days_old(study, woman, days):
    samples(study, woman, NOW - days * DAY, NOW)

    assert dispense(study, woman)


@pytest.mark.parametrize("days", [9, 15])
def test_a_first_test_of_another_age_does_not_count(study, woman, days):
    samples(study, woman, NOW - days * DAY, NOW)

    assert refused(GateClosed, dispense, study, woman) == {"first_pregnancy_test_missing"}


@pytest.mark.parametrize("result", ["positive", "indeterminate"])
def test_a_positive_test_shuts_the_gate_and_a_later_negative_does_not_reopen_it(
    study, woman, result
):
    samples(study, woman, FIRST, NOW - 3 * HOUR)
    samples(study, woman, NOW - 2 * HOUR, result=result)
    samples(study, woman, NOW - HOUR, NOW)

    assert refused(GateClosed, dispense, study, woman) == {f"pregnancy_test_{result}"}


def test_a_positive_test_recorded_late_shuts_the_gate_all_the_same(study, woman):
    samples(study, woman, FIRST, NOW - HOUR)
    samples(study, woman, NOW - 5 * DAY, result="positive")

    assert refused(GateClosed, dispense, study, woman) == {"pregnancy_test_positive"}


def test_the_gate_is_shut_before_anybody_is_told(study, woman):
    samples(study, woman, FIRST, NOW - HOUR)
    samples(study, woman, NOW, result="positive")

    assert refused(GateClosed, dispense, study, woman) == {"pregnancy_test_positive"}
    assert not Delivery.objects.exclude(delivered_at=None).exists()


def test_a_positive_test_and_a_dispensing_at_once_run_one_after_the_other(study, woman):
    samples(study, woman, FIRST, NOW - HOUR)

    given, test = at_once(
        partial(dispense, study, woman),
        partial(samples, study, woman, NOW, result="positive"),
    )

    assert type(given).__name__ in {"Dispensation", "GateClosed"}
    assert test is None
    assert refused(GateClosed, dispense, study, woman) >= {"pregnancy_test_positive"}
    assert Dispensation.objects.count() == [type(given).__name__].count("Dispensation")


def test_a_test_too_coarse_does_not_count(study, woman):
    samples(study, woman, FIRST)
    record_test(study, woman, sensitivity_miu_ml=Decimal("25.01"))

    assert refused(GateClosed, dispense, study, woman) == {"second_pregnancy_test_missing"}


def test_the_latest_risk_assessment_holds(study, woman):
    assess(study, woman, natural_menopause_months=24, evidence="letter of 2020", at=NOW + SECOND)

    assert dispense(study, woman)


# --- The records ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "category"),
    [
        ({}, "FCBP"),
        ({"natural_menopause_months": 24, "evidence": "letter"}, "FNCBP"),
        ({"natural_menopause_months": 23, "evidence": "letter"}, "FCBP"),
        ({"surgically_sterile": True, "evidence": "report"}, "FNCBP"),
        ({"surgically_sterile": True, "evidence": " "}, "FCBP"),
    ],
)
def test_the_category_follows_from_what_is_documented(study, found, category):
    subject = study.consented(sex="female")

    assert assess(study, subject, **found).category == category
    assert OutboxEvent.objects.get(type="dosing.PregnancyRiskAssessed").payload["category"] == (
        category
    )


def test_a_man_is_a_man(study):
    assert assess(study, study.consented(sex="male")).category == "MALE"


def test_a_test_is_published_with_its_result(study):
    record_test(study, study.consented(sex="female"), result="positive")

    event = OutboxEvent.objects.get(type="dosing.PregnancyTestRecorded")
    assert event.payload["result"] == "positive"


def test_a_test_that_cannot_be_is_refused(study):
    subject = study.consented(sex="female")
    record_test(study, subject)

    assert refused(RecordRefused, record_test, study, subject) == {"test_recorded"}
    assert refused(RecordRefused, record_test, study, subject, taken_at=NOW + SECOND) == {
        "future_instant"
    }
    assert refused(RecordRefused, record_test, study, study.consented(sex="male")) == {"not_tested"}


@pytest.mark.parametrize("act", [assess, counsel])
def test_risk_and_counselling_follow_consent_and_lie_in_no_future(study, act):
    subject = study.consented()

    assert refused(ConsentMissing, act, study, subject, on=TODAY - 8 * DAY) == {"no_consent"}
    assert refused(RecordRefused, act, study, subject, on=TODAY + DAY) == {"future_day"}
    assert act(study, subject, on=TODAY - 7 * DAY)


def test_contraception_does_not_begin_in_the_future(study):
    assert refused(
        RecordRefused, counsel, study, study.consented(), contraception_since=TODAY + DAY
    ) == {"future_day"}


@pytest.mark.parametrize("act", [assess, counsel, record_test])
def test_nobody_records_for_another_site_or_without_the_permission(study, act):
    subject = study.consented(sex="female")
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"))
    before = contents()

    with pytest.raises(Subject.DoesNotExist):
        act(study, subject, by=stranger)
    with pytest.raises(PermissionDenied):
        act(study, subject, by=study.pharmacist)

    assert contents() == before
    assert not PregnancyTest.objects.exists()
