"""Opening the blind for a named purpose: asked, written down and committed before the look."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason, Refused
from trials import sealed
from trials.errors import ShownAlready, UnblindingRefused
from trials.events import BlindOpened
from trials.identity import Proof, Shown, prove_identity
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


@contextmanager
def noting_refusals(
    *, by: User, purpose: str, trial_id: UUID | None = None, subject_id: UUID | None = None
) -> Iterator[None]:
    """Keep every attempt in this block that is refused, though all else of it is rolled back.

    Written over the sealed log-in in a transaction of its own: an inspector asks for attempts too.
    """
    try:
        yield
    except (Refused, PermissionDenied, ObjectDoesNotExist) as refusal:
        if isinstance(refusal, Refused):
            reason = refusal.reasons[0].code
        else:
            reason = "not_your_role" if isinstance(refusal, PermissionDenied) else "not_yours"
        sealed.note_refused(
            person_id=by.pk,
            purpose=purpose,
            trial_id=trial_id,
            subject_id=subject_id,
            reason=reason,
        )
        raise


def prove(
    by: User, shown: Shown, *, purpose: str, trial_id: UUID | None = None,
    subject_id: UUID | None = None,
) -> Proof:  # fmt: skip
    """Return the proof a look asks for. Called before the service's transaction, never inside one.

    A failure is kept as a refused attempt. Raises ``IdentityNotConfirmed``.
    """
    with noting_refusals(by=by, purpose=purpose, trial_id=trial_id, subject_id=subject_id):
        return prove_identity(by, shown)


def open_look(*, trial: Trial, by: User, purpose: str, detail: str, **about: UUID | None) -> UUID:
    """Return an access for one look, written to the access log and committed before it.

    ``about`` names a subject, a site or a request, as the purpose needs. The caller has asked for
    the permission and is in a transaction; PostgreSQL asks again by itself: the role in force, at
    the subject's present site for an emergency, and the second person.

    Publishes ``BlindOpened``. Raises ``UnblindingRefused`` when PostgreSQL refuses.
    """
    access = sealed.open_unblinding(
        person_id=by.pk, purpose=purpose, trial_id=trial.pk, detail=detail, **about
    )
    if access is None:
        raise UnblindingRefused(
            Reason("look_refused", "The database does not allow you this look, or not again.")
        )
    publish(BlindOpened(stream=trial.code, access_id=access, purpose=purpose))
    return access


def look(access_id: UUID) -> dict[UUID, str]:
    """Return what an access allows to see: the arm by subject. Once, within ten minutes.

    Raises ``ShownAlready`` afterwards.
    """
    arms = sealed.subject_arms(access_id)
    if arms is None:
        raise ShownAlready(*SHOWN_ALREADY)
    return arms


def first_sheet_at(subject_id: UUID) -> datetime | None:
    """Return when the first contingency sheet of a subject was made; nothing: there is none."""
    return sealed.first_sheet_at(subject_id)


def make_sheets(access_id: UUID) -> list[tuple[UUID, str, str]]:
    """Return (subject, arm, password) for each sheet of a site. Raises ``ShownAlready``."""
    sheets = sealed.make_sheets(access_id)
    if sheets is None:
        raise ShownAlready(*SHOWN_ALREADY)
    return sheets


def sheet_passwords(access_id: UUID) -> dict[UUID, str]:
    """Return the password of each sheet of one making, by subject. Raises ``ShownAlready``."""
    passwords = sealed.sheet_passwords(access_id)
    if passwords is None:
        raise ShownAlready(*SHOWN_ALREADY)
    return passwords


SHOWN_ALREADY = (
    Reason("shown_already", "This look was used or is too old. Another look needs a new access."),
)
