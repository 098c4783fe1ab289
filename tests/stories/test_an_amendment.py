"""One site is amended, the other goes on as before; and what was decided before has to hold."""

from datetime import timedelta
from decimal import Decimal

import pytest

from dosing.errors import DoseRefused, GateClosed
from dosing.services.decisions import decide_dose
from dosing.services.dispensing import dispense_kit
from patients.errors import NotRandomisable
from patients.services.consent import record_consent
from patients.services.enrolment import randomise_subject
from reporting.services.amendments import impact_of
from tests.amendments import NEW_FORM, amend, approved, submitted
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from trials.permissions import Role


pytestmark = on_postgres

PLATELETS = ("start_platelets = { value = 50", "start_platelets = { value = 151")
NO_FIVE = (
    ("[2.5, 5, 10, 15, 20, 25]", "[2.5, 7.5, 10, 15, 20, 25]"),
    ("to_cycle = 1\ndose_mg = 5", "to_cycle = 1\ndose_mg = 7.5"),
)


def codes(refusal):
    return {reason.code for reason in refusal.value.reasons}


def give(study, subject, by=None):
    return dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=by or study.system, at=NOW,
    )  # fmt: skip


def test_the_amended_site_has_new_limits_and_the_other_keeps_the_old():
    study = Study()
    other = study.add_site("DE-02")
    system = study.person(Role.SITE_SYSTEM, site=other)
    study.supply(3, site=other)
    here = study.ready_for_first_kit()
    subject_there = study.ready_for_first_kit(site=other, by=system)
    amend(study, PLATELETS)

    with pytest.raises(GateClosed) as refusal:
        give(study, here)
    there = give(study, subject_there, by=system)

    assert codes(refusal) == {"platelets_too_low"}
    assert there.protocol_version.version == "1.0"


def test_who_signed_the_old_form_signs_the_new_one_before_randomisation_and_drug():
    study = Study()
    screened, treated = study.screened(), study.ready_for_first_kit()
    amend(study, NEW_FORM)

    with pytest.raises(NotRandomisable) as not_randomised:
        randomise(study, screened)
    with pytest.raises(GateClosed) as closed:
        give(study, treated)
    for subject in (screened, treated):
        record_consent(
            subject_id=subject.pk, version="2.0", signed_on=TODAY, by=study.system, at=NOW
        )

    assert codes(not_randomised) == codes(closed) == {"reconsent_due"}
    assert randomise(study, screened).protocol_version.version == "1.1"
    assert give(study, treated).protocol_version.version == "1.1"


def randomise(study, subject):
    return randomise_subject(subject_id=subject.pk, randomised_on=TODAY, by=study.system, at=NOW)


def test_a_screening_judged_by_the_old_criteria_does_not_randomise_under_the_new():
    study = Study(kits=0)
    subject = study.screened()
    amend(study, ('label = "HIV infection"', 'label = "HIV infection, or viral load unknown"'))

    with pytest.raises(NotRandomisable) as refusal:
        randomise(study, subject)
    study.screen(subject, at=NOW + timedelta(minutes=1))

    assert codes(refusal) == {"judged_by_another_version"}
    assert randomise(study, subject).protocol_version.version == "1.1"


def test_a_dose_whose_level_is_gone_cannot_be_given_and_is_decided_anew():
    study = Study()
    subject = study.ready_for_first_kit()
    decide = {"subject_id": subject.pk, "cycle": 1, "decided_on": TODAY, "by": study.system}
    with pytest.raises(DoseRefused) as decided:
        decide_dose(dose_mg=Decimal("2.5"), reason="lower", at=NOW, **decide)
    amend(study, *NO_FIVE)

    with pytest.raises(GateClosed) as closed:
        give(study, subject)
    decision = decide_dose(dose_mg=Decimal("7.5"), at=NOW + timedelta(minutes=1), **decide)

    assert codes(decided) == {"decided_already"}
    assert codes(closed) == {"dose_not_on_ladder"}
    assert decision.protocol_version.version == "1.1"


def test_the_impact_names_who_is_affected_and_how_and_nobody_else():
    study = Study()
    treated, screened = study.ready_for_first_kit(), study.screened()
    study.screened(found={"ecog": 4})
    version = approved(study, submitted(study, NEW_FORM, *NO_FIVE), study.site)

    impact = impact_of(version=version, sites=[study.site], in_force_from=TODAY, by=study.admin)

    (site,) = impact.sites
    assert (site.code, site.was, site.subjects) == ("DE-01", "1.0", 3)
    found = {one.number: [row.effect.value for row in one.affected] for one in site.affected}
    assert found == {
        treated.number: [
            "reconsent_due",
            "dose_rule_changed",
            "dose_rule_changed",
            "dose_decision_undone",
            "planned_dose_changed",
        ],
        screened.number: ["reconsent_due"],
    }
    assert impact.counts == {
        "Re-consent due": 2,
        "Dose to be decided anew": 1,
        "Planned dose changed": 1,
        "Rule for the dose changed": 1,
    }
