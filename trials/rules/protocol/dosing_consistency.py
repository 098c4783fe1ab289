"""What must hold between doses, supplies and the pregnancy-prevention programme."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from trials.rules.protocol.finding import (
    Finding,
    Unsound,
    as_far_as_sound,
    each,
    repeated,
    rising,
)
from trials.rules.protocol.sections import Dosing, Modification, PlannedDose, PregnancyPrevention
from trials.rules.toml_lines import KeyPath


def dosing_findings(dosing: Dosing) -> Iterator[Finding]:
    checks = (
        _ladder_findings,
        _level_findings,
        _fixed_findings,
        _steps_findings,
        _plan_findings,
        _modification_findings,
        _way_down_findings,
        _cycle_findings,
        _supply_findings,
        _renal_findings,
    )
    for check in checks:
        yield from check(dosing)


# --- The ladder and the plan ----------------------------------------------------------------------


@as_far_as_sound
def _ladder_findings(dosing: Dosing) -> Iterator[Finding]:
    yield from rising(dosing.ladder_mg, ("dosing", "ladder_mg"))
    if not dosing.fixed and dosing.planned[0].dose_mg <= min(dosing.ladder_mg):
        message = f"no level lies below the first dose, {dosing.planned[0].dose_mg} mg"
        yield Finding(("dosing", "ladder_mg"), "ladder_without_way_down", message)


@as_far_as_sound
def _level_findings(dosing: Dosing) -> Iterator[Finding]:
    levels = dosing.ladder_mg
    for index, dose in each(dosing.planned, "dose_mg"):
        if dose not in levels:
            key = ("dosing", "planned", index, "dose_mg")
            yield Finding(key, "dose_not_on_ladder", f"{dose} mg is not on the ladder")


_OF_A_LADDER = (
    "reduced_below_creatinine_clearance",
    "reduced_dose_fraction",
    "full_cycles_before_escalation",
    "re_escalation_above_failed_level",
)


@as_far_as_sound
def _fixed_findings(dosing: Dosing) -> Iterator[Finding]:
    if not dosing.fixed:
        return
    for name in _OF_A_LADDER:
        yield from _of_steps_findings(dosing, name)
    if len(dosing.planned) > 1 or len(dosing.ladder_mg) > 1:
        message = "a fixed dose has one level and one planned row: it is given or held"
        yield Finding(("dosing", "ladder_mg"), "fixed_dose_has_steps", message)


@as_far_as_sound
def _of_steps_findings(dosing: Dosing, name: str) -> Iterator[Finding]:
    if getattr(dosing, name) is not None:
        message = "a fixed dose is not raised or reduced"
        yield Finding(("dosing", name), "fixed_dose_has_steps", message)


@as_far_as_sound
def _steps_findings(dosing: Dosing) -> Iterator[Finding]:
    """Yield the keys that only a fixed dose may leave out, where they are missing."""
    for name in () if dosing.fixed else _OF_A_LADDER:
        yield from _step_findings(dosing, name)


@as_far_as_sound
def _step_findings(dosing: Dosing, name: str) -> Iterator[Finding]:
    if getattr(dosing, name) is None:
        yield Finding(("dosing", name), "missing", "a dose with steps needs it")


@as_far_as_sound
def _plan_findings(dosing: Dosing) -> Iterator[Finding]:
    yield from _start_findings(dosing.planned[0])
    for index, row in enumerate(dosing.planned):
        yield from _row_findings(row, index)
    for index, (row, following) in enumerate(pairwise(dosing.planned), start=1):
        yield from _following_findings(row, following, index)
        yield from _rise_findings(dosing, index)


@as_far_as_sound
def _start_findings(first: PlannedDose) -> Iterator[Finding]:
    if first.from_cycle != 1 or first.condition is not None:
        message = "the plan begins with cycle 1, without a condition"
        yield Finding(("dosing", "planned", 0), "plan_start", message)


@as_far_as_sound
def _row_findings(row: PlannedDose, index: int) -> Iterator[Finding]:
    if row.to_cycle is not None and row.to_cycle < row.from_cycle:
        key = ("dosing", "planned", index, "to_cycle")
        yield Finding(key, "range_reversed", "the last cycle is before the first")


@as_far_as_sound
def _following_findings(row: PlannedDose, following: PlannedDose, index: int) -> Iterator[Finding]:
    if row.to_cycle is None or following.from_cycle != row.to_cycle + 1:
        key = ("dosing", "planned", index, "from_cycle")
        message = f"cycles must follow on: the row before ends with cycle {row.to_cycle}"
        yield Finding(key, "cycles_not_contiguous", message)


@as_far_as_sound
def _rise_findings(dosing: Dosing, index: int) -> Iterator[Finding]:
    before, after = dosing.planned[index - 1].dose_mg, dosing.planned[index].dose_mg
    if sum(before < level <= after for level in dosing.ladder_mg) > 1:
        key = ("dosing", "planned", index, "dose_mg")
        yield Finding(key, "step_too_large", "a planned dose rises by one level at most")


# --- Modifications --------------------------------------------------------------------------------

_MODIFICATIONS: KeyPath = ("dosing", "modifications")


@as_far_as_sound
def _modification_findings(dosing: Dosing) -> Iterator[Finding]:
    yield from repeated(dosing.modifications, _MODIFICATIONS)
    for index, row in enumerate(dosing.modifications):
        for name in ("resume_when", "resume_at"):
            yield from _resume_findings(row, name, (*_MODIFICATIONS, index, name))


@as_far_as_sound
def _resume_findings(row: Modification, name: str, key: KeyPath) -> Iterator[Finding]:
    if (getattr(row, name) is not None) != (row.action == "hold"):
        message = "a held dose says when and at which level it goes on; no other does"
        yield Finding(key, "resume_and_action", message)


@as_far_as_sound
def _way_down_findings(dosing: Dosing) -> Iterator[Finding]:
    if min(dosing.ladder_mg) < min(planned.dose_mg for planned in dosing.planned):
        return
    for index, row in enumerate(dosing.modifications):
        yield from _lower_findings(row, (*_MODIFICATIONS, index))


@as_far_as_sound
def _lower_findings(row: Modification, key: KeyPath) -> Iterator[Finding]:
    if row.action == "reduce_one_level" or row.resume_at == "one_level_lower":
        message = "it asks for one level lower, and the ladder has none below the plan"
        yield Finding(key, "ladder_without_way_down", message)


# --- Supply ---------------------------------------------------------------------------------------


@as_far_as_sound
def _cycle_findings(dosing: Dosing) -> Iterator[Finding]:
    if not dosing.cycle_days.value:
        yield Finding(("dosing", "cycle_days"), "cycle_without_days", "a cycle lasts a day or more")


@as_far_as_sound
def _supply_findings(dosing: Dosing) -> Iterator[Finding]:
    if dosing.max_supply_days.value > dosing.cycle_days.value:
        message = "one supply must not last longer than a cycle"
        yield Finding(("dosing", "max_supply_days"), "supply_longer_than_cycle", message)


@as_far_as_sound
def _renal_findings(dosing: Dosing) -> Iterator[Finding]:
    reduced = dosing.reduced_below_creatinine_clearance
    if reduced is not None and dosing.min_creatinine_clearance.value > reduced.value:
        message = "the limit for holding lies above the limit for reducing"
        yield Finding(("dosing", "min_creatinine_clearance"), "renal_limits_reversed", message)


# --- Pregnancy prevention -------------------------------------------------------------------------

_PROGRAMME = "pregnancy_prevention"


@as_far_as_sound
def pregnancy_findings(policy: PregnancyPrevention) -> Iterator[Finding]:
    if not policy.required:
        return
    for name, field in PregnancyPrevention.model_fields.items():
        yield from _left_out_findings(policy, name, field.alias or name)
    yield from _first_test_findings(policy)
    yield from _second_test_findings(policy)
    for name in ("weekly_test_interval_days", "irregular_test_interval_days"):
        yield from _interval_findings(policy, name)


@as_far_as_sound
def _left_out_findings(policy: PregnancyPrevention, name: str, key: str) -> Iterator[Finding]:
    if getattr(policy, name) is None:
        yield Finding((_PROGRAMME, key), "missing", "the programme needs it")


def _stated(policy: PregnancyPrevention, name: str) -> Any:
    """Return a key of the programme. Raises ``Unsound`` if it is not there, which is named."""
    if (value := getattr(policy, name)) is None:
        raise Unsound(name)
    return value


@as_far_as_sound
def _first_test_findings(policy: PregnancyPrevention) -> Iterator[Finding]:
    first = _stated(policy, "first_test_days")
    if first.max < first.min:
        message = "the largest value is below the smallest"
        yield Finding((_PROGRAMME, "first_test_days", "max"), "range_reversed", message)


@as_far_as_sound
def _second_test_findings(policy: PregnancyPrevention) -> Iterator[Finding]:
    second, first = _stated(policy, "second_test_hours"), _stated(policy, "first_test_days")
    if second.value >= first.min * 24:
        message = "the second test could be the first one"
        yield Finding((_PROGRAMME, "second_test_hours"), "tests_not_apart", message)


@as_far_as_sound
def _interval_findings(policy: PregnancyPrevention, name: str) -> Iterator[Finding]:
    interval, later = _stated(policy, name), _stated(policy, "later_test_interval_days")
    if not 1 <= interval.value <= later.value:
        message = "must be a day or more, and not longer than the later interval"
        yield Finding((_PROGRAMME, name), "interval_out_of_order", message)


@as_far_as_sound
def later_test_findings(policy: PregnancyPrevention, dosing: Dosing) -> Iterator[Finding]:
    if not policy.required:
        return
    if _stated(policy, "later_test_interval_days").value > dosing.cycle_days.value:
        message = "every cycle needs a test"
        key = (_PROGRAMME, "later_test_interval_days")
        yield Finding(key, "interval_longer_than_cycle", message)
