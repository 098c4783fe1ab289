"""That a subject's arm became known to somebody. Never which arm it is."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record, RecordQuerySet


class UnblindingQuerySet(RecordQuerySet):
    """What follows from an unblinding, for treatment or a review, asks for those that count."""

    def that_count(self) -> "UnblindingQuerySet":
        """Leave out what was entered in error."""
        return self.filter(mistake=None)


@tracked
class Unblinding(Record):
    """One time somebody learned, or may have learned, the arm of one subject."""

    insert_only = True

    class Kind(models.TextChoices):
        EMERGENCY = "emergency", "In an emergency, by the investigator"
        SAFETY = "safety", "For one suspected reaction, by the safety officer"
        CONTINGENCY = "contingency", "From a contingency sheet, on paper"
        INADVERTENT = "inadvertent", "By accident"

    kind = models.CharField(max_length=12, choices=Kind)
    happened_at = models.DateTimeField()
    learned_by = models.CharField("who learned it", max_length=200)
    reason = models.TextField()
    would_change_treatment = models.BooleanField(null=True)
    access_id = models.UUIDField(null=True, unique=True)
    request_id = models.UUIDField(null=True)

    objects: ClassVar[Any] = UnblindingQuerySet.as_manager()

    class Meta:
        ordering = ["happened_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["emergency", "safety"], access_id__isnull=False)
                | Q(kind__in=["contingency", "inadvertent"], access_id=None),
                name="unblinding_by_the_system_names_its_access",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="unblinding_says_why"),
            models.CheckConstraint(
                condition=~Q(kind="emergency") | Q(would_change_treatment__isnull=False),
                name="unblinding_emergency_says_if_it_changes_treatment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.get_kind_display()}"


@tracked
class UnblindingMistake(Record):
    """A mark that an unblinding was entered in error: it did not happen, or to another subject.

    The record stays, and counts no more. Only what was written afterwards is marked: what the
    system showed was seen.
    """

    insert_only = True

    unblinding = models.OneToOneField(Unblinding, on_delete=models.PROTECT, related_name="mistake")
    reason = models.TextField()

    class Meta:
        verbose_name = "unblinding entered in error"
        verbose_name_plural = "unblindings entered in error"
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="unblinding_mistake_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.unblinding}: entered in error"


@tracked
class UnblindingAssessment(Record):
    """What an unblinding means for the subject and the trial, judged by a responsible person."""

    insert_only = True

    class Impact(models.TextChoices):
        NONE = "none", "None"
        LIMITED = "limited", "Limited: noted in the analysis"
        SERIOUS = "serious", "Serious: data of this subject are affected"

    unblinding = models.ForeignKey(Unblinding, on_delete=models.PROTECT, related_name="assessments")
    impact = models.CharField(max_length=10, choices=Impact)
    assessment = models.TextField()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(impact__in=["none", "limited", "serious"]),
                name="unblinding_impact_is_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.unblinding}: {self.impact}"
