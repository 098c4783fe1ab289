"""The event feed: what happened, in the order of the chain, for programs that follow along.

It lives here and not in ``events``, because whose events they are is a question of roles and of
where a subject is now.
"""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.serializers import Query, Shape
from events.models import ChainLink
from patients.queries import readable_events
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.permissions import Permission


PAGE = 500


class FeedQuery(Query):
    trial = serializers.CharField(max_length=40)
    after = serializers.IntegerField(min_value=0, max_value=2**62, default=0)


class FeedEvent(Shape):
    seq = serializers.IntegerField()
    type = serializers.CharField(source="event.type")
    version = serializers.IntegerField(source="event.version")
    payload = serializers.JSONField(source="event.payload")
    occurred_at = serializers.DateTimeField(source="event.occurred_at")
    recorded_at = serializers.DateTimeField(source="event.recorded_at")
    actor = serializers.CharField(source="event.actor")
    request_id = serializers.CharField(source="event.request_id")
    digest = serializers.CharField()


class Feed(Shape):
    events = FeedEvent(many=True)
    after = serializers.IntegerField(help_text="Send this as `after` to go on from here.")


class EventFeed(APIView):
    """A trial's events in the order of its hash chain."""

    @extend_schema(
        parameters=[
            OpenApiParameter("trial", OpenApiTypes.STR, required=True),
            OpenApiParameter("after", OpenApiTypes.INT, description="the last number you have"),
        ],
        responses=Feed,
    )
    def get(self, request: Request) -> Response:
        """Return up to 500 events after a number, for those who may read the history.

        Who reads it at one site gets that site's events, and all those of the subjects who are
        there now.
        """
        query: Any = FeedQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        code = query.validated_data["trial"]
        trial = trial_for(acting_user(request), code, Permission.READ_HISTORY)
        after = query.validated_data["after"]
        links = ChainLink.objects.filter(
            stream=trial.code, seq__gt=after, event__in=readable_events(acting_user(request))
        ).select_related("event")
        page = list(links.order_by("seq")[:PAGE])
        last = page[-1].seq if page else after
        return Response(Feed({"events": page, "after": last}).data)
