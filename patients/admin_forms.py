"""The forms about subjects: each asks for what one service takes, and calls it."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from patients.models import (
    AdverseEvent,
    LabResult,
    RandomisationMistake,
    ResponseAssessment,
    Subject,
    Visit,
)
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import correct_adverse_event, record_adverse_event
from patients.services.consent import record_consent, withdraw_consent
from patients.services.corrections import correct_subject
from patients.services.enrolment import enrol_subject, randomise_subject, record_screening
from patients.services.labs import record_labs
from patients.services.outcomes import record_death, record_further_treatment
from patients.services.response import correct_response, record_response
from patients.services.stratification import (
    correct_screening,
    record_randomisation_mistake,
)
from patients.services.transfers import transfer_subject
from patients.services.visits import record_contact, record_visit
from trials.admin_forms import DayField, ServiceForm
from trials.models import Site, User
from trials.permissions import Permission
from trials.rules.protocol import Protocol, Variable


# Beside which field a reason is shown, where its code does not name the field itself.
FIELD_OF = {
    "starts_in_future": "started_on",
    "ends_in_future": "ended_on",
    "ends_before_start": "ended_on",
    "grade_5_not_fatal": "grade",
    "fatal_not_grade_5": "grade",
    "fatal_not_serious": "seriousness",
    "death_not_fatal": "outcome",
    "serious_without_criterion": "seriousness",
    "criterion_without_serious": "serious",
    "cycle_and_kind": "cycle",
    "visit_recorded": "cycle",
    "response_recorded": "assessed_on",
    "consent_recorded": "version",
    "site_status": "site",
    "contact_recorded": "contacted_on",
    "alive_later": "died_on",
    "reason_missing": "reason",
    "not_in_response_scale": "response",
    "not_today": "randomised_on",
    "decided_already": "cycle",
    "test_recorded": "taken_at",
    "future_instant": "taken_at",
}


class PartialDateField(forms.CharField):
    """A year, a month or a day, as it was told."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "A day, a month or a year: 2014-03-09, 2014-03 or 2014")
        super().__init__(max_length=10, **options)

    def clean(self, value: Any) -> PartialDate | None:
        text = super().clean(value)
        try:
            return PartialDate(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(str(error), code="partial_date") from error


class Known(forms.NullBooleanField):
    """Yes, no or not known."""

    widget = forms.Select(choices=[("unknown", "Not known"), ("true", "Yes"), ("false", "No")])

    def clean(self, value: Any) -> bool | None:
        return {"true": True, "false": False}.get(str(value).lower())


class RequiredKnown(forms.TypedChoiceField):
    """Yes or no."""

    def __init__(self, **options: Any) -> None:
        choices = [("", "Choose…"), ("true", "Yes"), ("false", "No")]
        super().__init__(choices=choices, coerce=lambda told: told == "true", **options)


def measured(*, places: int, digits: int, unit: str, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        min_value=0, decimal_places=places, max_digits=digits, help_text=unit, **options
    )


def variable_field(variable: Variable) -> forms.Field:
    """Return the form field of a screening variable: its label, unit, bounds and choices."""
    about: dict[str, Any] = {"label": variable.label, "required": variable.required}
    match variable.kind:
        case "number":
            return forms.DecimalField(
                help_text=f"{variable.unit}, {variable.lowest:f} to {variable.highest:f}",
                min_value=variable.lowest,
                max_value=variable.highest,
                decimal_places=variable.places,
                **about,
            )
        case "whole":
            span = f"{variable.lowest:f} to {variable.highest:f}"
            text = f"{variable.unit}, {span}" if variable.unit else span
            return forms.IntegerField(
                min_value=int(variable.lowest),
                max_value=int(variable.highest),
                help_text=text,
                **about,
            )
        case "yes_no":
            return RequiredKnown(**about) if variable.required else Known(label=variable.label)
        case "choice":
            choices = [(choice, choice.replace("_", " ")) for choice in variable.choices or ()]
            return forms.ChoiceField(choices=[("", "Choose…"), *choices], **about)
        case "day":
            return DayField(**about)


def _answer(value: Any) -> Any:
    return None if value == "" else value


class SubjectForm(ServiceForm):
    """The form of a service on one subject."""

    field_of = FIELD_OF

    def __init__(self, *args: Any, subject: Subject | None, by: User, **options: Any) -> None:
        super().__init__(*args, by=by, **options)
        self.subject = subject
        if subject is not None:
            today = subject.site.local_day(timezone.now())
            self.prepare(subject.site.protocol_on(today))

    def prepare(self, protocol: Protocol) -> None:
        """Fill choices that the protocol gives."""

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        """Return whether the form makes sense for a subject; the service decides in any case."""
        return True

    def act(self, *, at: datetime) -> Any:
        assert self.subject is not None  # noqa: S101 - only EnrolForm has none, and its own act
        service = type(self).service
        return service(subject_id=self.subject.pk, by=self.by, at=at, **self.arguments())


class EnrolForm(SubjectForm):
    title, icon, submit = "New subject", "person_add", "Enter subject"
    permission = Permission.ENROL
    note = "The number is given by the site's count. No name, initials or full birth date."

    site = forms.ModelChoiceField(Site.objects.none())
    year_of_birth = forms.IntegerField(min_value=1900, max_value=2100)
    sex = forms.ChoiceField(choices=Subject.Sex.choices)
    screened_on = DayField(label="Screened on")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        sites = Site.objects.visible_to(self.by, Permission.ENROL).select_related("trial")
        self.fields["site"].queryset = sites  # type: ignore[attr-defined]

    def act(self, *, at: datetime) -> Subject:
        fields = self.arguments()
        place = fields.pop("site")
        return enrol_subject(trial=place.trial.code, site=place.code, by=self.by, at=at, **fields)


class ConsentForm(SubjectForm):
    title, icon = "Consent", "signature"
    permission = Permission.ENROL
    service = staticmethod(record_consent)

    version = forms.CharField(max_length=20, label="Version of the form")
    signed_on = DayField(label="Signed on")


class WithdrawalForm(SubjectForm):
    title, icon = "Withdrawal of consent", "block"
    permission = Permission.ENROL
    service = staticmethod(withdraw_consent)
    note = "Ends treatment. What was recorded until then stays."

    withdrawn_on = DayField(label="Withdrawn on")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)


class ScreeningForm(SubjectForm):
    title, icon, submit = "Screening", "fact_check", "Record and judge"
    permission = Permission.ENROL
    service = staticmethod(record_screening)
    note = "Eligibility and stratum follow from these values by the protocol's rules."

    assessed_on = DayField(label="Assessed on")
    exclusions = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, required=False, label="Exclusions that apply"
    )

    def prepare(self, protocol: Protocol) -> None:
        excluded = self.fields.pop("exclusions")
        self.asked = [variable.code for variable in protocol.screening.variables]
        for variable in protocol.screening.variables:
            self.fields[variable.code] = variable_field(variable)
        excluded.choices = [(e.code, e.label) for e in protocol.eligibility.exclusions]  # type: ignore[attr-defined]
        self.fields["exclusions"] = excluded

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        return {
            "assessed_on": found["assessed_on"],
            "exclusions": found["exclusions"],
            "values": {code: _answer(found[code]) for code in self.asked},
        }

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is None


class RandomiseForm(SubjectForm):
    title, icon, submit = "Randomisation", "casino", "Randomise"
    permission = Permission.RANDOMISE
    service = staticmethod(randomise_subject)
    note = "Takes the next place on the sealed list, once and for good. Nobody here learns the arm."

    randomised_on = DayField(label="Randomised on")

    def prepare(self, protocol: Protocol) -> None:
        timing = protocol.eligibility.timing
        self.field_of = FIELD_OF | {  # type: ignore[misc]  # the codes are the protocol's
            code: "randomised_on" for each in timing for code in (each.too_soon, each.too_late)
        }

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is None


class CorrectScreeningForm(SubjectForm):
    title, icon, submit = "Correct a screening value", "edit_note", "Record the correction"
    permission = Permission.CORRECT_CLINICAL
    service = staticmethod(correct_screening)
    note = (
        "The randomisation stays as it was, in the stratum it was made in. The stratum that the "
        "right value gives is kept beside it, and the difference appears in the report."
    )

    variable = forms.ChoiceField(label="What was wrong")
    value = forms.CharField(
        required=False, max_length=100, label="What it ought to be",
        help_text="A number, a day as YYYY-MM-DD, yes or no; nothing if it is not known",
    )  # fmt: skip
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), label="Reason")

    def prepare(self, protocol: Protocol) -> None:
        self.asked = {each.code: each for each in protocol.screening.variables}
        listed = [("", "Choose…"), *((code, each.label) for code, each in self.asked.items())]
        self.fields["variable"].choices = listed  # type: ignore[attr-defined]

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        value = _typed(found["value"].strip(), self.asked[found["variable"]].kind)
        return {"values": {found["variable"]: value}, "reason": found["reason"]}

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is not None


def _typed(text: str, kind: str) -> object:
    """Return what was typed as the kind of value it is for; the rule names what it cannot be."""
    if not text:
        return None
    if kind == "yes_no":
        return {"yes": True, "no": False}.get(text.lower(), text)
    return int(text) if kind == "whole" and text.isascii() and text.isdigit() else text


class CorrectSubjectForm(SubjectForm):
    title, icon, submit = "Correct sex or year of birth", "badge", "Correct"
    permission = Permission.CORRECT_CLINICAL
    service = staticmethod(correct_subject)
    field_of = FIELD_OF | {"before_birth": "year_of_birth"}
    note = (
        "What was judged from the old values stands no longer: screen again before randomisation, "
        "assess the pregnancy risk again before the next kit. A randomisation stays as it was; the "
        "stratum that the right values give is kept beside it."
    )

    revision = forms.IntegerField(widget=forms.HiddenInput)
    sex = forms.ChoiceField(choices=Subject.Sex.choices)
    year_of_birth = forms.IntegerField(min_value=1900, max_value=2100)
    reason = forms.CharField(
        max_length=500,
        label="Reason for the correction",
        help_text="Kept beside the old value in the history",
    )

    def __init__(self, *args: Any, subject: Subject, **options: Any) -> None:
        recorded = {name: getattr(subject, name) for name in ("revision", "sex", "year_of_birth")}
        super().__init__(*args, subject=subject, initial=recorded, **options)
        self.recorded = recorded

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        for name in ("sex", "year_of_birth"):
            if found[name] == self.recorded[name]:
                del found[name]
        return found


class MistakeForm(SubjectForm):
    title, icon, submit = "Randomised in error", "report", "Mark the randomisation"
    permission = Permission.ANNOTATE_RANDOMISATION
    service = staticmethod(record_randomisation_mistake)
    note = "Undoes nothing: the subject is analysed as randomised, with this mark."

    kind = forms.ChoiceField(choices=RandomisationMistake.Kind.choices, label="What happened")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), label="Reason")

    @classmethod
    def offered(cls, subject: Subject) -> bool:
        return subject.allocation_id is not None


class VisitForm(SubjectForm):
    title, icon = "Visit", "event_available"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_visit)

    kind = forms.ChoiceField(choices=Visit.Kind.choices)
    cycle = forms.IntegerField(
        min_value=1, max_value=999, required=False, help_text="For a cycle visit only"
    )
    visited_on = DayField(label="Visited on")


class LabForm(SubjectForm):
    title, icon = "Laboratory", "labs"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_labs)

    taken_on = DayField(label="Taken on")
    anc = measured(places=3, digits=9, unit="10^9/L", label="Neutrophils", required=False)
    platelets = measured(places=3, digits=9, unit="10^9/L", label="Platelets", required=False)
    creatinine_clearance = measured(
        places=3, digits=9, unit="mL/min", label="Creatinine clearance", required=False
    )

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if not self.errors and not self._results():
            raise forms.ValidationError("Enter at least one result.", code="no_result")
        return found

    def arguments(self) -> dict[str, Any]:
        return {"taken_on": self.cleaned_data["taken_on"], "results": self._results()}

    def act(self, *, at: datetime) -> LabResult:
        rows: list[LabResult] = super().act(at=at)
        return rows[0]

    def _results(self) -> list[dict[str, Any]]:
        return [
            {"analyte": analyte.value, "value": value, "unit": unit}
            for analyte, unit in LabResult.UNITS.items()
            if (value := self.cleaned_data.get(analyte.value)) is not None
        ]


class AdverseEventForm(SubjectForm):
    title, icon = "Adverse event", "warning"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_adverse_event)

    term = forms.CharField(max_length=200)
    soc = forms.CharField(max_length=120, label="System organ class")
    grade = forms.TypedChoiceField(
        coerce=int, choices=[(n, f"Grade {n}") for n in range(1, 6)], label="CTCAE grade"
    )
    started_on = PartialDateField(label="Started on")
    ended_on = PartialDateField(label="Ended on", required=False)
    outcome = forms.ChoiceField(choices=AdverseEvent.Outcome.choices)
    related = forms.BooleanField(required=False, label="Related to study drug")
    serious = forms.BooleanField(required=False, label="Serious")
    seriousness = forms.MultipleChoiceField(
        choices=AdverseEvent.Seriousness.choices,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Serious because of",
    )
    narrative = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), required=False, max_length=20_000
    )


class ResponseForm(SubjectForm):
    title, icon = "Response", "monitoring"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_response)

    assessed_on = DayField(label="Assessed on")
    response = forms.ChoiceField(choices=ResponseAssessment.Response.choices)
    assessor = forms.ChoiceField(choices=ResponseAssessment.Assessor.choices)

    def prepare(self, protocol: Protocol) -> None:
        scale, asked = protocol.endpoints.response, self.fields["response"]
        every = ResponseAssessment.Response.choices
        asked.choices = [("", "Choose…"), *(c for c in every if c[0] in scale.categories)]  # type: ignore[attr-defined]
        asked.help_text = f"By {scale.criteria}"


class ContactForm(SubjectForm):
    title, icon = "Contact", "call"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_contact)
    note = "The subject was known to be alive on this day."

    contacted_on = DayField(label="Alive on")


class FurtherTreatmentForm(SubjectForm):
    title, icon = "Further treatment", "vaccines"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_further_treatment)

    started_on = PartialDateField(label="Started on")
    regimen = forms.CharField(max_length=200)


class DeathForm(SubjectForm):
    title, icon = "Death", "deceased"
    permission = Permission.RECORD_CLINICAL
    service = staticmethod(record_death)

    died_on = PartialDateField(label="Died on")
    cause = forms.CharField(max_length=300)


class TransferForm(SubjectForm):
    title, icon, submit = "Transfer to another site", "move_up", "Transfer"
    permission = Permission.TRANSFER
    service = staticmethod(transfer_subject)
    note = (
        "The number and all records stay with the subject. From now on the receiving site sees all "
        "of them and the present site sees nothing. Kits stay where they are."
    )

    to_site = forms.ChoiceField(label="Receiving site")
    transferred_on = DayField(label="Transferred on")
    agreed_by = forms.CharField(max_length=120, label="Receiving investigator, who agreed")
    agreement = forms.CharField(
        max_length=120, label="Document of the agreement", help_text="As in: letter of 2026-03-09"
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.subject is not None:
            active = Site.objects.visible_to(self.by, Permission.TRANSFER).filter(
                trial=self.subject.trial, status=Site.Status.ACTIVE
            )
            others = active.exclude(pk=self.subject.site_id)
            choices = [("", "Choose…"), *((row.code, str(row)) for row in others)]
            self.fields["to_site"].choices = choices  # type: ignore[attr-defined]


class Correction(SubjectForm):
    """A correction keeps what stood there before, with its reason, in the history."""

    submit = "Correct"
    permission = Permission.CORRECT_CLINICAL

    revision = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=500,
        label="Reason for the correction",
        help_text="Kept beside the old value in the history",
    )

    def __init__(self, *args: Any, row: Any, **options: Any) -> None:
        self.row = row
        super().__init__(*args, initial={**_values(row), "revision": row.revision}, **options)


def _values(row: Any) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in row._meta.fields}


class AdverseEventCorrection(Correction, AdverseEventForm):
    title = "Correct an adverse event"

    def act(self, *, at: datetime) -> AdverseEvent:
        return correct_adverse_event(
            adverse_event_id=self.row.pk, by=self.by, at=at, **self.arguments()
        )


class ResponseCorrection(Correction, ResponseForm):
    title = "Correct a response"
    assessor = None  # type: ignore[assignment]  # how Django's forms leave a field out

    def act(self, *, at: datetime) -> ResponseAssessment:
        return correct_response(assessment_id=self.row.pk, by=self.by, at=at, **self.arguments())


FORMS: dict[str, type[SubjectForm]] = {
    "consent": ConsentForm,
    "screening": ScreeningForm,
    "randomisation": RandomiseForm,
    "screening-correction": CorrectScreeningForm,
    "randomisation-mistake": MistakeForm,
    "correction": CorrectSubjectForm,
    "visit": VisitForm,
    "labs": LabForm,
    "adverse-event": AdverseEventForm,
    "response": ResponseForm,
    "contact": ContactForm,
    "further-treatment": FurtherTreatmentForm,
    "death": DeathForm,
    "withdrawal": WithdrawalForm,
    "transfer": TransferForm,
}
