"""Death and further treatment."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import DeathRecorded, FurtherTreatmentRecorded
from patients.models import Contact, Death, FurtherTreatment
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
def record_death(
    *, subject_id: UUID, died_on: PartialDate, cause: str, by: User, at: datetime
) -> Death:
    """Record a death, once. Publishes ``DeathRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, recorded already, or
    certainly before a day the subject was alive.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=died_on.last_day)
    require_consent(subject, on=died_on.last_day)
    reasons = future_reasons(subject, at, died_on=died_on)
    if Death.objects.filter(subject=subject).exists():
        reasons.append(Reason("death_recorded", "The death is recorded already."))
    alive = Contact.objects.filter(subject=subject, contacted_on__gt=died_on.last_day).last()
    if alive is not None:
        reasons.append(Reason("alive_later", f"A contact is recorded on {alive.contacted_on}."))
    refuse_if(reasons)
    death = store(Death, subject, by=by, at=at, died_on=str(died_on), cause=cause)
    publish(
        DeathRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            died_on=str(died_on),
        ),
        at=at,
    )
    return death


@transaction.atomic
def record_further_treatment(
    *, subject_id: UUID, started_on: PartialDate, regimen: str, by: User, at: datetime
) -> FurtherTreatment:
    """Record new treatment of the disease. Publishes ``FurtherTreatmentRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused`` for a day in the future.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=started_on.last_day)
    require_consent(subject, on=started_on.last_day)
    refuse_if(future_reasons(subject, at, started_on=started_on))
    treatment = store(
        FurtherTreatment, subject, by=by, at=at, started_on=str(started_on), regimen=regimen
    )
    publish(
        FurtherTreatmentRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            started_on=str(started_on),
        ),
        at=at,
    )
    return treatment
