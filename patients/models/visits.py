"""Visits, by treatment cycle or in follow-up."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class Visit(Record):
    class Kind(models.TextChoices):
        CYCLE = "cycle", "Cycle visit"
        FOLLOW_UP = "follow_up", "Follow-up visit"

    kind = models.CharField(max_length=10, choices=Kind)
    cycle = models.PositiveSmallIntegerField(null=True, blank=True)
    visited_on = models.DateField()

    class Meta:
        ordering = ["visited_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "cycle"],
                condition=Q(kind="cycle"),
                name="visit_once_per_cycle",
            ),
            models.CheckConstraint(
                condition=Q(kind="cycle", cycle__gte=1) | Q(kind="follow_up", cycle=None),
                name="visit_cycle_if_of_a_cycle",
            ),
        ]

    def __str__(self) -> str:
        return f"cycle {self.cycle}" if self.cycle else "follow-up"
