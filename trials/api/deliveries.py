"""The deliveries of events, and a fresh start for dead ones."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from events.models import Delivery
from trials.api.authentication import acting_user
from trials.services.deliveries import deliveries_of, replay_dead


class DeliveryFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="event__stream")
    subscriber = django_filters.CharFilter(field_name="subscriber")
    state = django_filters.ChoiceFilter(
        choices=[(name, name) for name in ("waiting", "delivered", "dead")], method="of_state"
    )

    def of_state(self, rows: Any, name: str, value: str) -> Any:
        if value == "delivered":
            return rows.exclude(delivered_at=None)
        return rows.dead() if value == "dead" else rows.waiting()


class DeliveryOut(Shape):
    id = serializers.IntegerField()
    trial = serializers.CharField(source="event.stream")
    event = serializers.IntegerField(source="event_id")
    type = serializers.CharField(source="event.type")
    subscriber = serializers.CharField()
    state = serializers.SerializerMethodField(help_text="waiting, delivered or dead")
    attempts = serializers.IntegerField()
    due_at = serializers.DateTimeField()
    last_error = serializers.CharField()

    def get_state(self, row: Delivery) -> str:
        if row.dead_at is not None:
            return "dead"
        return "waiting" if row.delivered_at is None else "delivered"


class ReplayIn(Shape):
    """Nothing is sent with it."""


class Deliveries(generics.ListAPIView[Delivery]):
    """Each event for each that hears of it, the newest first; for those who may replay them."""

    serializer_class = DeliveryOut
    filterset_class = DeliveryFilter
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        return deliveries_of(acting_user(self.request)).select_related("event").order_by("-pk")


class DeliveryReplays(APIView):
    """A fresh start for a dead delivery."""

    takes, answers = ReplayIn, DeliveryOut

    def post(self, request: Request, delivery_id: int) -> HttpResponse:
        """Start it again, if it is dead; one that waits or was delivered is left alone."""
        valid(ReplayIn, request)

        def act() -> Any:
            by = acting_user(request)
            row = deliveries_of(by).get(pk=delivery_id)
            replay_dead([row], by=by, at=timezone.now())
            return DeliveryOut(deliveries_of(by).select_related("event").get(pk=row.pk)).data

        return recorded(request, act)
