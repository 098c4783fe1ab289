"""Survival statistics and proportions at their edges."""

import subprocess
import sys

import pytest

from reporting.statistics.proportions import clopper_pearson, percent_half_up
from reporting.statistics.results import (
    Estimate,
    Gap,
    HazardRatio,
    LogRank,
    NotEstimable,
    Quartiles,
)
from reporting.statistics.survival import (
    at_risk,
    cox_hazard_ratio,
    kaplan_meier,
    log_rank,
    median_follow_up,
    observation_quartiles,
)


NOTHING = Estimate(None, None, None)


def test_importing_the_package_loads_no_numerical_library():
    loaded = "import sys, reporting.statistics; print({'numpy', 'lifelines'} & set(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


def test_an_empty_arm_has_no_curve_no_median_and_nobody_at_risk():
    curve = kaplan_meier([], [])

    assert (curve.n, curve.events, curve.times) == (0, 0, ())
    assert curve.at(0) == NOTHING
    assert curve.median == NOTHING


def test_everybody_censored_leaves_the_curve_at_one_without_limits():
    curve = kaplan_meier([5, 9], [False, False])

    assert curve.at(9) == Estimate(1.0, None, None)
    assert curve.median == NOTHING


def test_limits_are_one_until_somebody_leaves_and_unknown_until_the_first_event():
    curve = kaplan_meier([4, 8, 9], [False, True, False])

    assert curve.at(3.9) == Estimate(1.0, 1.0, 1.0)
    assert curve.at(4) == Estimate(1.0, None, None)
    assert curve.at(8).lower is not None


def test_before_the_first_event_the_limits_are_one_and_on_its_day_they_are_not():
    curve = kaplan_meier([4, 8], [True, False])

    assert curve.at(3.9) == Estimate(1.0, 1.0, 1.0)
    assert curve.at(4).value == pytest.approx(0.5)
    assert 0 < curve.at(4).lower < 0.5 < curve.at(4).upper < 1


def test_the_last_day_observed_has_an_estimate_and_the_day_after_has_none():
    curve = kaplan_meier([4, 8], [True, False])

    assert curve.at(8).value == pytest.approx(0.5)
    assert curve.at(8.1) == NOTHING


def test_a_curve_that_reached_zero_stays_there_without_limits():
    curve = kaplan_meier([4, 8], [True, True])

    assert curve.at(8) == Estimate(0.0, None, None)
    assert curve.at(800) == Estimate(0.0, None, None)


def test_an_event_comes_before_a_censoring_of_the_same_day():
    curve = kaplan_meier([4, 4, 8], [True, False, True])

    assert curve.at(4).value == pytest.approx(2 / 3)
    assert curve.at_risk[curve.times.index(4)] == 3


def test_an_event_on_the_day_of_randomisation_counts_from_day_zero():
    curve = kaplan_meier([0, 8], [True, False])

    assert curve.times[0] == 0
    assert curve.at(0).value == pytest.approx(0.5)


def test_a_level_part_at_one_half_gives_its_middle_and_a_step_past_it_gives_its_day():
    level = kaplan_meier([2, 4, 6, 8], [True, True, True, True])
    past = kaplan_meier([2, 4, 6], [True, True, True])

    assert level.median.value == 5
    assert past.median.value == 4


def test_a_curve_that_stops_above_one_half_has_no_median_and_one_that_stops_on_it_has():
    above = kaplan_meier([2, 4, 6, 8, 10], [True, True, False, False, False])
    on = kaplan_meier([2, 4, 6, 8], [True, True, False, False])

    assert above.median.value is None
    assert on.median.value == 6


@pytest.mark.parametrize("days", [-1, float("nan"), float("inf")])
def test_a_time_before_randomisation_or_no_time_is_a_wrong_record(days):
    with pytest.raises(ValueError, match="record is wrong"):
        kaplan_meier([days], [True])


def test_a_day_before_randomisation_has_no_survival():
    with pytest.raises(ValueError, match="not defined"):
        kaplan_meier([1], [True]).at(-1)


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shape"):
        kaplan_meier([1, 2], [True])
    with pytest.raises(ValueError, match="same subjects"):
        log_rank([1, 2], [True, True], [True])
    with pytest.raises(ValueError, match="same subjects"):
        cox_hazard_ratio([1, 2], [True, True], [True, False], ["H"])


def test_swapping_the_groups_keeps_chi_square_and_turns_z_and_the_ratio_round():
    time, event = [3, 5, 7, 9, 11, 13], [True] * 6
    treated = [False, True, False, True, False, True]
    swapped = [not flag for flag in treated]

    one, other = log_rank(time, event, treated), log_rank(time, event, swapped)
    ratio, inverse = cox_hazard_ratio(time, event, treated), cox_hazard_ratio(time, event, swapped)

    assert isinstance(one, LogRank)
    assert one.chi2 == pytest.approx(other.chi2)
    assert one.z == pytest.approx(-other.z)
    assert one.z < 0
    assert ratio.hr == pytest.approx(1 / inverse.hr)


def test_strata_that_hold_one_arm_each_compare_nobody_and_one_stratum_compares_all():
    time, event, treated = [3, 5, 7, 9], [True] * 4, [True, False, True, False]

    apart = log_rank(time, event, treated, ["T", "C", "T", "C"])
    together = log_rank(time, event, treated, ["X"] * 4)

    assert apart == NotEstimable((Gap.ARMS_NEVER_COMPARED,))
    assert together == log_rank(time, event, treated)


@pytest.mark.parametrize(
    ("time", "event", "treated", "gaps"),
    [
        ([], [], [], {Gap.NO_SUBJECTS_TREATED, Gap.NO_SUBJECTS_CONTROL}),
        ([3, 4], [True, True], [True, True], {Gap.NO_SUBJECTS_CONTROL, Gap.NO_EVENTS_CONTROL}),
        ([3, 4], [True, False], [True, False], {Gap.NO_EVENTS_CONTROL}),
        ([3, 4], [False, True], [True, False], {Gap.NO_EVENTS_TREATED}),
        ([3, 4], [False, False], [True, False], {Gap.NO_EVENTS_TREATED, Gap.NO_EVENTS_CONTROL}),
    ],
)
def test_a_ratio_without_people_or_events_in_an_arm_names_every_gap(time, event, treated, gaps):
    found = cox_hazard_ratio(time, event, treated)

    assert isinstance(found, NotEstimable)
    assert gaps <= set(found.reasons)


def test_arms_that_never_overlap_have_no_ratio_and_one_overlap_gives_one():
    apart = cox_hazard_ratio([1, 2, 5, 6], [True] * 4, [False, False, True, True])
    overlapping = cox_hazard_ratio([1, 5, 4, 6], [True] * 4, [False, False, True, True])

    assert apart == NotEstimable((Gap.MONOTONE_LIKELIHOOD,))
    assert isinstance(overlapping, HazardRatio)


def test_a_wider_confidence_gives_wider_limits_around_the_same_ratio():
    time, event, treated = [3, 5, 7, 9, 11, 13], [True] * 6, [False, True, False, True, False, True]

    usual = cox_hazard_ratio(time, event, treated)
    wide = cox_hazard_ratio(time, event, treated, confidence=0.99)

    assert wide.hr == usual.hr
    assert wide.lower < usual.lower < usual.hr < usual.upper < wide.upper


def test_a_subject_is_at_risk_on_its_last_day_and_not_the_day_after():
    assert at_risk([30, 60], [0, 30, 30.5, 60, 61]) == (2, 2, 1, 1, 0)


def test_follow_up_counts_a_death_as_censored_follow_up():
    assert median_follow_up([10, 20, 30], [False, False, False]).value == 20
    assert median_follow_up([10, 20, 30], [True, False, False]).value == 25
    assert median_follow_up([], []) == NOTHING


def test_quartiles_interpolate_and_nobody_has_none():
    assert observation_quartiles([1, 2, 3, 4]) == Quartiles(1.75, 2.5, 3.25)
    assert observation_quartiles([]) == Quartiles(None, None, None)


@pytest.mark.parametrize(
    ("count", "n", "printed"),
    [(35, 56, 63), (124, 200, 62), (125, 200, 63), (8, 29, 28), (0, 56, 0), (56, 56, 100)],
)
def test_a_percentage_of_exactly_a_half_rounds_up(count, n, printed):
    assert percent_half_up(count, n) == printed


@pytest.mark.parametrize(("count", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_a_count_that_is_not_part_of_n_has_no_percentage(count, n):
    with pytest.raises(ValueError, match="not"):
        percent_half_up(count, n)


def test_exact_limits_reach_the_ends_only_when_nobody_or_everybody_counts():
    nobody, everybody = clopper_pearson(0, 20), clopper_pearson(20, 20)
    one = clopper_pearson(1, 20)

    assert (nobody.lower, everybody.upper) == (0.0, 1.0)
    assert nobody.upper == pytest.approx(1 - 0.025 ** (1 / 20))
    assert everybody.lower == pytest.approx(0.025 ** (1 / 20))
    assert 0 < one.lower < 0.05 < one.upper
