"""Log-ins and what became of them, used passwords, and the credentials of site systems."""

import uuid
from datetime import UTC, datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from oauth2_provider.models import Application

from events.history import tracked
from trials.models.people import RoleAssignment, User, trial_ids, whole_trials
from trials.permissions import Permission


READERS = (Permission.READ_PEOPLE, Permission.READ_ACCESS_LOG)


class Kind(models.TextChoices):
    """What happened to a log-in."""

    LOGGED_IN = "logged_in", "Logged in"
    FAILED = "failed", "Failed attempt"
    REFUSED = "refused", "Refused: locked"
    LOCKED = "locked", "Locked"
    LOCK_ENDED = "lock_ended", "Lock ended early"
    ADDRESS_LOCKED = "address_locked", "Network address locked"
    ADDRESS_LOCK_ENDED = "address_lock_ended", "Lock of a network address ended early"
    LOGGED_OUT = "logged_out", "Logged out"
    IDLE_ENDED = "idle_ended", "Ended: idle"
    TOO_OLD = "too_old", "Ended: longest time reached"
    IDENTITY_CONFIRMED = "identity_confirmed", "Identity confirmed anew"
    NOT_CONFIRMED = "not_confirmed", "Identity not confirmed"
    CODE_USED = "code_used", "Not confirmed: code used before"
    FACTOR_ADDED = "factor_added", "Second factor added"
    FACTOR_REMOVED = "factor_removed", "Second factor removed"
    CODES_MADE = "codes_made", "Recovery codes made"
    PASSWORD_CHANGED = "password_changed", "Password changed"
    PASSWORD_GIVEN = "password_given", "Password given"
    ACCOUNT_MADE = "account_made", "Account made"
    SIGN_ON_BOUND = "sign_on_bound", "Single sign-on bound"
    SWITCHED_ON = "switched_on", "Switched on again"


class Method(models.TextChoices):
    """How somebody showed who they are."""

    NONE = "", "-"
    PASSWORD = "password", "Password"
    CODE = "code", "Code"
    PASSKEY = "passkey", "Passkey"
    SIGN_ON = "sign_on", "Single sign-on"


class LogInRecordQuerySet(models.QuerySet["LogInRecord"]):
    def visible_to(self, user: User) -> "LogInRecordQuerySet":
        """Records of the people of the reader's trials, or of the one site.

        Who sees those of a whole trial sees attempts under names nobody has, too.
        """
        seen = Q(person__in=RoleAssignment.objects.where(user, *READERS).values("user"))
        if whole_trials(user, *READERS):
            seen |= Q(person=None)
        return self.filter(seen)


class LogInRecord(models.Model):
    """One thing that happened to a log-in. Never holds a password, a code or a mistyped name.

    ``name_key`` is a keyed digest of the name as typed, so that attempts under a name nobody has
    can be counted, and a password typed into the wrong box is not kept. ``device`` names a browser
    in which the person had logged in before; what is tried there is counted by itself. What is of
    an address alone, its lock and the end of it, is of no name.
    """

    insert_only = True

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=20, choices=Kind)
    method = models.CharField(max_length=10, choices=Method, default=Method.NONE, blank=True)
    person = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    name_key = models.CharField(max_length=64)
    device = models.CharField(max_length=32, blank=True)
    address = models.GenericIPAddressField(null=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)

    objects = LogInRecordQuerySet.as_manager()

    class Meta:
        verbose_name = "log-in"
        indexes = [
            models.Index(fields=["name_key", "at"], name="log_in_by_name"),
            models.Index(fields=["address", "at"], name="log_in_by_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.person or 'unknown name'}"

    @property
    def known_browser(self) -> bool:
        return bool(self.device)


class UsedPassword(models.Model):
    """The hash of a password somebody has had, so that it is not chosen again."""

    insert_only = True

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="used_passwords")
    hash = models.CharField(max_length=128)
    set_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"password of {self.user} from {self.set_at:%Y-%m-%d}"


class MachineClientQuerySet(models.QuerySet["MachineClient"]):
    def visible_to(self, user: User) -> "MachineClientQuerySet":
        managed = trial_ids(user.may(Permission.MANAGE_CLIENTS))
        return self.filter(Q(trial__in=managed) | Q(user=user))

    def with_last_use(self) -> "MachineClientQuerySet":
        return self.annotate(last_used_at=models.Max("application__accesstoken__created"))


@tracked
class MachineClient(models.Model):
    """The credentials of one program: for whom it acts, what for, and until when."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="clients")
    application = models.OneToOneField(
        Application, on_delete=models.PROTECT, related_name="machine_client"
    )
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=20))
    expires_on = models.DateField()
    given_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    given_at = models.DateTimeField()
    renewed_at = models.DateTimeField(null=True)
    previous_secret = models.CharField(max_length=255, blank=True)  # its hash
    previous_until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = MachineClientQuerySet.as_manager()

    class Meta:
        verbose_name = "client of a program"
        verbose_name_plural = "clients of programs"
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by=None)
                | Q(ended_at__isnull=False, ended_by__isnull=False),
                name="client_end_has_somebody",
            ),
            models.UniqueConstraint(
                fields=["trial", "name"], condition=Q(ended_at=None), name="client_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def why_not(self, at: datetime) -> str:
        """Return why these credentials do not hold at an instant; empty when they do."""
        if self.ended_at is not None and self.ended_at <= at:
            return f"This client's credentials were ended on {self.ended_at:%Y-%m-%d}."
        if at.astimezone(UTC).date() > self.expires_on:
            return f"This client's credentials expired on {self.expires_on:%Y-%m-%d}."
        return ""
