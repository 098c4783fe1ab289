"""The figures come out of the data: move one progression in the file, and they move."""

import csv
from io import StringIO

import pytest

from config.demo.client import Client
from tests.marks import on_postgres
from tests.stories.live import DATA, live_site, plan_of, replay, set_up


pytestmark = [on_postgres, pytest.mark.servers]
SUBJECTS = 6


def test_moving_one_progression_in_the_file_moves_the_figures(tmp_path):
    key, moved = _with_a_progression_moved()

    report = _report(moved, tmp_path)

    assert key in _keys(SUBJECTS)
    assert _event_months(report) == _expected(moved)
    assert _expected(moved) != _expected(DATA)


def _report(data: str, home) -> dict:
    plan = plan_of(data, subjects=SUBJECTS)
    with live_site(home) as (_, address):
        keys = set_up(plan, home)
        replay(plan, address, keys)
        with Client(address, *keys.credentials("statistician")) as statistician:
            query = {"cutoff": plan.cutoff.isoformat(), "as": "json"}
            return statistician.get("/trials/CLLM1/reports/pfs", **query)


def _event_months(report: dict) -> dict[str, list[float]]:
    """Months at which each arm's curve steps down, and the hazard ratio's presence aside."""
    return {arm["code"]: _steps(arm["curve"]) for arm in report["arms"]}


def _steps(curve: dict) -> list[float]:
    pairs = zip(curve["months"], [1.0, *curve["survival"]], curve["survival"], strict=False)
    return sorted({round(month, 6) for month, before, after in pairs if after < before})


def _expected(data: str) -> dict[str, list[float]]:
    """The same from the file alone, without any code of the report."""
    keys = _keys(SUBJECTS)
    steps: dict[str, list[float]] = {"L": [], "P": []}
    for row in csv.DictReader(StringIO(data)):
        if row["id"] in keys and row["pfs_ev"] == "1":
            steps[row["arm"]].append(round(int(row["pfs_day"]) / 30.4375, 6))
    return {arm: sorted(months) for arm, months in steps.items()}


def _keys(subjects: int) -> set[str]:
    return {subject.key for subject in plan_of(subjects=subjects).randomised()}


def _with_a_progression_moved() -> tuple[str, str]:
    """Move the first progression among the replayed 20 days forward; return whose, and the file."""
    keys = _keys(SUBJECTS)
    rows = list(csv.DictReader(StringIO(DATA)))
    row = next(row for row in rows if row["id"] in keys and row["pfs_ev"] == "1")
    row["pfs_day"] = str(int(row["pfs_day"]) + 20)
    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return row["id"], out.getvalue()
