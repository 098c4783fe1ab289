"""Reads with a name."""

from datetime import date

from patients.models import Consent, ConsentWithdrawal, ResponseAssessment, Screening, Subject
from patients.rules.consent import form_due
from patients.rules.screening import read_values
from trials.rules.protocol import Value


def consent_active(subject: Subject, *, on: date) -> bool:
    """Return whether a consent was signed by a day and not withdrawn by then; both days count."""
    signed = Consent.objects.filter(subject=subject, signed_on__lte=on).exists()
    withdrawn = ConsentWithdrawal.objects.filter(subject=subject, withdrawn_on__lte=on).exists()
    return signed and not withdrawn


def consent_form_due(subject: Subject, *, on: date) -> str:
    """Return the version of the consent form to be signed first, by ``subject.protocol``."""
    signed = Consent.objects.filter(subject=subject, signed_on__lte=on)
    return form_due(signed.values_list("version", flat=True), subject.protocol.consent)


def has_progressed(subject: Subject, *, on: date) -> bool:
    """Return whether any assessor found progression on or before a day."""
    return ResponseAssessment.objects.filter(
        subject=subject, response=ResponseAssessment.Response.PD, assessed_on__lte=on
    ).exists()


def screened_values(screening: Screening) -> dict[str, Value]:
    """Return what a screening found, read by the protocol version it was recorded under."""
    variables = screening.protocol_version.protocol.screening.variables
    return read_values(screening.values, variables)
