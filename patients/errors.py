"""Refusals about subjects and their records."""

from events.outcomes import Refused


class SubjectNotEnrolled(Refused):
    code = "subject_not_enrolled"
    title = "The subject was not enrolled"


class ConsentMissing(Refused):
    code = "consent_missing"
    title = "There is no consent in force"


class RecordRefused(Refused):
    code = "record_refused"
    title = "The record was not accepted"


class NotRandomisable(Refused):
    code = "not_randomisable"
    title = "The subject cannot be randomised"


class TransferRefused(Refused):
    code = "transfer_refused"
    title = "The subject was not transferred"
