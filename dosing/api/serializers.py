"""Shapes of what is decided and handed over, and of the records behind the gate."""

from rest_framework import serializers

from dosing.models import Counselling, PregnancyTest, TreatmentEnd
from dosing.services.kits import MOST_KITS
from events.api.serializers import Instant, Shape
from patients.api.fields import decimal
from patients.api.serializers import TEXT, RecordOut


class PregnancyRiskIn(Shape):
    assessed_on = serializers.DateField()
    surgically_sterile = serializers.BooleanField(default=False)
    natural_menopause_months = serializers.IntegerField(
        min_value=0, max_value=1200, allow_null=True, default=None
    )
    evidence = serializers.CharField(max_length=TEXT, allow_blank=True, default="")


class PregnancyRiskOut(RecordOut, PregnancyRiskIn):
    category = serializers.CharField()


class CounsellingIn(Shape):
    counselled_on = serializers.DateField()
    acknowledgement_version = serializers.CharField(max_length=20)
    contraception = serializers.ChoiceField(Counselling.Contraception.choices)
    contraception_since = serializers.DateField(allow_null=True, default=None)


class CounsellingOut(RecordOut, CounsellingIn):
    pass


class PregnancyTestIn(Shape):
    taken_at = Instant()
    result = serializers.ChoiceField(PregnancyTest.Result.choices)
    specimen = serializers.ChoiceField(PregnancyTest.Specimen.choices)
    sensitivity_miu_ml = serializers.DecimalField(
        max_digits=6, decimal_places=2, min_value=1, max_value=1000
    )


class PregnancyTestOut(RecordOut, PregnancyTestIn):
    pass


class DoseDecisionIn(Shape):
    cycle = serializers.IntegerField(min_value=1, max_value=1000)
    decided_on = serializers.DateField()
    dose_mg = decimal(digits=5, places=2, most=500, help_text="A day; 0 holds the cycle.")
    reason = serializers.CharField(max_length=TEXT, allow_blank=True, default="")


class DoseDecisionOut(RecordOut, DoseDecisionIn):
    proposed_dose_mg = serializers.DecimalField(max_digits=5, decimal_places=2)


class DispensationIn(Shape):
    cycle = serializers.IntegerField(min_value=1, max_value=1000)
    prescribed_at = Instant()
    dispensed_on = serializers.DateField()
    days = serializers.IntegerField(min_value=1, max_value=366)


class DispensationOut(RecordOut, DispensationIn):
    kit_number = serializers.CharField(source="kit.number")
    dose_mg = serializers.DecimalField(max_digits=5, decimal_places=2)


class TreatmentEndIn(Shape):
    ended_on = serializers.DateField()
    reason = serializers.ChoiceField(TreatmentEnd.Reason.choices)


class TreatmentEndOut(RecordOut, TreatmentEndIn):
    pass


class KitIn(Shape):
    number = serializers.RegexField(r"^[A-Z0-9-]{4,12}$")
    dose_mg = decimal(digits=5, places=2, most=500)
    arm = serializers.CharField(max_length=20)
    expires_on = serializers.DateField()


class KitSupplyIn(Shape):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    kits = KitIn(  # type: ignore[call-arg]  # a list of many takes it
        many=True, allow_empty=False, max_length=MOST_KITS
    )


class KitSupplyOut(Shape):
    accepted = serializers.IntegerField()


class KitOut(Shape):
    """A kit as a blinded reader may know it."""

    number = serializers.CharField()
    site = serializers.CharField(source="site.code")
    dose_mg = serializers.DecimalField(max_digits=5, decimal_places=2)
    expires_on = serializers.DateField()
    status = serializers.CharField()


MOST_CONTENTS = 200  # doses times arms, and room


class WantedKitsIn(Shape):
    dose_mg = decimal(digits=5, places=2, most=500)
    arm = serializers.CharField(max_length=20)
    count = serializers.IntegerField(min_value=1, max_value=MOST_KITS)


class KitNumberDrawIn(Shape):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    kits = WantedKitsIn(  # type: ignore[call-arg]  # a list of many takes it
        many=True, allow_empty=False, max_length=MOST_CONTENTS
    )


class PackedKitOut(Shape):
    """What one number is to hold. For whoever packs the kits, and for nobody else."""

    number = serializers.CharField()
    dose_mg = serializers.DecimalField(max_digits=5, decimal_places=2)
    arm = serializers.CharField()


class PackingListOut(Shape):
    id = serializers.UUIDField()
    kits = PackedKitOut(many=True)


class ListedDrawOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    site = serializers.CharField(source="site.code")
    count = serializers.IntegerField()
    drawn_at = serializers.DateTimeField()
    drawn_by = serializers.CharField(source="drawn_by.username")
