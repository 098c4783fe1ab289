from dosing.models.decisions import DoseDecision, TreatmentEnd
from dosing.models.dispensing import Dispensation, Kit
from dosing.models.kit_numbers import KitNumberDraw
from dosing.models.pregnancy_prevention import Counselling, PregnancyRisk, PregnancyTest


__all__ = [
    "Counselling",
    "Dispensation",
    "DoseDecision",
    "Kit",
    "KitNumberDraw",
    "PregnancyRisk",
    "PregnancyTest",
    "TreatmentEnd",
]
