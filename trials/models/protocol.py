"""A trial and the protocol versions it has run under."""

import uuid
from functools import cached_property, lru_cache

from django.db import models
from django.db.models import Q

from events.history import tracked
from trials.models.people import User, trial_ids
from trials.permissions import Permission
from trials.rules.protocol import Protocol, read_protocol


class TrialQuerySet(models.QuerySet["Trial"]):
    def visible_to(self, user: User) -> "TrialQuerySet":
        """Trials in which the user has any role."""
        return self.filter(pk__in=trial_ids(user.assignments))

    def with_permission(self, user: User, permission: Permission) -> "TrialQuerySet":
        return self.filter(pk__in=trial_ids(user.may(permission)))


@tracked
class Trial(models.Model):
    """One trial. ``code`` names it everywhere and is its event stream."""

    class Conduct(models.TextChoices):
        """Whether acts happen on the site's today, or a finished trial is entered afterwards."""

        LIVE = "live", "Live: acts are dated today"
        REPLAY = "replay", "Replay: acts carry their own past dates"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=40, unique=True)
    title = models.CharField(max_length=300)
    conduct = models.CharField(max_length=10, choices=Conduct, default=Conduct.LIVE)
    created_at = models.DateTimeField()

    objects = TrialQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(conduct__in=["live", "replay"]), name="trial_conduct_is_known"
            )
        ]

    def __str__(self) -> str:
        return self.code

    @cached_property
    def current_version(self) -> "ProtocolVersion":
        """The latest version activated at any site: what holds for the trial as a whole.

        For reports over all sites, loading the list and setting up. What is recorded or judged
        for one subject goes by the version in force at its site: ``Site.version_on``.
        """
        return self.versions.exclude(activated_at=None).latest("activated_at")

    @property
    def protocol(self) -> Protocol:
        return self.current_version.protocol


@tracked
class ProtocolVersion(models.Model):
    """A protocol file as it was submitted: the text, its digest, and when it was first activated.

    The text was judged before it was stored, and is only read from then on: see
    ``read_protocol``. Verifying the randomisation compares it with its digest.

    It is in force site by site: see ``SiteVersion``. A trial's first version is activated with it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="versions")
    version = models.CharField(max_length=20)
    text = models.TextField()
    digest = models.CharField(max_length=64)
    submitted_at = models.DateTimeField()
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    activated_at = models.DateTimeField(null=True)
    activated_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trial", "version"], name="protocol_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.trial_id and self.trial.code} protocol {self.version}"

    @property
    def protocol(self) -> Protocol:
        return _parsed(self.text)


@lru_cache(maxsize=32)
def _parsed(text: str) -> Protocol:
    return read_protocol(text)
