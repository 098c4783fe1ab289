"""Who looked behind the blind, when and what for. Written before each look, never edited."""

from django.db import models

from trials.models.people import User, trial_ids
from trials.permissions import Permission


class SealedAccessQuerySet(models.QuerySet["SealedAccess"]):
    def visible_to(self, user: User) -> "SealedAccessQuerySet":
        return self.filter(trial__in=trial_ids(user.may(Permission.READ_ACCESS_LOG)))


class SealedAccess(models.Model):
    """One look: written by the sealed log-in's own function, unchangeable for everybody."""

    read_only_for_app = True

    id = models.UUIDField(primary_key=True, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=30)
    purpose = models.CharField(max_length=60)
    detail = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    transaction = models.BigIntegerField()

    objects = SealedAccessQuerySet.as_manager()

    class Meta:
        verbose_name = "look behind the blind"
        verbose_name_plural = "looks behind the blind"

    def __str__(self) -> str:
        return f"{self.purpose} by {self.person}"
