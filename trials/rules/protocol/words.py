"""The keys of a protocol file in a coordinator's words; one that has none is told by its name."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


_UNIT_AT_END = re.compile(r"_(days|hours|months|mg|miu_ml)$")
_CODED = re.compile(r"[a-z]+(_[a-z0-9]+)+")

SECTIONS = {
    "trial": "The trial",
    "arms": "Arms",
    "randomisation": "Randomisation",
    "strata": "Strata",
    "factors": "Strata",
    "consent": "Consent",
    "screening": "Screening",
    "eligibility": "Eligibility",
    "dosing": "Dosing",
    "pregnancy_prevention": "Pregnancy prevention",
    "safety": "Safety",
    "visits": "Visits",
    "endpoints": "Endpoints",
    "analysis": "Analysis",
}

NOUNS = {
    "arms": "arm",
    "strata": "stratum",
    "factors": "stratification factor",
    "levels": "level",
    "variables": "screening question",
    "exclusions": "exclusion",
    "criteria": "criterion",
    "timing": "time limit",
    "planned": "planned dose",
    "modifications": "dose modification",
    "when": "condition",
    "any_of": "alternative",
    "visits": "visit",
    "secondary": "secondary endpoint",
    "soc_of_interest": "organ class of interest",
}

KEYS = {
    "anc": "neutrophils",
    "start_anc": "neutrophils needed to start a cycle",
    "start_platelets": "platelets needed to start a cycle",
    "min_creatinine_clearance": "lowest creatinine clearance",
    "reduced_below_creatinine_clearance": "creatinine clearance below which the dose is reduced",
    "reduced_dose_fraction": "reduced dose, as a share of the planned one",
    "cycle_days": "length of a cycle",
    "max_supply_days": "longest supply",
    "max_interruption_days": "longest interruption",
    "early_refill_days": "drug that may be left at the next supply",
    "lab_window_days": "age of laboratory results at a supply",
    "decision_window_days": "age of the dose decision at a supply",
    "planned_accrual": "planned number of subjects",
    "accrual_opens_on": "accrual opens",
    "accrual_closes_on": "accrual closes",
    "block_sizes": "block sizes",
    "min_age": "youngest age",
    "max_ecog": "highest ECOG grade",
    "min_anc": "lowest neutrophils",
    "min_platelets": "lowest platelets",
    "ctcae_version": "CTCAE version",
    "meddra": "MedDRA",
    "teae_days": "days after the last dose that count as on treatment",
    "sae_report_hours": "time to report a serious adverse event",
    "soc_of_interest": "organ classes of interest",
    "form_version": "consent form",
    "reconsent": "those who signed an earlier form sign again",
    "required": "programme applies",
    "test_sensitivity_miu_ml": "least sensitive test",
    "first_test_days": "first test, before the first supply",
    "second_test_hours": "second test, before the first prescription",
    "weekly_test_days": "time of weekly tests",
    "weekly_test_interval_days": "weekly tests, interval",
    "later_test_interval_days": "later tests, interval",
    "irregular_test_interval_days": "tests with irregular menstrual cycles, interval",
    "later_test_hours": "test before each later prescription",
    "contraception_lead_days": "contraception before the first supply",
    "prescription_valid_days": "a prescription is valid",
    "counselling_interval_days": "counselling, interval",
    "menopause_months": "natural menopause to count as not of childbearing potential",
    "female_after_stop_days": "contraception after the last dose",
    "male_after_stop_days": "condoms after the last dose",
    "blood_donation_after_stop_days": "no blood donation after the last dose",
    "acknowledgement_version": "acknowledgement form",
    "offset_days": "day after its anchor",
    "every_cycles": "distance in cycles",
    "every_days": "distance in days",
    "active_drug": "holds study drug",
    "control": "is the control",
    "primary": "primary endpoint",
    "data_cutoff": "data cut-off",
    "resume_when": "go on when",
    "resume_at": "go on at",
    "to_cycle": "last cycle",
    "from_cycle": "first cycle",
    "dose_mg": "dose in mg",
}


def words_of(path: tuple[str, ...], *, inside: bool = False) -> str:
    """Return a key in words, with a capital unless it stands inside a sentence."""
    key = path[-1]
    said = KEYS.get(key, _UNIT_AT_END.sub("", key).replace("_", " "))
    return said if inside else said[:1].upper() + said[1:]


def noun_of(path: tuple[str, ...]) -> str:
    """Return what one row of a repeated table is called."""
    return NOUNS.get(path[-1], f"entry of {path[-1].replace('_', ' ')}")


def shown(value: Any) -> str:
    """Return a value as it would be written: no trailing zeros, yes and no, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{words_of((key,), inside=True)} {shown(v)}" for key, v in value.items())
    return str(value).replace("_", " ") if _CODED.fullmatch(str(value)) else str(value)


UNSPOKEN_UNITS = {"code", "version", "permission", "day"}


def phrase(value: Any, unit: str, *, short: bool = False) -> str:
    """Return a value with its unit; ``short`` leaves the unit to the value named after it."""
    said = shown(value)
    return said if short or not unit or unit in UNSPOKEN_UNITS else f"{said} {unit}"
