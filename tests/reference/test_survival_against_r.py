"""Survival statistics against R 4.2.2, survival 3.5-3; see survival/README.md."""

import csv
import json
from pathlib import Path

import pytest

from reporting.statistics.results import (
    HazardRatio,
    LogRank,
    NotEstimable,
)
from reporting.statistics.survival import (
    cox_hazard_ratio,
    kaplan_meier,
    log_rank,
)


FOLDER = Path(__file__).parent / "survival"
DATASETS = ["aml", "lung", "ovarian", "veteran", "edge_ties", "edge_noevents_arm"]
COMPARABLE = [name for name in DATASETS if name != "edge_noevents_arm"]
STRATIFIED = ["lung", "ovarian", "veteran", "edge_ties"]


def same(value: float | None) -> object:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def expected(name: str) -> dict:
    return json.loads((FOLDER / "expected" / f"{name}.json").read_text())


def columns(name: str, reference: dict) -> dict[str, list]:
    with (FOLDER / "inputs" / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    group = reference["group"]
    second = sorted({row[group] for row in rows})[1]
    strata = reference["strata"]
    return {
        "time": [float(row["time"]) for row in rows],
        "event": [row["status"] == "1" for row in rows],
        "group": [row[group] for row in rows],
        "treated": [row[group] == second for row in rows],
        "strata": [row[strata] for row in rows] if isinstance(strata, str) else None,
    }


def curves(name: str) -> list[tuple]:
    """Every curve of a data set beside R's: (curve, last day, quantiles, rows)."""
    reference = expected(name)
    data = columns(name, reference)
    found = []
    for block in ("km_overall", "km_group"):
        part = reference[block]["log-log"]
        groups = [part["groups"]] if isinstance(part["groups"], str) else part["groups"]
        for label in groups:
            level = label.partition("=")[2]
            keep = [label == "all" or group == level for group in data["group"]]
            time = [t for t, ok in zip(data["time"], keep, strict=True) if ok]
            event = [e for e, ok in zip(data["event"], keep, strict=True) if ok]
            rows = [row for row in part["at_times"] if row["group"] == label]
            found.append((kaplan_meier(time, event), max(time), part["quantiles"][label], rows))
    return found


@pytest.mark.parametrize("name", DATASETS)
def test_curves_and_log_log_limits_are_those_of_r(name):
    for curve, last_day, _, rows in curves(name):
        for row in (row for row in rows if row["time"] <= last_day or row["surv"] == 0):
            found = curve.at(row["time"])
            assert found.value == same(row["surv"])
            assert found.lower == same(row["lower"])
            assert found.upper == same(row["upper"])


@pytest.mark.parametrize("name", DATASETS)
def test_numbers_at_risk_are_those_of_r(name):
    for curve, _, _, rows in curves(name):
        for row in rows:
            waiting = [
                n for t, n in zip(curve.times, curve.at_risk, strict=True) if t >= row["time"]
            ]
            assert (waiting[0] if waiting else 0) == row["n_risk"]


@pytest.mark.parametrize("name", DATASETS)
def test_quartiles_of_the_curve_and_their_limits_are_those_of_r(name):
    for curve, _, quantiles, _ in curves(name):
        for fraction, key in ((0.25, "q25"), (0.5, "median"), (0.75, "q75")):
            found = curve.quantile(fraction)
            assert found.value == same(quantiles[key])
            assert found.lower == same(quantiles[f"{key}_lower"])
            assert found.upper == same(quantiles[f"{key}_upper"])


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, "logrank") for name in COMPARABLE]
    + [(name, "logrank_stratified") for name in STRATIFIED],
)
def test_log_rank_tests_are_those_of_r_with_every_intermediate_quantity(name, key):
    reference = expected(name)
    data = columns(name, reference)
    strata = data["strata"] if key.endswith("stratified") else None

    found = log_rank(data["time"], data["event"], data["treated"], strata)

    assert isinstance(found, LogRank)
    assert found.chi2 == same(reference[key]["chisq"])
    assert found.p == same(reference[key]["p"])
    assert found.observed == same(reference[key]["observed"][1])
    assert found.expected == same(reference[key]["expected"][1])
    assert found.variance == same(reference[key]["var"][3])


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, "cox_group_efron") for name in COMPARABLE]
    + [(name, "cox_group_stratified_efron") for name in STRATIFIED],
)
def test_hazard_ratios_are_those_of_r(name, key):
    reference = expected(name)
    data = columns(name, reference)
    strata = data["strata"] if key.endswith("stratified_efron") else None

    found = cox_hazard_ratio(data["time"], data["event"], data["treated"], strata)

    assert isinstance(found, HazardRatio)
    # R stops where the likelihood gains less than 1e-9 of itself, so its digits end near 1e-7.
    assert found.log_hr == pytest.approx(reference[key]["coef"], rel=1e-6, abs=1e-7)
    assert found.se == pytest.approx(reference[key]["se"], rel=1e-6)
    assert found.hr == pytest.approx(reference[key]["hr"], rel=1e-6)
    assert found.lower == pytest.approx(reference[key]["hr_lower"], rel=1e-6)
    assert found.upper == pytest.approx(reference[key]["hr_upper"], rel=1e-6)
    assert found.p == pytest.approx(reference[key]["p_wald"], rel=1e-5)


def test_where_r_has_no_coefficient_no_ratio_is_given():
    reference = expected("edge_noevents_arm")
    data = columns("edge_noevents_arm", reference)

    assert reference["cox_group_efron"]["hr"] is None
    assert isinstance(cox_hazard_ratio(data["time"], data["event"], data["treated"]), NotEstimable)
    assert isinstance(log_rank(data["time"], data["event"], data["treated"]), NotEstimable)
