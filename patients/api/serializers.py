"""Shapes of a subject's records: ``…In`` is what a site sends, ``…Out`` what it gets back."""

from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from events.api.serializers import Shape
from patients.api.fields import PartialDateField, ScreeningValues, decimal
from patients.models import (
    AdverseEvent,
    LabResult,
    RandomisationMistake,
    ResponseAssessment,
    Subject,
    Visit,
)
from patients.rules.unblinding import review_due


TEXT = 4000


class RecordOut(Shape):
    """What every record answers with."""

    id = serializers.UUIDField()
    subject = serializers.UUIDField(source="subject_id")
    recorded_at = serializers.DateTimeField()
    protocol_version = serializers.CharField(
        source="protocol_version.version", help_text="The version the record was made under."
    )


class ReasonOut(Shape):
    code = serializers.CharField()
    detail = serializers.CharField()


class SubjectIn(Shape):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(max_length=10)
    year_of_birth = serializers.IntegerField(min_value=1900, max_value=2100)
    sex = serializers.ChoiceField(Subject.Sex.choices)
    screened_on = serializers.DateField()


class SubjectOut(Shape):
    id = serializers.UUIDField()
    number = serializers.CharField()
    trial = serializers.CharField(source="trial.code")
    site = serializers.CharField(source="site.code")
    year_of_birth = serializers.IntegerField()
    sex = serializers.CharField()
    screened_on = serializers.DateField()
    randomisation_number = serializers.CharField(
        source="allocation.number", default=None, allow_null=True
    )
    randomised_on = serializers.DateField(
        source="allocation.randomised_on", default=None, allow_null=True
    )
    recorded_at = serializers.DateTimeField()
    protocol_version = serializers.CharField(
        source="protocol_version.version", help_text="The version the subject was entered under."
    )
    revision = serializers.IntegerField(help_text="Sex and year of birth are corrected at it.")
    needs_review = serializers.SerializerMethodField(
        help_text="Whether its blind was broken in emergencies more often than passes unreviewed."
    )

    def get_needs_review(self, subject: Any) -> bool:
        looks = getattr(subject, "emergency_looks", 0)  # none, of one just entered
        return bool(looks) and review_due(looks, subject.trial.protocol.blind)


class ConsentIn(Shape):
    version = serializers.CharField(max_length=20)
    signed_on = serializers.DateField()


class ConsentOut(RecordOut, ConsentIn):
    pass


class ConsentWithdrawalIn(Shape):
    withdrawn_on = serializers.DateField()
    reason = serializers.CharField(max_length=TEXT, allow_blank=True, default="")


class ConsentWithdrawalOut(RecordOut, ConsentWithdrawalIn):
    pass


class ScreeningIn(Shape):
    assessed_on = serializers.DateField()
    values = ScreeningValues(
        help_text=(
            "What was found, by the codes of the protocol's screening variables. Numbers are "
            "text, like 0.02; null, or a variable left out, says that it is not known."
        )
    )
    exclusions = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=50, default=list
    )


class ScreeningOut(RecordOut, ScreeningIn):
    eligible = serializers.BooleanField()
    reasons = ReasonOut(many=True)
    levels = serializers.DictField(
        child=serializers.CharField(), help_text="The level of each factor of randomisation."
    )
    stratum = serializers.SerializerMethodField()

    def get_stratum(self, screening: object) -> str | None:
        return getattr(screening, "stratum", "") or None


class RandomisationIn(Shape):
    randomised_on = serializers.DateField()


class RandomisationOut(Shape):
    """What a blinded reader may know of an allocation."""

    randomisation_number = serializers.CharField(source="number")
    stratum = serializers.CharField()
    randomised_on = serializers.DateField()
    allocated_at = serializers.DateTimeField()
    protocol_version = serializers.CharField(
        source="protocol_version.version", help_text="The version the subject was randomised under."
    )


class ScreeningCorrectionIn(Shape):
    values = ScreeningValues(help_text="The values that were wrong, as they ought to be.")
    reason = serializers.CharField(max_length=2000)


class ScreeningCorrectionOut(RecordOut):
    found = serializers.DictField(child=serializers.JSONField())
    corrected = serializers.DictField(child=serializers.JSONField())
    levels = serializers.DictField(child=serializers.CharField())
    stratum = serializers.CharField(
        help_text="What the corrected values give; the stratum of the randomisation stays."
    )
    reason = serializers.CharField()


class RandomisationMistakeIn(Shape):
    mistake = serializers.ChoiceField(RandomisationMistake.Kind.choices, source="kind")
    reason = serializers.CharField(max_length=2000)


class RandomisationMistakeOut(RecordOut, RandomisationMistakeIn):
    pass


class VisitIn(Shape):
    kind = serializers.ChoiceField(Visit.Kind.choices)
    cycle = serializers.IntegerField(min_value=1, max_value=1000, allow_null=True, default=None)
    visited_on = serializers.DateField()


class VisitOut(RecordOut, VisitIn):
    pass


class LabResultIn(Shape):
    analyte = serializers.ChoiceField(LabResult.Analyte.choices)
    value = decimal(digits=9, places=3, most=100_000)
    unit = serializers.CharField(max_length=12)


class LabsIn(Shape):
    taken_on = serializers.DateField()
    results = LabResultIn(many=True, allow_empty=False, max_length=len(LabResult.Analyte))  # type: ignore[call-arg]  # `many` takes it


class LabResultOut(RecordOut, LabResultIn):
    taken_on = serializers.DateField()


class SubjectCorrectionOut(RecordOut):
    found = serializers.DictField(child=serializers.JSONField())
    corrected = serializers.DictField(child=serializers.JSONField())
    levels = serializers.DictField(child=serializers.CharField())
    stratum = serializers.CharField(
        help_text=(
            "What a randomised subject's right values give; the stratum of the randomisation stays."
        )
    )
    against = ReasonOut(
        many=True, help_text="The criteria that a randomised subject's right values do not meet."
    )
    reason = serializers.CharField()
    revision = serializers.IntegerField(
        source="subject.revision", help_text="The subject's revision now."
    )


class Correction(Shape):
    """Why a record is corrected, and at least one field of it."""

    reason = serializers.CharField(max_length=TEXT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) == 1:
            raise serializers.ValidationError("Name at least one field to correct.")
        return attrs


class SubjectCorrectionIn(Correction):
    """Send only what was wrong, and why."""

    year_of_birth = serializers.IntegerField(min_value=1900, max_value=2100, required=False)
    sex = serializers.ChoiceField(Subject.Sex.choices, required=False)


class ResponseIn(Shape):
    assessed_on = serializers.DateField()
    response = serializers.ChoiceField(ResponseAssessment.Response.choices)
    assessor = serializers.ChoiceField(ResponseAssessment.Assessor.choices)


class ResponseOut(RecordOut, ResponseIn):
    revision = serializers.IntegerField()


class ResponseCorrectionIn(Correction):
    """Send only what changes, and why."""

    assessed_on = serializers.DateField(required=False)
    response = serializers.ChoiceField(ResponseAssessment.Response.choices, required=False)


class AdverseEventIn(Shape):
    term = serializers.CharField(max_length=200)
    soc = serializers.CharField(max_length=120, help_text="System organ class, as CTCAE prints it.")
    grade = serializers.IntegerField(min_value=1, max_value=5)
    started_on = PartialDateField()
    ended_on = PartialDateField(allow_null=True, default=None)
    outcome = serializers.ChoiceField(AdverseEvent.Outcome.choices)
    related = serializers.BooleanField()
    serious = serializers.BooleanField()
    seriousness = serializers.ListField(
        child=serializers.ChoiceField(AdverseEvent.Seriousness.choices), max_length=6, default=list
    )
    narrative = serializers.CharField(max_length=TEXT, allow_blank=True, default="")


class AdverseEventOut(RecordOut, AdverseEventIn):
    ctcae_version = serializers.CharField()
    revision = serializers.IntegerField()


class AdverseEventCorrectionIn(Correction, AdverseEventIn):
    """Send only what changes, and why."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        for name, field in self.fields.items():
            if name != "reason":
                field.required = False
                field.default = empty


class ContactIn(Shape):
    contacted_on = serializers.DateField()


class ContactOut(RecordOut, ContactIn):
    pass


class DeathIn(Shape):
    died_on = PartialDateField()
    cause = serializers.CharField(max_length=300)


class DeathOut(RecordOut, DeathIn):
    pass


class FurtherTreatmentIn(Shape):
    started_on = PartialDateField()
    regimen = serializers.CharField(max_length=200)


class FurtherTreatmentOut(RecordOut, FurtherTreatmentIn):
    pass


class TransferIn(Shape):
    to_site = serializers.CharField(max_length=10, help_text="the receiving site's code")
    transferred_on = serializers.DateField()
    reason = serializers.CharField(max_length=TEXT)
    agreed_by = serializers.CharField(max_length=120, help_text="the receiving investigator")
    agreement = serializers.CharField(max_length=120, help_text="the document that says so")


class TransferOut(RecordOut):
    from_site = serializers.CharField(source="from_site.code")
    to_site = serializers.CharField(source="to_site.code")
    transferred_on = serializers.DateField()
    reason = serializers.CharField()
    agreed_by = serializers.CharField()
    agreement = serializers.CharField()
