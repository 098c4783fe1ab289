"""What every service on a subject begins and ends with."""

from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from events.outcomes import Reason, StaleRecord
from patients.errors import ConsentMissing, RecordRefused
from patients.models import Consent, Subject
from patients.models.subjects import Record
from patients.rules.partial_dates import PartialDate
from trials.models import Site, Trial, User
from trials.permissions import Permission, authorise


Stored = TypeVar("Stored", bound=Record)


def subject_for(
    by: User,
    subject_id: UUID,
    permission: Permission,
    *,
    at: datetime,
    on: date | None = None,
    reason: str = "",
    locked: bool = True,
) -> Subject:
    """Return the subject under lock, after asking whether ``by`` may do this at its site.

    Two services on one subject run one after the other, but for one that asks for no lock: it
    waits for nobody. ``subject.version`` and
    ``subject.protocol`` are those the act is done under: see ``version_day``; ``on`` is the day
    (or the instant) the act carries.

    Raises ``Subject.DoesNotExist`` for one the user cannot see, ``PermissionDenied`` for one they
    may only read, ``NoVersionInForce`` before the site's first protocol version.
    """
    subjects = Subject.objects.visible_to(by).select_related("site", "trial", "allocation")
    if locked:
        subjects = subjects.select_for_update(of=("self",), no_key=True)
    subject = subjects.get(pk=subject_id)
    subject.site.trial = subject.trial
    authorise(by, permission, site=subject.site, reason=reason)
    subject.version = subject.site.version_on(version_day(subject.site, at, on))
    return subject


def version_day(site: Site, at: datetime, on: date | None) -> date:
    """Return the day whose protocol version an act is done under.

    In a live trial the site's today, whatever day the record is about: nobody acts under a
    version that is no longer, or not yet, in force. In a replay the act's own day, which the
    act carries as a day or, like a blood sample, as an instant.
    """
    if on is None or site.trial.conduct == Trial.Conduct.LIVE:
        return site.local_day(at)
    return site.local_day(on) if isinstance(on, datetime) else on


def store(
    model: type[Stored], subject: Subject, *, by: User, at: datetime, **fields: Any
) -> Stored:
    """Insert one record of a subject under the protocol version the act is done under."""
    created = model(
        subject=subject,
        protocol_version=subject.version,
        recorded_by=by,
        recorded_at=at,
        **fields,
    )
    created.save(force_insert=True)
    return created


def future_reasons(
    subject: Subject, at: datetime, **days: date | PartialDate | None
) -> list[Reason]:
    """Return a reason for each named day that can only lie after the site's today."""
    today = subject.site.local_day(at)
    return [
        Reason("future_day", f"{name} {day} lies in the future (today is {today}).")
        for name, day in days.items()
        if day is not None and _first_day(day) > today
    ]


def _first_day(day: date | PartialDate) -> date:
    return day.first_day if isinstance(day, PartialDate) else day


def require_consent(subject: Subject, *, on: date) -> None:
    """Raise ``ConsentMissing`` unless a consent was signed by a day. Consent comes before data."""
    first = Consent.objects.filter(subject=subject).order_by("signed_on").first()
    if first is None or first.signed_on > on:
        raise ConsentMissing(
            Reason("no_consent", f"No consent was signed by {on}: record the consent first.")
        )


def refuse_if(reasons: list[Reason]) -> None:
    """Raise ``RecordRefused`` with all reasons, if there are any."""
    if reasons:
        raise RecordRefused(*reasons)


def require_reason(reason: str) -> None:
    """Raise ``RecordRefused`` unless a correction says why."""
    if not reason.strip():
        raise RecordRefused(Reason("reason_missing", "A correction needs a reason."))


def check_revision(current: int, read: int) -> None:
    """Raise ``StaleRecord`` unless the caller read the record as it is now."""
    if current != read:
        raise StaleRecord(f"The record is at revision {current}, you read {read}: read it again.")
