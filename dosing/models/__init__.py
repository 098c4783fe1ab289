from dosing.models.decisions import DoseDecision, TreatmentEnd
from dosing.models.dispensing import Dispensation, Kit
from dosing.models.pregnancy_prevention import Counselling, PregnancyRisk, PregnancyTest


__all__ = [
    "Counselling",
    "Dispensation",
    "DoseDecision",
    "Kit",
    "PregnancyRisk",
    "PregnancyTest",
    "TreatmentEnd",
]
