"""The records behind the pregnancy-prevention gate."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from dosing.events import PregnancyRiskAssessed, PregnancyTestRecorded, SubjectCounselled
from dosing.models import Counselling, PregnancyRisk, PregnancyTest
from dosing.rules.pregnancy_prevention import RiskFacts, risk_category
from events.outbox import publish
from events.outcomes import Reason
from patients.services.recording import (
    future_reasons,
    refuse_if,
    require_consent,
    store,
    subject_for,
)
from trials.models import User
from trials.permissions import Permission
from trials.rules.protocol import Protocol


@transaction.atomic
def assess_pregnancy_risk(
    *,
    subject_id: UUID,
    assessed_on: date,
    surgically_sterile: bool = False,
    natural_menopause_months: int | None = None,
    evidence: str = "",
    by: User,
    at: datetime,
) -> PregnancyRisk:
    """Record what the category rests on; the rule derives it. The latest assessment holds.

    Whatever is missing counts as childbearing potential. Publishes ``PregnancyRiskAssessed``.
    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, or a trial without the
    programme.
    """
    subject = subject_for(by, subject_id, Permission.PRESCRIBE, at=at, on=assessed_on)
    require_consent(subject, on=assessed_on)
    refuse_if(
        [
            *_programme_reasons(subject.protocol),
            *future_reasons(subject, at, assessed_on=assessed_on),
        ]
    )
    facts = RiskFacts(subject.sex, surgically_sterile, natural_menopause_months, evidence)
    category = risk_category(facts, subject.protocol.pregnancy_prevention)
    risk = store(
        PregnancyRisk,
        subject,
        by=by,
        at=at,
        assessed_on=assessed_on,
        surgically_sterile=surgically_sterile,
        natural_menopause_months=natural_menopause_months,
        evidence=evidence,
        category=category.value,
    )
    publish(
        PregnancyRiskAssessed(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            category=category.value,
        ),
        at=at,
    )
    return risk


@transaction.atomic
def record_counselling(
    *,
    subject_id: UUID,
    counselled_on: date,
    acknowledgement_version: str,
    contraception: str,
    contraception_since: date | None = None,
    by: User,
    at: datetime,
) -> Counselling:
    """Record pregnancy-prevention counselling. Publishes ``SubjectCounselled``.

    Raises ``ConsentMissing``, or ``RecordRefused``: a day in the future, or a trial without the
    programme.
    """
    subject = subject_for(by, subject_id, Permission.PRESCRIBE, at=at, on=counselled_on)
    require_consent(subject, on=counselled_on)
    future = future_reasons(
        subject, at, counselled_on=counselled_on, contraception_since=contraception_since
    )
    refuse_if([*_programme_reasons(subject.protocol), *future])
    counselling = store(
        Counselling,
        subject,
        by=by,
        at=at,
        counselled_on=counselled_on,
        acknowledgement_version=acknowledgement_version,
        contraception=contraception,
        contraception_since=contraception_since,
    )
    publish(
        SubjectCounselled(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            counselled_on=counselled_on,
        ),
        at=at,
    )
    return counselling


@transaction.atomic
def record_pregnancy_test(
    *,
    subject_id: UUID,
    taken_at: datetime,
    result: str,
    specimen: str,
    sensitivity_miu_ml: Decimal,
    by: User,
    at: datetime,
) -> PregnancyTest:
    """Record a pregnancy test. Publishes ``PregnancyTestRecorded``.

    From the moment this commits, a positive or indeterminate result keeps the gate shut: the gate
    reads the table. Raises ``ConsentMissing``, or ``RecordRefused``: an instant in the future, a
    male subject, or a test of that instant recorded already.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=taken_at)
    require_consent(subject, on=subject.site.local_day(taken_at))
    reasons = []
    if taken_at > at:
        reasons.append(Reason("future_instant", f"taken_at {taken_at} lies in the future."))
    if subject.sex == subject.Sex.MALE:
        reasons.append(Reason("not_tested", "Pregnancy tests are recorded for women."))
    if PregnancyTest.objects.filter(subject=subject, taken_at=taken_at).exists():
        reasons.append(Reason("test_recorded", "A test of that instant is recorded already."))
    refuse_if(reasons)
    test = store(
        PregnancyTest,
        subject,
        by=by,
        at=at,
        taken_at=taken_at,
        result=result,
        specimen=specimen,
        sensitivity_miu_ml=sensitivity_miu_ml,
    )
    publish(
        PregnancyTestRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            result=result,
        ),
        at=at,
    )
    return test


def _programme_reasons(protocol: Protocol) -> list[Reason]:
    if protocol.pregnancy_prevention.required:
        return []
    detail = "This trial has no pregnancy-prevention programme."
    return [Reason("no_prevention_programme", detail)]
