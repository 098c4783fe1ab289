"""Randomisation as a blinded reader may know it. The arm is not here: see ``trials.sealed``."""

import uuid

from django.db import models
from django.db.models import Q

from events.history import tracked
from trials.models.people import User, trial_ids
from trials.models.protocol import ProtocolVersion, Trial
from trials.models.sites import Site
from trials.permissions import Permission


class RandomisationListQuerySet(models.QuerySet["RandomisationList"]):
    def visible_to(self, user: User) -> "RandomisationListQuerySet":
        """Live lists of the user's trials, and all lists for those who make or check them."""
        makers = (*user.may(Permission.LOAD_LIST), *user.may(Permission.APPROVE_LIST))
        live = Q(state=RandomisationList.State.LIVE, trial__in=trial_ids(user.assignments))
        return self.filter(live | Q(trial__in=trial_ids(makers)))

    def live(self) -> "RandomisationListQuerySet":
        """Lists in use, in the order in which they are used up."""
        return self.filter(state=RandomisationList.State.LIVE).order_by("number")


@tracked
class RandomisationList(models.Model):
    """A sealed list: its digest commits to contents nobody here can read.

    Number 1 is a trial's first list, each later number an extension of the one before.
    """

    class State(models.TextChoices):
        """A draft is good for nothing until two people have approved its digest."""

        DRAFT = "draft", "Draft: waits for two approvals"
        LIVE = "live", "Live: subjects are randomised from it"
        WITHDRAWN = "withdrawn", "Withdrawn: never used"

    class Origin(models.TextChoices):
        """Whether the list was generated here from a seed, or made elsewhere and loaded."""

        GENERATED = "generated", "Generated here from a recorded seed"
        LOADED = "loaded", "Made elsewhere and loaded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="randomisation_lists")
    number = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    origin = models.CharField(max_length=10, choices=Origin)
    method = models.CharField(max_length=30)
    generator = models.CharField(max_length=80)
    digest = models.CharField(max_length=64)
    entries = models.PositiveIntegerField()
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    live_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_because = models.TextField(blank=True)

    objects = RandomisationListQuerySet.as_manager()

    class Meta:
        ordering = ["trial", "number", "made_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "number"],
                condition=~Q(state="withdrawn"),
                name="list_number_once_per_trial",
            ),
            models.UniqueConstraint(
                fields=["trial"], condition=Q(state="draft"), name="one_draft_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "live", "withdrawn"]), name="list_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(origin__in=["generated", "loaded"]), name="list_origin_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="live") | Q(live_at__isnull=False), name="live_list_has_its_time"
            ),
            models.CheckConstraint(
                condition=~Q(state="withdrawn")
                | Q(withdrawn_by__isnull=False, withdrawn_at__isnull=False)
                & ~Q(withdrawn_because=""),
                name="withdrawn_list_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"list {self.number}, {self.digest[:12]}"


@tracked
class ListApproval(models.Model):
    """One person's yes to the dry run of a draft, by its digest. Two make a list live."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    list = models.ForeignKey(RandomisationList, on_delete=models.PROTECT, related_name="approvals")
    digest = models.CharField(max_length=64)
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField()

    class Meta:
        ordering = ["approved_at", "approved_by_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["list", "approved_by"], name="one_approval_a_person_and_list"
            )
        ]

    def __str__(self) -> str:
        return f"approval by {self.approved_by}"


@tracked
class Allocation(models.Model):
    """One slot of a list, taken for one subject, with what it was decided from.

    ``levels`` are the subject's levels of the stratification factors, ``inputs`` the recorded
    values they came from, as text; both as they were at that moment, like the stratum.
    """

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    list = models.ForeignKey(RandomisationList, on_delete=models.PROTECT, related_name="+")
    slot_id = models.UUIDField(unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=12, unique=True)
    stratum = models.CharField(max_length=20)
    levels = models.JSONField(default=dict)
    inputs = models.JSONField(default=dict)
    algorithm = models.CharField(max_length=40)
    randomised_on = models.DateField()
    allocated_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    allocated_at = models.DateTimeField()
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="+"
    )

    def __str__(self) -> str:
        return self.number
