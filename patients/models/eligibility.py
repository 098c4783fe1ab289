"""Screening: what was found, and what the rule concluded from it."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class Screening(Record):
    """The facts eligibility is judged from, as the site entered them, and the judgement."""

    insert_only = True

    assessed_on = models.DateField()
    first_line_regimen = models.CharField(max_length=20)
    first_line_cycles = models.PositiveSmallIntegerField()
    last_cycle_on = models.DateField()
    response = models.CharField(max_length=5)
    mrd_level = models.DecimalField(max_digits=9, decimal_places=8, null=True)
    ighv_unmutated = models.BooleanField(null=True)
    tp53_mutated = models.BooleanField(null=True)
    del17p = models.BooleanField(null=True)
    ecog = models.PositiveSmallIntegerField()
    anc_10e9_l = models.DecimalField(max_digits=7, decimal_places=3, null=True)
    platelets_10e9_l = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    creatinine_clearance_ml_min = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    exclusions = models.JSONField(default=list)
    eligible = models.BooleanField()
    reasons = models.JSONField(default=list)
    stratum = models.CharField(max_length=20, blank=True)

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(mrd_level=None) | Q(mrd_level__gte=0, mrd_level__lte=1),
                name="mrd_is_a_fraction",
            ),
            models.CheckConstraint(
                condition=Q(eligible=False) | ~Q(stratum=""), name="eligible_has_a_stratum"
            ),
        ]

    def __str__(self) -> str:
        return "eligible" if self.eligible else "not eligible"
