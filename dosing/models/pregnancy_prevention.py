"""The records the pregnancy-prevention gate is judged from."""

from django.db import models
from django.db.models import Q

from events.history import tracked
from patients.models.subjects import Record


@tracked
class PregnancyRisk(Record):
    """The risk category as derived and confirmed on a day; the latest one holds."""

    insert_only = True

    class Category(models.TextChoices):
        FCBP = "FCBP", "Woman of childbearing potential"
        FNCBP = "FNCBP", "Woman not of childbearing potential"
        MALE = "MALE", "Man"

    assessed_on = models.DateField()
    surgically_sterile = models.BooleanField()
    natural_menopause_months = models.PositiveSmallIntegerField(null=True)
    evidence = models.TextField(blank=True)
    category = models.CharField(max_length=5, choices=Category)

    class Meta:
        ordering = ["assessed_on", "recorded_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(category="FNCBP") | ~Q(evidence=""), name="fncbp_needs_evidence"
            )
        ]

    def __str__(self) -> str:
        return self.category


@tracked
class Counselling(Record):
    insert_only = True

    class Contraception(models.TextChoices):
        EFFECTIVE = "effective_method", "Effective method"
        ABSTINENCE = "abstinence", "Abstinence, reviewed"
        CONDOM = "condom", "Condom"
        NOT_APPLICABLE = "not_applicable", "Not applicable"

    counselled_on = models.DateField()
    acknowledgement_version = models.CharField(max_length=20)
    contraception = models.CharField(max_length=20, choices=Contraception)
    contraception_since = models.DateField(null=True)

    class Meta:
        ordering = ["counselled_on", "recorded_at"]

    def __str__(self) -> str:
        return f"counselled on {self.counselled_on}"


@tracked
class PregnancyTest(Record):
    insert_only = True

    class Result(models.TextChoices):
        NEGATIVE = "negative"
        POSITIVE = "positive"
        INDETERMINATE = "indeterminate"

    class Specimen(models.TextChoices):
        SERUM = "serum"
        URINE = "urine"

    taken_at = models.DateTimeField()
    result = models.CharField(max_length=15, choices=Result)
    specimen = models.CharField(max_length=5, choices=Specimen)
    sensitivity_miu_ml = models.DecimalField(max_digits=6, decimal_places=2)

    class Meta:
        ordering = ["taken_at"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "taken_at"], name="pregnancy_test_once"),
            models.CheckConstraint(
                condition=Q(sensitivity_miu_ml__gt=0), name="sensitivity_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.result} at {self.taken_at:%Y-%m-%d %H:%M}"
