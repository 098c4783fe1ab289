"""Kit numbers drawn for a site, for the labels. What each is to hold is sealed, not here."""

import uuid

from django.db import models
from django.db.models import F, Func, IntegerField

from events.history import tracked
from trials.models import Site, Trial, User
from trials.models.people import trial_ids
from trials.permissions import Permission


class KitNumberDrawQuerySet(models.QuerySet["KitNumberDraw"]):
    def visible_to(self, user: User) -> "KitNumberDrawQuerySet":
        return self.filter(trial__in=trial_ids(user.may(Permission.SUPPLY_KITS)))

    def counted(self) -> "KitNumberDrawQuerySet":
        """Say of each draw, as ``count``, how many numbers it has, and bring along none of them."""
        count = Func(F("numbers"), function="jsonb_array_length", output_field=IntegerField())
        return self.defer("numbers").annotate(count=count)


@tracked
class KitNumberDraw(models.Model):
    """Numbers drawn together for the kits of one site, kept sorted."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    numbers = models.JSONField()
    drawn_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    drawn_at = models.DateTimeField()

    objects = KitNumberDrawQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{len(self.numbers)} kit numbers"
