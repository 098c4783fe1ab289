"""What was wrong about the subject itself: sex and year of birth."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record
from trials.models import Allocation


@tracked
class SubjectCorrection(Record):
    """Sex or year of birth entered wrongly, and what the right ones give.

    ``found`` is what was recorded and ``corrected`` what is true, by field. Of a randomised
    subject ``allocation`` is named: its stratum stays frozen, ``levels`` and ``stratum`` are what
    the right values give (empty: no stratum holds them), and ``against`` are the reasons for which
    the subject would not be eligible. One that is not randomised is screened again instead.
    """

    insert_only = True

    found = models.JSONField()
    corrected = models.JSONField()
    allocation = models.ForeignKey(
        Allocation, on_delete=models.PROTECT, null=True, related_name="+"
    )
    levels = models.JSONField(default=dict)
    stratum = models.CharField(max_length=20, blank=True)
    against = models.JSONField(default=list)
    reason = models.TextField()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="subject_correction_says_why"),
            models.CheckConstraint(
                condition=Q(allocation__isnull=False) | Q(stratum=""),
                name="subject_correction_stratum_if_randomised",
            ),
        ]

    def __str__(self) -> str:
        return f"correction of {', '.join(self.corrected)}"
