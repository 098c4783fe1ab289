from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.partial_dates import PartialDate
from patients.rules.response import Assessment, PfsOutcome, pfs


REVIEW, SITE = "independent_review", "investigator"
START = date(2014, 1, 1)
CUTOFF = date(2016, 3, 31)


def day(number: int) -> date:
    return START + timedelta(days=number)


def seen(number: int, response: str, assessor: str = REVIEW) -> Assessment:
    return Assessment(day(number), response, assessor)


def outcome(*assessments, died_on=None, cutoff=CUTOFF, assessor=REVIEW, alive_on=None):
    died = died_on and PartialDate(died_on)
    return pfs(START, assessments, died, cutoff, assessor, alive_on=alive_on)


def summary(result: PfsOutcome) -> tuple[int, bool, str]:
    return result.days, result.event, result.reason


@pytest.mark.parametrize(
    ("assessments", "died_on", "expected"),
    [
        pytest.param((), None, (0, False, "censored_at_randomisation"), id="nothing seen"),
        pytest.param((seen(0, "PR"),), None, (0, False, "censored_at_last_assessment"), id="day 0"),
        pytest.param(
            (seen(180, "PR"), seen(90, "PR")),
            None,
            (180, False, "censored_at_last_assessment"),
            id="last assessment, in any order",
        ),
        pytest.param(
            (seen(-10, "PR"),), None, (0, False, "censored_at_randomisation"), id="baseline"
        ),
        pytest.param(
            (seen(-10, "PD"),), None, (0, False, "censored_at_randomisation"), id="PD before"
        ),
        pytest.param((seen(90, "PD"),), None, (90, True, "progression"), id="progression"),
        pytest.param(
            (seen(180, "PD"), seen(90, "PD"), seen(200, "SD")),
            None,
            (90, True, "progression"),
            id="the first progression",
        ),
        pytest.param((seen(90, "PR"),), "2014-07-01", (181, True, "death"), id="death"),
        pytest.param((), "2014-01-01", (0, True, "death"), id="death on day 0"),
        pytest.param(
            (seen(90, "PD"),), "2014-07-01", (90, True, "progression"), id="PD, then death"
        ),
        pytest.param((seen(181, "PD"),), "2014-07-01", (181, True, "progression"), id="same day"),
        pytest.param((seen(500, "PD"),), "2014-07-01", (181, True, "death"), id="death first"),
    ],
)
def test_the_first_of_progression_and_death_ends_the_time_else_the_last_assessment(
    assessments, died_on, expected
):
    assert summary(outcome(*assessments, died_on=died_on)) == expected


def test_each_assessor_is_followed_alone():
    both = (seen(90, "PD", SITE), seen(100, "SD"), seen(180, "PD"))

    assert summary(outcome(*both)) == (180, True, "progression")
    assert summary(outcome(*both, assessor=SITE)) == (90, True, "progression")


def test_the_cutoff_day_counts_and_the_day_after_does_not():
    cutoff = day(90)
    before = seen(30, "PR")

    assert summary(outcome(before, seen(90, "PD"), cutoff=cutoff)) == (90, True, "progression")
    assert summary(outcome(before, seen(91, "PD"), cutoff=cutoff)) == (
        30,
        False,
        "censored_at_last_assessment",
    )
    assert outcome(before, died_on="2014-04-01", cutoff=cutoff).reason == "death"
    assert not outcome(before, died_on="2014-04-02", cutoff=cutoff).event


@pytest.mark.parametrize(
    ("died_on", "alive_on", "expected"),
    [
        pytest.param("2014-07", None, day(181), id="the month's first day"),
        pytest.param("2014-04", None, day(95), id="last assessed that month"),
        pytest.param("2014", None, day(95), id="last assessed that year"),
        pytest.param("2014-07", date(2014, 7, 20), date(2014, 7, 20), id="contact that month"),
        pytest.param("2014-07", date(2014, 8, 1), day(181), id="contact that cannot be"),
    ],
)
def test_a_partial_day_of_death_is_the_earliest_after_the_last_sign_of_life(
    died_on, alive_on, expected
):
    result = outcome(seen(95, "PR", SITE), died_on=died_on, alive_on=alive_on)

    assert (result.on, result.reason, result.is_imputed) == (expected, "death", True)


def test_a_whole_day_of_death_is_not_imputed():
    assert not outcome(died_on="2014-07-01").is_imputed


def test_days_before_randomisation_are_errors_of_the_record():
    with pytest.raises(ValueError, match="cut-off"):
        outcome(cutoff=day(-1))
    with pytest.raises(ValueError, match="before randomisation"):
        outcome(died_on="2013-12-31")


events = st.lists(
    st.builds(
        seen,
        st.integers(-30, 1200),
        st.sampled_from(["CR", "CRi", "nPR", "PR", "SD", "PD"]),
        st.sampled_from([REVIEW, SITE]),
    ),
    max_size=8,
)


@given(events, st.none() | st.integers(0, 1200), st.integers(0, 1200))
def test_time_never_runs_past_the_cutoff_and_events_need_a_cause(assessments, death, cutoff):
    died_on = None if death is None else day(death).isoformat()

    result = outcome(*assessments, died_on=died_on, cutoff=day(cutoff))

    assert 0 <= result.days <= cutoff
    assert result.on == day(result.days)
    progressed = any(
        a.response == "PD" and a.assessor == REVIEW and START <= a.assessed_on <= day(cutoff)
        for a in assessments
    )
    assert result.event == (progressed or (death is not None and death <= cutoff))


@given(events, st.integers(0, 1200), st.integers(0, 300))
def test_a_later_cutoff_never_takes_an_event_back(assessments, cutoff, more):
    early = outcome(*assessments, cutoff=day(cutoff))
    late = outcome(*assessments, cutoff=day(cutoff + more))

    if early.event:
        assert late == early
    assert late.days >= early.days
