"""The web admin's forms for doses, study drug and pregnancy prevention."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from dosing.models import Counselling, PregnancyTest, TreatmentEnd
from dosing.services.decisions import decide_dose, end_treatment
from dosing.services.dispensing import dispense_kit
from dosing.services.pregnancy_prevention import (
    assess_pregnancy_risk,
    record_counselling,
    record_pregnancy_test,
)
from patients.admin_forms import SubjectForm, measured
from patients.models import Subject
from trials.admin_forms import DayField
from trials.permissions import Permission
from trials.rules.protocol import Protocol


class InstantField(forms.DateTimeField):
    """A moment on the site's own clock; ``zone`` is set by the form."""

    widget = forms.DateTimeInput(attrs={"placeholder": "YYYY-MM-DD HH:MM", "autocomplete": "off"})
    zone = ZoneInfo("UTC")

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        try:
            told = datetime.fromisoformat(str(value))
        except ValueError as error:
            text = "Enter a day and a time like 2014-03-09 08:30."
            raise forms.ValidationError(text, code="invalid") from error
        return told if told.tzinfo else told.replace(tzinfo=self.zone)


class DosingForm(SubjectForm):
    """A form whose moments are the site's and which makes sense after randomisation only."""

    permission = Permission.PRESCRIBE

    def prepare(self, protocol: Protocol) -> None:
        for field in self.fields.values():
            if isinstance(field, InstantField) and self.subject is not None:
                field.zone = ZoneInfo(self.subject.site.time_zone)
                field.help_text = f"On the site's clock, {self.subject.site.time_zone}"

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is not None


class ProgrammeForm(DosingForm):
    """A form of pregnancy prevention, where the trial has such a programme."""

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        programme = subject.protocol.pregnancy_prevention.required
        return programme and super().offered(subject)


class PregnancyRiskForm(ProgrammeForm):
    title, icon = "Pregnancy risk", "family_restroom"
    service = staticmethod(assess_pregnancy_risk)
    note = "The category is derived. What is not known counts as childbearing potential."

    assessed_on = DayField(label="Assessed on")
    surgically_sterile = forms.BooleanField(required=False, label="Surgically sterile")
    natural_menopause_months = forms.IntegerField(
        min_value=0, max_value=1200, required=False, label="Natural menopause", help_text="Months"
    )
    evidence = forms.CharField(
        max_length=2000, required=False, help_text="The document this rests on"
    )


class CounsellingForm(ProgrammeForm):
    title, icon = "Counselling", "forum"
    service = staticmethod(record_counselling)

    counselled_on = DayField(label="Counselled on")
    acknowledgement_version = forms.CharField(max_length=20, label="Acknowledgement, version")
    contraception = forms.ChoiceField(choices=Counselling.Contraception.choices)
    contraception_since = DayField(label="Contraception since", required=False)


class PregnancyTestForm(DosingForm):
    title, icon = "Pregnancy test", "pregnancy"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_pregnancy_test)

    taken_at = InstantField(label="Sample taken at")
    result = forms.ChoiceField(choices=PregnancyTest.Result.choices)
    specimen = forms.ChoiceField(choices=PregnancyTest.Specimen.choices)
    sensitivity_miu_ml = measured(places=2, digits=6, unit="mIU/mL", label="Sensitivity")

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        programme = subject.protocol.pregnancy_prevention.required
        return programme and subject.sex == Subject.Sex.FEMALE


class DoseDecisionForm(DosingForm):
    title, icon, submit = "Dose decision", "tune", "Decide"
    service = staticmethod(decide_dose)
    note = "0 mg holds the cycle. Another dose than the rule proposes needs a reason."

    cycle = forms.IntegerField(min_value=1, max_value=999)
    decided_on = DayField(label="Decided on")
    dose_mg = measured(places=2, digits=5, unit="mg a day", label="Dose")
    reason = forms.CharField(max_length=2000, required=False)


class DispenseForm(DosingForm):
    title, icon, submit = "Dispensation", "medication", "Hand over one kit"
    permission = Permission.DISPENSE
    service = staticmethod(dispense_kit)
    note = "Every gate is asked again when you send this. The kit's number is all that comes back."

    cycle = forms.IntegerField(min_value=1, max_value=999)
    prescribed_at = InstantField(label="Prescribed at")
    dispensed_on = DayField(label="Dispensed on")
    days = forms.IntegerField(min_value=1, max_value=999, help_text="Days of treatment")


class TreatmentEndForm(DosingForm):
    title, icon = "End of treatment", "stop_circle"
    service = staticmethod(end_treatment)
    note = "Nothing can be dispensed after it."

    ended_on = DayField(label="Ended on")
    reason = forms.ChoiceField(choices=TreatmentEnd.Reason.choices)


FORMS: dict[str, type[SubjectForm]] = {
    "pregnancy-risk": PregnancyRiskForm,
    "counselling": CounsellingForm,
    "pregnancy-test": PregnancyTestForm,
    "dose-decision": DoseDecisionForm,
    "dispensation": DispenseForm,
    "treatment-end": TreatmentEndForm,
}
