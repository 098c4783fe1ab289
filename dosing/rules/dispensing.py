"""May study drug be handed over? Everything that decides it, asked at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from dosing.rules.escalation import HELD, DayOneLabs, dose_in_force_blocks, start_blocks
from dosing.rules.pregnancy_prevention import GateFacts, gate_blocks
from events.outcomes import Reason
from trials.rules.protocol import Dosing, PregnancyPrevention


class DispenseBlock(StrEnum):
    """Why nothing can be handed over. Values are stable: the API and the audit trail show them.

    Reasons of ``GateBlock`` (pregnancy prevention) and ``DoseBlock`` (laboratory) join them.
    """

    CONSENT_MISSING = "consent_missing"
    RECONSENT_DUE = "reconsent_due"
    NOT_RANDOMISED = "not_randomised"
    TREATMENT_ENDED = "treatment_ended"
    PROGRESSED = "progressed"
    CYCLE_OUT_OF_ORDER = "cycle_out_of_order"
    DECISION_MISSING = "dose_decision_missing"
    DECISION_OUT_OF_WINDOW = "dose_decision_out_of_window"
    DOSE_HELD = "dose_held"
    SUPPLY_TOO_LONG = "supply_too_long"
    CYCLE_SUPPLIED = "cycle_supplied"
    SUPPLY_TOO_EARLY = "supply_too_early"
    INTERRUPTION_TOO_LONG = "interruption_too_long"
    PRESCRIPTION_EXPIRED = "prescription_expired"
    PRESCRIPTION_AFTER_SUPPLY = "prescription_after_supply"


@dataclass(frozen=True, slots=True)
class Decision:
    """The dose decision in force for a cycle."""

    cycle: int
    decided_on: date
    dose_mg: Decimal


@dataclass(frozen=True, slots=True)
class LabResult:
    """``analyte`` is ``anc``, ``platelets`` (both 10^9/L) or ``creatinine_clearance`` (mL/min)."""

    analyte: str
    taken_on: date
    value: Decimal


@dataclass(frozen=True, slots=True)
class Supply:
    """What was handed over before, in days of treatment."""

    cycle: int
    dispensed_on: date
    days: int


@dataclass(frozen=True, slots=True)
class DispensingFacts:
    """What is known of the subject; ``gate`` is what pregnancy prevention asks for.

    ``decisions`` are those of all cycles: a held cycle is passed over by its decision.
    ``form_due`` is the consent form to be signed first.
    """

    gate: GateFacts
    consent_active: bool
    randomised: bool
    treatment_ended: bool
    progressed: bool
    form_due: str = ""
    decisions: tuple[Decision, ...] = ()
    labs: tuple[LabResult, ...] = ()
    supplies: tuple[Supply, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a cycle's drug for so many days, on a site-local day."""

    cycle: int
    days: int
    prescribed_at: datetime
    dispensed_on: date


def dispense_blocks(
    facts: DispensingFacts, request: Request, dosing: Dosing, prevention: PregnancyPrevention
) -> tuple[Reason, ...]:
    """Return every reason study drug stays where it is; empty means it may be handed over.

    Days are site-local calendar days and every limit is inclusive: laboratory results, the
    dose decision and the prescription may be as many days old as the protocol says. Laboratory
    results count by their latest value in the window. All rules are the same for everybody.

    Raises ``ValueError`` for a supply of no days, and for an instant without an offset.

    Source: limits in the protocol file, ``dosing`` and ``pregnancy_prevention``.
    """
    if request.days < 1:
        raise ValueError("a supply lasts at least one day")
    return (
        *_standing_blocks(facts),
        *_decision_blocks(facts, request, dosing),
        *start_blocks(labs_in_window(facts.labs, request.dispensed_on, dosing), dosing),
        *_order_blocks(facts, request),
        *_supply_blocks(facts.supplies, request, dosing),
        *_prescription_blocks(facts, request, prevention),
        *gate_blocks(
            facts.gate,
            prevention,
            prescribed_at=request.prescribed_at,
            dispensed_on=request.dispensed_on,
        ),
    )


def labs_in_window(labs: Sequence[LabResult], on: date, policy: Dosing) -> DayOneLabs:
    """Return the latest value of each analyte from ``lab_window_days`` before a day up to it."""
    opens = on - timedelta(days=policy.lab_window_days.value)
    inside = sorted((lab for lab in labs if opens <= lab.taken_on <= on), key=_taken)
    latest = {lab.analyte: lab.value for lab in inside}
    return DayOneLabs(
        anc_10e9_l=latest.get("anc"),
        platelets_10e9_l=latest.get("platelets"),
        creatinine_clearance_ml_min=latest.get("creatinine_clearance"),
    )


def runs_out_on(supplies: Sequence[Supply]) -> date | None:
    """Return the first day without drug, if every supply was taken from its day on, one a day.

    What was left of one supply is added to the next. ``None`` before the first.
    """
    first_without: date | None = None
    for supply in sorted(supplies, key=lambda supply: supply.dispensed_on):
        begins = max(first_without or supply.dispensed_on, supply.dispensed_on)
        first_without = begins + timedelta(days=supply.days)
    return first_without


def _taken(lab: LabResult) -> date:
    return lab.taken_on


def _standing_blocks(facts: DispensingFacts) -> Iterator[Reason]:
    if not facts.consent_active:
        yield Reason(DispenseBlock.CONSENT_MISSING, "there is no consent in force")
    if facts.form_due:
        detail = f"consent form {facts.form_due} has to be signed first"
        yield Reason(DispenseBlock.RECONSENT_DUE, detail)
    if not facts.randomised:
        yield Reason(DispenseBlock.NOT_RANDOMISED, "the subject is not randomised")
    if facts.treatment_ended:
        yield Reason(DispenseBlock.TREATMENT_ENDED, "treatment has ended")
    if facts.progressed:
        yield Reason(DispenseBlock.PROGRESSED, "the disease has progressed")


def _decision_blocks(facts: DispensingFacts, request: Request, policy: Dosing) -> Iterator[Reason]:
    decision = next((d for d in facts.decisions if d.cycle == request.cycle), None)
    if decision is None:
        detail = f"no dose is decided for cycle {request.cycle}"
        yield Reason(DispenseBlock.DECISION_MISSING, detail)
        return
    age, limit = (request.dispensed_on - decision.decided_on).days, policy.decision_window_days
    if not 0 <= age <= limit.value:
        detail = f"the dose was decided on {decision.decided_on}; at most {limit.value} days before"
        yield Reason(DispenseBlock.DECISION_OUT_OF_WINDOW, detail)
    yield from dose_in_force_blocks(decision.cycle, decision.dose_mg, policy)
    if decision.dose_mg == HELD:
        yield Reason(DispenseBlock.DOSE_HELD, f"cycle {request.cycle} is held")


def _order_blocks(facts: DispensingFacts, request: Request) -> Iterator[Reason]:
    """Yield a block unless the cycle is the last one supplied or the next that was not held."""
    last = max((supply.cycle for supply in facts.supplies), default=0)
    held = {decision.cycle for decision in facts.decisions if decision.dose_mg == HELD}
    following = last + 1
    while following in held and following < request.cycle:
        following += 1
    if request.cycle < 1 or request.cycle not in (last, following):
        detail = f"cycle {request.cycle} does not follow cycle {following - 1}"
        yield Reason(DispenseBlock.CYCLE_OUT_OF_ORDER, detail)


def _supply_blocks(
    supplies: Sequence[Supply], request: Request, policy: Dosing
) -> Iterator[Reason]:
    if request.days > policy.max_supply_days.value:
        detail = f"{request.days} days; at most {policy.max_supply_days.value}"
        yield Reason(DispenseBlock.SUPPLY_TOO_LONG, detail)
    if any(supply.cycle == request.cycle for supply in supplies):
        detail = f"cycle {request.cycle} has its kit already"
        yield Reason(DispenseBlock.CYCLE_SUPPLIED, detail)
    yield from _stock_blocks(supplies, request, policy)


def _stock_blocks(supplies: Sequence[Supply], request: Request, policy: Dosing) -> Iterator[Reason]:
    empty_on = runs_out_on(supplies)
    if empty_on is None:
        return
    left, early = (empty_on - request.dispensed_on).days, policy.early_refill_days.value
    if left > early:
        detail = f"{left} days of drug are left; at most {early}"
        yield Reason(DispenseBlock.SUPPLY_TOO_EARLY, detail)
    if -left > policy.max_interruption_days.value:
        detail = f"{-left} days without drug; at most {policy.max_interruption_days.value}"
        yield Reason(DispenseBlock.INTERRUPTION_TOO_LONG, detail)


def _prescription_blocks(
    facts: DispensingFacts, request: Request, policy: PregnancyPrevention
) -> Iterator[Reason]:
    if request.prescribed_at.tzinfo is None:
        raise ValueError(f"{request.prescribed_at} has no offset")
    prescribed_on = request.prescribed_at.astimezone(facts.gate.zone).date()
    age = (request.dispensed_on - prescribed_on).days
    if policy.required and age > (limit := policy.prescription_valid_days.value):
        detail = f"prescribed {age} days before; at most {limit}"
        yield Reason(DispenseBlock.PRESCRIPTION_EXPIRED, detail)
    if age < 0:
        detail = f"prescribed on {prescribed_on}, after the supply"
        yield Reason(DispenseBlock.PRESCRIPTION_AFTER_SUPPLY, detail)
