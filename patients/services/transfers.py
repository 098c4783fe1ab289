"""A subject moves to another site, with all of its past."""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from patients.errors import TransferRefused
from patients.events import SubjectTransferred
from patients.models import Death, SubjectTransfer
from patients.rules.transfers import TransferFacts, transfer_reasons
from patients.services.recording import store, subject_for
from trials.models import Site, User
from trials.permissions import Permission, authorise
from trials.services.sites import standing_status


@transaction.atomic
def transfer_subject(
    *,
    subject_id: UUID,
    to_site: str,
    transferred_on: date,
    reason: str,
    agreed_by: str,
    agreement: str,
    by: User,
    at: datetime,
) -> SubjectTransfer:
    """Move a subject to another site of its trial; ``to_site`` is that site's code.

    The number, the records and their history stay as they are. From the commit on the receiving
    site sees all of it, and the sending site nothing. Kits stay where they are: the next one is
    chosen at the receiving site. ``agreed_by`` is the receiving investigator, ``agreement`` the
    document that says so.

    Publishes ``SubjectTransferred``. Raises ``TransferRefused`` with every reason.
    """
    subject = subject_for(
        by, subject_id, Permission.TRANSFER, at=at, on=transferred_on, reason=reason
    )
    sending = subject.site
    visible = Site.objects.visible_to(by, Permission.TRANSFER).filter(trial=subject.trial)
    receiving = visible.filter(code=to_site).first()
    moves = SubjectTransfer.objects.filter(subject=subject).order_by("recorded_at")
    last = moves.last()
    facts = TransferFacts(
        number=subject.number,
        from_site=sending.code,
        to_site=to_site,
        receiving_status=standing_status(receiving) if receiving else None,
        transferred_on=transferred_on,
        entered_on=subject.screened_on,
        last_moved_on=last.transferred_on if last else None,
        today=sending.local_day(at),
        reason=reason,
        agreed_by=agreed_by,
        agreement=agreement,
        dead=Death.objects.filter(subject=subject).exists(),
    )
    reasons = transfer_reasons(facts)
    if reasons or receiving is None:
        raise TransferRefused(*reasons)
    authorise(by, Permission.TRANSFER, site=receiving, reason=reason)
    transfer = store(
        SubjectTransfer,
        subject,
        by=by,
        at=at,
        from_site=sending,
        to_site=receiving,
        transferred_on=transferred_on,
        reason=reason,
        agreed_by=agreed_by,
        agreement=agreement,
    )
    subject.site = receiving
    subject.save(update_fields=["site"])
    publish(
        SubjectTransferred(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=receiving.pk,
            transfer_id=transfer.pk,
            from_site_id=sending.pk,
            transferred_on=transferred_on,
        ),
        at=at,
    )
    return transfer
