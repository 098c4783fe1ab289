"""Which sex and year of birth a subject can be corrected to."""

from dataclasses import replace
from datetime import date

import pytest

from patients.rules.corrections import SubjectFacts, correction_reasons
from patients.rules.eligibility import completed_years


FACTS = SubjectFacts(
    year_of_birth=1950, sex="male", screened_on=date(2026, 3, 3), signed_on=(date(2025, 12, 30),)
)
LATER = replace(FACTS, signed_on=())


def codes(facts=FACTS, *, year_of_birth=None, sex=None, reason="misread"):
    found = correction_reasons(facts, year_of_birth=year_of_birth, sex=sex, reason=reason)
    return [each.code for each in found]


@pytest.mark.parametrize(
    ("facts", "sent", "reasons"),
    [
        pytest.param(FACTS, {"sex": "female"}, [], id="other sex"),
        pytest.param(FACTS, {"year_of_birth": 1951}, [], id="other year"),
        pytest.param(FACTS, {"year_of_birth": 1951, "sex": "female"}, [], id="both"),
        pytest.param(FACTS, {"year_of_birth": 1900}, [], id="earliest year"),
        pytest.param(FACTS, {"year_of_birth": 1899}, ["year_of_birth"], id="before it"),
        pytest.param(LATER, {"year_of_birth": 2026}, [], id="year of the screening"),
        pytest.param(LATER, {"year_of_birth": 2027}, ["year_of_birth"], id="after it"),
        pytest.param(FACTS, {"year_of_birth": 2025}, [], id="year of the consent"),
        pytest.param(FACTS, {"year_of_birth": 2026}, ["before_birth"], id="after the consent"),
        pytest.param(FACTS, {"sex": "male"}, ["not_corrected"], id="same sex"),
        pytest.param(FACTS, {"year_of_birth": 1950}, ["not_corrected"], id="same year"),
        pytest.param(FACTS, {"sex": "x"}, ["unknown_sex"], id="no sex there is"),
        pytest.param(FACTS, {}, ["nothing_corrected"], id="nothing"),
        pytest.param(FACTS, {"sex": "female", "reason": " "}, ["reason_missing"], id="no reason"),
    ],
)
def test_a_correction_is_refused_for(facts, sent, reasons):
    assert codes(facts, **sent) == reasons


def test_every_reason_is_given_at_once():
    found = codes(year_of_birth=1899, sex="male", reason="")

    assert found == ["year_of_birth", "not_corrected", "reason_missing"]


@pytest.mark.parametrize(
    ("on", "years"),
    [(date(2026, 12, 31), 0), (date(2027, 12, 30), 0), (date(2027, 12, 31), 1)],
)
def test_whoever_is_born_this_year_has_completed_none(on, years):
    assert completed_years(2026, on) == years
