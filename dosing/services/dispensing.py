"""Kits: their arrival at a site, and their handing over through the gate."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from django.db import IntegrityError, transaction

from dosing.errors import GateClosed, KitsRefused, NoKit
from dosing.events import KitDispensed, KitsSupplied
from dosing.models import Dispensation, Kit
from dosing.queries import decisions_of, dispensing_facts
from dosing.rules.dispensing import Request, dispense_blocks
from dosing.rules.kits import KitLabel, number_problems
from events.outbox import publish
from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import Subject
from patients.queries import unblinding_kinds
from patients.rules.unblinding import treatment_blocks
from patients.services.recording import store, subject_for
from trials.models import Site, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.conduct import day_reasons
from trials.rules.protocol import Protocol
from trials.services.kits import choose_kit
from trials.services.unblinding import load_kit_contents


class SuppliedKit(TypedDict):
    """One kit as the unblinded supplier knows it."""

    number: str
    dose_mg: Decimal
    arm: str
    expires_on: date


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


def supply_kits(
    *, trial: str, site: str, kits: Sequence[SuppliedKit], by: User, at: datetime
) -> int:
    """Enter kits that arrived at a site; what each holds goes to the sealed schema alone.

    The sealed part is written first: a kit without contents is never chosen, and contents without
    a kit are never reached. Publishes ``KitsSupplied``. Raises ``KitsRefused`` with every reason.
    """
    study = Trial.objects.with_permission(by, Permission.SUPPLY_KITS).get(code=trial)
    place = Site.objects.visible_to(by, Permission.SUPPLY_KITS).get(trial=study, code=site)
    if reasons := _kit_problems(kits, study.protocol, _levels_at(place)):
        raise KitsRefused(*reasons)
    try:
        load_kit_contents(
            trial=study,
            by=by,
            contents=[(kit["number"], kit["arm"]) for kit in kits],
            detail=f"{len(kits)} kits for {place.code}",
        )
        _enter_kits(place, kits, by=by, at=at)
    except IntegrityError as error:
        raise KitsRefused(
            Reason("kit_number_twice", "One of these kits was entered at the same moment.")
        ) from error
    return len(kits)


@transaction.atomic
def _enter_kits(place: Site, kits: Sequence[SuppliedKit], *, by: User, at: datetime) -> None:
    authorise(by, Permission.SUPPLY_KITS, site=place)
    with reading_as_system("the supplier enters kits at sites whose records they do not read"):
        Kit.objects.bulk_create(
            Kit(
                site=place,
                number=kit["number"],
                dose_mg=kit["dose_mg"],
                expires_on=kit["expires_on"],
            )
            for kit in sorted(kits, key=lambda kit: kit["number"])  # no order of arrival is kept
        )
    publish(KitsSupplied(stream=place.trial.code, site_id=place.pk, count=len(kits)), at=at)


def _levels_at(place: Site) -> set[Decimal]:
    """Return the levels of every version activated at a site: kits come before it is in force."""
    rows = place.versions.select_related("protocol_version")
    return {dose for row in rows for dose in row.protocol_version.protocol.dosing.ladder_mg}


def _kit_problems(
    kits: Sequence[SuppliedKit], protocol: Protocol, levels: set[Decimal]
) -> list[Reason]:
    numbers = Counter(kit["number"] for kit in kits)
    with reading_as_system("a kit number is given once, over all sites"):
        known = set(Kit.objects.filter(number__in=numbers).values_list("number", flat=True))
    twice = {number for number, count in numbers.items() if count > 1} | known
    arms = {arm.code for arm in protocol.arms}
    labels = [KitLabel(k["number"], k["arm"], k["expires_on"], k["dose_mg"]) for k in kits]
    reasons = [
        Reason("kit_number_twice", f"Kit {number} is there already.") for number in sorted(twice)
    ]
    for kit in kits:
        if kit["arm"] not in arms:
            reasons.append(Reason("unknown_arm", f"Kit {kit['number']} is for no arm we know."))
        if kit["dose_mg"] not in levels:
            reasons.append(
                Reason("not_on_ladder", f"{kit['dose_mg']} mg is not a level of the ladder.")
            )
    return [*reasons, *number_problems(labels)]
