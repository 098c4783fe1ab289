"""Study drug is handed over once, of the subject's own arm, and through an open gate alone."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from dosing.errors import GateClosed, NoKit
from dosing.models import Dispensation, Kit
from dosing.services.decisions import decide_dose, end_treatment
from dosing.services.dispensing import dispense_kit
from dosing.services.pregnancy_prevention import record_counselling
from events.models import Delivery, OutboxEvent
from patients.models import Subject
from patients.services.consent import withdraw_consent
from patients.services.response import record_response
from tests.factories import BLOCK, NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import ask, at_once, contents
from trials.permissions import Role


pytestmark = on_postgres

DAY = timedelta(days=1)
FULL = timedelta(days=28)


def dispense(study, subject, *, cycle=1, days=28, at=NOW, on=None, prescribed_at=None, by=None):
    return dispense_kit(
        subject_id=subject.pk, cycle=cycle, prescribed_at=prescribed_at or at,
        dispensed_on=on or at.date(), days=days, by=by or study.pharmacist, at=at,
    )  # fmt: skip


def decide(study, subject, *, cycle, at, dose_mg):
    return decide_dose(
        subject_id=subject.pk, cycle=cycle, decided_on=at.date(), dose_mg=Decimal(dose_mg),
        reason="as tolerated", by=study.system, at=at,
    )  # fmt: skip


def counsel(study, subject, *, at):
    record_counselling(
        subject_id=subject.pk, counselled_on=at.date(), acknowledgement_version="1.0",
        contraception="condom", by=study.system, at=at,
    )  # fmt: skip


def prepare(study, subject, *, cycle, at, dose_mg="5"):
    """Make everything the gate asks for fresh on a later day."""
    counsel(study, subject, at=at)
    study.labs(subject, on=at.date(), at=at)
    decide(study, subject, cycle=cycle, at=at, dose_mg=dose_mg)


def stock(study, *, dose_mg="5", expires_on=TODAY + FULL, site=None):
    """One kit of each arm at a site; return their numbers by arm."""
    kits = study.packed(1, site=site, dose_mg=dose_mg)
    study.receive(kits, site=site, expires_on=expires_on)
    return {kit.arm: kit.number for kit in kits}


def put_aside(*numbers):
    told = ", ".join(f"'{number}'" for number in numbers)
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE dosing_kit SET status = 'quarantined' WHERE number IN ({told})"
    )


def refused(error, act, *args, **how):
    """Return the reasons of a refusal, having seen that nothing but asking was written."""
    before = all_but_questions()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert all_but_questions() == before
    return {reason.code for reason in refusal.value.reasons}


def all_but_questions():
    return {name: rows for name, rows in contents().items() if name != "sealed.kit_question"}


def arms_of_what_was_given():
    return ask(
        "SELECT s.arm, c.arm FROM dosing_dispensation d"
        " JOIN patients_subject p ON p.id = d.subject_id"
        " JOIN trials_allocation a ON a.id = p.allocation_id"
        " JOIN sealed.slot s ON s.id = a.slot_id"
        " JOIN dosing_kit k ON k.id = d.kit_id"
        " JOIN sealed.kit_content c ON c.number = k.number"
        " ORDER BY s.position"
    )


# --- Through the gate -------------------------------------------------------------------------


def test_an_open_gate_hands_over_one_kit():
    study = Study()
    subject = study.ready_for_first_kit()

    dispensation = dispense(study, subject)

    event = OutboxEvent.objects.get(type="dosing.KitDispensed")
    assert dispensation.kit.status == Kit.Status.DISPENSED
    assert (dispensation.dose_mg, dispensation.days) == (5, 28)
    assert event.payload["kit_number"] == dispensation.kit.number
    assert Kit.objects.filter(status=Kit.Status.DISPENSED).count() == 1


def test_a_closed_gate_changes_nothing_and_says_why():
    study = Study()
    subject = study.randomised()

    assert refused(GateClosed, dispense, study, subject) >= {
        "dose_decision_missing", "counselling_missing", "risk_category_missing", "lab_missing",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            lambda study, subject: withdraw_consent(
                subject_id=subject.pk, withdrawn_on=TODAY, by=study.system, at=NOW
            ),
            "consent_missing",
            id="consent withdrawn",
        ),
        pytest.param(
            lambda study, subject: end_treatment(
                subject_id=subject.pk, ended_on=TODAY, reason="withdrawal", by=study.system, at=NOW
            ),
            "treatment_ended",
            id="treatment ended",
        ),
        pytest.param(
            lambda study, subject: record_response(
                subject_id=subject.pk, assessed_on=TODAY, response="PD", assessor="investigator",
                by=study.system, at=NOW,
            ),
            "progressed",
            id="progressed",
        ),
    ],
)  # fmt: skip
def test_what_shuts_the_gate_shuts_it_before_anybody_has_heard_of_it(change, expected):
    study = Study()
    subject = study.ready_for_first_kit()
    change(study, subject)

    assert refused(GateClosed, dispense, study, subject) == {expected}
    assert Delivery.objects.filter(attempts__gt=0).count() == 0


def test_a_live_trial_dispenses_today_and_on_no_other_day():
    study = Study()
    subject = study.ready_for_first_kit()

    assert "not_today" in refused(GateClosed, dispense, study, subject, on=TODAY - DAY)
    assert "future_day" in refused(GateClosed, dispense, study, subject, on=TODAY + DAY)


def test_a_cycle_is_dispensed_once_not_even_in_parts():
    study = Study()
    subject = study.ready_for_first_kit()
    dispense(study, subject, days=14)
    later = NOW + 14 * DAY
    counsel(study, subject, at=later)
    study.labs(subject, on=later.date(), at=later)

    assert "cycle_supplied" in refused(GateClosed, dispense, study, subject, days=28)
    assert refused(GateClosed, dispense, study, subject, days=14, at=NOW + 7 * DAY) >= {
        "counselling_missing"
    }
    assert refused(GateClosed, dispense, study, subject, days=7, at=later) <= {
        "cycle_supplied", "dose_decision_out_of_window",
    }  # fmt: skip


def test_a_second_part_in_the_same_week_is_a_refusal_and_no_crash():
    study = Study()
    subject = study.ready_for_first_kit()
    dispense(study, subject, days=7)
    later = NOW + DAY
    counsel(study, subject, at=later)

    assert refused(GateClosed, dispense, study, subject, days=7, at=later) == {"cycle_supplied"}


def test_the_next_cycle_follows_after_the_first():
    study = Study()
    study.supply(4, dose_mg="10")
    subject = study.ready_for_first_kit()
    dispense(study, subject)
    prepare(study, subject, cycle=2, at=NOW + FULL, dose_mg="10")

    assert dispense(study, subject, cycle=2, at=NOW + FULL).dose_mg == 10


def test_a_held_cycle_is_passed_over():
    study = Study()
    subject = study.ready_for_first_kit()
    dispense(study, subject)
    prepare(study, subject, cycle=2, at=NOW + FULL, dose_mg="0")
    prepare(study, subject, cycle=3, at=NOW + 2 * FULL)

    assert "dose_held" in refused(GateClosed, dispense, study, subject, cycle=2, at=NOW + FULL)
    assert dispense(study, subject, cycle=3, at=NOW + 2 * FULL).cycle == 3


def test_a_forgotten_cycle_is_not_passed_over():
    study = Study()
    subject = study.ready_for_first_kit()
    dispense(study, subject)
    prepare(study, subject, cycle=3, at=NOW + FULL)

    assert refused(GateClosed, dispense, study, subject, cycle=3, at=NOW + FULL) == {
        "cycle_out_of_order"
    }


# --- Which kit --------------------------------------------------------------------------------


def test_every_subject_gets_kits_of_their_own_arm():
    study = Study(kits=6)

    for _ in BLOCK * 2:
        dispense(study, study.ready_for_first_kit())

    assert arms_of_what_was_given() == [(arm, arm) for arm in BLOCK * 2]


def test_with_kits_of_the_other_arm_alone_nothing_is_handed_over():
    study = Study(kits=0)
    subject = study.ready_for_first_kit()
    put_aside(stock(study)["L"])

    assert refused(NoKit, dispense, study, subject) == {"no_kit_at_site"}


def test_a_refusal_for_want_of_a_kit_is_worded_alike_in_both_arms():
    study = Study(kits=0)
    subjects = [study.ready_for_first_kit() for _ in BLOCK]

    said = {str(answer) for answer in at_once(*[partial(dispense, study, s) for s in subjects])}

    assert said == {"The site has no suitable kit in date: ask for a supply."}


@pytest.mark.parametrize(
    "kit",
    [
        pytest.param({"dose_mg": "10"}, id="another dose"),
        pytest.param({"expires_on": TODAY + FULL - DAY}, id="out of date before the supply ends"),
        pytest.param({"elsewhere": True}, id="another site"),
    ],
)
def test_a_kit_that_does_not_suit_is_not_handed_over(kit):
    study = Study(kits=0)
    elsewhere = study.add_site("DE-02")
    subject = study.ready_for_first_kit()
    stock(study, site=elsewhere if kit.pop("elsewhere", False) else study.site, **kit)

    assert refused(NoKit, dispense, study, subject) == {"no_kit_at_site"}


def test_a_kit_in_date_until_the_supply_ends_is_handed_over():
    study = Study(kits=0)
    subject = study.ready_for_first_kit()
    kits = stock(study, expires_on=TODAY + FULL)

    assert dispense(study, subject).kit.number == kits["L"]


def test_a_kit_in_quarantine_is_not_handed_over():
    study = Study(kits=0)
    subject = study.ready_for_first_kit()
    put_aside(*stock(study).values())

    assert refused(NoKit, dispense, study, subject) == {"no_kit_at_site"}


@pytest.mark.parametrize("first", [0, 1], ids=["first one of L", "first one of P"])
@pytest.mark.parametrize(("active", "placebo", "given"), [(2, 1, 1), (1, 2, 1), (4, 2, 2)])
def test_when_kits_end_depends_on_how_many_were_given_and_never_on_which(
    first, active, placebo, given
):
    """As many as came of the scarcest content are given out, whoever gets them."""
    study = Study(kits=0)
    study.receive(study.packed(active, placebo=placebo))
    subjects = [study.ready_for_first_kit() for _ in BLOCK]
    in_turn = [subjects[first], *(one for one in subjects if one is not subjects[first])]

    for subject in in_turn[:given]:
        dispense(study, subject)

    assert refused(NoKit, dispense, study, in_turn[given]) == {"no_kit_at_site"}


def test_a_kit_kept_for_somebody_counts_as_given():
    study = Study(kits=0)
    first, second = (study.ready_for_first_kit() for _ in range(2))
    stock(study)
    with transaction.atomic():
        dispense(study, first)
        transaction.set_rollback(True)

    assert refused(NoKit, dispense, study, second) == {"no_kit_at_site"}
    assert dispense(study, first).cycle == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE dosing_kit SET dose_mg = 5", id="of another dose"),
        pytest.param(
            "UPDATE dosing_kit SET dose_mg = 5, site_id ="
            " (SELECT id FROM trials_site WHERE code = 'DE-01')",
            id="of another dose and site",
        ),
    ],
)
def test_a_kit_whose_row_says_otherwise_than_was_dealt_is_not_handed_over(change):
    study = Study(kits=0)
    stock(study, dose_mg="10", site=study.add_site("DE-02"))
    stock(study, dose_mg="10")
    subject = study.ready_for_first_kit()
    ask(f"SELECT set_config('pghistory.context_metadata', '{{}}', true); {change}")

    assert refused(NoKit, dispense, study, subject) == {"no_kit_at_site"}


# --- At the same moment -----------------------------------------------------------------------


def test_dispensing_twice_at_once_hands_over_one_kit():
    study = Study()
    subject = study.ready_for_first_kit()

    answers = at_once(*[partial(dispense, study, subject)] * 4)

    assert sorted(type(answer).__name__ for answer in answers) == [
        "Dispensation", "GateClosed", "GateClosed", "GateClosed",
    ]  # fmt: skip
    assert Kit.objects.filter(status=Kit.Status.DISPENSED).count() == 1


def test_the_last_kit_goes_to_one_of_two_who_ask_at_once():
    study = Study(kits=0)
    first, placebo, third = [study.ready_for_first_kit() for _ in BLOCK]
    stock(study)

    answers = at_once(partial(dispense, study, first), partial(dispense, study, third))

    assert sorted(type(answer).__name__ for answer in answers) == ["Dispensation", "NoKit"]
    assert arms_of_what_was_given() == [("L", "L")]
    assert placebo.number == "DE-01-0002"


def test_many_subjects_at_once_get_a_kit_each():
    study = Study()
    subjects = [study.ready_for_first_kit() for _ in BLOCK * 2]

    at_once(*[partial(dispense, study, subject) for subject in subjects])

    assert Dispensation.objects.values("kit").distinct().count() == 6
    assert arms_of_what_was_given() == [(arm, arm) for arm in BLOCK * 2]


# --- Who --------------------------------------------------------------------------------------


def test_nobody_dispenses_at_another_site_or_without_the_permission():
    study = Study()
    subject = study.ready_for_first_kit()
    stranger = study.person(Role.PHARMACIST, site=study.add_site("DE-02"))
    before = contents()

    with pytest.raises(Subject.DoesNotExist):
        dispense(study, subject, by=stranger)
    with pytest.raises(PermissionDenied):
        dispense(study, subject, by=study.coordinator)

    assert contents() == before
