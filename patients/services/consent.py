"""Consent: recorded before anything else, and withdrawn at any time."""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import ConsentRecorded, ConsentWithdrawn
from patients.models import Consent, ConsentWithdrawal
from patients.services.recording import future_reasons, refuse_if, store, subject_for
from trials.models import User
from trials.permissions import Permission


@transaction.atomic
def record_consent(
    *, subject_id: UUID, version: str, signed_on: date, by: User, at: datetime
) -> Consent:
    """Record a signed consent form. Publishes ``ConsentRecorded``.

    Raises ``RecordRefused``: a day in the future or before the birth, or this version recorded.
    """
    subject = subject_for(by, subject_id, Permission.ENROL, at=at, on=signed_on)
    reasons = future_reasons(subject, at, signed_on=signed_on)
    if signed_on.year < subject.year_of_birth:
        reasons.append(Reason("before_birth", f"signed_on {signed_on} lies before the birth."))
    if Consent.objects.filter(subject=subject, version=version).exists():
        reasons.append(Reason("consent_recorded", f"Consent {version} is recorded already."))
    refuse_if(reasons)
    consent = store(Consent, subject, by=by, at=at, version=version, signed_on=signed_on)
    publish(
        ConsentRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            consent_version=version,
        ),
        at=at,
    )
    return consent


@transaction.atomic
def withdraw_consent(
    *, subject_id: UUID, withdrawn_on: date, reason: str = "", by: User, at: datetime
) -> ConsentWithdrawal:
    """Record that consent to treatment ended. Publishes ``ConsentWithdrawn``.

    Raises ``RecordRefused``: a day in the future, no consent given, or withdrawn already.
    """
    subject = subject_for(by, subject_id, Permission.ENROL, at=at, on=withdrawn_on)
    reasons = future_reasons(subject, at, withdrawn_on=withdrawn_on)
    if not Consent.objects.filter(subject=subject, signed_on__lte=withdrawn_on).exists():
        reasons.append(Reason("no_consent", f"No consent was in force on {withdrawn_on}."))
    if ConsentWithdrawal.objects.filter(subject=subject).exists():
        reasons.append(Reason("withdrawn_already", "Consent was withdrawn already."))
    refuse_if(reasons)
    withdrawal = store(
        ConsentWithdrawal, subject, by=by, at=at, withdrawn_on=withdrawn_on, reason=reason
    )
    publish(
        ConsentWithdrawn(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            withdrawn_on=withdrawn_on,
        ),
        at=at,
    )
    return withdrawal
