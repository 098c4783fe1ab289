"""Which key of the protocol file an amendment reaches the subjects by, and which it does not.

Every leaf of the file stands in one of the three tables. ``tests/reporting/test_impact_reach.py``
walks the schema and fails for one that stands in none, or that does not do what its table says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reporting.impact.standing import Effect, Standing


CLAIM = ("source", "flag")
"""What says where a value comes from. It affects nobody, wherever it stands."""


@dataclass(frozen=True, slots=True)
class InWords:
    """A change that is told as it stands to all whom it concerns; ``more`` follows."""

    effect: Effect
    concerns: Callable[[Standing], bool]
    more: str = ""


def on_treatment(subject: Standing) -> bool:
    return subject.treated


def randomised(subject: Standing) -> bool:
    return subject.randomised_on is not None


def consented(subject: Standing) -> bool:
    return bool(subject.signed)


IN_WORDS: Mapping[str, InWords] = {
    "dosing.fixed": InWords(Effect.DOSE_RULE_CHANGED, on_treatment),
    "dosing.full_cycles_before_escalation": InWords(Effect.DOSE_RULE_CHANGED, on_treatment),
    "dosing.re_escalation_above_failed_level": InWords(Effect.DOSE_RULE_CHANGED, on_treatment),
    "dosing.modifications": InWords(Effect.MODIFICATION_CHANGED, on_treatment),
    "dosing.cycle_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "dosing.max_interruption_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "dosing.max_supply_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "dosing.early_refill_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "dosing.lab_window_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "dosing.decision_window_days": InWords(Effect.SUPPLY_CHANGED, on_treatment),
    "safety.ctcae_version": InWords(
        Effect.GRADING_CHANGED,
        consented,
        "; adverse events recorded before keep the version they were graded by",
    ),
    "safety.sae_report_hours": InWords(Effect.REPORTING_CHANGED, consented),
    "endpoints.response": InWords(
        Effect.RESPONSE_CHANGED, randomised, "; assessments recorded before stay as they are"
    ),
}

_GATE = frozenset({Effect.GATE_SHUT, Effect.GATE_OPENED})

BY_RULE: Mapping[str, frozenset[Effect]] = {
    "consent.form_version": frozenset({Effect.RECONSENT_DUE}),
    "consent.reconsent": frozenset({Effect.RECONSENT_DUE}),
    "factors": frozenset({Effect.JUDGE_ANEW}),
    "screening": frozenset({Effect.JUDGE_ANEW}),
    "eligibility": frozenset({Effect.JUDGE_ANEW}),
    "dosing.start_anc": _GATE | {Effect.LIMIT_WITHOUT_VALUE},
    "dosing.start_platelets": _GATE | {Effect.LIMIT_WITHOUT_VALUE},
    "dosing.min_creatinine_clearance": _GATE | {Effect.LIMIT_WITHOUT_VALUE},
    "dosing.reduced_below_creatinine_clearance": frozenset(
        {Effect.RENAL_DOSE_CHANGED, Effect.LIMIT_WITHOUT_VALUE}
    ),
    "dosing.reduced_dose_fraction": frozenset(
        {Effect.RENAL_DOSE_CHANGED, Effect.LIMIT_WITHOUT_VALUE}
    ),
    "dosing.ladder_mg": frozenset({Effect.LEVEL_GONE, Effect.DOSE_RULE_CHANGED}),
    "dosing.planned": frozenset({Effect.PLANNED_DOSE_CHANGED}),
    "pregnancy_prevention": frozenset({Effect.PREVENTION_CHANGED}),
    "blind.after_emergency_unblinding": _GATE,
    "visits.code": frozenset({Effect.WINDOW_MOVED}),
    "visits.anchor": frozenset({Effect.WINDOW_MOVED}),
    "visits.offset_days": frozenset({Effect.WINDOW_MOVED}),
    "visits.from_cycle": frozenset({Effect.WINDOW_MOVED}),
    "visits.every_cycles": frozenset({Effect.WINDOW_MOVED}),
    "visits.every_days": frozenset({Effect.WINDOW_MOVED}),
    "visits.window_before_days": frozenset({Effect.WINDOW_MOVED}),
    "visits.window_after_days": frozenset({Effect.WINDOW_MOVED}),
}

_NAMES = "It names the trial or tells about it; nothing that is done follows from it."
_ACCRUAL = "It says how many are to join and when; nobody who has joined is treated otherwise."
_DRAWN = (
    "It is what the randomisation list is made from: refused once there is one, and before that"
    " nobody is randomised. Words that may change tell no blinded reader anything."
)
_ANALYSED = "It is how results are counted and compared; nothing is done otherwise with a subject."
_PEOPLE = "It binds those who ask for a look at an arm, and no subject waits for it."
_WORDS = "It is what something is called."

NOBODY: Mapping[str, str] = {
    "version": _NAMES,
    "trial.code": _NAMES,
    "trial.title": _NAMES,
    "trial.short_title": _NAMES,
    "trial.sponsor": _NAMES,
    "trial.phase": _NAMES,
    "trial.registry": _NAMES,
    "trial.countries": "It says where sites may be added; one that is there goes on.",
    "trial.planned_accrual": _ACCRUAL,
    "trial.accrual_opens_on": _ACCRUAL,
    "trial.accrual_closes_on": _ACCRUAL,
    "arms.code": _DRAWN,
    "arms.label": _DRAWN,
    "arms.ratio": _DRAWN,
    "arms.control": _DRAWN,
    "arms.active_drug": _DRAWN,
    "randomisation.method": _DRAWN,
    "randomisation.block_sizes": _DRAWN,
    "randomisation.block_weights": _DRAWN,
    "randomisation.list_length": _DRAWN,
    "randomisation.minimisation.imbalance": _DRAWN,
    "randomisation.minimisation.probability": _DRAWN,
    "randomisation.minimisation.factors.code": _DRAWN,
    "randomisation.minimisation.factors.weight": _DRAWN,
    "randomisation.predictability_reason": _DRAWN,
    "consent.label": _WORDS + " A form that has to be signed anew has another version.",
    "dosing.drug": _WORDS + " What is in a kit is the arm's, and arms do not change.",
    "safety.meddra": _WORDS + " It tells which dictionary stands behind the organ classes.",
    "safety.teae_days": _ANALYSED,
    "safety.summary_period": "It says how often the safety summary is made.",
    "safety.soc_of_interest.code": _ANALYSED,
    "safety.soc_of_interest.label": _ANALYSED,
    "blind.looks_before_review": _PEOPLE,
    "blind.request_valid_hours": _PEOPLE,
    "visits.label": _WORDS,
    "endpoints.primary.code": _ANALYSED,
    "endpoints.primary.text": _ANALYSED,
    "endpoints.primary.assessor": _ANALYSED,
    "endpoints.secondary.code": _ANALYSED,
    "endpoints.secondary.text": _ANALYSED,
    "endpoints.secondary.assessor": _ANALYSED,
    "analysis.efficacy_population": _ANALYSED,
    "analysis.safety_population": _ANALYSED,
    "analysis.control_arm": _ANALYSED,
    "analysis.stratified_by": _ANALYSED,
    "analysis.ci_transform": _ANALYSED,
    "analysis.ties": _ANALYSED,
    "analysis.percent_rounding": _ANALYSED,
    "analysis.confidence": _ANALYSED,
    "analysis.month_days": _ANALYSED,
    "analysis.landmark_months": _ANALYSED,
    "analysis.at_risk_months": _ANALYSED,
    "analysis.data_cutoff": _ANALYSED,
    "analysis.interim.events_planned": _ANALYSED,
    "analysis.interim.first_look_fraction": _ANALYSED,
    "analysis.interim.first_look_events": _ANALYSED,
    "analysis.interim.boundary": _ANALYSED,
    "analysis.interim.boundary_z": _ANALYSED,
}
"""Leaves that affect nobody who is in the trial, and why. Each stands by its full name."""


def effects_of(leaf: str) -> frozenset[Effect]:
    """Return the effects a change of a leaf can have, by its name or one it stands below.

    Rows are left out of the name, as in ``visits.anchor``. Empty means that none of the two
    tables of effects knows it.
    """
    parts = leaf.split(".")
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        if key in BY_RULE:
            return BY_RULE[key]
        if key in IN_WORDS:
            return frozenset({IN_WORDS[key].effect})
    return frozenset()
