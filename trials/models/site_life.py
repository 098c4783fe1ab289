"""The steps of a site's life, and what was wrong about it, as they were recorded."""

import uuid

from django.db import models
from django.db.models import Q

from events.history import tracked
from trials.models.people import User
from trials.models.sites import Site


class SiteStatusChangeQuerySet(models.QuerySet["SiteStatusChange"]):
    def visible_to(self, user: User) -> "SiteStatusChangeQuerySet":
        return self.filter(site__in=Site.objects.known_to(user))


@tracked
class SiteStatusChange(models.Model):
    """One step of a site's life: from which status to which, since which day, and why."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="status_changes")
    was = models.CharField(max_length=10, choices=Site.Status)
    status = models.CharField(max_length=10, choices=Site.Status)
    changed_on = models.DateField()
    reason = models.TextField()
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects = SiteStatusChangeQuerySet.as_manager()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="site_change_says_why"),
            models.CheckConstraint(
                condition=~Q(was=models.F("status")), name="site_change_changes_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.site.code} {self.get_status_display().lower()} since {self.changed_on}"


class SiteCorrectionQuerySet(models.QuerySet["SiteCorrection"]):
    def visible_to(self, user: User) -> "SiteCorrectionQuerySet":
        return self.filter(site__in=Site.objects.known_to(user))


@tracked
class SiteCorrection(models.Model):
    """A site's name or time zone that was wrong: what was recorded, what is true, and why."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="corrections")
    found = models.JSONField()
    corrected = models.JSONField()
    reason = models.TextField()
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects = SiteCorrectionQuerySet.as_manager()

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="site_correction_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.site.code}: correction of {', '.join(self.corrected)}"
