"""Response assessments, and their correction."""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import ResponseRecorded
from patients.models import ResponseAssessment, Subject
from patients.services.recording import (
    check_revision,
    future_reasons,
    refuse_if,
    require_consent,
    require_reason,
    store,
    subject_for,
)
from trials.models import User
from trials.permissions import Permission
from trials.rules.protocol import Protocol


@transaction.atomic
def record_response(
    *, subject_id: UUID, assessed_on: date, response: str, assessor: str, by: User, at: datetime
) -> ResponseAssessment:
    """Record one assessor's response on a day. Publishes ``ResponseRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, a category the protocol's
    response criteria do not have, or this assessor's assessment of that day recorded already.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=assessed_on)
    require_consent(subject, on=assessed_on)
    refuse_if(
        future_reasons(subject, at, assessed_on=assessed_on)
        + _off_scale(subject.protocol, response)
        + _doubles(subject, assessed_on, assessor)
    )
    assessment = store(
        ResponseAssessment,
        subject,
        by=by,
        at=at,
        assessed_on=assessed_on,
        response=response,
        assessor=assessor,
    )
    _publish(subject, assessment, at)
    return assessment


@transaction.atomic
def correct_response(
    *,
    assessment_id: UUID,
    revision: int,
    reason: str,
    assessed_on: date | None = None,
    response: str | None = None,
    by: User,
    at: datetime,
) -> ResponseAssessment:
    """Correct an assessment, with the reason; the history keeps what stood there before.

    Publishes ``ResponseRecorded``. Raises ``StaleRecord`` if it has changed since ``revision`` was
    read, or ``RecordRefused``: no reason, or what ``record_response`` refuses.
    """
    found = ResponseAssessment.objects.visible_to(by).get(pk=assessment_id)
    subject = subject_for(by, found.subject_id, Permission.CORRECT_CLINICAL, reason=reason, at=at)
    assessment = ResponseAssessment.objects.get(pk=assessment_id)
    require_reason(reason)
    check_revision(assessment.revision, revision)
    day = assessed_on or assessment.assessed_on
    reasons = future_reasons(subject, at, assessed_on=day)
    if day != assessment.assessed_on:
        reasons += _doubles(subject, day, assessment.assessor)
    made_under = assessment.protocol_version.protocol
    reasons += _off_scale(made_under, response or assessment.response)
    refuse_if(reasons)
    assessment.assessed_on = day
    assessment.response = response or assessment.response
    assessment.revision += 1
    assessment.save(update_fields=["assessed_on", "response", "revision"])
    _publish(subject, assessment, at)
    return assessment


def _off_scale(protocol: Protocol, response: str) -> list[Reason]:
    scale = protocol.endpoints.response
    if response in scale.categories:
        return []
    detail = f"response {response} is no category of {scale.criteria}."
    return [Reason("not_in_response_scale", detail)]


def _doubles(subject: Subject, assessed_on: date, assessor: str) -> list[Reason]:
    same = ResponseAssessment.objects.filter(
        subject=subject, assessed_on=assessed_on, assessor=assessor
    )
    if not same.exists():
        return []
    return [Reason("response_recorded", f"An assessment of {assessed_on} is recorded already.")]


def _publish(subject: Subject, assessment: ResponseAssessment, at: datetime) -> None:
    publish(
        ResponseRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            assessment_id=assessment.pk,
            response=assessment.response,
            assessor=assessment.assessor,
            assessed_on=assessment.assessed_on,
        ),
        at=at,
    )
