"""A subject's move from one site to another."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record
from trials.models import Site


@tracked
class SubjectTransfer(Record):
    """From this moment the subject belongs to another site, with all of its past."""

    insert_only = True

    from_site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    to_site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    transferred_on = models.DateField()
    reason = models.TextField()
    agreed_by = models.CharField("receiving investigator", max_length=120)
    agreement = models.CharField("document of the agreement", max_length=120)

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(from_site=models.F("to_site")), name="transfer_changes_the_site"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="transfer_says_why"),
        ]

    def __str__(self) -> str:
        return f"from {self.from_site.code} to {self.to_site.code}"
