from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.eligibility import (
    EligibilityFacts,
    RandomisationFacts,
    completed_years,
    ineligible_reasons,
    randomisation_blocks,
)
from trials.rules.protocol import load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())
LAST_CYCLE = date(2014, 1, 1)
ELIGIBLE = {
    "age": 64,
    "sex": "male",
    "first_line_regimen": "BR",
    "first_line_cycles": 6,
    "last_cycle_on": LAST_CYCLE,
    "response": "PR",
    "mrd_level": Decimal("0.02"),
    "ighv_unmutated": None,
    "tp53_mutated": None,
    "del17p": None,
    "ecog": 1,
    "anc_10e9_l": Decimal("2.4"),
    "platelets_10e9_l": Decimal(150),
    "creatinine_clearance_ml_min": Decimal(80),
}
INTERMEDIATE = {
    **ELIGIBLE,
    "mrd_level": Decimal("0.001"),
    "ighv_unmutated": False,
    "tp53_mutated": False,
    "del17p": False,
}
READY = RandomisationFacts(
    randomised_on=LAST_CYCLE + timedelta(days=90),
    values={"last_cycle_on": LAST_CYCLE},
    consent_active=True,
    eligible=True,
)


def reasons(values, *exclusions):
    return ineligible_reasons(EligibilityFacts(values, exclusions), PROTOCOL)


def codes(values, *exclusions) -> list[str]:
    return [reason.code for reason in reasons(values, *exclusions)]


def blocks(*, last_cycle_on=LAST_CYCLE, **changes) -> list[str]:
    facts = replace(READY, values={"last_cycle_on": last_cycle_on}, **changes)
    return [reason.code for reason in randomisation_blocks(facts, PROTOCOL)]


@pytest.mark.parametrize(
    ("field", "accepted", "refused", "code"),
    [
        ("age", 18, 17, "too_young"),
        ("first_line_cycles", 4, 3, "too_few_cycles"),
        ("first_line_regimen", "PCR", "other", "regimen_not_accepted"),
        ("response", "PR", "SD", "response_too_low"),
        ("mrd_level", Decimal("0.01"), None, "mrd_missing"),
        ("ecog", 2, 3, "ecog_too_high"),
        ("ecog", 0, None, "measurement_missing"),
        ("anc_10e9_l", Decimal("1.0"), Decimal("0.99"), "anc_too_low"),
        ("anc_10e9_l", Decimal(1), None, "measurement_missing"),
        ("platelets_10e9_l", Decimal(50), Decimal("49.9"), "platelets_too_low"),
        ("platelets_10e9_l", Decimal(50), None, "measurement_missing"),
        (
            "creatinine_clearance_ml_min",
            Decimal(60),
            Decimal("59.9"),
            "creatinine_clearance_too_low",
        ),
        ("creatinine_clearance_ml_min", Decimal(60), None, "measurement_missing"),
    ],
)
def test_the_limit_is_in_and_the_next_value_is_out(field, accepted, refused, code):
    assert codes({**ELIGIBLE, field: accepted}) == []
    assert codes({**ELIGIBLE, field: refused}) == [code]


@pytest.mark.parametrize(
    ("mrd", "expected"),
    [
        pytest.param("0.01", [], id="high needs no marker"),
        pytest.param("0.0099999", ["no_high_risk_marker"], id="just below high"),
        pytest.param("0.0001", ["no_high_risk_marker"], id="at the minimum"),
        pytest.param("0.0000999", ["mrd_low_risk"], id="just below the minimum"),
        pytest.param("0", ["mrd_low_risk"], id="negative"),
    ],
)
def test_mrd_decides_with_the_markers(mrd, expected):
    assert codes({**INTERMEDIATE, "mrd_level": Decimal(mrd)}) == expected


@pytest.mark.parametrize("marker", ["ighv_unmutated", "tp53_mutated", "del17p"])
def test_one_marker_is_enough_for_intermediate_mrd(marker):
    alone = {**INTERMEDIATE, "ighv_unmutated": None, "tp53_mutated": None, "del17p": None}

    assert codes({**INTERMEDIATE, marker: True}) == []
    assert codes({**alone, marker: True}) == []


def test_an_unknown_marker_is_not_an_absent_one():
    (reason,) = reasons({**INTERMEDIATE, "tp53_mutated": None})

    assert reason.code == "markers_missing"
    assert "TP53" in reason.detail
    assert "del(17p)" not in reason.detail


def test_markers_do_not_make_low_risk_eligible():
    assert codes({**INTERMEDIATE, "mrd_level": Decimal(0), "del17p": True}) == ["mrd_low_risk"]


def test_every_exclusion_is_a_reason_once_in_the_protocols_words():
    found = reasons(ELIGIBLE, "other_lymphoma", "hiv", "hiv")

    assert [reason.code for reason in found] == ["exclusion_other_lymphoma", "exclusion_hiv"]
    assert found[0].detail == "Lymphoma other than CLL"


@pytest.mark.parametrize(
    ("changes", "exclusions", "wrong"),
    [
        ({}, ["bad_luck"], "bad_luck"),
        ({"mrd_level": Decimal("1.01")}, [], "mrd_level 1.01 is out of bounds"),
        ({"mrd_level": Decimal("-0.1")}, [], "mrd_level -0.1 is out of bounds"),
        ({"shoe_size": 42}, [], "shoe_size"),
    ],
)
def test_a_wrong_record_is_no_reason_but_an_error(changes, exclusions, wrong):
    with pytest.raises(ValueError, match=wrong):
        codes({**ELIGIBLE, **changes}, *exclusions)


def test_all_reasons_are_given_at_once():
    values = {
        **ELIGIBLE,
        "age": 17,
        "first_line_regimen": "other",
        "first_line_cycles": 3,
        "response": "PD",
        "mrd_level": Decimal("0.00001"),
        "ecog": 4,
        "anc_10e9_l": Decimal("0.1"),
        "platelets_10e9_l": Decimal(10),
        "creatinine_clearance_ml_min": Decimal(20),
    }

    assert codes(values, "comorbidity") == [
        "too_young",
        "regimen_not_accepted",
        "too_few_cycles",
        "response_too_low",
        "mrd_low_risk",
        "ecog_too_high",
        "anc_too_low",
        "platelets_too_low",
        "creatinine_clearance_too_low",
        "exclusion_comorbidity",
    ]


def test_nothing_known_is_everything_missing_and_each_named_once():
    nothing = dict.fromkeys(ELIGIBLE)

    found = reasons(nothing)

    assert [reason.code for reason in found] == [
        "too_young_missing",
        "regimen_not_accepted_missing",
        "too_few_cycles_missing",
        "response_too_low_missing",
        "mrd_missing",
        *["measurement_missing"] * 4,
    ]
    assert reasons({}) == found


def test_a_reason_says_in_the_protocols_words_what_was_found():
    values = {**ELIGIBLE, "first_line_cycles": 3, "anc_10e9_l": Decimal("0.90")}

    assert [reason.detail for reason in reasons(values)] == [
        "Fewer than 4 cycles of first-line treatment: First-line cycles 3 cycles",
        "Neutrophils below 1.0: Neutrophils 0.90 10^9/L",
    ]


# --- On the day of randomisation ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (55, ["too_soon_after_first_line"]),
        (56, []),
        (140, []),
        (141, ["too_late_after_first_line"]),
    ],
)
def test_eight_to_twenty_weeks_after_first_line_both_ends_included(days, expected):
    assert blocks(randomised_on=LAST_CYCLE + timedelta(days=days)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"consent_active": False}, ["consent_missing"]),
        ({"eligible": None}, ["not_screened"]),
        ({"eligible": False}, ["not_eligible"]),
        ({"already_randomised": True}, ["already_randomised"]),
        ({"last_cycle_on": None}, ["last_cycle_missing"]),
    ],
)
def test_what_is_missing_on_the_day_blocks_randomisation(changes, expected):
    assert blocks(**changes) == expected


def test_all_blocks_are_given_at_once():
    found = blocks(consent_active=False, eligible=None, already_randomised=True, last_cycle_on=None)

    assert found == ["consent_missing", "not_screened", "already_randomised", "last_cycle_missing"]


@given(st.dates(date(2000, 1, 1), date(2030, 12, 31)), st.integers(0, 300))
def test_the_days_are_counted_alike_over_months_years_and_leap_days(last_cycle, days):
    found = blocks(last_cycle_on=last_cycle, randomised_on=last_cycle + timedelta(days=days))

    assert (found == []) == (56 <= days <= 140)


@pytest.mark.parametrize(
    ("on", "years"),
    [(date(2014, 1, 1), 63), (date(2014, 12, 30), 63), (date(2014, 12, 31), 64)],
)
def test_age_counts_only_years_that_are_certainly_completed(on, years):
    assert completed_years(1950, on) == years


def test_a_screening_judged_with_another_sex_or_year_of_birth_randomises_nobody():
    assert blocks(corrected_since=False) == []
    assert blocks(corrected_since=True) == ["corrected_since_screened"]
