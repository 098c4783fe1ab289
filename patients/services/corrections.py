"""A subject's sex or year of birth was entered wrongly."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from patients.events import SubjectCorrected
from patients.models import Consent, Subject, SubjectCorrection
from patients.queries import enrolled_values
from patients.rules.corrections import SubjectFacts, correction_reasons
from patients.rules.eligibility import EligibilityFacts, ineligible_reasons
from patients.rules.screening import read_values
from patients.services.recording import (
    check_revision,
    refuse_if,
    store,
    subject_for,
)
from patients.services.stratification import as_known, derived_levels, randomised_by
from trials.models import User
from trials.permissions import Permission


@transaction.atomic
def correct_subject(
    *,
    subject_id: UUID,
    revision: int,
    reason: str,
    year_of_birth: int | None = None,
    sex: str | None = None,
    by: User,
    at: datetime,
) -> SubjectCorrection:
    """Correct the sex or the year of birth, with the reason; what is left out stays.

    Whatever was judged from the old values stands no longer: a subject that is not randomised is
    screened again first, and study drug is kept back until the pregnancy risk is assessed for the
    right sex. A randomised subject keeps slot and frozen stratum; the stratum that the right values
    give is kept beside it, with the criteria that they do not meet. Nobody is randomised again.

    Publishes ``SubjectCorrected``. Raises ``StaleRecord`` if the subject has changed since
    ``revision`` was read, or ``RecordRefused`` with every reason.
    """
    subject = subject_for(by, subject_id, Permission.CORRECT_CLINICAL, at=at, reason=reason)
    check_revision(subject.revision, revision)
    facts = SubjectFacts(
        year_of_birth=subject.year_of_birth,
        sex=subject.sex,
        screened_on=subject.screened_on,
        signed_on=tuple(
            Consent.objects.filter(subject=subject).values_list("signed_on", flat=True)
        ),
    )
    refuse_if(list(correction_reasons(facts, year_of_birth=year_of_birth, sex=sex, reason=reason)))
    sent = {"year_of_birth": year_of_birth, "sex": sex}
    corrected = {name: value for name, value in sent.items() if value is not None}
    found = {name: getattr(subject, name) for name in corrected}
    for name, value in corrected.items():
        setattr(subject, name, value)
    subject.revision += 1
    subject.save(update_fields=[*corrected, "revision"])
    correction = store(
        SubjectCorrection,
        subject,
        by=by,
        at=at,
        found=found,
        corrected=corrected,
        reason=reason,
        **_beside_the_randomisation(subject),
    )
    _publish(subject, correction, at)
    return correction


def _beside_the_randomisation(subject: Subject) -> dict[str, Any]:
    """Return what a randomised subject's right values give; nothing for one who is not."""
    allocation, screening = randomised_by(subject)
    if allocation is None or screening is None:
        return {}
    protocol = screening.protocol_version.protocol
    known, enrolled = as_known(subject, screening), enrolled_values(subject)
    values = {**allocation.inputs, **known, **enrolled}
    levels, stratum = derived_levels(values, protocol)
    judged = {**read_values(known, protocol.screening.variables), **enrolled}
    against = ineligible_reasons(EligibilityFacts(judged, tuple(screening.exclusions)), protocol)
    return {
        "allocation": allocation,
        "levels": levels,
        "stratum": stratum,
        "against": [{"code": each.code, "detail": each.detail} for each in against],
    }


def _publish(subject: Subject, correction: SubjectCorrection, at: datetime) -> None:
    allocation = correction.allocation
    publish(
        SubjectCorrected(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            correction_id=correction.pk,
            corrected=tuple(sorted(correction.corrected)),
            other_stratum=allocation is not None and correction.stratum != allocation.stratum,
            against=tuple(each["code"] for each in correction.against),
        ),
        at=at,
    )
