"""What must hold between the keys of a protocol file.

Each check takes sections that are sound by themselves, or of one that is not what can be read of
it (``partial``), and yields a ``Finding`` for everything that is wrong, so that one reading of the
file names it all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trials.rules.protocol.arms_consistency import (
    arm_findings,
    list_length_findings,
    minimised_factor_findings,
    randomisation_findings,
    ratio_findings,
)
from trials.rules.protocol.dosing_consistency import (
    dosing_findings,
    later_test_findings,
    pregnancy_findings,
)
from trials.rules.protocol.factor_consistency import factor_findings, strata_findings
from trials.rules.protocol.finding import (
    Check,
    Finding,
    as_far_as_sound,
    repeated,
    rising,
    same_labels,
)
from trials.rules.protocol.predictability_consistency import predictability_findings
from trials.rules.protocol.screening_consistency import (
    asked_findings,
    eligibility_findings,
    screening_findings,
)
from trials.rules.protocol.sections import Analysis, Arm, Endpoints, Interim, Safety, Trial
from trials.rules.protocol.visit_consistency import visit_findings, window_findings


PROGRESSION = "PD"


def findings(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield every finding of the checks whose sections can be read at all."""
    for needed, check in CHECKS:
        if all(name in sections for name in needed):
            yield from check(*(sections[name] for name in needed))


def trial_findings(trial: Trial) -> Iterator[Finding]:
    yield from _accrual_findings(trial)
    yield from _country_findings(trial)


@as_far_as_sound
def _country_findings(trial: Trial) -> Iterator[Finding]:
    for index, country in enumerate(trial.countries):
        if country in trial.countries[:index]:
            key = ("trial", "countries", index)
            yield Finding(key, "choice_repeated", f"the country {country} is there twice")


@as_far_as_sound
def _accrual_findings(trial: Trial) -> Iterator[Finding]:
    if trial.accrual_closes_on < trial.accrual_opens_on:
        key = ("trial", "accrual_closes_on")
        yield Finding(key, "closes_before_opening", "accrual closes before it opens")


@as_far_as_sound
def endpoint_findings(endpoints: Endpoints) -> Iterator[Finding]:
    key = ("endpoints", "response", "categories")
    categories = endpoints.response.categories
    if len(set(categories)) < len(categories):
        yield Finding(key, "choice_repeated", "a category is there twice")
    if PROGRESSION not in categories:
        yield Finding(key, "no_progression", f"{PROGRESSION} is missing: nobody could progress")


@as_far_as_sound
def safety_findings(safety: Safety) -> Iterator[Finding]:
    yield from repeated(safety.soc_of_interest, ("safety", "soc_of_interest"))
    yield from same_labels(safety.soc_of_interest, ("safety", "soc_of_interest"))


def analysis_findings(analysis: Analysis) -> Iterator[Finding]:
    yield from _landmark_findings(analysis)
    yield from _at_risk_findings(analysis)
    yield from _look_findings(analysis)


@as_far_as_sound
def _landmark_findings(analysis: Analysis) -> Iterator[Finding]:
    yield from rising(analysis.landmark_months, ("analysis", "landmark_months"))


@as_far_as_sound
def _at_risk_findings(analysis: Analysis) -> Iterator[Finding]:
    yield from rising(analysis.at_risk_months, ("analysis", "at_risk_months"))


@as_far_as_sound
def _look_findings(analysis: Analysis) -> Iterator[Finding]:
    interim: Interim = analysis.interim
    if interim.first_look_events.value >= interim.events_planned.value:
        key = ("analysis", "interim", "first_look_events")
        yield Finding(key, "look_after_the_end", "the first look comes before the last event")


@as_far_as_sound
def control_findings(analysis: Analysis, arms: Sequence[Arm]) -> Iterator[Finding]:
    if not any(arm.code == analysis.control_arm and arm.control for arm in arms):
        message = f"{analysis.control_arm!r} is not the control arm"
        yield Finding(("analysis", "control_arm"), "control_arm_unknown", message)


@as_far_as_sound
def cutoff_findings(analysis: Analysis, trial: Trial) -> Iterator[Finding]:
    if analysis.data_cutoff < trial.accrual_opens_on:
        message = "the data cut-off lies before the first day of accrual"
        yield Finding(("analysis", "data_cutoff"), "cutoff_before_accrual", message)


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("trial",), trial_findings),
    (("arms",), arm_findings),
    (("randomisation",), randomisation_findings),
    (("randomisation", "arms"), ratio_findings),
    (("randomisation", "arms", "trial"), as_far_as_sound(predictability_findings)),
    (("randomisation", "trial"), list_length_findings),
    (("randomisation", "factors"), minimised_factor_findings),
    (("screening",), screening_findings),
    (("eligibility",), eligibility_findings),
    (("eligibility", "screening"), asked_findings),
    (("factors",), factor_findings),
    (("factors", "screening", "eligibility"), strata_findings),
    (("dosing",), dosing_findings),
    (("pregnancy_prevention",), pregnancy_findings),
    (("pregnancy_prevention", "dosing"), later_test_findings),
    (("endpoints",), endpoint_findings),
    (("safety",), safety_findings),
    (("visits",), visit_findings),
    (("visits", "dosing"), window_findings),
    (("analysis",), analysis_findings),
    (("analysis", "arms"), control_findings),
    (("analysis", "trial"), cutoff_findings),
)
