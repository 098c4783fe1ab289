"""Reviews of who has access: the list as it is now, and those that were signed off."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.access import trial_for, whole_trial_for
from trials.api.authentication import acting_user
from trials.models import AccessReview
from trials.permissions import Permission
from trials.services.access_review import access_of, sign_off


class HeldRole(Shape):
    role = serializers.CharField()
    site = serializers.CharField(allow_null=True, help_text="null for the whole trial")
    starts_at = serializers.DateTimeField(source="from")
    ends_at = serializers.DateTimeField(source="until", allow_null=True)
    in_force = serializers.BooleanField()


class PersonAccess(Shape):
    person = serializers.CharField(help_text="the log-in name")
    name = serializers.CharField()
    is_machine = serializers.BooleanField(source="machine")
    log_in = serializers.CharField(help_text="on or off")
    last_log_in_on = serializers.DateField(source="last_log_in", allow_null=True)
    trained_on = serializers.ListField(child=serializers.DateField())
    roles = HeldRole(many=True)
    findings = serializers.ListField(child=serializers.CharField())


class AccessOut(Shape):
    trial = serializers.CharField()
    digest = serializers.CharField(help_text="of this list; a review names it")
    findings = serializers.IntegerField()
    people = PersonAccess(many=True)


class AccessReviewIn(Shape):
    trial = serializers.CharField(max_length=40)
    digest = serializers.CharField(max_length=64, help_text="of the list you read")
    remark = serializers.CharField(max_length=2000, help_text="what you found, what follows")


class AccessReviewOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    digest = serializers.CharField()
    findings = serializers.IntegerField()
    remark = serializers.CharField()
    signed_by = serializers.CharField(source="signed_by.username")
    signed_at = serializers.DateTimeField()


class WholeAccessReview(AccessReviewOut):
    people = PersonAccess(many=True, source="content")


class AccessNow(APIView):
    """Everybody who has or had a role in a trial, and what a reviewer should look into."""

    @extend_schema(responses=AccessOut)
    def get(self, request: Request, code: str) -> Response:
        trial = whole_trial_for(acting_user(request), code, Permission.READ_PEOPLE)
        review = access_of(trial, at=timezone.now())
        found = {"digest": review.digest, "findings": review.findings, "people": review.content}
        return Response(AccessOut({"trial": trial.code, **found}).data)


class AccessReviews(generics.ListAPIView[AccessReview]):
    """Reviews that were signed off, the newest first."""

    serializer_class = AccessReviewOut
    takes = AccessReviewIn
    queryset = AccessReview.objects.none()

    def get_queryset(self) -> QuerySet[AccessReview]:
        visible = AccessReview.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "signed_by").order_by("-signed_at", "pk")

    def post(self, request: Request) -> HttpResponse:
        """Sign that the list was reviewed as you read it; it is kept as it is now."""
        body = valid(AccessReviewIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = trial_for(by, body.pop("trial"), Permission.MANAGE_PEOPLE)
            signed = sign_off(trial_id=trial.pk, by=by, at=timezone.now(), **body)
            return AccessReviewOut(signed).data

        return recorded(request, act)


class SignedReview(generics.RetrieveAPIView[AccessReview]):
    """One review with the list as the reviewer saw it."""

    serializer_class = WholeAccessReview
    queryset = AccessReview.objects.none()
    lookup_url_kwarg = "review_id"

    def get_queryset(self) -> QuerySet[AccessReview]:
        visible = AccessReview.objects.visible_to(acting_user(self.request))
        return visible.select_related("trial", "signed_by")
