"""The synthetic study as a data set for the interim report, and settings to read it with."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

from reporting.documents.pfs_report import (
    AnalysisSettings,
    Arm,
    Assumption,
    Category,
    InterimLook,
    PfsDataset,
    PfsSubject,
    ReportHeader,
)


FILE = Path(__file__).parents[2] / "protocols" / "data" / "cllm1_synth.csv"

# Treated subjects with an event, lenalidomide and placebo, as published for the first analysis.
SAFETY = {
    "skin": ("Skin disorders", 35, 8),
    "gastrointestinal": ("Gastrointestinal disorders", 34, 8),
    "infections": ("Infections", 30, 19),
    "haematological": ("Haematological disorders", 28, 5),
    "general": ("General disorders", 28, 9),
}

HEADER = ReportHeader(
    trial_code="CLLM1",
    trial_title=(
        "Lenalidomide maintenance after first-line therapy in high-risk chronic lymphocytic "
        "leukaemia: a randomised, double-blind, placebo-controlled phase 3 trial"
    ),
    report_title="Interim analysis of progression-free survival",
    endpoint_label="Progression-free survival by independent review",
    protocol_version="1.0",
    cutoff_on=date(2016, 3, 31),
    as_known_at=datetime(2016, 4, 29, 12, 0, tzinfo=UTC),
    notes=(
        "Synthetic data made from published summary figures; not patient data.",
        "Rates after 24 months rest on few subjects and match no published figure.",
    ),
    assumptions=(
        Assumption("Comparison stratified by MRD level", "assumed"),
        Assumption("145 events planned, so that 29 are 20%", "assumed"),
    ),
)

SETTINGS = AnalysisSettings(
    arms=(Arm("L", "Lenalidomide"), Arm("P", "Placebo")),
    control="P",
    landmark_months=(12, 24),
    at_risk_months=tuple(range(0, 48, 6)),
    month_days=30.4375,
    stratum_label="MRD level",
    ae_categories=tuple(Category(code, label) for code, (label, _, _) in SAFETY.items()),
    interim_look=InterimLook("First look", "Haybittle–Peto", 0.2, 3.29, assumed=True),
)


def synthetic_dataset() -> PfsDataset:
    """The 60 and 29 subjects; adverse events given to the first treated of each arm, as counted."""
    with FILE.open() as file:
        rows = list(csv.DictReader(file))
    place = {"L": 0, "P": 0}
    subjects = []
    for row in rows:
        codes = frozenset()
        if row["treated"] == "1":
            place[row["arm"]] += 1
            codes = frozenset(
                code
                for code, (_, in_l, in_p) in SAFETY.items()
                if place[row["arm"]] <= (in_l if row["arm"] == "L" else in_p)
            )
        subjects.append(
            PfsSubject(
                number=row["id"],
                arm=row["arm"],
                stratum=row["mrd"],
                pfs_days=int(row["pfs_day"]),
                pfs_event=row["pfs_ev"] == "1",
                observed_days=int(row["obs_day"]),
                died=row["os_ev"] == "1",
                treated=row["treated"] == "1",
                ae_categories=codes,
            )
        )
    return PfsDataset(tuple(subjects))
