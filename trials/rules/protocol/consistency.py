"""What must hold between the keys of a protocol file.

Each check takes sections that are sound by themselves and yields a ``Finding`` for
everything that is wrong, so that one reading of the file names it all.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import gcd
from typing import Any

from trials.rules.protocol.finding import Check, Finding, repeated
from trials.rules.protocol.predictability_consistency import predictability_findings
from trials.rules.protocol.screening_consistency import (
    eligibility_findings,
    factor_findings,
    screening_findings,
)
from trials.rules.protocol.sections import (
    Analysis,
    Arm,
    Dosing,
    Endpoints,
    Minimisation,
    PregnancyPrevention,
    Randomisation,
    Safety,
    Trial,
)
from trials.rules.protocol.visit_consistency import visit_findings
from trials.rules.toml_lines import KeyPath


LARGEST_BLOCK = 200
LARGEST_RATIO = 100
"""Bounds of what is sensible; they also keep the arithmetic of a minimisation below 2^63."""

PROGRESSION = "PD"


def findings(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield every finding of the checks whose sections are all there."""
    for needed, check in CHECKS:
        if all(name in sections for name in needed):
            yield from check(*(sections[name] for name in needed))


def _rising(values: Sequence[Any], key: KeyPath) -> Iterator[Finding]:
    if any(low >= high for low, high in pairwise(values)):
        yield Finding(key, "not_rising", "each value must be larger than the one before it")


def trial_findings(trial: Trial) -> Iterator[Finding]:
    if trial.accrual_closes_on < trial.accrual_opens_on:
        key = ("trial", "accrual_closes_on")
        yield Finding(key, "closes_before_opening", "accrual closes before it opens")


def arm_findings(arms: Sequence[Arm]) -> Iterator[Finding]:
    yield from repeated(arms, ("arms",))
    if sum(arm.control for arm in arms) != 1:
        yield Finding(("arms",), "one_control_arm", "exactly one arm is the control")
    if not any(arm.active_drug for arm in arms):
        yield Finding(("arms",), "no_active_arm", "no arm receives the study drug")


def randomisation_findings(randomisation: Randomisation, arms: Sequence[Arm]) -> Iterator[Finding]:
    yield from _method_findings(randomisation)
    shares = [arm.ratio for arm in arms]
    smallest = sum(shares) // gcd(*shares)
    yield from _block_findings(randomisation, smallest)
    if randomisation.minimisation:
        yield from _minimisation_findings(randomisation.minimisation, smallest)


def _method_findings(randomisation: Randomisation) -> Iterator[Finding]:
    """Check that the keys of the method are there, and those of the others are not."""
    stated = {
        "block_sizes": (randomisation.sourced_block_sizes, "permuted_blocks", True),
        "block_weights": (randomisation.sourced_block_weights, "permuted_blocks", False),
        "minimisation": (randomisation.minimisation, "minimisation", True),
    }
    for name, (value, method, needed) in stated.items():
        if value is None and needed and randomisation.method == method:
            message = f"the method {method} needs it"
            yield Finding(("randomisation", name), "missing", message)
        if value is not None and randomisation.method != method:
            message = f"the method {randomisation.method} does not use it"
            yield Finding(("randomisation", name), "not_of_this_method", message)


def _block_findings(randomisation: Randomisation, smallest: int) -> Iterator[Finding]:
    key = ("randomisation", "block_sizes")
    for size in randomisation.block_sizes:
        if size % smallest:
            message = (
                f"a block of {size} cannot hold the ratio, which needs multiples of {smallest}"
            )
            yield Finding(key, "block_does_not_fit_ratio", message)
        if size > LARGEST_BLOCK:
            message = f"a block of {size} is larger than {LARGEST_BLOCK}: it balances too late"
            yield Finding(key, "block_too_large", message)
    yield from _rising(randomisation.block_sizes, key)
    if len(randomisation.block_weights) != len(randomisation.block_sizes):
        message = "each block size needs one weight"
        yield Finding(("randomisation", "block_weights"), "weights_do_not_match", message)


def _minimisation_findings(minimisation: Minimisation, arms: int) -> Iterator[Finding]:
    table = ("randomisation", "minimisation")
    yield from repeated(minimisation.factors, (*table, "factors"))
    if minimisation.probability.value * arms <= 1:
        message = f"must be more than 1/{arms}, which prefers no arm, and 1 at most"
        yield Finding((*table, "probability"), "probability_out_of_range", message)
    if arms > LARGEST_RATIO:
        message = f"a minimisation counts {LARGEST_RATIO} equal arms at most; the ratio has {arms}"
        yield Finding(("arms",), "ratio_too_large", message)


def list_length_findings(randomisation: Randomisation, trial: Trial) -> Iterator[Finding]:
    """Check the length of one stratum's list, and not of all together.

    Nobody knows how strata fill: each may come to hold the whole trial, and none more.
    """
    planned, stated = trial.planned_accrual.value, randomisation.list_length
    if stated is None:
        return
    key = ("randomisation", "list_length")
    if stated.value > planned:
        message = f"no list needs more places than the trial has subjects, {planned}"
        yield Finding(key, "list_longer_than_plan", message)
    if randomisation.method == "minimisation" and stated.value < planned:
        message = f"a minimisation needs a draw for each of {planned} subjects"
        yield Finding(key, "list_shorter_than_plan", message)


def minimised_factor_findings(
    randomisation: Randomisation, factors: Sequence[Any]
) -> Iterator[Finding]:
    known = {"site", *(factor.code for factor in factors)}
    rows = randomisation.minimisation.factors if randomisation.minimisation else ()
    for index, factor in enumerate(rows):
        if factor.code not in known:
            key = ("randomisation", "minimisation", "factors", index, "code")
            message = f"{factor.code!r} is neither a factor of the protocol nor the site"
            yield Finding(key, "factor_unknown", message)


def ladder_findings(dosing: Dosing) -> Iterator[Finding]:
    yield from _rising(dosing.ladder_mg, ("dosing", "ladder_mg"))
    if dosing.fixed:
        yield from _fixed_findings(dosing)
    elif dosing.planned[0].dose_mg <= min(dosing.ladder_mg):
        message = f"no level lies below the first dose, {dosing.planned[0].dose_mg} mg"
        yield Finding(("dosing", "ladder_mg"), "ladder_without_way_down", message)
    for index, planned in enumerate(dosing.planned):
        if planned.dose_mg not in dosing.ladder_mg:
            key = ("dosing", "planned", index, "dose_mg")
            yield Finding(key, "dose_not_on_ladder", f"{planned.dose_mg} mg is not on the ladder")


_OF_A_LADDER = (
    "reduced_below_creatinine_clearance",
    "reduced_dose_fraction",
    "full_cycles_before_escalation",
    "re_escalation_above_failed_level",
)


def _fixed_findings(dosing: Dosing) -> Iterator[Finding]:
    if len(dosing.ladder_mg) > 1 or len(dosing.planned) > 1:
        message = "a fixed dose has one level and one planned row: it is given or held"
        yield Finding(("dosing", "ladder_mg"), "fixed_dose_has_steps", message)
    for name in _OF_A_LADDER:
        if getattr(dosing, name) is not None:
            message = "a fixed dose is not raised or reduced"
            yield Finding(("dosing", name), "fixed_dose_has_steps", message)


def steps_findings(dosing: Dosing) -> Iterator[Finding]:
    """Yield the keys that only a fixed dose may leave out, where they are missing."""
    for name in () if dosing.fixed else _OF_A_LADDER:
        if getattr(dosing, name) is None:
            yield Finding(("dosing", name), "missing", "a dose with steps needs it")


def plan_findings(dosing: Dosing) -> Iterator[Finding]:
    planned = dosing.planned
    if planned[0].from_cycle != 1 or planned[0].condition is not None:
        message = "the plan begins with cycle 1, without a condition"
        yield Finding(("dosing", "planned", 0), "plan_start", message)
    for index, row in enumerate(planned):
        if row.to_cycle is not None and row.to_cycle < row.from_cycle:
            key = ("dosing", "planned", index, "to_cycle")
            yield Finding(key, "range_reversed", "the last cycle is before the first")
    for index, (row, following) in enumerate(pairwise(planned), start=1):
        if row.to_cycle is None or following.from_cycle != row.to_cycle + 1:
            key = ("dosing", "planned", index, "from_cycle")
            message = f"cycles must follow on: the row before ends with cycle {row.to_cycle}"
            yield Finding(key, "cycles_not_contiguous", message)
        if _levels_up(dosing, index) > 1:
            key = ("dosing", "planned", index, "dose_mg")
            yield Finding(key, "step_too_large", "a planned dose rises by one level at most")


def _levels_up(dosing: Dosing, index: int) -> int:
    before, after = dosing.planned[index - 1].dose_mg, dosing.planned[index].dose_mg
    return sum(before < level <= after for level in dosing.ladder_mg)


def modification_findings(dosing: Dosing) -> Iterator[Finding]:
    table: KeyPath = ("dosing", "modifications")
    yield from repeated(dosing.modifications, table)
    way_down = min(dosing.ladder_mg) < min(planned.dose_mg for planned in dosing.planned)
    for index, row in enumerate(dosing.modifications):
        held = row.action == "hold"
        for name in ("resume_when", "resume_at"):
            if (getattr(row, name) is not None) != held:
                message = "a held dose says when and at which level it goes on; no other does"
                yield Finding((*table, index, name), "resume_and_action", message)
        lower = row.action == "reduce_one_level" or row.resume_at == "one_level_lower"
        if lower and not way_down:
            message = "it asks for one level lower, and the ladder has none below the plan"
            yield Finding((*table, index), "ladder_without_way_down", message)


def supply_findings(dosing: Dosing) -> Iterator[Finding]:
    if not dosing.cycle_days.value:
        yield Finding(("dosing", "cycle_days"), "cycle_without_days", "a cycle lasts a day or more")
    if dosing.max_supply_days.value > dosing.cycle_days.value:
        message = "one supply must not last longer than a cycle"
        yield Finding(("dosing", "max_supply_days"), "supply_longer_than_cycle", message)
    reduced = dosing.reduced_below_creatinine_clearance
    if reduced is not None and dosing.min_creatinine_clearance.value > reduced.value:
        message = "the limit for holding lies above the limit for reducing"
        yield Finding(("dosing", "min_creatinine_clearance"), "renal_limits_reversed", message)


def pregnancy_findings(policy: PregnancyPrevention, dosing: Dosing) -> Iterator[Finding]:
    table = "pregnancy_prevention"
    if not policy.required:
        return
    if left_out := [*_left_out(policy)]:
        yield from (
            Finding((table, name), "missing", "the programme needs it") for name in left_out
        )
        return
    if policy.first_test_days.max < policy.first_test_days.min:
        message = "the largest value is below the smallest"
        yield Finding((table, "first_test_days", "max"), "range_reversed", message)
    if policy.second_test_hours.value >= policy.first_test_days.min * 24:
        message = "the second test could be the first one"
        yield Finding((table, "second_test_hours"), "tests_not_apart", message)
    for name in ("weekly_test_interval_days", "irregular_test_interval_days"):
        interval = getattr(policy, name).value
        if not 1 <= interval <= policy.later_test_interval_days.value:
            message = "must be a day or more, and not longer than the later interval"
            yield Finding((table, name), "interval_out_of_order", message)
    if policy.later_test_interval_days.value > dosing.cycle_days.value:
        message = "every cycle needs a test"
        yield Finding((table, "later_test_interval_days"), "interval_longer_than_cycle", message)


def _left_out(policy: PregnancyPrevention) -> Iterator[str]:
    for name, field in type(policy).model_fields.items():
        if getattr(policy, name) is None:
            yield field.alias or name


def endpoint_findings(endpoints: Endpoints) -> Iterator[Finding]:
    key = ("endpoints", "response", "categories")
    categories = endpoints.response.categories
    if len(set(categories)) < len(categories):
        yield Finding(key, "choice_repeated", "a category is there twice")
    if PROGRESSION not in categories:
        yield Finding(key, "no_progression", f"{PROGRESSION} is missing: nobody could progress")


def safety_findings(safety: Safety) -> Iterator[Finding]:
    yield from repeated(safety.soc_of_interest, ("safety", "soc_of_interest"))


def analysis_findings(analysis: Analysis, arms: Sequence[Arm], trial: Trial) -> Iterator[Finding]:
    if not any(arm.code == analysis.control_arm and arm.control for arm in arms):
        message = f"{analysis.control_arm!r} is not the control arm"
        yield Finding(("analysis", "control_arm"), "control_arm_unknown", message)
    yield from _rising(analysis.landmark_months, ("analysis", "landmark_months"))
    yield from _rising(analysis.at_risk_months, ("analysis", "at_risk_months"))
    if analysis.data_cutoff < trial.accrual_opens_on:
        message = "the data cut-off lies before the first day of accrual"
        yield Finding(("analysis", "data_cutoff"), "cutoff_before_accrual", message)
    if not analysis.month_days.value:
        yield Finding(("analysis", "month_days"), "month_without_days", "a month has days")
    interim = analysis.interim
    if interim.first_look_events.value >= interim.events_planned.value:
        key = ("analysis", "interim", "first_look_events")
        yield Finding(key, "look_after_the_end", "the first look comes before the last event")


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("trial",), trial_findings),
    (("arms",), arm_findings),
    (("randomisation", "arms"), randomisation_findings),
    (("randomisation", "arms", "trial"), predictability_findings),
    (("randomisation", "trial"), list_length_findings),
    (("randomisation", "factors"), minimised_factor_findings),
    (("screening",), screening_findings),
    (("eligibility", "screening"), eligibility_findings),
    (("factors", "screening", "eligibility"), factor_findings),
    (("dosing",), ladder_findings),
    (("dosing",), steps_findings),
    (("dosing",), plan_findings),
    (("dosing",), modification_findings),
    (("dosing",), supply_findings),
    (("pregnancy_prevention", "dosing"), pregnancy_findings),
    (("endpoints",), endpoint_findings),
    (("safety",), safety_findings),
    (("visits", "dosing"), visit_findings),
    (("analysis", "arms", "trial"), analysis_findings),
)
