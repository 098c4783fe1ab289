"""Unblinding: of one subject in an emergency or for safety, and of a trial by two people.

An arm is in an answer at most once, and in none that is kept.
"""

import csv
import io
from functools import partial
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.recording import recorded, recorded_then_shown, valid
from events.api.serializers import Instant, Shape
from patients.api.records import SubjectRecords, subject_of
from patients.api.serializers import TEXT
from patients.api.unblinding_records import UnblindingOut
from patients.models import AdverseEvent, Subject, Unblinding
from patients.queries import with_mistakes
from patients.services.unblinding import (
    EMERGENCY,
    break_blind,
    list_of_arms,
    open_safety_look,
    record_contingency_opening,
    record_inadvertent_unblinding,
    request_safety_unblinding,
    shown_arm,
    whom_to_call,
)
from trials.api.access import site_for, trial_for
from trials.api.authentication import acting_user
from trials.api.proofs import ProofIn, with_proof
from trials.models import UnblindingRequest, User
from trials.permissions import Permission
from trials.services.unblinding import prove
from trials.services.unblinding_requests import (
    agree_to_unblinding,
    looks_on,
    open_trial_look,
    request_trial_unblinding,
    withdraw_unblinding_request,
)


class EmergencyUnblindingIn(ProofIn):
    would_change_treatment = serializers.BooleanField(
        help_text="Whether knowing would change the treatment now."
    )
    reason = serializers.CharField(max_length=TEXT)


class ShownOut(Shape):
    """The one answer that holds an arm. Repeat the request, and it is refused."""

    id = serializers.UUIDField()
    arm = serializers.CharField()
    treatment = serializers.CharField()


class AdviserOut(Shape):
    person = serializers.CharField(source="person.username")
    name = serializers.CharField(source="person.get_full_name")
    telephone = serializers.CharField(help_text="Empty when nobody is on call.")
    email = serializers.CharField(source="person.email")
    on_call = serializers.BooleanField()


class AfterwardsIn(Shape):
    happened_at = Instant()
    learned_by = serializers.CharField(max_length=200)
    reason = serializers.CharField(max_length=TEXT)


class SafetyRequestIn(Shape):
    adverse_event = serializers.UUIDField()
    expectedness = serializers.CharField(
        max_length=TEXT, help_text="Against which reference text the event is unexpected."
    )
    reason = serializers.CharField(max_length=TEXT)


class TrialRequestIn(Shape):
    trial = serializers.CharField(max_length=40)
    reason = serializers.CharField(max_length=TEXT)
    early_reason = serializers.CharField(
        max_length=TEXT, allow_blank=True, default="", help_text="Why, while sites still recruit."
    )


class RequestOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    purpose = serializers.CharField()
    subject = serializers.CharField(source="subject_number")
    adverse_event = serializers.UUIDField(source="adverse_event_id", allow_null=True)
    expectedness = serializers.CharField()
    reason = serializers.CharField()
    early_reason = serializers.CharField()
    requested_by = serializers.CharField(source="requested_by.username")
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    state = serializers.SerializerMethodField()

    def get_state(self, row: UnblindingRequest) -> str:
        return row.state(timezone.now())


class AnswerOut(Shape):
    id = serializers.UUIDField()
    request = serializers.UUIDField(source="request_id")
    kind = serializers.CharField()
    answered_by = serializers.CharField(source="answered_by.username")
    answered_at = serializers.DateTimeField()


class AnswerToRequest(AnswerOut):
    reason = serializers.CharField(help_text="Of a withdrawal.")


class LookOnRequest(Shape):
    person = serializers.CharField(source="person.username")
    opened_at = serializers.DateTimeField()


class WholeRequestOut(RequestOut):
    answers = AnswerToRequest(many=True, source="answers.all")
    looks = serializers.SerializerMethodField()

    @extend_schema_field(LookOnRequest(many=True))
    def get_looks(self, row: UnblindingRequest) -> Any:
        return LookOnRequest(looks_on(row), many=True).data


class WithdrawalIn(Shape):
    reason = serializers.CharField(max_length=TEXT)


class OpenedOut(Shape):
    """What is kept of an opening: its id."""

    id = serializers.UUIDField()


def proved(request: Request, body: dict[str, Any], *, purpose: str, **about: Any) -> dict[str, Any]:
    """Return a body with the proof of who sends it in the place of password and code."""
    return with_proof(request, body, partial(prove, purpose=purpose, **about))


def proved_on(request: Request, body: dict[str, Any], record_id: UUID) -> dict[str, Any]:
    """Return a body with the proof for an act on one request to unblind."""
    row = request_of(request, record_id)
    return proved(request, body, purpose=row.purpose, trial_id=row.trial_id)


def request_of(request: Request, record_id: UUID) -> UnblindingRequest:
    """Return a request to unblind that the caller sees."""
    return UnblindingRequest.objects.visible_to(acting_user(request)).get(pk=record_id)


def shown(request: Request, unblinding_id: UUID) -> HttpResponse:
    """Answer with the arm, if it was not shown before."""
    by = acting_user(request)
    arm = shown_arm(unblinding_id, by=by)
    body = {"id": str(unblinding_id), "arm": arm.code, "treatment": arm.label}
    return HttpResponse(JSONRenderer().render(body), content_type="application/json", status=201)


class EmergencyUnblindings(SubjectRecords):
    """The blind of one subject, broken by its investigator."""

    takes, answers, model = EmergencyUnblindingIn, UnblindingOut, Unblinding
    record = staticmethod(break_blind)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return super().rows(subject).filter(kind=Unblinding.Kind.EMERGENCY)

    @extend_schema(request=EmergencyUnblindingIn, responses={201: ShownOut})
    def post(self, request: Request, subject_id: UUID) -> HttpResponse:
        """Break the blind of one subject; the answer shows the arm, once."""
        body = proved(
            request,
            valid(EmergencyUnblindingIn, request),
            purpose=EMERGENCY,
            subject_id=subject_id,
        )

        def act() -> Any:
            stored = break_blind(
                subject_id=subject_id, by=acting_user(request), at=timezone.now(), **body
            )
            return OpenedOut(stored).data

        return recorded_then_shown(
            request,
            act,
            lambda kept: shown(request, UUID(kept["id"])),
            about=lambda _: subject_of(request, subject_id),
        )


class Advisers(APIView):
    """Medical monitors whom somebody at a site may ask before breaking a blind."""

    @extend_schema(responses=AdviserOut(many=True), operation_id="trials_sites_advisers_list")
    def get(self, request: Request, code: str, site: str) -> Response:
        """Return who is on call now, or all of the trial's when nobody is.

        For those who may break a blind there. They may advise; their leave is not needed.
        """
        place = site_for(acting_user(request), code, site, Permission.EMERGENCY_UNBLIND)
        return Response(AdviserOut(whom_to_call(place.trial, timezone.now()), many=True).data)


class InadvertentUnblindings(SubjectRecords):
    """Times an arm became known by accident. Never write which arm."""

    takes, answers, model = AfterwardsIn, UnblindingOut, Unblinding
    record = staticmethod(record_inadvertent_unblinding)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return with_mistakes(super().rows(subject).filter(kind=Unblinding.Kind.INADVERTENT))


class ContingencyOpenings(SubjectRecords):
    """Contingency sheets that were opened on paper. Never write which arm."""

    takes, answers, model = AfterwardsIn, UnblindingOut, Unblinding
    record = staticmethod(record_contingency_opening)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return with_mistakes(super().rows(subject).filter(kind=Unblinding.Kind.CONTINGENCY))


class RequestFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    purpose = django_filters.ChoiceFilter(choices=UnblindingRequest.Purpose.choices)


class UnblindingRequests(generics.ListAPIView[UnblindingRequest]):
    """Requests to unblind, for those who ask, agree or audit, the newest first."""

    serializer_class = RequestOut
    filterset_class = RequestFilter
    queryset = UnblindingRequest.objects.none()

    def get_queryset(self) -> QuerySet[UnblindingRequest]:
        return _told(acting_user(self.request)).prefetch_related("answers")


class OneUnblindingRequest(generics.RetrieveAPIView[UnblindingRequest]):
    """One request to unblind, with who agreed or withdrew it and who looked on it."""

    serializer_class = WholeRequestOut
    filter_backends = ()
    lookup_url_kwarg = "record_id"
    queryset = UnblindingRequest.objects.none()

    def get_queryset(self) -> QuerySet[UnblindingRequest]:
        return _told(acting_user(self.request)).prefetch_related("answers__answered_by")


def _told(by: User) -> QuerySet[UnblindingRequest]:
    told = UnblindingRequest.objects.visible_to(by).with_looks()
    return told.select_related("trial", "requested_by")


class SafetyUnblindingRequests(UnblindingRequests):
    """Requests to learn the arm of one subject for one suspected reaction."""

    def get_queryset(self) -> QuerySet[UnblindingRequest]:
        return super().get_queryset().filter(purpose=UnblindingRequest.Purpose.SAFETY)

    @extend_schema(request=SafetyRequestIn, responses={201: RequestOut})
    def post(self, request: Request) -> HttpResponse:
        """Ask; another person has to agree before the request lapses."""
        body = valid(SafetyRequestIn, request)
        body["adverse_event_id"] = body.pop("adverse_event")
        by = acting_user(request)

        def act() -> Any:
            stored = request_safety_unblinding(by=by, at=timezone.now(), **body)
            return RequestOut(stored).data

        visible = AdverseEvent.objects.visible_to(by)
        return recorded(request, act, about=lambda _: visible.get(pk=body["adverse_event_id"]))


class TrialUnblindingRequests(UnblindingRequests):
    """Requests to unblind a whole trial."""

    def get_queryset(self) -> QuerySet[UnblindingRequest]:
        return super().get_queryset().filter(purpose=UnblindingRequest.Purpose.TRIAL)

    @extend_schema(request=TrialRequestIn, responses={201: RequestOut})
    def post(self, request: Request) -> HttpResponse:
        """Ask; another person has to agree before the request lapses."""
        body = valid(TrialRequestIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = trial_for(by, body["trial"], Permission.UNBLIND_TRIAL)
            stored = request_trial_unblinding(
                trial_id=trial.pk, reason=body["reason"], early_reason=body["early_reason"],
                by=by, at=timezone.now(),
            )  # fmt: skip
            return RequestOut(stored).data

        return recorded(request, act)


class UnblindingAgreements(APIView):
    """The second person's agreement."""

    @extend_schema(request=ProofIn, responses={201: AnswerOut})
    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Agree to a request that somebody else made."""
        body = proved_on(request, valid(ProofIn, request), record_id)

        def act() -> Any:
            stored = agree_to_unblinding(
                request_id=record_id, by=acting_user(request), at=timezone.now(), **body
            )
            return AnswerOut(stored).data

        return recorded(request, act, about=lambda _: request_of(request, record_id))


class UnblindingWithdrawals(APIView):
    """The end of a request before anybody looked."""

    @extend_schema(request=WithdrawalIn, responses={201: AnswerOut})
    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Withdraw a request, or stop somebody else's."""
        body = valid(WithdrawalIn, request)

        def act() -> Any:
            stored = withdraw_unblinding_request(
                request_id=record_id, by=acting_user(request), at=timezone.now(), **body
            )
            return AnswerOut(stored).data

        return recorded(request, act, about=lambda _: request_of(request, record_id))


class SafetyLooks(APIView):
    """The look of the safety officer at the one subject of a request, once."""

    @extend_schema(request=ProofIn, responses={201: ShownOut})
    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Look, after a second person agreed; the answer shows the arm, once."""
        body = proved_on(request, valid(ProofIn, request), record_id)

        def act() -> Any:
            stored = open_safety_look(
                request_id=record_id, by=acting_user(request), at=timezone.now(), **body
            )
            return OpenedOut(stored).data

        return recorded_then_shown(
            request,
            act,
            lambda kept: shown(request, UUID(kept["id"])),
            about=lambda _: request_of(request, record_id),
        )


class ListsOfArms(APIView):
    """The arms of a trial that two people unblind."""

    @extend_schema(request=ProofIn, responses={(201, "text/csv"): OpenApiTypes.STR})
    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Download the list of arms, once an access; the trial is unblinded from the first one."""
        body = proved_on(request, valid(ProofIn, request), record_id)

        def act() -> Any:
            access = open_trial_look(
                request_id=record_id, by=acting_user(request), at=timezone.now(), **body
            )
            return {"id": str(access)}

        return recorded_then_shown(
            request,
            act,
            lambda kept: arms_file(UUID(kept["id"])),
            about=lambda _: request_of(request, record_id),
        )


def arms_file(access_id: UUID) -> HttpResponse:
    """Return the list of arms as a file, once."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["site", "subject", "randomisation number", "arm", "treatment"])
    rows.writerows(list_of_arms(access_id))
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", status=201)
    answer["Content-Disposition"] = 'attachment; filename="arms.csv"'
    return answer
