"""Reviews of who has access: what the reviewer saw, and their name under it."""

import uuid

from django.db import models

from events.history import tracked
from trials.models.people import User, trial_ids
from trials.models.protocol import Trial
from trials.permissions import Permission


class AccessReviewQuerySet(models.QuerySet["AccessReview"]):
    def visible_to(self, user: User) -> "AccessReviewQuerySet":
        held = user.may(Permission.READ_PEOPLE)
        return self.filter(trial__in=trial_ids(a for a in held if a.site_id is None))


@tracked
class AccessReview(models.Model):
    """One review signed off: the list as it was then, its digest, and the reviewer's remark."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="+")
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    findings = models.PositiveIntegerField()
    remark = models.TextField()
    signed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    signed_at = models.DateTimeField()

    objects = AccessReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-signed_at"]

    def __str__(self) -> str:
        return f"review of {self.signed_at:%Y-%m-%d}"
