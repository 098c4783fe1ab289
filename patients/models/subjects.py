"""The subject, and what every clinical record about one has in common."""

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from events.history import tracked
from trials.models import Allocation, ProtocolVersion, Site, Trial, User
from trials.permissions import Permission
from trials.rules.protocol import Protocol


class SubjectQuerySet(models.QuerySet["Subject"]):
    def visible_to(
        self, user: User, permission: Permission = Permission.READ_SUBJECTS
    ) -> "SubjectQuerySet":
        """Subjects at the sites where the user holds a permission: nobody else's exist."""
        return self.filter(site__in=Site.objects.visible_to(user, permission))


@tracked
class Subject(models.Model):
    """One person screened for a trial, known by site and running number and by nothing else."""

    class Sex(models.TextChoices):
        FEMALE = "female"
        MALE = "male"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="subjects")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="subjects")
    number = models.CharField(max_length=20)
    year_of_birth = models.PositiveSmallIntegerField()
    sex = models.CharField(max_length=6, choices=Sex)
    screened_on = models.DateField()
    allocation = models.OneToOneField(
        Allocation, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="+"
    )
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    revision = models.PositiveIntegerField(default=1)

    objects = SubjectQuerySet.as_manager()

    version: ProtocolVersion
    """The version an act or a page goes by, set by whoever begins it; ``protocol_version`` is the
    one the subject was entered under."""

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "number"], name="subject_number_once"),
            models.CheckConstraint(
                condition=Q(sex__in=["female", "male"]), name="subject_sex_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def protocol(self) -> Protocol:
        return self.version.protocol


class RecordQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: User) -> "RecordQuerySet":
        return self.filter(subject__in=Subject.objects.visible_to(user))


class Record(models.Model):
    """What every clinical record says about itself: of whom, by whom, when, under which version."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="%(class)ss")
    protocol_version = models.ForeignKey(
        ProtocolVersion, on_delete=models.PROTECT, related_name="+"
    )
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects: ClassVar[Any] = RecordQuerySet.as_manager()  # typed by each model that inherits it

    class Meta:
        abstract = True


def partial_date_check(field: str, name: str, *, empty: bool = False) -> models.CheckConstraint:
    """Return a constraint that a text field holds ``2014``, ``2014-03`` or ``2014-03-09``."""
    shape = Q(**{f"{field}__regex": r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$"})
    return models.CheckConstraint(condition=shape | Q(**{field: ""}) if empty else shape, name=name)
