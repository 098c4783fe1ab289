"""Who may read which report: not yours looks like not there, not your role is said."""

from uuid import UUID

from reporting.documents.safety_summary import StoredSummary
from reporting.models import SafetySummary
from trials.api.access import trial_for
from trials.models import User
from trials.permissions import Permission


def safety_summary_for(by: User, code: str, summary_id: UUID) -> SafetySummary:
    """Return one summary of a trial. Raises what ``trial_for`` raises, or ``DoesNotExist``."""
    trial = trial_for(by, code, Permission.READ_SAFETY)
    return SafetySummary.objects.visible_to(by).get(pk=summary_id, trial=trial)


def stored(summary: SafetySummary) -> StoredSummary:
    """Return what a document of the summary is made from."""
    return StoredSummary(
        content=summary.content,
        digest=summary.digest,
        edition=summary.edition,
        written_by=summary.written_by,
        written_at=summary.written_at,
    )
