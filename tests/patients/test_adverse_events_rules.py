from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.adverse_events import (
    AdverseEventFacts,
    Outcome,
    Seriousness,
    is_treatment_emergent,
    record_problems,
)
from patients.rules.partial_dates import PartialDate
from trials.rules.protocol import load_protocol


SAFETY = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()).safety
TODAY = date(2014, 3, 9)
FIRST, LAST = date(2013, 6, 10), date(2014, 1, 31)
RASH = AdverseEventFacts(
    grade=2,
    started_on=PartialDate("2014-02-10"),
    ended_on=PartialDate("2014-02-20"),
    outcome=Outcome.RECOVERED,
    serious=False,
)
DEATH = replace(
    RASH, grade=5, outcome=Outcome.FATAL, serious=True, seriousness=(Seriousness.DEATH,)
)


def codes(facts: AdverseEventFacts) -> list[str]:
    return [problem.code for problem in record_problems(facts, on=TODAY)]


@pytest.mark.parametrize("facts", [RASH, DEATH, replace(RASH, ended_on=None)])
def test_a_sound_record_has_no_problem(facts):
    assert codes(facts) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param("2014-02-10", "2014-02-10", [], id="same day"),
        pytest.param("2014-02-10", "2014-02-09", ["ends_before_start"], id="day before"),
        pytest.param("2014-02-10", "2014-02", [], id="some day of the month"),
        pytest.param("2014-02-10", "2014-01", ["ends_before_start"], id="month before"),
        pytest.param("2014-02", "2014-02-01", [], id="month told, first day"),
        pytest.param("2014-02", "2014-01-31", ["ends_before_start"], id="month told, day before"),
        pytest.param("2013", "2013", [], id="years"),
        pytest.param("2014", "2013-12", ["ends_before_start"], id="year before"),
        pytest.param("2014-03-09", None, [], id="begins today"),
        pytest.param("2014-03-10", None, ["starts_in_future"], id="begins tomorrow"),
        pytest.param("2014-03", None, [], id="begins this month"),
        pytest.param("2014-04", None, ["starts_in_future"], id="begins next month"),
        pytest.param("2014-03-01", "2014-03-09", [], id="ends today"),
        pytest.param("2014-03-01", "2014-03-10", ["ends_in_future"], id="ends tomorrow"),
        pytest.param(
            "2014-05",
            "2014-04",
            ["starts_in_future", "ends_in_future", "ends_before_start"],
            id="all of it",
        ),
    ],
)
def test_only_what_is_certainly_impossible_is_held_against_the_dates(start, end, expected):
    facts = replace(RASH, started_on=PartialDate(start), ended_on=end and PartialDate(end))

    assert codes(facts) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"outcome": Outcome.UNKNOWN}, ["grade_5_not_fatal", "death_not_fatal"]),
        pytest.param({"grade": 4}, ["fatal_not_grade_5"]),
        pytest.param(
            {"seriousness": (Seriousness.LIFE_THREATENING,)},
            ["fatal_not_serious"],
        ),
        pytest.param(
            {"serious": False, "seriousness": ()},
            ["fatal_not_serious"],
        ),
    ],
)
def test_grade_5_death_and_a_fatal_outcome_go_together(changes, expected):
    assert codes(replace(DEATH, **changes)) == expected


def test_serious_and_its_criteria_go_together():
    hospital = (Seriousness.HOSPITALISATION,)

    assert codes(replace(RASH, serious=True, seriousness=hospital)) == []
    assert codes(replace(RASH, serious=True)) == ["serious_without_criterion"]
    assert codes(replace(RASH, seriousness=hospital)) == ["criterion_without_serious"]


@pytest.mark.parametrize("grade", [0, 6])
def test_a_grade_ctcae_does_not_have_is_an_error(grade):
    with pytest.raises(ValueError, match="no grade"):
        record_problems(replace(RASH, grade=grade), on=TODAY)


@pytest.mark.parametrize(
    ("onset", "expected"),
    [
        pytest.param("2013-06-09", False, id="day before the first dose"),
        pytest.param("2013-06-10", True, id="day of the first dose"),
        pytest.param("2014-03-02", True, id="30 days after the last dose"),
        pytest.param("2014-03-03", False, id="31 days after the last dose"),
        pytest.param("2013-06", True, id="month of the first dose"),
        pytest.param("2013-05", False, id="month before"),
        pytest.param("2013", True, id="year of the first dose"),
        pytest.param("2014-03", True, id="month in which the window closes"),
        pytest.param("2014-04", False, id="month after"),
    ],
)
def test_treatment_emergent_is_from_the_first_dose_to_the_window_after_the_last(onset, expected):
    assert is_treatment_emergent(PartialDate(onset), FIRST, LAST, SAFETY) is expected


def test_without_a_first_dose_nothing_is_treatment_emergent():
    assert not is_treatment_emergent(PartialDate("2014-01-01"), None, None, SAFETY)


def test_while_treatment_goes_on_the_window_has_no_end():
    assert is_treatment_emergent(PartialDate("2019-01-01"), FIRST, None, SAFETY)


@given(st.dates(date(2010, 1, 1), date(2020, 1, 1)), st.integers(0, 900), st.integers(-60, 1100))
def test_the_window_is_the_same_in_every_calendar(first, length, offset):
    onset = PartialDate.of(first + timedelta(days=offset))
    last = first + timedelta(days=length)

    assert is_treatment_emergent(onset, first, last, SAFETY) is (0 <= offset <= length + 30)
