"""Which medical monitor answers the telephone, and when."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q

from events.history import tracked
from trials.models.people import User
from trials.models.protocol import Trial


class OnCallQuerySet(models.QuerySet["OnCall"]):
    def visible_to(self, user: User) -> "OnCallQuerySet":
        """The lists of the trials in which the user has any role: all may have to call."""
        return self.filter(trial__in=Trial.objects.visible_to(user))

    def standing(self) -> "OnCallQuerySet":
        return self.filter(cancelled_at=None)

    def covering(self, at: datetime) -> "OnCallQuerySet":
        """Duties that hold at an instant: from their start until just before their end."""
        return self.standing().filter(starts_at__lte=at, ends_at__gt=at)


@tracked
class OnCall(models.Model):
    """One duty of one medical monitor, with the number to call."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    telephone = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    cancelled_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.TextField(blank=True)

    objects = OnCallQuerySet.as_manager()

    class Meta:
        verbose_name = "on-call duty"
        verbose_name_plural = "on-call duties"
        ordering = ["starts_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")), name="duty_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(cancelled_at=None, cancelled_by=None, cancel_reason="")
                | (~Q(cancelled_at=None) & ~Q(cancelled_by=None) & ~Q(cancel_reason="")),
                name="duty_cancelled_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person}, {self.telephone}"
