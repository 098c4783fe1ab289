"""What the demo asks the running site for at the end, and what it makes of the answer."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.demo.client import Client
from config.demo.figures import Obtained


FORMATS = ("json", "html", "pdf", "svg")


def report(client: Client, *, trial: str, cutoff: str, as_known_at: str, folder: Path) -> Any:
    """Fetch the interim report in every format, keep the files, and return its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = f"/trials/{trial}/reports/pfs"
    files = {form: folder / f"pfs-{trial}-{cutoff}.{form}" for form in FORMATS}
    for form, file in files.items():
        body = client.download(path, cutoff=cutoff, as_known_at=as_known_at, **{"as": form})
        file.write_bytes(body)
    return json.loads(files["json"].read_bytes())


def obtained(report: Mapping[str, Any], accrual: Mapping[str, Any]) -> dict[str, Obtained]:
    """Return the report's figures under the keys of the published ones."""
    active, control = report["arms"]
    ratio = report["comparison"]["hazard_ratio"]
    found: dict[str, Obtained] = {
        "screened": accrual["screened"],
        "not_eligible": accrual["not_eligible"],
        "randomised": (active["n"], control["n"]),
        "median_lenalidomide": active["median_months"]["value"],
        "median_placebo": tuple(control["median_months"][k] for k in ("value", "lower", "upper")),
        "deaths": (active["deaths"], control["deaths"]),
    }
    if "hr" in ratio:  # otherwise it is not estimable, and the report says why
        found["hazard_ratio"] = (ratio["hr"], ratio["lower"], ratio["upper"])
    for name, arm in (("lenalidomide", active), ("placebo", control)):
        for rate in arm["rates"]:
            value = rate["rate"]["value"]
            found[f"pfs_{rate['months']:.0f}_{name}"] = None if value is None else value * 100
    for row in report["safety"]:
        key = row["label"].split()[0].lower()
        for name, count in zip(("lenalidomide", "placebo"), row["counts"], strict=True):
            found[f"{key}_{name}"] = count["percent"]
    return found


def pooled(summary: Mapping[str, Any]) -> dict[str, Obtained]:
    """Return the blinded summary's counts, since the start, under the published figures' keys."""
    found: dict[str, Obtained] = {"pooled_deaths": len(summary["deaths"])}
    for row in summary["of_interest"]:
        found[f"pooled_{row['code']}"] = row["counts"]["total"]["subjects"]
    return found


def first_summary(client: Client, *, trial: str, seconds: float) -> Any:
    """Wait for the scheduler's safety summary and return the newest one."""
    deadline = time.monotonic() + seconds
    while True:
        found = client.get(f"/trials/{trial}/safety-summaries")["results"]
        if found:
            return found[0]
        if time.monotonic() > deadline:
            raise TimeoutError("The scheduler wrote no safety summary: see .vigil/logs/beat.log")
        time.sleep(0.5)
