"""Subjects and their records."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import generics
from rest_framework.request import Request

from events.api.recording import recorded, valid
from patients.api import serializers as shapes
from patients.api.records import Corrections, SubjectRecords, subject_of
from patients.api.revisions import revision_read
from patients.models import (
    AdverseEvent,
    Consent,
    ConsentWithdrawal,
    Contact,
    Death,
    FurtherTreatment,
    LabResult,
    RandomisationMistake,
    ResponseAssessment,
    Screening,
    ScreeningCorrection,
    Subject,
    SubjectCorrection,
    SubjectTransfer,
    Visit,
)
from patients.queries import with_emergency_looks, with_version
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
from trials.api.authentication import acting_user
from trials.models import Allocation, Site, User


class SubjectFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    site = django_filters.CharFilter(field_name="site__code")
    number = django_filters.CharFilter(field_name="number")


class Subjects(generics.ListAPIView[Subject]):
    """The subjects of your sites."""

    serializer_class = shapes.SubjectOut
    takes = shapes.SubjectIn
    filter_backends = (DjangoFilterBackend,)
    filterset_class = SubjectFilter
    queryset = Subject.objects.none()

    def get_queryset(self) -> QuerySet[Subject]:
        return _told(acting_user(self.request)).order_by("number", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Enter one person for screening; the site's next number is given."""
        body = valid(shapes.SubjectIn, request)

        def act() -> Any:
            subject = enrol_subject(by=acting_user(request), at=timezone.now(), **body)
            return shapes.SubjectOut(subject).data

        return recorded(request, act, about=lambda kept: self._entered(kept, body))

    def _entered(self, kept: dict[str, Any], body: dict[str, Any]) -> object:
        """Return the subject of an answer, or the site where none was entered, if still seen."""
        by = acting_user(self.request)
        if "number" in kept:
            return Subject.objects.visible_to(by).get(pk=kept["id"])
        return Site.objects.visible_to(by).get(trial__code=body["trial"], code=body["site"])


class OneSubject(generics.RetrieveAPIView[Subject]):
    """One subject of your sites."""

    serializer_class = shapes.SubjectOut
    lookup_url_kwarg = "subject_id"
    filter_backends = ()
    queryset = Subject.objects.none()

    def get_queryset(self) -> QuerySet[Subject]:
        return _told(acting_user(self.request))


def _told(by: User) -> QuerySet[Subject]:
    rows = with_emergency_looks(Subject.objects.visible_to(by))
    return with_version(rows.select_related("site", "allocation"))


class Consents(SubjectRecords):
    """Signed consent forms."""

    takes, answers, model = shapes.ConsentIn, shapes.ConsentOut, Consent
    record = staticmethod(record_consent)


class ConsentWithdrawals(SubjectRecords):
    """The end of consent to treatment."""

    takes, answers = shapes.ConsentWithdrawalIn, shapes.ConsentWithdrawalOut
    model, record = ConsentWithdrawal, staticmethod(withdraw_consent)


class Screenings(SubjectRecords):
    """What screening found; the answer says whether the subject is eligible, and why not."""

    takes, answers, model = shapes.ScreeningIn, shapes.ScreeningOut, Screening
    record = staticmethod(record_screening)


class Randomisations(SubjectRecords):
    """The subject's place on the sealed list. The arm is not in it."""

    takes, answers, model = shapes.RandomisationIn, shapes.RandomisationOut, Allocation
    record = staticmethod(randomise_subject)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        held = [subject.allocation_id] if subject.allocation_id else []
        return with_version(Allocation.objects.filter(pk__in=held).order_by("allocated_at"))


class ScreeningCorrections(SubjectRecords):
    """Screening values found wrong after randomisation. The randomisation stays as it was."""

    takes, answers = shapes.ScreeningCorrectionIn, shapes.ScreeningCorrectionOut
    model, record = ScreeningCorrection, staticmethod(correct_screening)


class RandomisationMistakes(SubjectRecords):
    """Marks that the subject was randomised in error. They are analysed as randomised."""

    takes, answers = shapes.RandomisationMistakeIn, shapes.RandomisationMistakeOut
    model, record = RandomisationMistake, staticmethod(record_randomisation_mistake)


class Visits(SubjectRecords):
    """Cycle and follow-up visits."""

    takes, answers, model = shapes.VisitIn, shapes.VisitOut, Visit
    record = staticmethod(record_visit)


class Labs(SubjectRecords):
    """Laboratory results of one day, all or none."""

    takes, answers, model, answers_many = shapes.LabsIn, shapes.LabResultOut, LabResult, True
    record = staticmethod(record_labs)


class ResponseAssessments(SubjectRecords):
    """Response in the categories of the protocol, by assessor."""

    takes, answers, model = shapes.ResponseIn, shapes.ResponseOut, ResponseAssessment
    record = staticmethod(record_response)


class AdverseEvents(SubjectRecords):
    """Adverse events."""

    takes, answers, model = shapes.AdverseEventIn, shapes.AdverseEventOut, AdverseEvent
    record = staticmethod(record_adverse_event)


class Contacts(SubjectRecords):
    """Days on which the subject was known to be alive."""

    takes, answers, model = shapes.ContactIn, shapes.ContactOut, Contact
    record = staticmethod(record_contact)


class Deaths(SubjectRecords):
    """The subject's death."""

    takes, answers, model = shapes.DeathIn, shapes.DeathOut, Death
    record = staticmethod(record_death)


class FurtherTreatments(SubjectRecords):
    """New treatment of the disease."""

    takes, answers, model = shapes.FurtherTreatmentIn, shapes.FurtherTreatmentOut, FurtherTreatment
    record = staticmethod(record_further_treatment)


class Transfers(SubjectRecords):
    """The subject's moves from one site to another."""

    takes, answers, model = shapes.TransferIn, shapes.TransferOut, SubjectTransfer
    record = staticmethod(transfer_subject)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return super().rows(subject).select_related("from_site", "to_site")


class SubjectCorrections(SubjectRecords):
    """Corrections of the subject's sex or year of birth. A randomisation stays as it was."""

    takes, answers = shapes.SubjectCorrectionIn, shapes.SubjectCorrectionOut
    model = SubjectCorrection

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return super().rows(subject).select_related("subject")

    def post(self, request: Request, subject_id: UUID) -> HttpResponse:
        """Correct it, with the reason. Send the subject's revision you read as ``If-Match``."""
        body = valid(self.takes, request) | {"revision": revision_read(request)}

        def act() -> Any:
            found = correct_subject(
                subject_id=subject_id, by=acting_user(request), at=timezone.now(), **body
            )
            return self.answers(found).data

        return recorded(request, act, about=lambda _: subject_of(request, subject_id))


class AdverseEventCorrections(Corrections):
    """Corrections of one adverse event."""

    takes, answers = shapes.AdverseEventCorrectionIn, shapes.AdverseEventOut
    model = AdverseEvent
    names, correct = "adverse_event_id", staticmethod(correct_adverse_event)


class ResponseCorrections(Corrections):
    """Corrections of one response assessment."""

    takes, answers = shapes.ResponseCorrectionIn, shapes.ResponseOut
    model = ResponseAssessment
    names, correct = "assessment_id", staticmethod(correct_response)
