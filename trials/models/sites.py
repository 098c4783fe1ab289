"""Sites of a trial."""

import uuid
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Q

from events.history import tracked
from events.outcomes import Reason
from trials.errors import NoVersionInForce
from trials.models.people import User, trial_ids
from trials.models.protocol import ProtocolVersion, Trial
from trials.permissions import Permission
from trials.rules.protocol import Protocol


class SiteQuerySet(models.QuerySet["Site"]):
    def visible_to(
        self, user: User, permission: Permission = Permission.READ_SUBJECTS
    ) -> "SiteQuerySet":
        """Sites where the user holds a permission, by name or for all of a trial's sites."""
        held = user.may(permission)
        everywhere = trial_ids(a for a in held if a.site_id is None)
        named = {a.site_id for a in held if a.site_id is not None}
        return self.filter(Q(pk__in=named) | Q(trial__in=everywhere))


@tracked
class Site(models.Model):
    """One site of one trial; its days are calendar days in its own time zone."""

    class Status(models.TextChoices):
        PLANNED = "planned"
        ACTIVE = "active"
        ON_HOLD = "on_hold", "On hold"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="sites")
    code = models.CharField(max_length=10)
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2)
    time_zone = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status, default=Status.PLANNED)

    objects = SiteQuerySet.as_manager()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "code"], name="site_code_once_per_trial"),
            models.CheckConstraint(
                condition=Q(status__in=["planned", "active", "on_hold", "closed"]),
                name="site_status_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    def local_day(self, at: datetime) -> date:
        """Return the site's calendar day at an instant."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()

    def version_on(self, day: date) -> ProtocolVersion:
        """Return the protocol version in force here on a day of the site's calendar.

        One query at each call. Raises ``NoVersionInForce`` before the first version's first day.
        """
        begun = self.versions.filter(in_force_from__lte=day).select_related("protocol_version")
        latest = begun.order_by("in_force_from").last()
        if latest is None:
            detail = f"No protocol version was in force at {self.code} on {day}."
            raise NoVersionInForce(Reason("no_version_in_force", detail))
        found: ProtocolVersion = latest.protocol_version
        return found

    def protocol_on(self, day: date) -> Protocol:
        return self.version_on(day).protocol
