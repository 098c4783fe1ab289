"""Which protocol version a site may run, and which it runs from which day on."""

import uuid
from typing import Any

from django.db import models
from django.db.models import Prefetch, Q

from events.history import tracked
from trials.models.people import User
from trials.models.protocol import ProtocolVersion
from trials.models.sites import Site
from trials.permissions import Permission


class OfSiteQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: User) -> "OfSiteQuerySet":
        """Those of sites whose subjects the user reads, or which the user sets up."""
        reads = Site.objects.visible_to(user)
        sets_up = Site.objects.visible_to(user, Permission.MANAGE_TRIAL)
        return self.filter(Q(site__in=reads) | Q(site__in=sets_up))


@tracked
class SiteApproval(models.Model):
    """An ethics committee or authority let one site run one protocol version."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="approvals")
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="approvals"
    )
    approved_on = models.DateField()
    reference = models.CharField(max_length=100)
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects = OfSiteQuerySet.as_manager()

    class Meta:
        ordering = ["approved_on", "recorded_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "protocol_version"], name="approved_once_per_site"
            ),
            models.CheckConstraint(condition=~Q(reference=""), name="approval_has_a_reference"),
        ]

    def __str__(self) -> str:
        return f"{self.reference}, {self.approved_on}"


class StandingManager(models.Manager.from_queryset(OfSiteQuerySet)):  # type: ignore[misc]
    """The starts that were not withdrawn: no reader of ``site.versions`` can forget to ask.

    A query that comes to them over a join has to say so itself.
    """

    def get_queryset(self) -> OfSiteQuerySet:
        standing: OfSiteQuerySet = super().get_queryset().filter(withdrawn_at=None)
        return standing


@tracked
class SiteVersion(models.Model):
    """A protocol version in force at a site, from a day of the site's calendar until the next.

    A start that has not come can be withdrawn: see ``withdraw_start``.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="versions")
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="at_sites"
    )
    in_force_from = models.DateField()
    impact_digest = models.CharField(max_length=64, blank=True)
    activated_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    activated_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    withdrawn_because = models.TextField(blank=True)

    objects = StandingManager()
    with_withdrawn = OfSiteQuerySet.as_manager()

    class Meta:
        ordering = ["in_force_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "protocol_version"],
                condition=Q(withdrawn_at=None),
                name="in_force_once_per_site",
            ),
            models.UniqueConstraint(
                fields=["site", "in_force_from"],
                condition=Q(withdrawn_at=None),
                name="one_version_begins_on_a_day",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None, withdrawn_by=None, withdrawn_because="")
                | (~Q(withdrawn_at=None) & ~Q(withdrawn_by=None) & ~Q(withdrawn_because="")),
                name="withdrawn_start_says_who_and_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.protocol_version.version} from {self.in_force_from}"


VERSIONS_OF_SITES = Prefetch(
    "site__versions",
    SiteVersion.objects.select_related("protocol_version"),
    to_attr="all_versions",
)
