"""What happens to subjects. Identifiers and facts a blinded reader may know; never an arm."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from events.outcomes import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectEvent(Event):
    """Something about one subject at one site."""

    subject_id: UUID
    site_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectEnrolled(SubjectEvent):
    """A person was entered for screening."""

    type = "patients.SubjectEnrolled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecorded(SubjectEvent):
    """A signed consent was recorded."""

    type = "patients.ConsentRecorded"
    consent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWithdrawn(SubjectEvent):
    """Consent to treatment ended; what was recorded until then stays."""

    type = "patients.ConsentWithdrawn"
    withdrawn_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningRecorded(SubjectEvent):
    """Eligibility was judged from the recorded facts."""

    type = "patients.ScreeningRecorded"
    eligible: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRandomised(SubjectEvent):
    """A subject took a place on the sealed list."""

    type = "patients.SubjectRandomised"
    allocation_id: UUID
    stratum: str
    randomised_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRecorded(SubjectEvent):
    """A visit took place."""

    type = "patients.VisitRecorded"
    visit_id: UUID
    visited_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LabsRecorded(SubjectEvent):
    """Laboratory results of one day came in."""

    type = "patients.LabsRecorded"
    taken_on: date
    analytes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRecorded(SubjectEvent):
    """A response was assessed, or a recorded assessment was corrected."""

    type = "patients.ResponseRecorded"
    assessment_id: UUID
    response: str
    assessor: str
    assessed_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class AdverseEventRecorded(SubjectEvent):
    """An adverse event was recorded, or a recorded one was corrected."""

    type = "patients.AdverseEventRecorded"
    adverse_event_id: UUID
    grade: int
    serious: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectContacted(SubjectEvent):
    """The subject was known to be alive on a day."""

    type = "patients.SubjectContacted"
    contacted_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherTreatmentRecorded(SubjectEvent):
    """New treatment of the disease began."""

    type = "patients.FurtherTreatmentRecorded"
    started_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathRecorded(SubjectEvent):
    """The subject died."""

    type = "patients.DeathRecorded"
    died_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectTransferred(SubjectEvent):
    """The subject moved from another site to this one, with all of its past."""

    type = "patients.SubjectTransferred"
    transfer_id: UUID
    from_site_id: UUID
    transferred_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectUnblinded(SubjectEvent):
    """Somebody learned the arm of a subject: that, and never which one it is."""

    type = "patients.SubjectUnblinded"
    unblinding_id: UUID
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblindingAssessed(SubjectEvent):
    """A responsible person judged what an unblinding means for the trial."""

    type = "patients.UnblindingAssessed"
    unblinding_id: UUID
    impact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblindingMistakeRecorded(SubjectEvent):
    """An unblinding was marked as entered in error: it stays on record and counts no more."""

    type = "patients.UnblindingMistakeRecorded"
    unblinding_id: UUID
    mistake_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningCorrected(SubjectEvent):
    """Screening values of a randomised subject were wrong; the randomisation stays as it was."""

    type = "patients.ScreeningCorrected"
    correction_id: UUID
    variables: tuple[str, ...]
    other_stratum: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectCorrected(SubjectEvent):
    """Sex or year of birth was wrong; a randomisation stays as it was.

    ``against`` are the criteria that a randomised subject's right values do not meet.
    """

    type = "patients.SubjectCorrected"
    correction_id: UUID
    corrected: tuple[str, ...]
    other_stratum: bool
    against: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationMistakeRecorded(SubjectEvent):
    """A subject was marked as randomised in error, and is analysed as randomised."""

    type = "patients.RandomisationMistakeRecorded"
    mistake_id: UUID
    kind: str
