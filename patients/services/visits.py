"""Visits and contacts."""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import SubjectContacted, VisitRecorded
from patients.models import Contact, Death, Visit
from patients.rules.partial_dates import PartialDate
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
def record_visit(
    *,
    subject_id: UUID,
    kind: str,
    visited_on: date,
    cycle: int | None = None,
    by: User,
    at: datetime,
) -> Visit:
    """Record a cycle or follow-up visit. Publishes ``VisitRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, a cycle visit without its
    cycle (or the other way round), or that cycle's visit recorded already.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=visited_on)
    require_consent(subject, on=visited_on)
    reasons = future_reasons(subject, at, visited_on=visited_on)
    if (kind == Visit.Kind.CYCLE) != (cycle is not None):
        reasons.append(Reason("cycle_and_kind", "A cycle visit names its cycle; no other does."))
    if cycle is not None and Visit.objects.filter(subject=subject, cycle=cycle).exists():
        reasons.append(Reason("visit_recorded", f"The visit of cycle {cycle} is recorded already."))
    refuse_if(reasons)
    visit = store(Visit, subject, by=by, at=at, kind=kind, cycle=cycle, visited_on=visited_on)
    publish(
        VisitRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            visit_id=visit.pk,
            visited_on=visited_on,
        ),
        at=at,
    )
    return visit


@transaction.atomic
def record_contact(*, subject_id: UUID, contacted_on: date, by: User, at: datetime) -> Contact:
    """Record that the subject was alive on a day. Publishes ``SubjectContacted``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, after the death, or
    recorded already.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=contacted_on)
    require_consent(subject, on=contacted_on)
    reasons = future_reasons(subject, at, contacted_on=contacted_on)
    death = Death.objects.filter(subject=subject).first()
    if death is not None and PartialDate(death.died_on).last_day < contacted_on:
        reasons.append(Reason("died_before", f"The subject died on {death.died_on}."))
    if Contact.objects.filter(subject=subject, contacted_on=contacted_on).exists():
        reasons.append(Reason("contact_recorded", f"A contact on {contacted_on} is recorded."))
    refuse_if(reasons)
    contact = store(Contact, subject, by=by, at=at, contacted_on=contacted_on)
    publish(
        SubjectContacted(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            contacted_on=contacted_on,
        ),
        at=at,
    )
    return contact
