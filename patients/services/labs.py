"""Laboratory results."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import LabsRecorded
from patients.models import LabResult
from patients.services.recording import (
    future_reasons,
    refuse_if,
    require_consent,
    store,
    subject_for,
)
from trials.models import User
from trials.permissions import Permission


class Result(TypedDict):
    """One analyte's value in its unit."""

    analyte: str
    value: Decimal
    unit: str


@transaction.atomic
def record_labs(
    *, subject_id: UUID, taken_on: date, results: Sequence[Result], by: User, at: datetime
) -> list[LabResult]:
    """Record one day's results, all or none. Publishes ``LabsRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, an analyte twice or
    recorded already that day, a unit that is not the analyte's (a value is never guessed).
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=taken_on)
    require_consent(subject, on=taken_on)
    reasons = future_reasons(subject, at, taken_on=taken_on)
    analytes = [result["analyte"] for result in results]
    known = LabResult.objects.filter(subject=subject, taken_on=taken_on, analyte__in=analytes)
    repeated = {name for name in analytes if analytes.count(name) > 1}
    reasons += [
        Reason("analyte_twice", f"{name} is there twice for {taken_on}.")
        for name in sorted(repeated | set(known.values_list("analyte", flat=True)))
    ]
    for result in results:
        unit = LabResult.UNITS[LabResult.Analyte(result["analyte"])]
        if result["unit"] != unit:
            reasons.append(Reason("unit", f"{result['analyte']} is recorded in {unit}."))
    refuse_if(reasons)
    rows = [store(LabResult, subject, by=by, at=at, taken_on=taken_on, **r) for r in results]
    publish(
        LabsRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            taken_on=taken_on,
            analytes=tuple(analytes),
        ),
        at=at,
    )
    return rows
