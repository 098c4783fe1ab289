"""Laboratory results, one analyte a row, in the unit they were reported in."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class LabResult(Record):
    class Analyte(models.TextChoices):
        ANC = "anc", "Neutrophils"
        PLATELETS = "platelets", "Platelets"
        CREATININE_CLEARANCE = "creatinine_clearance", "Creatinine clearance"

    UNITS = {
        Analyte.ANC: "10^9/L",
        Analyte.PLATELETS: "10^9/L",
        Analyte.CREATININE_CLEARANCE: "mL/min",
    }

    taken_on = models.DateField()
    analyte = models.CharField(max_length=30, choices=Analyte)
    value = models.DecimalField(max_digits=9, decimal_places=3)
    unit = models.CharField(max_length=12)

    class Meta:
        ordering = ["taken_on", "analyte"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "taken_on", "analyte"], name="lab_once_per_day"
            ),
            models.CheckConstraint(condition=Q(value__gte=0), name="lab_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.analyte} {self.value} {self.unit}"
