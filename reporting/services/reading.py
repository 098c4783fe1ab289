"""Who may read which report: not yours looks like not there, not your role is said."""

from uuid import UUID

from django.core.exceptions import PermissionDenied

from reporting.documents.safety_summary import StoredSummary
from reporting.models import SafetySummary
from trials.models import Trial, User
from trials.permissions import Permission


def trial_for(by: User, code: str, permission: Permission) -> Trial:
    """Return a trial in which ``by`` holds a permission, wherever in it.

    Raises ``Trial.DoesNotExist`` without any role there, ``PermissionDenied`` without this one.
    """
    trial = Trial.objects.visible_to(by).get(code=code)
    if not Trial.objects.with_permission(by, permission).filter(pk=trial.pk).exists():
        raise PermissionDenied(f"Your role here does not allow you to {permission.value}.")
    return trial


def safety_summary_for(by: User, code: str, summary_id: UUID) -> SafetySummary:
    """Return one summary of a trial. Raises what ``trial_for`` raises, or ``DoesNotExist``."""
    trial = trial_for(by, code, Permission.READ_SAFETY)
    return SafetySummary.objects.visible_to(by).get(pk=summary_id, trial=trial)


def stored(summary: SafetySummary) -> StoredSummary:
    return StoredSummary(
        content=summary.content,
        digest=summary.digest,
        edition=summary.edition,
        written_by=summary.written_by,
        written_at=summary.written_at,
    )
