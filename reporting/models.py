"""What was reported, and the small read models that events keep up to date."""

import uuid

from django.db import models
from django.db.models import Q

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
