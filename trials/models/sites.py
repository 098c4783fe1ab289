"""Sites of a trial."""

import uuid
from datetime import date, datetime, time
from typing import TYPE_CHECKING
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


if TYPE_CHECKING:
    from trials.models.amendments import SiteVersion


class SiteQuerySet(models.QuerySet["Site"]):
    def visible_to(
        self, user: User, permission: Permission = Permission.READ_SUBJECTS
    ) -> "SiteQuerySet":
        """Sites where the user holds a permission, by name or for all of a trial's sites."""
        held = user.may(permission)
        everywhere = trial_ids(a for a in held if a.site_id is None)
        named = {a.site_id for a in held if a.site_id is not None}
        return self.filter(Q(pk__in=named) | Q(trial__in=everywhere))

    def known_to(self, user: User) -> "SiteQuerySet":
        """Sites where the user has any role, by name or for all of a trial's sites."""
        everywhere = trial_ids(a for a in user.assignments if a.site_id is None)
        named = {a.site_id for a in user.assignments if a.site_id is not None}
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
    entered = models.PositiveIntegerField(
        "subjects entered", default=0, help_text="how many, and so the last number given"
    )

    objects = SiteQuerySet.as_manager()

    all_versions: "list[SiteVersion]"
    """Filled by a list of many subjects (``VERSIONS_OF_SITES``), which would ask for each."""

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

    def midnight(self, on: date) -> datetime:
        """Return the instant at which a calendar day begins at the site."""
        return datetime.combine(on, time.min, tzinfo=ZoneInfo(self.time_zone))

    def version_on(self, day: date) -> ProtocolVersion:
        """Return the protocol version in force here on a day of the site's calendar.

        One query for a day; this object remembers the answer, and lives no longer than a request.
        Raises ``NoVersionInForce`` before the first version's first day.
        """
        answers: dict[date, ProtocolVersion] = self.__dict__.setdefault("_version_on", {})
        if day not in answers:
            answers[day] = self._in_force(day)
        return answers[day]

    def _in_force(self, day: date) -> ProtocolVersion:
        latest = self._latest_begun(day)
        if latest is None:
            detail = f"No protocol version was in force at {self.code} on {day}."
            raise NoVersionInForce(Reason("no_version_in_force", detail))
        found: ProtocolVersion = latest.protocol_version
        return found

    def _latest_begun(self, day: date) -> "SiteVersion | None":
        if "all_versions" in self.__dict__:
            begun = [row for row in self.all_versions if row.in_force_from <= day]
            return max(begun, key=lambda row: row.in_force_from, default=None)
        rows = self.versions.filter(in_force_from__lte=day).select_related("protocol_version")
        return rows.order_by("in_force_from").last()

    def protocol_on(self, day: date) -> Protocol:
        return self.version_on(day).protocol
