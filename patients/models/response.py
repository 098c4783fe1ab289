"""Response by the criteria the protocol names, by the review and by the investigator."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class ResponseAssessment(Record):
    class Response(models.TextChoices):
        CR = "CR", "Complete response"
        CRI = "CRi", "Complete response, incomplete marrow recovery"
        NPR = "nPR", "Nodular partial response"
        PR = "PR", "Partial response"
        SD = "SD", "Stable disease"
        PD = "PD", "Progressive disease"

    class Assessor(models.TextChoices):
        INDEPENDENT = "independent_review", "Independent review"
        INVESTIGATOR = "investigator", "Investigator"

    assessed_on = models.DateField()
    response = models.CharField(max_length=3, choices=Response)
    assessor = models.CharField(max_length=20, choices=Assessor)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["assessed_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "assessed_on", "assessor"], name="response_once_per_day"
            ),
            models.CheckConstraint(
                condition=Q(response__in=["CR", "CRi", "nPR", "PR", "SD", "PD"]),
                name="response_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.response} on {self.assessed_on}"
