"""Log-ins of people: made, given a password for once, unlocked, freed of a lost second factor.

A password is in the first answer alone. What is kept to answer a repeated request does not hold it.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.authentication import acting_user
from trials.api.clients import with_secret
from trials.models import LogInRecord, User
from trials.queries import standing_of
from trials.services.accounts import (
    add_person,
    bind_sign_on,
    end_address_lock,
    end_lock,
    give_password,
    remove_second_factors,
    switch_on_log_in,
)


NAME = 150
REASON = 300


class PersonIn(Shape):
    username = serializers.CharField(max_length=NAME, help_text="the log-in name")
    first_name = serializers.CharField(max_length=NAME)
    last_name = serializers.CharField(max_length=NAME)
    email = serializers.EmailField(max_length=254, allow_blank=True, default="")


class PersonOut(Shape):
    username = serializers.CharField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    email = serializers.CharField()
    is_machine = serializers.BooleanField(help_text="the system of a site")
    log_in = serializers.CharField(source="standing.state")
    second_factors = serializers.ListField(child=serializers.CharField(), source="standing.factors")
    single_sign_on = serializers.BooleanField(source="standing.signs_on")
    must_change_password = serializers.BooleanField()
    last_log_in_at = serializers.DateTimeField(source="last_login", allow_null=True)


class NewPerson(PersonOut):
    password = serializers.CharField(allow_null=True, help_text="In the first answer alone.")


class LogInOut(Shape):
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    method = serializers.CharField()
    person = serializers.CharField(source="person.username", allow_null=True, default=None)
    address = serializers.CharField(allow_null=True)
    known_browser = serializers.BooleanField(
        help_text="Whether the person had logged in there before: it is counted by itself."
    )
    by = serializers.CharField(source="by.username", allow_null=True, default=None)
    reason = serializers.CharField()


class GivenPassword(LogInOut):
    password = serializers.CharField(allow_null=True, help_text="In the first answer alone.")


class AboutPersonIn(Shape):
    person = serializers.CharField(max_length=NAME, help_text="the log-in name")
    reason = serializers.CharField(max_length=REASON)


class AboutAddressIn(Shape):
    address = serializers.IPAddressField(help_text="the network address, as `/log-ins` shows it")
    reason = serializers.CharField(max_length=REASON)


class SignOnBindingIn(AboutPersonIn):
    subject = serializers.CharField(
        max_length=191, help_text="the `sub` by which your provider knows this person"
    )


class People(generics.ListAPIView[User]):
    """People and systems of your trials, and those without any role yet, with their log-ins."""

    serializer_class = PersonOut
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.visible_to(acting_user(self.request)).order_by("username")

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        return None if page is None else _standing(page)

    @extend_schema(request=PersonIn, responses={201: NewPerson})
    def post(self, request: Request) -> HttpResponse:
        """Make a log-in, without any role, with a password for once. It is shown once."""
        body = valid(PersonIn, request)
        shown: list[str] = []

        def act() -> Any:
            person, password = add_person(by=acting_user(request), at=timezone.now(), **body)
            shown.append(password)
            return PersonOut(_standing([person])[0]).data

        return with_secret(recorded(request, act), shown, name="password")


class LogIns(generics.ListAPIView[LogInRecord]):
    """Log-ins, failed attempts, locks and changed second factors of the people you may see."""

    serializer_class = LogInOut
    queryset = LogInRecord.objects.none()

    def get_queryset(self) -> QuerySet[LogInRecord]:
        visible = LogInRecord.objects.visible_to(acting_user(self.request))
        return visible.select_related("person", "by").order_by("-at", "-pk")


class Passwords(APIView):
    """A password for somebody who lost theirs."""

    @extend_schema(request=AboutPersonIn, responses={201: GivenPassword})
    def post(self, request: Request) -> HttpResponse:
        """Give one after you made sure who asks. It is shown once, and changed when it is used."""
        body = valid(AboutPersonIn, request)
        shown: list[str] = []

        def act() -> Any:
            given, password = give_password(**_about(request, body))
            shown.append(password)
            return LogInOut(given).data

        return with_secret(recorded(request, act), shown, name="password")


class AboutPeople(APIView):
    """One act on somebody's log-in. A subclass names the service."""

    takes: ClassVar[type[Shape]] = AboutPersonIn
    answers: ClassVar[type[Shape]] = LogInOut
    act: ClassVar[Callable[..., LogInRecord]]

    def post(self, request: Request) -> HttpResponse:
        """Record the act, or get every reason why not."""
        body = valid(self.takes, request)
        act = type(self).act
        return recorded(request, lambda: LogInOut(act(**_about(request, body))).data)


class LockEnds(AboutPeople):
    """The end of a lock on somebody's log-in, before its time."""

    act = staticmethod(end_lock)


class AddressLockEnds(APIView):
    """The end of a lock on a network address, before its time."""

    @extend_schema(request=AboutAddressIn, responses={201: LogInOut})
    def post(self, request: Request) -> HttpResponse:
        """Record the act, or get every reason why not."""
        body = valid(AboutAddressIn, request)

        def act() -> Any:
            ended = end_address_lock(by=acting_user(request), at=timezone.now(), **body)
            return LogInOut(ended).data

        return recorded(request, act)


class LogInReopenings(AboutPeople):
    """The log-in of somebody who left, switched on again: without password, token or role."""

    act = staticmethod(switch_on_log_in)


class FactorRemovals(AboutPeople):
    """The removal of all second factors of somebody who lost theirs."""

    act = staticmethod(remove_second_factors)


class SignOnBindings(AboutPeople):
    """Which subject of the single sign-on somebody is; only this lets them in by it."""

    takes = SignOnBindingIn
    act = staticmethod(bind_sign_on)


def _about(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """Return what a service about somebody takes; who is not yours to see is not there."""
    by = acting_user(request)
    person = User.objects.visible_to(by).get(username=body["person"])
    return {**body, "person": person, "by": by, "at": timezone.now()}


def _standing(people: Iterable[Any]) -> list[Any]:
    """Return people with how their log-ins stand, read for all of them at once."""
    found = list(people)
    standing = standing_of(found, at=timezone.now())
    for person in found:
        person.standing = standing[person.pk]
    return found
