from patients.models.adverse_events import AdverseEvent
from patients.models.consent import Consent, ConsentWithdrawal
from patients.models.corrections import SubjectCorrection
from patients.models.eligibility import Screening
from patients.models.labs import LabResult
from patients.models.outcomes import Contact, Death, FurtherTreatment
from patients.models.randomisation import RandomisationMistake, ScreeningCorrection
from patients.models.response import ResponseAssessment
from patients.models.subjects import Subject
from patients.models.transfers import SubjectTransfer
from patients.models.unblinding import Unblinding, UnblindingAssessment, UnblindingMistake
from patients.models.visits import Visit


__all__ = [
    "AdverseEvent",
    "Consent",
    "ConsentWithdrawal",
    "Contact",
    "Death",
    "FurtherTreatment",
    "LabResult",
    "RandomisationMistake",
    "ResponseAssessment",
    "Screening",
    "ScreeningCorrection",
    "Subject",
    "SubjectCorrection",
    "SubjectTransfer",
    "Unblinding",
    "UnblindingAssessment",
    "UnblindingMistake",
    "Visit",
]
