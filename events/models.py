"""The append-only log, its hash chain, and what is still to be delivered from it."""

import hashlib
import json
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q


class OutboxEvent(models.Model):
    """One event, stored in the transaction that made it true."""

    insert_only = True

    stream = models.CharField(max_length=40)
    type = models.CharField(max_length=80)
    version = models.PositiveSmallIntegerField(default=1)
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    request_id = models.CharField(max_length=64, blank=True)
    caused_by = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = "event"
        indexes = [models.Index(fields=["stream", "type"], name="event_stream_type")]

    def __str__(self) -> str:
        return f"{self.type} #{self.pk}"

    def content(self) -> str:
        """Return what the digest covers, as canonical JSON."""
        fields = {
            "id": self.pk,
            "stream": self.stream,
            "type": self.type,
            "version": self.version,
            "payload": self.payload,
            "occurred_at": self.occurred_at.isoformat(),
            "recorded_at": self.recorded_at.isoformat(),
            "actor": self.actor,
            "request_id": self.request_id,
            "caused_by": self.caused_by_id,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)


class ChainLink(models.Model):
    """An event's place in its stream: a number without gaps and a digest over all before it."""

    insert_only = True
    START: ClassVar[str] = "0" * 64

    event = models.OneToOneField(
        OutboxEvent, primary_key=True, on_delete=models.PROTECT, related_name="link"
    )
    stream = models.CharField(max_length=40)
    seq = models.PositiveBigIntegerField()
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stream", "seq"], name="chain_one_link_per_number"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="chain_starts_at_one"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.seq}"

    @staticmethod
    def digest_of(previous: str, seq: int, content: str) -> str:
        return hashlib.sha256(f"{previous}\n{seq}\n{content}".encode()).hexdigest()


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> "DeliveryQuerySet":
        return self.filter(delivered_at=None, dead_at=None)

    def due(self, at: datetime) -> "DeliveryQuerySet":
        return self.waiting().filter(due_at__lte=at)

    def dead(self) -> "DeliveryQuerySet":
        return self.exclude(dead_at=None)


class Delivery(models.Model):
    """One event for one subscriber: waiting, delivered, or dead after too many failures."""

    MAX_ATTEMPTS: ClassVar[int] = 8
    LONGEST_WAIT: ClassVar[timedelta] = timedelta(hours=1)

    event = models.ForeignKey(OutboxEvent, on_delete=models.PROTECT, related_name="deliveries")
    subscriber = models.CharField(max_length=120)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "subscriber"], name="delivery_once_each"),
            models.CheckConstraint(
                condition=Q(delivered_at=None) | Q(dead_at=None), name="delivery_one_end"
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"],
                name="delivery_waiting",
                condition=Q(delivered_at=None, dead_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} → {self.subscriber}"

    def fail(self, error: Exception, *, at: datetime) -> None:
        """Wait twice as long after each failure; after the last one, be dead until replayed."""
        self.last_error = f"{type(error).__name__}: {error}"[:2000]
        if self.attempts >= self.MAX_ATTEMPTS:
            self.dead_at = at
        else:
            wait = timedelta(seconds=2**self.attempts)
            self.due_at = at + min(wait, self.LONGEST_WAIT)


class IdempotencyRecord(models.Model):
    """The first answer to a request, given again to whoever repeats it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once_per_user")
        ]

    def __str__(self) -> str:
        return self.key
