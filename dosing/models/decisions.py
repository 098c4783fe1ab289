"""What dose was proposed by the rule and decided by the investigator; and the end of treatment."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class DoseDecision(Record):
    """One cycle's dose. An amendment that takes the level away lets it be decided once more."""

    insert_only = True

    cycle = models.PositiveSmallIntegerField()
    decided_on = models.DateField()
    proposed_dose_mg = models.DecimalField(max_digits=5, decimal_places=2)
    dose_mg = models.DecimalField(max_digits=5, decimal_places=2)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["cycle", "recorded_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "cycle", "protocol_version"], name="dose_decision_once"
            ),
            models.CheckConstraint(
                condition=Q(dose_mg=models.F("proposed_dose_mg")) | ~Q(reason=""),
                name="another_dose_needs_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"cycle {self.cycle}: {self.dose_mg.normalize():f} mg"


@tracked
class TreatmentEnd(Record):
    insert_only = True

    class Reason(models.TextChoices):
        PROGRESSION = "progression"
        ADVERSE_EVENT = "adverse_event", "Adverse event"
        WITHDRAWAL = "withdrawal"
        DEATH = "death"
        INVESTIGATOR = "investigator_decision", "Investigator's decision"
        PREGNANCY = "pregnancy"
        COMPLETED = "completed"

    ended_on = models.DateField()
    reason = models.CharField(max_length=25, choices=Reason)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject"], name="treatment_ends_once")]

    def __str__(self) -> str:
        return f"ended on {self.ended_on}"
