"""What follow-up finds: alive on a day, treated further, or dead."""

from django.db import models

from events.history import tracked
from patients.models.subjects import Record, partial_date_check


@tracked
class Contact(Record):
    """The subject was known to be alive on this day."""

    contacted_on = models.DateField()

    class Meta:
        ordering = ["contacted_on"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "contacted_on"], name="contact_once_a_day")
        ]

    def __str__(self) -> str:
        return f"alive on {self.contacted_on}"


@tracked
class FurtherTreatment(Record):
    """New treatment of the disease after study drug."""

    started_on = models.CharField(max_length=10)
    regimen = models.CharField(max_length=200)

    class Meta:
        ordering = ["started_on"]
        constraints = [
            partial_date_check("started_on", "further_treatment_started_on_is_a_partial_date")
        ]

    def __str__(self) -> str:
        return self.regimen


@tracked
class Death(Record):
    died_on = models.CharField(max_length=10)
    cause = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject"], name="death_once"),
            partial_date_check("died_on", "died_on_is_a_partial_date"),
        ]

    def __str__(self) -> str:
        return f"died {self.died_on}"
