"""Adverse events, graded by the CTCAE version the protocol names."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record, partial_date_check


@tracked
class AdverseEvent(Record):
    class Outcome(models.TextChoices):
        RECOVERED = "recovered"
        RECOVERING = "recovering"
        NOT_RECOVERED = "not_recovered", "Not recovered"
        SEQUELAE = "recovered_with_sequelae", "Recovered with sequelae"
        FATAL = "fatal"
        UNKNOWN = "unknown"

    class Seriousness(models.TextChoices):
        DEATH = "death"
        LIFE_THREATENING = "life_threatening", "Life-threatening"
        HOSPITALISATION = "hospitalisation", "Hospitalisation or its prolongation"
        DISABILITY = "disability"
        CONGENITAL_ANOMALY = "congenital_anomaly", "Congenital anomaly"
        IMPORTANT = "important_medical_event", "Important medical event"

    term = models.CharField(max_length=200)
    soc = models.CharField("system organ class", max_length=120)
    grade = models.PositiveSmallIntegerField()
    ctcae_version = models.CharField(max_length=10)
    started_on = models.CharField(max_length=10)
    ended_on = models.CharField(max_length=10, blank=True)
    outcome = models.CharField(max_length=25, choices=Outcome)
    related = models.BooleanField("related to study drug")
    serious = models.BooleanField()
    seriousness = models.JSONField(default=list, blank=True)
    narrative = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["started_on", "recorded_at"]
        indexes = [models.Index(fields=["subject", "soc"], name="ae_subject_soc")]
        constraints = [
            models.CheckConstraint(
                condition=Q(grade__gte=1, grade__lte=5), name="ae_grade_is_one_to_five"
            ),
            models.CheckConstraint(
                condition=Q(grade=5, outcome="fatal") | (~Q(grade=5) & ~Q(outcome="fatal")),
                name="ae_grade_five_is_fatal",
            ),
            models.CheckConstraint(
                condition=Q(serious=False, seriousness=[]) | (Q(serious=True) & ~Q(seriousness=[])),
                name="ae_serious_says_why",
            ),
            partial_date_check("started_on", "ae_started_on_is_a_partial_date"),
            partial_date_check("ended_on", "ae_ended_on_is_a_partial_date", empty=True),
        ]

    def __str__(self) -> str:
        return f"{self.term}, grade {self.grade}"
