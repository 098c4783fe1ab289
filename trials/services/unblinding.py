"""Opening the blind for a named purpose: asked, written down and committed before the look."""

from uuid import UUID

from django.db import transaction

from events.outbox import publish
from trials import sealed
from trials.events import BlindOpened
from trials.models import Trial, User
from trials.permissions import Permission, authorise


def open_blind(
    *, trial: Trial, by: User, permission: Permission, purpose: str, detail: str
) -> UUID:
    """Return an access for one look, after it was written to the access log and committed.

    The log's row is committed over the sealed log-in, so that nothing the caller rolls back later
    can take it away. Publishes ``BlindOpened``, which says that, and never what.

    Raises ``PermissionDenied`` without a role for it.
    """
    with transaction.atomic():
        authorise(by, permission, trial=trial, reason=purpose)
        access = sealed.open_access(
            trial_id=trial.pk, person_id=by.pk, purpose=purpose, detail=detail
        )
        publish(BlindOpened(stream=trial.code, access_id=access, purpose=purpose))
    return access


def arms_for_report(*, trial: Trial, by: User, detail: str) -> dict[UUID, str]:
    """Return the arm of every allocated slot of a trial, for a report by arm.

    Raises ``PermissionDenied`` without a role for it.
    """
    access = open_blind(
        trial=trial,
        by=by,
        permission=Permission.READ_UNBLINDED_REPORT,
        purpose="report by arm",
        detail=detail,
    )
    return sealed.arms(access)


def load_kit_contents(
    *, trial: Trial, by: User, contents: list[tuple[str, str]], detail: str
) -> None:
    """Store which arm each kit number is for. Raises ``PermissionDenied`` without the role."""
    access = open_blind(
        trial=trial,
        by=by,
        permission=Permission.SUPPLY_KITS,
        purpose="load kit contents",
        detail=detail,
    )
    sealed.supply_kits(access, contents)
