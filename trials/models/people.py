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
        """People of the trials whose people the reader may see, and those without any role yet."""
        trials = trial_ids(user.may(Permission.READ_PEOPLE))
        if not trials:
            return self.none()
        here = RoleAssignment.objects.filter(trial__in=trials).values("user")
        somewhere = RoleAssignment.objects.values("user")
        return self.filter(Q(pk__in=here) | ~Q(pk__in=somewhere))


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
        return self.filter(trial__in=trial_ids(user.may(Permission.READ_PEOPLE)))


def trial_ids(assignments: "Iterable[RoleAssignment]") -> set[uuid.UUID]:
    return {assignment.trial_id for assignment in assignments}


@tracked
class RoleAssignment(models.Model):
    """One role of one user in one trial, at one site or (without a site) at all of them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="role_assignments")
    trial = models.ForeignKey("trials.Trial", on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey(
        "trials.Site", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    role = models.CharField(max_length=30, choices=[(role.value, role.label) for role in Role])
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

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
                condition=Q(ends_at=None) | Q(ends_at__gt=models.F("starts_at")),
                name="role_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in Role]), name="role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{Role(self.role).label}, {self.site or 'all sites'}"
