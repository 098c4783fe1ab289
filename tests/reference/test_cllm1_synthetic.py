"""The synthetic study against its published targets and R survival 3.5-3.

The subjects are invented: times and strata were fitted so that a report prints the figures of the
study's first analysis (Fink AM et al., Lancet Haematol 2017;4:e475-86). Nobody in the file exists.
"""

import csv
from pathlib import Path

import pytest

from reporting.statistics.survival import (
    at_risk,
    cox_hazard_ratio,
    kaplan_meier,
    log_rank,
    median_follow_up,
    months,
    observation_quartiles,
)


MONTH_DAYS = 30.4375
FILE = Path(__file__).parents[2] / "protocols" / "data" / "cllm1_synth.csv"


@pytest.fixture(scope="module")
def rows():
    with FILE.open() as file:
        return list(csv.DictReader(file))


def times(rows, arm=None):
    return [float(row["pfs_day"]) for row in rows if arm in (None, row["arm"])]


def events(rows, arm=None):
    return [row["pfs_ev"] == "1" for row in rows if arm in (None, row["arm"])]


def in_months(estimate):
    return [
        None if days is None else round(months(days, month_days=MONTH_DAYS), 1)
        for days in (estimate.value, estimate.lower, estimate.upper)
    ]


def test_sixty_and_twenty_nine_subjects_have_eleven_and_eighteen_events(rows):
    assert [len(times(rows, arm)) for arm in "LP"] == [60, 29]
    assert [sum(events(rows, arm)) for arm in "LP"] == [11, 18]


@pytest.mark.parametrize(
    ("by_stratum", "printed"),
    [(False, (0.1676, 0.0741, 0.3789)), (True, (0.1677, 0.0742, 0.3791))],
)
def test_the_hazard_ratio_prints_as_in_r(rows, by_stratum, printed):
    strata = [row["mrd"] for row in rows] if by_stratum else None
    treated = [row["arm"] == "L" for row in rows]

    found = cox_hazard_ratio(times(rows), events(rows), treated, strata)

    assert tuple(round(x, 4) for x in (found.hr, found.lower, found.upper)) == printed


@pytest.mark.parametrize(("by_stratum", "printed"), [(False, 23.33), (True, 23.25)])
def test_the_log_rank_test_prints_as_in_r(rows, by_stratum, printed):
    strata = [row["mrd"] for row in rows] if by_stratum else None
    treated = [row["arm"] == "L" for row in rows]

    found = log_rank(times(rows), events(rows), treated, strata)

    assert round(found.chi2, 2) == printed
    assert found.p == pytest.approx(1.4e-6, rel=0.03)
    assert found.z == pytest.approx(-4.83, abs=0.01)


@pytest.mark.parametrize(
    ("arm", "median", "rates"),
    [("L", [None, 32.3, None], [89.9, 77.2]), ("P", [13.3, 9.9, 19.7], [56.9, 25.1])],
)
def test_medians_and_landmark_rates_print_as_in_r(rows, arm, median, rates):
    curve = kaplan_meier(times(rows, arm), events(rows, arm))

    assert in_months(curve.median) == median
    assert [round(100 * curve.at(m * MONTH_DAYS).value, 1) for m in (12, 24)] == rates


def test_numbers_at_risk_print_as_in_r(rows):
    grid = [m * MONTH_DAYS for m in range(0, 48, 6)]

    assert at_risk(times(rows, "L"), grid) == (60, 48, 35, 26, 18, 13, 6, 0)
    assert at_risk(times(rows, "P"), grid) == (29, 23, 13, 5, 3, 0, 0, 0)


def test_follow_up_prints_as_in_r(rows):
    observed = [float(row["obs_day"]) for row in rows]
    died = [row["os_ev"] == "1" for row in rows]

    quartiles = observation_quartiles(observed)
    plain = [round(q / MONTH_DAYS, 1) for q in (quartiles.q25, quartiles.median, quartiles.q75)]

    assert plain == [9.4, 17.9, 27.8]
    assert in_months(median_follow_up(observed, died))[0] == 18.2
