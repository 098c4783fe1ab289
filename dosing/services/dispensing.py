"""Kits handed over through the gate."""

from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction

from dosing.errors import GateClosed, NoKit
from dosing.events import KitDispensed
from dosing.models import Dispensation, Kit
from dosing.queries import decisions_of, dispensing_facts
from dosing.rules.dispensing import Request, dispense_blocks
from events.outbox import publish
from events.outcomes import Reason
from patients.models import Subject
from patients.queries import unblinding_kinds
from patients.rules.unblinding import treatment_blocks
from patients.services.recording import store, subject_for
from trials.models import Trial, User
from trials.permissions import Permission
from trials.rules.conduct import day_reasons
from trials.services.kits import choose_kit


@transaction.atomic
def dispense_kit(
    *,
    subject_id: UUID,
    cycle: int,
    prescribed_at: datetime,
    dispensed_on: date,
    days: int,
    by: User,
    at: datetime,
) -> Dispensation:
    """Hand one kit to one subject, if every gate is open at this moment.

    The sealed schema chooses the kit: of the decided dose, of the subject's own arm, in date for
    the whole supply. Its number is all that comes back.

    Publishes ``KitDispensed``. Raises ``GateClosed`` with every reason, or ``NoKit``. Locks the
    subject, then the kit: neither can be dispensed to, or from, twice at once.
    """
    subject = subject_for(by, subject_id, Permission.DISPENSE, at=at, on=dispensed_on)
    protocol = subject.protocol
    request = Request(cycle, days, prescribed_at, dispensed_on)
    facts = dispensing_facts(subject, request, protocol.dosing)
    today = subject.site.local_day(at)
    replay = subject.trial.conduct == Trial.Conduct.REPLAY
    blocks = (
        *day_reasons(dispensed_on, today=today, replay=replay, field="dispensed_on"),
        *dispense_blocks(facts, request, protocol.dosing, protocol.pregnancy_prevention),
        *treatment_blocks(unblinding_kinds(subject), protocol.blind),
    )
    if blocks:
        raise GateClosed(*blocks)
    decision = decisions_of(subject)[cycle]
    kit = _choose_kit(subject, cycle, dispensed_on + timedelta(days=days))
    kit.status = Kit.Status.DISPENSED
    kit.save(update_fields=["status"])
    dispensation = store(
        Dispensation,
        subject,
        by=by,
        at=at,
        kit=kit,
        decision=decision,
        cycle=cycle,
        dose_mg=decision.dose_mg,
        prescribed_at=prescribed_at,
        dispensed_on=dispensed_on,
        days=days,
    )
    publish(
        KitDispensed(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            kit_number=kit.number,
            cycle=cycle,
            dispensed_on=dispensed_on,
        ),
        at=at,
    )
    return dispensation


def _choose_kit(subject: Subject, cycle: int, last_day: date) -> Kit:
    """Lock and return the kit for the subject's cycle. The refusal is worded alike in every arm."""
    kit_id = choose_kit(subject_id=subject.pk, cycle=cycle, last_day=last_day)
    kits = Kit.objects.select_for_update(no_key=True).filter(status=Kit.Status.AVAILABLE)
    kit = kits.filter(pk=kit_id).first() if kit_id else None
    if kit is None:
        raise NoKit(
            Reason("no_kit_at_site", "The site has no suitable kit in date: ask for a supply.")
        )
    return kit
