"""Kits as a blinded reader may know them, and their handing over."""

import uuid

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record
from trials.models import Site, User


class KitQuerySet(models.QuerySet["Kit"]):
    def visible_to(self, user: User) -> "KitQuerySet":
        return self.filter(site__in=Site.objects.visible_to(user))


@tracked
class Kit(models.Model):
    """One kit at one site. Its number says nothing; what is in it is sealed.

    Kits of one ``supply`` that expire on one day are a batch: nobody blinded can tell them apart,
    and they are used up together before the next batch is begun.
    """

    class Status(models.TextChoices):
        AVAILABLE = "available"
        DISPENSED = "dispensed"
        QUARANTINED = "quarantined"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=12, unique=True)
    dose_mg = models.DecimalField(max_digits=5, decimal_places=2)
    expires_on = models.DateField()
    supply = models.UUIDField(editable=False)
    status = models.CharField(max_length=12, choices=Status, default=Status.AVAILABLE)

    objects = KitQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        indexes = [
            models.Index(
                fields=["site", "dose_mg"], name="kit_available", condition=Q(status="available")
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["available", "dispensed", "quarantined"]),
                name="kit_status_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.number


@tracked
class Dispensation(Record):
    insert_only = True

    kit = models.OneToOneField(Kit, on_delete=models.PROTECT, related_name="+")
    decision = models.OneToOneField(
        "dosing.DoseDecision", on_delete=models.PROTECT, related_name="dispensation"
    )
    cycle = models.PositiveSmallIntegerField()
    dose_mg = models.DecimalField(max_digits=5, decimal_places=2)
    prescribed_at = models.DateTimeField()
    dispensed_on = models.DateField()
    days = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["cycle"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "cycle"], name="dispensed_once_per_cycle"),
            models.CheckConstraint(condition=Q(days__gte=1), name="dispensed_days_positive"),
        ]

    def __str__(self) -> str:
        return f"kit {self.kit.number} for cycle {self.cycle}"
