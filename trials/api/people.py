"""People: the delegation log, trainings, leavers, and who answers the telephone."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Instant, Shape
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.models import Leaver, OnCall, RoleAssignment, Site, Training, Trial, User
from trials.permissions import GROUPS, TABLE, Permission, Role, kind_of
from trials.services.on_call import cancel_duty, enter_duty, on_call
from trials.services.people import (
    deactivate_person,
    end_role,
    give_role,
    person_named,
    record_training,
)


NAME = 150
TEXT = 2000


class RoleKindOut(Shape):
    role = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    at_one_site = serializers.BooleanField(source="at_site", help_text="can be given at one site")
    in_whole_trial = serializers.BooleanField(
        source="for_trial", help_text="can be given in the whole trial"
    )


class PermissionOut(Shape):
    permission = serializers.CharField()
    about = serializers.CharField(help_text="the group it is printed in")
    roles = serializers.ListField(child=serializers.CharField(), help_text="who may do it")


class PermissionsOut(Shape):
    roles = RoleKindOut(many=True)
    permissions = PermissionOut(many=True)


class TrainingIn(Shape):
    trial = serializers.CharField(max_length=40)
    person = serializers.CharField(max_length=NAME, help_text="the log-in name")
    document = serializers.CharField(max_length=120)
    version = serializers.CharField(max_length=20)
    completed_on = serializers.DateField()


class TrainingOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="user.username")
    document = serializers.CharField()
    version = serializers.CharField()
    completed_on = serializers.DateField()
    recorded_by = serializers.CharField(source="recorded_by.username")
    recorded_at = serializers.DateTimeField()


class RoleIn(Shape):
    trial = serializers.CharField(max_length=40)
    person = serializers.CharField(max_length=NAME, help_text="the log-in name")
    role = serializers.ChoiceField([(role.value, role.label) for role in Role])
    site = serializers.CharField(
        max_length=10, required=False, allow_null=True, help_text="null for the whole trial"
    )
    starts_on = serializers.DateField(required=False, allow_null=True, help_text="null is now")
    ends_on = serializers.DateField(
        required=False, allow_null=True, help_text="the last day that counts; null is open"
    )


class RoleOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="user.username")
    role = serializers.CharField()
    site = serializers.CharField(source="site.code", default=None, allow_null=True)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    given_by = serializers.CharField(source="given_by.username", default=None, allow_null=True)
    given_at = serializers.DateTimeField(allow_null=True)
    ended_by = serializers.CharField(source="ended_by.username", default=None, allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    end_reason = serializers.CharField()


class ReasonIn(Shape):
    reason = serializers.CharField(max_length=TEXT)


class LeaverIn(ReasonIn):
    trial = serializers.CharField(max_length=40)
    person = serializers.CharField(max_length=NAME, help_text="the log-in name")


class LeaverOut(Shape):
    id = serializers.UUIDField()
    person = serializers.CharField(source="user.username")
    reason = serializers.CharField()
    recorded_by = serializers.CharField(source="recorded_by.username")
    recorded_at = serializers.DateTimeField()


class DutyIn(Shape):
    trial = serializers.CharField(max_length=40)
    person = serializers.CharField(max_length=NAME, help_text="the log-in name")
    telephone = serializers.CharField(max_length=40)
    starts_at = Instant()
    ends_at = Instant(help_text="the first instant that no longer counts")


class DutyOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    person = serializers.CharField(source="person.username")
    telephone = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    cancel_reason = serializers.CharField()


class Permissions(APIView):
    """Who may do what: the table the system goes by, for everybody who is logged in."""

    @extend_schema(responses=PermissionsOut)
    def get(self, request: Request) -> Response:
        """Return every role with where it is given, and every permission with who holds it."""
        roles = [{"role": role.value, **asdict(kind_of(role))} for role in Role]
        permissions = [
            {
                "permission": permission.value,
                "about": title,
                "roles": [role.value for role in Role if permission in TABLE[role]],
            }
            for title, group in GROUPS.items()
            for permission in group
        ]
        return Response(PermissionsOut({"roles": roles, "permissions": permissions}).data)


class Trainings(generics.ListAPIView[Training]):
    """Trainings of the people you may see."""

    serializer_class = TrainingOut
    takes = TrainingIn
    queryset = Training.objects.none()

    def get_queryset(self) -> QuerySet[Training]:
        visible = Training.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "user", "recorded_by").order_by("recorded_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Record that somebody completed a training; it comes before any role."""
        body = valid(TrainingIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = delegating_in(by, body.pop("trial"))
            training = record_training(
                user=person_named(body.pop("person")),
                trial_id=trial.pk,
                by=by,
                at=timezone.now(),
                **body,
            )
            return TrainingOut(training).data

        return recorded(request, act)


class Roles(generics.ListAPIView[RoleAssignment]):
    """The delegation log: who may do what, where, from when until when, and by whom."""

    serializer_class = RoleOut
    takes = RoleIn
    queryset = RoleAssignment.objects.none()

    def get_queryset(self) -> QuerySet[RoleAssignment]:
        visible = RoleAssignment.objects.visible_to(acting_user(self.request))
        people = ("trial", "site", "user", "given_by", "ended_by")
        return visible.select_related(*people).order_by("starts_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Give a role, now or from a day on."""
        body = valid(RoleIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = delegating_in(by, body["trial"])
            code = body.get("site")
            given = give_role(
                user=person_named(body["person"]),
                trial_id=trial.pk,
                site=Site.objects.known_to(by).get(trial=trial, code=code) if code else None,
                role=Role(body["role"]),
                starts_on=body.get("starts_on"),
                ends_on=body.get("ends_on"),
                by=by,
                at=timezone.now(),
            )
            return RoleOut(given).data

        return recorded(request, act)


class RoleEnds(APIView):
    """The early end of one role."""

    takes, answers = ReasonIn, RoleOut

    def post(self, request: Request, role_id: UUID) -> HttpResponse:
        """End it now. Whoever works on gets a new role."""
        body = valid(ReasonIn, request)

        def act() -> Any:
            by = acting_user(request)
            return RoleOut(end_role(role_id=role_id, by=by, at=timezone.now(), **body)).data

        return recorded(request, act)


class Leavers(generics.ListAPIView[Leaver]):
    """Log-ins that were switched off because their people left."""

    serializer_class = LeaverOut
    takes = LeaverIn
    queryset = Leaver.objects.none()

    def get_queryset(self) -> QuerySet[Leaver]:
        visible = Leaver.objects.visible_to(acting_user(self.request))
        return visible.select_related("user", "recorded_by").order_by("recorded_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Switch somebody's log-in off and end their roles, at once."""
        body = valid(LeaverIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial_for(by, body["trial"], Permission.MANAGE_PEOPLE)
            leaver = deactivate_person(
                user=person_named(body["person"]), reason=body["reason"], by=by, at=timezone.now()
            )
            return LeaverOut(leaver).data

        return recorded(request, act)


class OnCallDuties(generics.ListAPIView[OnCall]):
    """The medical monitors' on-call list, cancelled duties too."""

    serializer_class = DutyOut
    takes = DutyIn
    queryset = OnCall.objects.none()

    def get_queryset(self) -> QuerySet[OnCall]:
        visible = OnCall.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "person").order_by("starts_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Put a medical monitor on call."""
        body = valid(DutyIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = trial_for(by, body.pop("trial"), Permission.MANAGE_ON_CALL)
            person = person_named(body.pop("person"))
            duty = enter_duty(trial_id=trial.pk, person=person, by=by, at=timezone.now(), **body)
            return DutyOut(duty).data

        return recorded(request, act)


class OnCallCancellations(APIView):
    """The cancellation of one duty."""

    takes, answers = ReasonIn, DutyOut

    def post(self, request: Request, duty_id: UUID) -> HttpResponse:
        """Take it off the list; it stays on record."""
        body = valid(ReasonIn, request)

        def act() -> Any:
            by = acting_user(request)
            return DutyOut(cancel_duty(duty_id=duty_id, by=by, at=timezone.now(), **body)).data

        return recorded(request, act)


class OnCallNow(APIView):
    """Who is on call at this moment; nobody is a gap in the list."""

    @extend_schema(responses=DutyOut(many=True), operation_id="trials_on_call_list")
    def get(self, request: Request, code: str) -> Response:
        trial = Trial.objects.visible_to(acting_user(request)).get(code=code)
        return Response(DutyOut(on_call(trial, timezone.now()), many=True).data)


def delegating_in(by: User, code: str) -> Trial:
    """Return a trial in which ``by`` gives roles, in all of it or at a site."""
    try:
        return trial_for(by, code, Permission.MANAGE_PEOPLE)
    except PermissionDenied:
        return trial_for(by, code, Permission.DELEGATE)
