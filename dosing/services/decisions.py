"""The dose of each cycle, and the end of treatment."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from dosing.errors import DoseRefused
from dosing.events import DoseDecided, TreatmentEnded
from dosing.models import Dispensation, DoseDecision, TreatmentEnd
from dosing.queries import decisions_of, given_cycles, labs_of
from dosing.rules.dispensing import Request, labs_in_window
from dosing.rules.escalation import dose_blocks, dose_in_force_blocks, proposed_dose
from events.outbox import publish
from events.outcomes import Reason
from patients.models import Subject
from patients.queries import unblinding_kinds
from patients.rules.unblinding import treatment_blocks
from patients.services.recording import (
    future_reasons,
    refuse_if,
    require_consent,
    store,
    subject_for,
)
from trials.models import User
from trials.permissions import Permission


@transaction.atomic
def decide_dose(
    *,
    subject_id: UUID,
    cycle: int,
    decided_on: date,
    dose_mg: Decimal,
    reason: str = "",
    by: User,
    at: datetime,
) -> DoseDecision:
    """Decide the dose of one cycle, in mg a day; 0 holds it. The rule's proposal is kept beside it.

    Publishes ``DoseDecided``. Raises ``ConsentMissing``, ``RecordRefused`` for a day in the future,
    or ``DoseRefused`` with every reason: not randomised, decided already, off the ladder, above the
    plan, too large a step, labs missing or too low, another dose than proposed without a reason.
    """
    subject = subject_for(by, subject_id, Permission.PRESCRIBE, at=at, on=decided_on)
    require_consent(subject, on=decided_on)
    refuse_if(future_reasons(subject, at, decided_on=decided_on))
    policy = subject.protocol.dosing
    asked = Request(cycle, 1, at, decided_on)
    labs = labs_in_window(labs_of(subject, asked, policy), decided_on, policy)
    history = given_cycles(subject, policy, by_day=decided_on)
    blocks = list(dose_blocks(cycle, dose_mg, reason, history, labs, policy))
    blocks += treatment_blocks(unblinding_kinds(subject), subject.protocol.blind, dose_mg=dose_mg)
    if subject.allocation_id is None:
        blocks.append(Reason("not_randomised", "The subject is not randomised."))
    if _decided(subject, cycle):
        blocks.append(Reason("decided_already", f"The dose of cycle {cycle} is decided already."))
    if blocks:
        raise DoseRefused(*blocks)
    decision = store(
        DoseDecision,
        subject,
        by=by,
        at=at,
        cycle=cycle,
        decided_on=decided_on,
        proposed_dose_mg=proposed_dose(cycle, history, labs, policy).dose_mg,
        dose_mg=dose_mg,
        reason=reason,
    )
    publish(
        DoseDecided(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            cycle=cycle,
            dose_mg=str(dose_mg),
        ),
        at=at,
    )
    return decision


def _decided(subject: Subject, cycle: int) -> bool:
    """Return whether a cycle's decision stands: it is made anew only if an amendment undid it."""
    decision = decisions_of(subject).get(cycle)
    if decision is None:
        return False
    supplied = Dispensation.objects.filter(subject=subject, cycle=cycle).exists()
    policy = subject.protocol.dosing
    return supplied or not dose_in_force_blocks(cycle, decision.dose_mg, policy)


@transaction.atomic
def end_treatment(
    *, subject_id: UUID, ended_on: date, reason: str, by: User, at: datetime
) -> TreatmentEnd:
    """Record that study treatment ended for good; nothing can be dispensed after it.

    Publishes ``TreatmentEnded``. Raises ``ConsentMissing``, or ``RecordRefused``: a day in the
    future, not randomised, or ended already.
    """
    subject = subject_for(by, subject_id, Permission.PRESCRIBE, at=at, on=ended_on)
    require_consent(subject, on=ended_on)
    reasons = future_reasons(subject, at, ended_on=ended_on)
    if subject.allocation_id is None:
        reasons.append(Reason("not_randomised", "The subject is not randomised."))
    if TreatmentEnd.objects.filter(subject=subject).exists():
        reasons.append(Reason("ended_already", "The end of treatment is recorded already."))
    refuse_if(reasons)
    end = store(TreatmentEnd, subject, by=by, at=at, ended_on=ended_on, reason=reason)
    publish(
        TreatmentEnded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            ended_on=ended_on,
            reason=reason,
        ),
        at=at,
    )
    return end
