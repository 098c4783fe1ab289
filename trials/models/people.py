"""People, machines, and what each may do where."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from events.history import tracked
from trials.permissions import Permission, Role, allows


class UserManager(BaseUserManager["User"]):
    def visible_to(self, user: "User") -> "models.QuerySet[User]":
        """Whoever has or had a role in a trial, or at the one site, whose people the reader sees.

        Who sees all people of a trial sees those without any role yet, too.
        """
        seen = Q(pk__in=RoleAssignment.objects.where(user, Permission.READ_PEOPLE).values("user"))
        if whole_trials(user, Permission.READ_PEOPLE):
            seen |= ~Q(pk__in=RoleAssignment.objects.values("user"))
        return self.filter(seen)


class User(AbstractUser):
    """A person, or the system of one site. What either may do comes from role assignments alone."""

    is_machine = models.BooleanField(default=False)
    must_change_password = models.BooleanField(default=False)  # somebody else chose it

    objects = UserManager()  # type: ignore[misc]  # the stubs' own manager has another type

    class Meta:
        verbose_name = "person"
        verbose_name_plural = "people"

    @property
    def assignments(self) -> "tuple[RoleAssignment, ...]":
        """The roles in force now, read once for each request's user object."""
        if not hasattr(self, "_assignments"):
            rows = RoleAssignment.objects.in_force(timezone.now()).filter(user=self)
            self._assignments = tuple(rows.select_related("trial", "site"))
        return self._assignments

    def forget_assignments(self) -> None:
        """Read the roles again at the next question; for long-lived objects."""
        if hasattr(self, "_assignments"):
            del self._assignments

    def may(self, permission: Permission) -> "tuple[RoleAssignment, ...]":
        """Return the assignments whose role holds a permission, wherever that is."""
        return tuple(a for a in self.assignments if allows(Role(a.role), permission))


class RoleAssignmentQuerySet(models.QuerySet["RoleAssignment"]):
    def in_force(self, at: datetime) -> "RoleAssignmentQuerySet":
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)

    def visible_to(self, user: User) -> "RoleAssignmentQuerySet":
        """Roles of the trials, or of the one site, whose delegation log the user reads or keeps."""
        return self.where(user, Permission.READ_PEOPLE, Permission.DELEGATE)

    def where(self, user: User, *permissions: Permission) -> "RoleAssignmentQuerySet":
        """Roles of the trials, or of the one site, where the user holds one of some permissions."""
        held = [each for permission in permissions for each in user.may(permission)]
        return self.filter(
            Q(trial__in=whole_trials(user, *permissions))
            | Q(site__in={each.site_id for each in held if each.site_id})
        )


def trial_ids(assignments: "Iterable[RoleAssignment]") -> set[uuid.UUID]:
    return {assignment.trial_id for assignment in assignments}


def whole_trials(user: User, *permissions: Permission) -> set[uuid.UUID]:
    """Trials where the user holds one of some permissions at all sites."""
    held = [each for permission in permissions for each in user.may(permission)]
    return trial_ids(each for each in held if each.site_id is None)


@tracked
class RoleAssignment(models.Model):
    """One role of one user in one trial, at one site or (without a site) at all of them.

    A line of the delegation log: never deleted; only its end is set, once for good. Whoever works
    on afterwards gets a new line.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="role_assignments")
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey(
        "trials.Site", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    role = models.CharField(max_length=30, choices=[(role.value, role.label) for role in Role])
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    given_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    given_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(blank=True)

    objects = RoleAssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "trial", "site", "role"],
                condition=Q(ends_at=None),
                nulls_distinct=False,
                name="role_once_in_force",
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None)
                | Q(ends_at__gt=models.F("starts_at"))
                | (Q(ends_at=models.F("starts_at")) & ~Q(ended_at=None)),  # before it began
                name="role_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by=None, end_reason="")
                | (~Q(ended_at=None) & ~Q(ended_by=None) & ~Q(ends_at=None) & ~Q(end_reason="")),
                name="role_ended_early_says_why",
            ),
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in Role]), name="role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{Role(self.role).label}, {self.site or 'all sites'}"


class TrainingQuerySet(models.QuerySet["Training"]):
    def visible_to(self, user: User) -> "TrainingQuerySet":
        """Trainings of the people whose roles the user may see, and all for the whole trial."""
        everywhere = whole_trials(user, Permission.READ_PEOPLE)
        seen = RoleAssignment.objects.visible_to(user).filter(trial=models.OuterRef("trial"))
        of_theirs = models.Exists(seen.filter(user=models.OuterRef("user")))
        return self.filter(Q(trial__in=everywhere) | Q(of_theirs))


@tracked
class Training(models.Model):
    """One training of one person for one trial: on what, and when it was completed."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="trainings")
    document = models.CharField(max_length=120)
    version = models.CharField(max_length=20)
    completed_on = models.DateField()
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects = TrainingQuerySet.as_manager()

    class Meta:
        ordering = ["completed_on", "recorded_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "user", "document", "version", "completed_on"],
                name="training_recorded_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.document} {self.version}, {self.completed_on}"


class LeaverQuerySet(models.QuerySet["Leaver"]):
    def visible_to(self, user: User) -> "LeaverQuerySet":
        return self.filter(user__in=RoleAssignment.objects.visible_to(user).values("user"))


@tracked
class Leaver(models.Model):
    """A log-in that was switched off because its person left, and why."""

    insert_only = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    objects = LeaverQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="leaver_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.user} left"
