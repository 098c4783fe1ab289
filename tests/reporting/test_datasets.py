from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from dosing.services.dispensing import dispense_kit
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.outcomes import record_death
from patients.services.visits import record_contact
from reporting.cuts import take_cut
from reporting.datasets import (
    randomised_subjects,
    safety_events,
    screened_subjects,
    supplies,
)
from tests.factories import ELIGIBLE, NOW, TODAY, Study
from tests.marks import on_postgres


pytestmark = on_postgres
SKIN = "Skin and subcutaneous tissue disorders"


def cut_of(study: Study, cutoff_on: date = TODAY + timedelta(days=100)):
    return take_cut(trial=study.trial, cutoff_on=cutoff_on, now=timezone.now())


def treated(study: Study):
    subject = study.ready_for_first_kit()
    dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip
    return subject


def harmed(study: Study, subject, began: str, soc: str = SKIN) -> None:
    record_adverse_event(
        subject_id=subject.pk, term="Pruritus", soc=soc, grade=1, started_on=PartialDate(began),
        outcome="recovered", related=False, serious=False, by=study.system, at=timezone.now(),
    )  # fmt: skip


def test_everybody_screened_is_a_row_with_the_last_judgement():
    study = Study(kits=0)
    study.screened(found={**ELIGIBLE, "ecog": 4})
    study.randomised()

    rows = screened_subjects(cut_of(study))

    assert [(row.number, row.eligible, row.stratum) for row in rows] == [
        ("DE-01-0001", False, ""),
        ("DE-01-0002", True, "H"),
    ]


@pytest.mark.parametrize(
    ("began", "categories"),
    [
        pytest.param("2026-03-10", {"skin"}, id="day of the first dose"),
        pytest.param("2026-03-09", set(), id="day before"),
        pytest.param("2026-03", {"skin"}, id="a month that can mean it"),
    ],
)
def test_a_class_counts_from_the_first_dose_on(began, categories):
    study = Study()
    subject = treated(study)
    harmed(study, subject, began)

    (row,) = randomised_subjects(cut_of(study))

    assert row.treated
    assert row.ae_categories == categories


def test_an_event_of_somebody_untreated_is_told_but_not_emergent():
    study = Study(kits=0)
    subject = study.randomised()
    harmed(study, subject, "2026-03-20", soc="Psychiatric disorders")

    (row,) = randomised_subjects(cut_of(study))
    (event,) = safety_events(cut_of(study))

    assert (row.treated, row.ae_categories) == (False, frozenset())
    assert (event.emergent, event.category) == (False, "")


def test_observation_runs_to_the_last_contact_on_or_before_the_cut_off():
    study = Study(kits=0)
    subject = study.randomised()
    for days in (40, 90):
        record_contact(
            subject_id=subject.pk, contacted_on=TODAY + timedelta(days=days),
            by=study.system, at=timezone.now(),
        )  # fmt: skip

    observed = [
        randomised_subjects(cut_of(study, TODAY + timedelta(days=days)))[0].observed_days
        for days in (90, 89)
    ]

    assert observed == [90, 40]


def test_a_month_of_death_is_the_earliest_it_can_mean_after_the_last_contact():
    study = Study(kits=0)
    subject = study.randomised()
    record_contact(
        subject_id=subject.pk, contacted_on=date(2026, 4, 12), by=study.system, at=timezone.now()
    )
    record_death(
        subject_id=subject.pk, died_on=PartialDate("2026-04"), cause="unknown",
        by=study.system, at=timezone.now(),
    )  # fmt: skip

    (row,) = randomised_subjects(cut_of(study))

    assert row.died_on == date(2026, 4, 12)
    assert row.observed_days == row.pfs.days == 33
    assert row.pfs.is_imputed


def test_nobody_randomised_after_the_cut_off_is_in_the_efficacy_population():
    study = Study(kits=0)
    study.randomised()

    found = [len(randomised_subjects(cut_of(study, TODAY - timedelta(days=d)))) for d in (0, 1)]

    assert found == [1, 0]


def test_exposure_is_what_was_handed_over():
    study = Study()
    treated(study)

    (row,) = supplies(cut_of(study))

    assert (row.cycle, row.dose_mg, row.days) == (1, Decimal(5), 28)
