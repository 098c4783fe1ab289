"""What was reported, and the small read models that events keep up to date."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Count, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from events.history import tracked
from patients.models import Subject
from trials.models import Site, Trial, User
from trials.models.people import trial_ids
from trials.permissions import Permission


class SafetySummaryQuerySet(models.QuerySet["SafetySummary"]):
    def visible_to(self, user: User) -> "SafetySummaryQuerySet":
        return self.filter(trial__in=trial_ids(user.may(Permission.READ_SAFETY)))


@tracked
class SafetySummary(models.Model):
    """One period's safety summary, arms pooled. Edition 1 is the scheduled one."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="safety_summaries")
    period_start = models.DateField()
    period_end = models.DateField()
    edition = models.PositiveSmallIntegerField(default=1)
    as_known_at = models.DateTimeField()
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    written_by = models.CharField(max_length=150)
    written_at = models.DateTimeField()

    objects = SafetySummaryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "safety summaries"
        ordering = ["-period_start", "-edition"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "period_start", "edition"], name="summary_once_per_period"
            ),
            models.CheckConstraint(
                condition=Q(period_end__gte=models.F("period_start")), name="summary_period_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period_start} to {self.period_end}, edition {self.edition}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def visible_to(self, user: User) -> "NoticeQuerySet":
        """Notices of the user's sites, and of subjects where those are now.

        Of unblindings also those of trials the user oversees. What is of no site concerns everybody
        who works in its trial.
        """
        own = Q(subject__in=Subject.objects.visible_to(user))
        here = Q(subject=None, site__in=Site.objects.visible_to(user))
        audits = trial_ids(a for a in user.may(Permission.READ_ACCESS_LOG) if a.site_id is None)
        overseen = Q(kind="subject_unblinded", trial__in=audits)
        everybody = Q(subject=None, site=None, trial__in=trial_ids(user.assignments))
        return self.filter(own | here | overseen | everybody)

    def with_mails(self) -> "NoticeQuerySet":
        """Add when a notice was first sent to somebody, to how many it was, and to how many not."""
        mails = NoticeMail.objects.filter(event=OuterRef("event")).order_by().values("event")
        first = mails.annotate(value=Min("sent_at")).values("value")
        sent = mails.annotate(value=Count("sent_at")).values("value")
        unsent = mails.annotate(value=Count("pk", filter=Q(sent_at=None, dropped_at=None))).values(
            "value"
        )
        return self.annotate(
            mailed_at=Subquery(first),
            sent_mails=Coalesce(Subquery(sent), 0),
            unsent_mails=Coalesce(Subquery(unsent), 0),
        )


class Notice(models.Model):
    """Something a person should look at; made once for the event that caused it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey(
        Site, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    subject = models.ForeignKey(
        Subject, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    event = models.OneToOneField("events.OutboxEvent", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=40)
    text = models.CharField(max_length=300)
    created_at = models.DateTimeField()

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(subject=None) | Q(site__isnull=False),
                name="notice_of_a_subject_has_a_site",
            )
        ]

    def __str__(self) -> str:
        return self.text


class NoticeMailQuerySet(models.QuerySet["NoticeMail"]):
    def waiting(self) -> "NoticeMailQuerySet":
        return self.filter(sent_at=None, dead_at=None, dropped_at=None)

    def due(self, at: datetime) -> "NoticeMailQuerySet":
        return self.waiting().filter(due_at__lte=at)

    def dead(self) -> "NoticeMailQuerySet":
        return self.exclude(dead_at=None)


class NoticeMail(models.Model):
    """The e-mail of one notice to one person: waiting, sent, dropped, or dead after failures.

    It is kept by its event, which whoever replays deliveries sees without seeing its subject. The
    address is the person's at the moment of sending, and stands nowhere here.
    """

    never_deleted = True
    LONGEST_WAIT: ClassVar[timedelta] = timedelta(minutes=15)
    TRIED_FOR: ClassVar[timedelta] = timedelta(days=3)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event = models.ForeignKey("events.OutboxEvent", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    due_at = models.DateTimeField()
    tried_until = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)
    dropped_at = models.DateTimeField(null=True, blank=True)  # no longer for this person
    last_error = models.CharField(max_length=300, blank=True)

    objects = NoticeMailQuerySet.as_manager()

    class Meta:
        verbose_name = "e-mail"
        constraints = [
            models.UniqueConstraint(fields=["event", "person"], name="mail_once_each"),
            models.CheckConstraint(
                condition=Q(sent_at=None, dead_at=None)
                | Q(sent_at=None, dropped_at=None)
                | Q(dead_at=None, dropped_at=None),
                name="mail_one_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"],
                name="mail_waiting",
                condition=Q(sent_at=None, dead_at=None, dropped_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} → {self.person}"

    def start_afresh(self, *, at: datetime) -> None:
        self.due_at, self.tried_until = at, at + self.TRIED_FOR
        self.attempts, self.dead_at, self.last_error = 0, None, ""

    def fail(self, error: str, *, final: bool, at: datetime) -> None:
        """Wait twice as long after each failure; when it is no use or too late, be dead."""
        self.attempts += 1
        self.last_error = error
        if final or at >= self.tried_until:
            self.dead_at = at
        else:
            wait = timedelta(seconds=2 ** min(self.attempts, 10))
            self.due_at = at + min(wait, self.LONGEST_WAIT)


class SiteActivity(models.Model):
    """How many events of a type each site has had, counted one by one as they are delivered."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    type = models.CharField(max_length=80)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "site activity"
        constraints = [
            models.UniqueConstraint(fields=["site", "type"], name="activity_once_per_site_and_type")
        ]

    def __str__(self) -> str:
        return f"{self.site}: {self.count} {self.type}"
