"""Randomisation as a blinded reader may know it. The arm is not here: see ``trials.sealed``."""

import uuid

from django.db import models

from events.history import tracked
from trials.models.people import User
from trials.models.protocol import ProtocolVersion, Trial
from trials.models.sites import Site


@tracked
class RandomisationList(models.Model):
    """A sealed list that is in use: its digest commits to contents nobody here can read."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.OneToOneField(Trial, on_delete=models.PROTECT, related_name="randomisation_list")
    digest = models.CharField(max_length=64)
    entries = models.PositiveIntegerField()
    reason = models.TextField(blank=True)
    loaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    loaded_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"list {self.digest[:12]}"


@tracked
class Allocation(models.Model):
    """One slot of the list, taken for one subject, with what it was decided from."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    list = models.ForeignKey(RandomisationList, on_delete=models.PROTECT, related_name="+")
    slot_id = models.UUIDField(unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=12, unique=True)
    stratum = models.CharField(max_length=20)
    randomised_on = models.DateField()
    allocated_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    allocated_at = models.DateTimeField()
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="+"
    )

    def __str__(self) -> str:
        return self.number
