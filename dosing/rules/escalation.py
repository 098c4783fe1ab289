"""Which dose a cycle may have: proposed from the plan, decided by the investigator.

Doses are milligrams a day on the protocol's ladder. A dose of 0 means that the cycle is held.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from events.outcomes import Reason
from trials.rules.protocol import Dosing


HELD = Decimal(0)


class DoseBlock(StrEnum):
    """Why a dose cannot be decided, or is proposed lower than planned. Values are stable."""

    NOT_ON_LADDER = "dose_not_on_ladder"
    ABOVE_PLAN = "dose_above_plan"
    ABOVE_START = "dose_above_start"
    STEP_TOO_LARGE = "step_too_large"
    CYCLE_NOT_COMPLETED = "cycle_not_completed"
    LEVEL_FAILED = "level_failed"
    RENAL_LIMIT = "renal_limit"
    NO_LEVEL_LEFT = "no_level_left"
    ANC_TOO_LOW = "anc_too_low"
    PLATELETS_TOO_LOW = "platelets_too_low"
    CREATININE_CLEARANCE_TOO_LOW = "creatinine_clearance_too_low"
    LAB_MISSING = "lab_missing"
    REASON_MISSING = "reason_missing"


@dataclass(frozen=True, slots=True)
class GivenCycle:
    """One earlier cycle: its dose, whether all its days were taken, whether the dose failed.

    A dose has failed when an event on it called for a lower one.
    """

    cycle: int
    dose_mg: Decimal
    completed: bool
    failed: bool = False


@dataclass(frozen=True, slots=True)
class DayOneLabs:
    """Results of day 1 of the cycle; ``None`` means missing."""

    anc_10e9_l: Decimal | None
    platelets_10e9_l: Decimal | None
    creatinine_clearance_ml_min: Decimal | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The dose the rules propose, and why it is not the planned one; 0 mg is a held cycle."""

    dose_mg: Decimal
    because: tuple[Reason, ...] = ()


def planned_dose(cycle: int, policy: Dosing, *, met: Collection[str] = ()) -> Decimal:
    """Return the dose the plan gives a cycle (from 1).

    ``met`` are the conditions of the plan that are known to hold. Where it asks for another one,
    the last dose that asks for nothing is kept.

    Raises ``ValueError`` if the plan has no such cycle.
    """
    dose: Decimal | None = None
    for row in policy.planned:
        if row.from_cycle > cycle:
            break
        if row.condition is None or row.condition in met:
            dose = row.dose_mg
        if row.to_cycle is None or cycle <= row.to_cycle:
            return _planned(dose, cycle)
    raise ValueError(f"the plan has no cycle {cycle}")


def proposed_dose(
    cycle: int,
    history: Sequence[GivenCycle],
    labs: DayOneLabs,
    policy: Dosing,
    *,
    met: Collection[str] = (),
) -> Proposal:
    """Return the highest dose that breaks no rule, with every reason it is below the plan.

    After a level has failed the proposal is the level below it. When the cycle may not be
    started, or no level is left, the proposal is to hold.

    Source: the protocol file, ``dosing``; each limit stands there with its own.
    """
    if blocks := start_blocks(labs, policy):
        return Proposal(HELD, blocks)
    plan = planned_dose(cycle, policy, met=met)
    failed = {past.dose_mg for past in history if past.failed}
    because: dict[str, Reason] = {}
    for level in sorted(policy.ladder_mg, reverse=True):
        if level > plan:
            continue
        blocks = _level_blocks(level, history, labs, policy, plan)
        if failed and level >= min(failed):
            blocks = (*blocks, _failed(min(failed)))
        if not blocks:
            return Proposal(level, tuple(because.values()))
        because.update({block.code: block for block in blocks})
    nothing = Reason(DoseBlock.NO_LEVEL_LEFT, "no level of the ladder is left to go down to")
    return Proposal(HELD, (*because.values(), nothing))


def dose_blocks(
    cycle: int,
    dose_mg: Decimal,
    reason: str,
    history: Sequence[GivenCycle],
    labs: DayOneLabs,
    policy: Dosing,
    *,
    met: Collection[str] = (),
) -> tuple[Reason, ...]:
    """Return every reason a dose cannot be decided for a cycle; empty means it can.

    Holding is always allowed, and so is going down, once the cycle may be started at all. Going
    up is one level at a time, after full cycles at the level below, never above the plan,
    never to or above a level that has failed. A dose other than the proposed one needs a
    reason in words.

    Source: the protocol file, ``dosing``; the rule as a whole is an assumption made here.
    """
    proposal = proposed_dose(cycle, history, labs, policy, met=met)
    blocks: list[Reason] = []
    if dose_mg != HELD:
        plan = planned_dose(cycle, policy, met=met)
        blocks.extend(start_blocks(labs, policy))
        blocks.extend(_level_blocks(dose_mg, history, labs, policy, plan))
    if dose_mg != proposal.dose_mg and not reason.strip():
        detail = f"{dose_mg} mg is not the proposed {proposal.dose_mg} mg: say why"
        blocks.append(Reason(DoseBlock.REASON_MISSING, detail))
    return tuple(blocks)


def dose_in_force_blocks(cycle: int, dose_mg: Decimal, policy: Dosing) -> tuple[Reason, ...]:
    """Return why a dose decided under an earlier protocol version cannot be given under this one.

    The level is gone from the ladder, or lies above the highest dose planned for the cycle. A
    held cycle stays held.
    """
    if dose_mg == HELD:
        return ()
    blocks = []
    if dose_mg not in policy.ladder_mg:
        blocks.append(Reason(DoseBlock.NOT_ON_LADDER, f"{dose_mg} mg is not on the ladder"))
    begun = [row for row in policy.planned if row.from_cycle <= cycle]
    ended = bool(begun) and begun[-1].to_cycle is not None and begun[-1].to_cycle < cycle
    kept = [row for row in begun if row.condition is None][-1:]
    planned = [] if ended else [row.dose_mg for row in (*kept, *begun[-1:])]
    if dose_mg > max(planned, default=HELD):
        detail = f"{dose_mg} mg lies above what is planned for cycle {cycle}"
        blocks.append(Reason(DoseBlock.ABOVE_PLAN, detail))
    return tuple(blocks)


def start_blocks(labs: DayOneLabs, policy: Dosing) -> tuple[Reason, ...]:
    """Return every reason a cycle cannot be started; a value at its limit is enough.

    Source: the protocol file, ``dosing``.
    """
    clearance = labs.creatinine_clearance_ml_min
    checks = (
        ("neutrophils", labs.anc_10e9_l, policy.start_anc, DoseBlock.ANC_TOO_LOW),
        ("platelets", labs.platelets_10e9_l, policy.start_platelets, DoseBlock.PLATELETS_TOO_LOW),
        (
            "creatinine clearance",
            clearance,
            policy.min_creatinine_clearance,
            DoseBlock.CREATININE_CLEARANCE_TOO_LOW,
        ),
    )
    blocks = []
    for name, value, limit, code in checks:
        if value is None:
            blocks.append(Reason(DoseBlock.LAB_MISSING, f"{name}: no result"))
        elif value < limit.value:
            blocks.append(Reason(code, f"{name} {value}, below {limit.value} {limit.unit}"))
    return tuple(blocks)


def _planned(dose: Decimal | None, cycle: int) -> Decimal:
    if dose is None:
        raise ValueError(f"the plan has no dose without a condition by cycle {cycle}")
    return dose


def _level_blocks(
    dose: Decimal,
    history: Sequence[GivenCycle],
    labs: DayOneLabs,
    policy: Dosing,
    plan: Decimal,
) -> tuple[Reason, ...]:
    """Return what stands against a level by itself, whatever is proposed."""
    blocks: list[Reason] = []
    if dose not in policy.ladder_mg:
        blocks.append(Reason(DoseBlock.NOT_ON_LADDER, f"{dose} mg is not a level of the ladder"))
    if dose > plan:
        blocks.append(Reason(DoseBlock.ABOVE_PLAN, f"{dose} mg, {plan} mg planned"))
    blocks.extend(_renal_blocks(dose, labs, policy, plan))
    given = sorted((past for past in history if past.dose_mg != HELD), key=lambda past: past.cycle)
    if given:
        blocks.extend(_step_blocks(dose, given, policy))
    elif dose > policy.planned[0].dose_mg:
        detail = f"treatment begins with {policy.planned[0].dose_mg} mg"
        blocks.append(Reason(DoseBlock.ABOVE_START, detail))
    return tuple(blocks)


def _renal_blocks(
    dose: Decimal, labs: DayOneLabs, policy: Dosing, plan: Decimal
) -> Iterator[Reason]:
    if policy.fixed:
        return
    clearance = labs.creatinine_clearance_ml_min
    limit = policy.reduced_below_creatinine_clearance
    if clearance is None or clearance >= limit.value:
        return
    share = policy.reduced_dose_fraction.value
    if dose > plan * share:
        detail = f"creatinine clearance {clearance}, below {limit.value} {limit.unit}: "
        yield Reason(DoseBlock.RENAL_LIMIT, detail + f"at most {share} of the planned {plan} mg")


def _step_blocks(dose: Decimal, given: Sequence[GivenCycle], policy: Dosing) -> Iterator[Reason]:
    last = given[-1].dose_mg
    if dose <= last:
        return
    if sum(last < level <= dose for level in policy.ladder_mg) > 1:
        detail = f"from {last} mg to {dose} mg is more than one level"
        yield Reason(DoseBlock.STEP_TOO_LARGE, detail)
    needed = policy.full_cycles_before_escalation.value
    recent = given[-needed:]
    if len(recent) < needed or not all(c.completed and c.dose_mg == last for c in recent):
        detail = f"{needed} full cycle(s) at {last} mg needed before going up"
        yield Reason(DoseBlock.CYCLE_NOT_COMPLETED, detail)
    failed = [past.dose_mg for past in given if past.failed]
    if failed and dose >= min(failed) and not policy.re_escalation_above_failed_level.value:
        yield _failed(min(failed))


def _failed(level: Decimal) -> Reason:
    return Reason(DoseBlock.LEVEL_FAILED, f"{level} mg was not tolerated before")
