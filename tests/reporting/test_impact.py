"""The impact report against the records: what it tells of a gate is what the gate then does."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dosing.errors import GateClosed
from dosing.services.dispensing import dispense_kit
from dosing.services.pregnancy_prevention import assess_pregnancy_risk
from patients.services.labs import record_labs
from reporting.services.amendments import impact_of
from tests.amendments import CTCAE_5, activated, approved, submitted
from tests.factories import NOW, TODAY, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.patients.test_unblindings_in_error import mark, opening


pytestmark = on_postgres

PLATELETS = ("start_platelets = { value = 50", "start_platelets = { value = 151")
ENDS = ('value = "end_treatment"', 'value = "continue"')
MENOPAUSE = ("menopause_months = { value = 24", "menopause_months = { value = 36")


@pytest.fixture
def study(settings, tmp_path) -> Study:
    settings.STATIC_ROOT = tmp_path
    return Study()


def impact(study, version):
    return impact_of(version=version, sites=[study.site], in_force_from=TODAY, by=study.admin)


def told(study, version):
    (site,) = impact(study, version).sites
    return {one.number: [row.effect.value for row in one.affected] for one in site.affected}


def platelets(study, subject, value, *, on=TODAY):
    record_labs(
        subject_id=subject.pk, taken_on=on,
        results=[{"analyte": "platelets", "value": Decimal(value), "unit": "10^9/L"}],
        by=study.system, at=NOW,
    )  # fmt: skip


def give(study, subject):
    return dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.system, at=NOW,
    )  # fmt: skip


def test_whose_gate_the_report_calls_shut_is_given_nothing_and_the_others_are(study):
    shut, open_ = study.ready_for_first_kit(), study.randomised()
    study.labs(open_, on=TODAY - timedelta(1))
    platelets(study, open_, "151")
    study.screened()
    version = approved(study, submitted(study, PLATELETS), study.site)

    assert told(study, version) == {shut.number: ["gate_shut"]}

    activated(study, version, study.site)
    with pytest.raises(GateClosed) as refusal:
        give(study, shut)
    assert [reason.code for reason in refusal.value.reasons] == ["platelets_too_low"]


def test_the_newest_value_counts_however_late_an_older_one_was_recorded(study):
    subject = study.randomised()
    platelets(study, subject, "160", on=TODAY - timedelta(1))
    platelets(study, subject, "60", on=TODAY - timedelta(2))
    version = approved(study, submitted(study, PLATELETS), study.site)

    assert told(study, version) == {}


def test_who_has_no_value_is_told_apart_from_who_has_one_too_low(study):
    without, low = study.randomised(), study.randomised()
    study.labs(low)
    version = approved(study, submitted(study, PLATELETS), study.site)

    assert told(study, version) == {
        without.number: ["limit_without_value"],
        low.number: ["gate_shut"],
    }


def test_whose_blind_was_broken_is_named_where_treatment_after_it_changes(study):
    subject, _ = study.randomised(), study.randomised()
    study.make_sheets()
    opened = opening(study, subject)
    version = approved(study, submitted(study, ENDS), study.site)

    assert told(study, version) == {subject.number: ["gate_opened"]}
    mark(study, opened)
    assert told(study, version) == {}


def test_the_category_is_the_one_the_gate_reads(study):
    subject = study.randomised(sex="female")
    for assessed_on, months in ((TODAY, 40), (TODAY - timedelta(2), 30)):
        assess_pregnancy_risk(
            subject_id=subject.pk, assessed_on=assessed_on, natural_menopause_months=months,
            evidence="chart", by=study.system, at=NOW,
        )  # fmt: skip
    version = approved(study, submitted(study, MENOPAUSE), study.site)

    assert told(study, version) == {}


def test_the_report_costs_the_same_however_many_subjects_there_are(study):
    version = approved(study, submitted(study, PLATELETS, CTCAE_5), study.site)
    study.ready_for_first_kit()
    with CaptureQueriesContext(connection) as of_one:
        impact(study, version)
    for _ in range(3):
        give(study, study.ready_for_first_kit())
    study.screened()

    with CaptureQueriesContext(connection) as of_five:
        found = impact(study, version)

    assert len(of_five) == len(of_one)
    assert found.counts == {"Gate shut": 4, "Grading of adverse events changed": 5}


def test_page_and_interface_tell_the_effect_in_the_same_words(study):
    subject = study.ready_for_first_kit()
    approved(study, submitted(study, PLATELETS), study.site)
    version = study.trial.versions.get(version="1.1")
    client = Client()
    client.force_login(study.admin)
    address = reverse("admin:trials_protocolversion_activation", args=[version.pk])

    page = client.get(f"{address}?in_force_from=2100-01-01&sites=DE-01").content.decode()
    answer = caller_for(study.admin).get(
        "/trials/CLLM1/protocol-versions/1.1/impact?in_force_from=2100-01-01"
    )

    (one,) = answer.json()["sites"][0]["affected"]
    (effect,) = one["effects"]
    assert (one["subject"], effect["effect"], effect["label"]) == (
        subject.number, "gate_shut", "Gate shut",
    )  # fmt: skip
    assert effect["detail"].startswith(f"platelets 150 of {TODAY}: at least 50 10^9/L")
    assert effect["label"] in page
    assert effect["detail"] in page
