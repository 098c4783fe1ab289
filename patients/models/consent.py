"""Consent as it was given, and as it was withdrawn."""

from django.db import models

from events.history import tracked
from patients.models.subjects import Record


@tracked
class Consent(Record):
    """A signed consent form. A newer version is a new row."""

    insert_only = True

    version = models.CharField(max_length=20)
    signed_on = models.DateField()

    class Meta:
        ordering = ["signed_on", "recorded_at"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "version"], name="consent_once_per_version")
        ]

    def __str__(self) -> str:
        return f"consent {self.version}"


@tracked
class ConsentWithdrawal(Record):
    """The end of consent to treatment; what was recorded until then stays."""

    insert_only = True

    withdrawn_on = models.DateField()
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject"], name="consent_withdrawn_once")]

    def __str__(self) -> str:
        return f"withdrawn on {self.withdrawn_on}"
