"""Screening: what was found, and what the rule concluded from it."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class Screening(Record):
    """The facts eligibility is judged from, as the site entered them, and the judgement.

    ``values`` holds every variable of the protocol version by its code: numbers as text, days in
    ISO form, null for what is not known. ``levels`` are the factors' levels of an eligible subject.
    ``subject_revision`` tells which sex and year of birth it was judged with.
    """

    insert_only = True

    assessed_on = models.DateField()
    values = models.JSONField(default=dict)
    exclusions = models.JSONField(default=list)
    eligible = models.BooleanField()
    reasons = models.JSONField(default=list)
    levels = models.JSONField(default=dict)
    stratum = models.CharField(max_length=20, blank=True)
    subject_revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(eligible=False) | ~Q(stratum=""), name="eligible_has_a_stratum"
            ),
        ]

    def __str__(self) -> str:
        return "eligible" if self.eligible else "not eligible"
