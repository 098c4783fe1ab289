"""What is learnt about a randomisation afterwards. It stays as it was; this stands beside it."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.eligibility import Screening
from patients.models.subjects import Record


@tracked
class ScreeningCorrection(Record):
    """Screening values found wrong after randomisation, and the stratum the right ones give.

    ``found`` is what was recorded and ``corrected`` what is true, by variable and as text. The
    stratum of the allocation stays frozen; an empty ``stratum`` here means that no stratum holds
    the corrected values.
    """

    insert_only = True

    screening = models.ForeignKey(Screening, on_delete=models.PROTECT, related_name="corrections")
    found = models.JSONField()
    corrected = models.JSONField()
    levels = models.JSONField()
    stratum = models.CharField(max_length=20, blank=True)
    reason = models.TextField()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="screening_correction_says_why")
        ]

    def __str__(self) -> str:
        return f"correction of {', '.join(self.corrected)}"


@tracked
class RandomisationMistake(Record):
    """A mark that a subject was randomised in error. They are analysed as randomised."""

    insert_only = True

    class Kind(models.TextChoices):
        """What went wrong."""

        NOT_ELIGIBLE = "not_eligible", "Was not eligible"
        NO_CONSENT = "no_consent", "Had not given valid consent"
        WRONG_PERSON = "wrong_person", "Another person was meant"
        TWICE = "twice", "Is in the trial under another number"
        OTHER = "other", "Another mistake"

    kind = models.CharField(max_length=20, choices=Kind)
    reason = models.TextField()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    kind__in=["not_eligible", "no_consent", "wrong_person", "twice", "other"]
                ),
                name="mistake_kind_is_known",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="mistake_says_why"),
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())
