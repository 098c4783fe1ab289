from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied

from dosing.errors import DoseRefused
from dosing.models import DoseDecision, TreatmentEnd
from dosing.services.decisions import decide_dose, end_treatment
from dosing.services.dispensing import dispense_kit
from events.models import OutboxEvent
from patients.errors import ConsentMissing, RecordRefused
from patients.models import Subject
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.permissions import Role


pytestmark = on_postgres

DAY = timedelta(days=1)


@pytest.fixture
def study():
    return Study()


@pytest.fixture
def subject(study):
    found = study.randomised()
    study.labs(found)
    return found


def decide(study, subject, *, dose_mg="5", cycle=1, at=NOW, on=None, reason="", by=None):
    return decide_dose(
        subject_id=subject.pk, cycle=cycle, decided_on=on or at.date(), dose_mg=Decimal(dose_mg),
        reason=reason, by=by or study.system, at=at,
    )  # fmt: skip


def end(study, subject, *, on=TODAY, by=None):
    return end_treatment(
        subject_id=subject.pk, ended_on=on, reason="progression", by=by or study.system, at=NOW
    )


def refused(error, act, *args, **how):
    """Return the reasons of a refusal, having seen that it changed nothing at all."""
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


# --- A dose -----------------------------------------------------------------------------------


def test_the_proposed_dose_is_decided_without_a_reason(study, subject):
    decision = decide(study, subject)

    event = OutboxEvent.objects.get(type="dosing.DoseDecided")
    assert (decision.proposed_dose_mg, decision.dose_mg, decision.reason) == (5, 5, "")
    assert (event.payload["cycle"], event.payload["dose_mg"]) == (1, "5")


def test_another_dose_is_decided_with_a_reason_and_the_proposal_is_kept(study, subject):
    assert refused(DoseRefused, decide, study, subject, dose_mg="2.5") == {"reason_missing"}

    decision = decide(study, subject, dose_mg="2.5", reason="frail")

    assert (decision.proposed_dose_mg, decision.dose_mg) == (5, Decimal("2.5"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"dose_mg": "7"}, {"dose_not_on_ladder", "dose_above_plan", "dose_above_start"}),
        ({"dose_mg": "10"}, {"dose_above_plan", "dose_above_start"}),
        ({"dose_mg": "3"}, {"dose_not_on_ladder"}),
    ],
)
def test_a_dose_against_the_plan_is_refused_with_every_reason(study, subject, asked, expected):
    assert refused(DoseRefused, decide, study, subject, reason="wanted", **asked) == expected


def test_a_dose_is_decided_once_for_a_cycle(study, subject):
    decide(study, subject)

    assert refused(DoseRefused, decide, study, subject) == {"decided_already"}


def test_a_dose_decided_twice_at_once_is_decided_once(study, subject):
    answers = at_once(*[partial(decide, study, subject)] * 3)

    assert sorted(type(answer).__name__ for answer in answers) == [
        "DoseDecision", "DoseRefused", "DoseRefused",
    ]  # fmt: skip


def test_no_dose_before_randomisation(study):
    screened = study.screened()
    study.labs(screened)

    assert refused(DoseRefused, decide, study, screened) == {"not_randomised"}


def test_without_labs_a_dose_can_only_be_held(study):
    randomised = study.randomised()

    assert "lab_missing" in refused(DoseRefused, decide, study, randomised)
    assert decide(study, randomised, dose_mg="0").proposed_dose_mg == 0


@pytest.mark.parametrize(("anc", "proposed"), [("1.0", 5), ("0.999", 0)])
def test_the_proposal_follows_the_neutrophils_of_the_day(study, anc, proposed):
    randomised = study.randomised()
    study.labs(randomised, anc=anc)

    assert decide(study, randomised, dose_mg=str(proposed)).proposed_dose_mg == proposed


def test_labs_count_for_a_week_and_no_longer(study, subject):
    week = NOW + 7 * DAY

    assert "lab_missing" in refused(DoseRefused, decide, study, subject, at=week + DAY)
    assert decide(study, subject, at=week).dose_mg == 5


def test_the_dose_rises_after_the_first_cycle_and_not_before(study, subject):
    given = study.ready_for_first_kit()
    dispense_kit(
        subject_id=given.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip
    early, due = NOW + 20 * DAY, NOW + 21 * DAY
    study.labs(given, on=early.date(), at=early)

    assert "cycle_not_completed" in refused(
        DoseRefused, decide, study, given, cycle=2, dose_mg="10", reason="wanted", at=early
    )
    assert decide(study, given, cycle=2, dose_mg="10", at=due).proposed_dose_mg == 10


def test_no_dose_is_decided_for_a_day_to_come_or_before_consent(study, subject):
    assert refused(RecordRefused, decide, study, subject, on=TODAY + DAY) == {"future_day"}
    assert refused(ConsentMissing, decide, study, subject, on=TODAY - 8 * DAY) == {"no_consent"}


def test_nobody_decides_at_another_site_or_without_the_permission(study, subject):
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"))

    with pytest.raises(Subject.DoesNotExist):
        decide(study, subject, by=stranger)
    with pytest.raises(PermissionDenied):
        decide(study, subject, by=study.coordinator)

    assert not DoseDecision.objects.exists()


# --- The end of treatment ---------------------------------------------------------------------


def test_treatment_ends_once(study, subject):
    assert end(study, subject).reason == "progression"
    assert refused(RecordRefused, end, study, subject) == {"ended_already"}
    assert OutboxEvent.objects.filter(type="dosing.TreatmentEnded").count() == 1


def test_treatment_that_never_began_does_not_end(study):
    assert refused(RecordRefused, end, study, study.consented()) == {"not_randomised"}


def test_treatment_does_not_end_on_a_day_to_come(study, subject):
    assert refused(RecordRefused, end, study, subject, on=TODAY + DAY) == {"future_day"}


def test_nobody_ends_treatment_at_another_site_or_without_the_permission(study, subject):
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"))

    with pytest.raises(Subject.DoesNotExist):
        end(study, subject, by=stranger)
    with pytest.raises(PermissionDenied):
        end(study, subject, by=study.pharmacist)

    assert not TreatmentEnd.objects.exists()
