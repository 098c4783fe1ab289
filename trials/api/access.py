"""Whose trial it is: not yours looks like not there, not your role is said."""

from django.core.exceptions import PermissionDenied

from trials.models import Site, Trial, User
from trials.permissions import Permission


def trial_for(by: User, code: str, permission: Permission) -> Trial:
    """Return a trial in which ``by`` holds a permission, wherever in it.

    Raises ``Trial.DoesNotExist`` without any role there, ``PermissionDenied`` without this one.
    """
    trial = Trial.objects.visible_to(by).get(code=code)
    if not any(held.trial_id == trial.pk for held in by.may(permission)):
        raise PermissionDenied(f"Your role here does not allow you to {permission.value}.")
    return trial


def whole_trial_for(by: User, code: str, permission: Permission) -> Trial:
    """Return a trial in all of which ``by`` holds a permission, not at one site alone.

    Raises as ``trial_for`` does.
    """
    trial = trial_for(by, code, permission)
    held = by.may(permission)
    if not any(one.trial_id == trial.pk and one.site_id is None for one in held):
        raise PermissionDenied(f"Your role at one site does not allow you to {permission.value}.")
    return trial


def site_for(by: User, code: str, site: str, permission: Permission) -> Site:
    """Return a site of a trial at which ``by`` holds a permission.

    Raises ``Site.DoesNotExist`` without any role there, ``PermissionDenied`` without this one.
    """
    known = Site.objects.known_to(by).select_related("trial")
    found = known.get(trial__code=code, code=site)
    if not Site.objects.visible_to(by, permission).filter(pk=found.pk).exists():
        raise PermissionDenied(f"Your role here does not allow you to {permission.value}.")
    return found
