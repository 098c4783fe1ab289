"""Who looked behind the blind, when and what for; who asked to, who agreed, who was refused."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q

from events.history import tracked
from events.reading import reading_as_system
from trials.models.people import User, whole_trials
from trials.permissions import Permission


class SealedAccessQuerySet(models.QuerySet["SealedAccess"]):
    def visible_to(self, user: User) -> "SealedAccessQuerySet":
        """Looks of the trials, or at subjects of the one site, that the user audits."""
        sites = {each.site_id for each in user.may(Permission.READ_ACCESS_LOG) if each.site_id}
        trials = whole_trials(user, Permission.READ_ACCESS_LOG)
        return self.filter(Q(trial__in=trials) | Q(site_id__in=sites))


class SealedAccess(models.Model):
    """One look: written by the sealed log-in's own function, unchangeable for everybody."""

    read_only_for_app = True

    id = models.UUIDField(primary_key=True, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=30)
    purpose = models.CharField(max_length=60)
    detail = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    transaction = models.BigIntegerField()
    # Plain ids: the log outlives what it names, and the trial's app knows no subjects.
    subject_id = models.UUIDField(null=True)
    subject_number = models.CharField("subject", max_length=20, blank=True, db_default="")
    site_id = models.UUIDField(null=True)
    request_id = models.UUIDField(null=True)

    objects = SealedAccessQuerySet.as_manager()

    class Meta:
        verbose_name = "look behind the blind"
        verbose_name_plural = "looks behind the blind"
        constraints = [
            models.UniqueConstraint(
                fields=["request_id"],
                condition=Q(purpose="safety unblinding"),
                name="one_safety_look_a_request",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} by {self.person}"


class RefusedLookQuerySet(models.QuerySet["RefusedLook"]):
    def visible_to(self, user: User) -> "RefusedLookQuerySet":
        """Attempts in the trials that the user audits as a whole: they name no site."""
        return self.filter(trial__in=whole_trials(user, Permission.READ_ACCESS_LOG))


class RefusedLook(models.Model):
    """An attempt to look that was refused: kept although everything else was rolled back."""

    read_only_for_app = True

    id = models.UUIDField(primary_key=True, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=60)
    subject_id = models.UUIDField(null=True)
    subject_number = models.CharField("subject", max_length=20, blank=True)
    reason = models.CharField("refused because", max_length=60)
    refused_at = models.DateTimeField()

    objects = RefusedLookQuerySet.as_manager()

    class Meta:
        verbose_name = "refused attempt to look"
        verbose_name_plural = "refused attempts to look"

    def __str__(self) -> str:
        return f"{self.purpose} by {self.person}: {self.reason}"


class UnblindingRequestQuerySet(models.QuerySet["UnblindingRequest"]):
    def visible_to(self, user: User) -> "UnblindingRequestQuerySet":
        """Requests of the trials where the user may ask, agree or audit."""
        held = (
            Permission.SAFETY_UNBLIND,
            Permission.UNBLIND_TRIAL,
            Permission.CONFIRM_UNBLINDING,
            Permission.READ_ACCESS_LOG,
        )
        return self.filter(trial__in=whole_trials(user, *held))

    def with_looks(self) -> "UnblindingRequestQuerySet":
        """Say of each request, as ``looked``, whether somebody has looked on it."""
        looks = SealedAccess.objects.filter(purpose__in=UnblindingRequest.Purpose.values)
        with reading_as_system("whoever sees a request is told that it was used"):
            used = list(looks.values_list("request_id", flat=True).distinct())
        told = models.ExpressionWrapper(Q(pk__in=used), output_field=models.BooleanField())
        return self.annotate(looked=told)


@tracked
class UnblindingRequest(models.Model):
    """One person asks to unblind a subject or the trial; another must agree before it lapses."""

    insert_only = True

    class Purpose(models.TextChoices):
        SAFETY = "safety unblinding", "Safety unblinding of one subject"
        TRIAL = "trial unblinding", "Unblinding of the whole trial"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=60, choices=Purpose)
    subject_id = models.UUIDField(null=True)
    subject_number = models.CharField("subject", max_length=20, blank=True)
    adverse_event_id = models.UUIDField(null=True)
    expectedness = models.TextField("why it is unexpected", blank=True)
    reason = models.TextField()
    early_reason = models.TextField("why while sites still recruit", blank=True)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = UnblindingRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    purpose="safety unblinding",
                    subject_id__isnull=False,
                    adverse_event_id__isnull=False,
                )
                | Q(purpose="trial unblinding", subject_id=None, adverse_event_id=None),
                name="unblinding_request_names_its_subject",
            ),
            models.CheckConstraint(
                condition=~Q(reason="") & Q(expires_at__gt=models.F("requested_at")),
                name="unblinding_request_says_why_and_until_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}, {self.subject_number or self.trial}"

    def state(self, at: datetime) -> str:
        """Return ``withdrawn``, ``used``, ``expired``, ``agreed`` or ``waiting``.

        That it was used is known of a request that was read ``with_looks``.
        """
        given = {answer.kind for answer in self.answers.all()}
        if UnblindingAnswer.Kind.WITHDRAWN in given:
            return "withdrawn"
        if getattr(self, "looked", False):
            return "used"
        if self.expires_at <= at:
            return "expired"
        return "agreed" if UnblindingAnswer.Kind.AGREED in given else "waiting"


@tracked
class UnblindingAnswer(models.Model):
    """A second person's agreement to a request, or its withdrawal."""

    insert_only = True

    class Kind(models.TextChoices):
        AGREED = "agreed"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(UnblindingRequest, on_delete=models.PROTECT, related_name="answers")
    kind = models.CharField(max_length=10, choices=Kind)
    reason = models.TextField(blank=True)
    answered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    answered_at = models.DateTimeField()

    class Meta:
        ordering = ["answered_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["request", "kind"], name="unblinding_answer_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["agreed", "withdrawn"]), name="unblinding_answer_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.answered_by}"
