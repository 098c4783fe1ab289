"""Adverse events: recorded whole, corrected with a reason."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from patients.events import AdverseEventRecorded
from patients.models import AdverseEvent, Subject
from patients.rules.adverse_events import AdverseEventFacts, Outcome, Seriousness, record_problems
from patients.rules.partial_dates import PartialDate
from patients.services.recording import (
    check_revision,
    refuse_if,
    require_consent,
    require_reason,
    store,
    subject_for,
)
from trials.models import User
from trials.permissions import Permission


@transaction.atomic
def record_adverse_event(
    *,
    subject_id: UUID,
    term: str,
    soc: str,
    grade: int,
    started_on: PartialDate,
    outcome: str,
    related: bool,
    serious: bool,
    ended_on: PartialDate | None = None,
    seriousness: Sequence[str] = (),
    narrative: str = "",
    by: User,
    at: datetime,
) -> AdverseEvent:
    """Record one adverse event under the protocol's CTCAE version.

    Publishes ``AdverseEventRecorded``. Raises ``ConsentMissing``, or ``RecordRefused`` with
    everything in the record that contradicts itself.
    """
    subject = subject_for(by, subject_id, Permission.RECORD_CLINICAL, at=at, on=started_on.last_day)
    require_consent(subject, on=started_on.last_day)
    fields: dict[str, Any] = {
        "term": term,
        "soc": soc,
        "grade": grade,
        "started_on": str(started_on),
        "ended_on": str(ended_on or ""),
        "outcome": outcome,
        "related": related,
        "serious": serious,
        "seriousness": list(seriousness),
        "narrative": narrative,
    }
    _judge(subject, fields, at)
    event = store(
        AdverseEvent,
        subject,
        by=by,
        at=at,
        ctcae_version=subject.protocol.safety.ctcae_version,
        **fields,
    )
    _publish(subject, event, at)
    return event


@transaction.atomic
def correct_adverse_event(
    *, adverse_event_id: UUID, revision: int, reason: str, by: User, at: datetime, **changes: Any
) -> AdverseEvent:
    """Correct fields of an adverse event, with the reason; the history keeps the old values.

    ``changes`` are fields as ``record_adverse_event`` takes them. Publishes
    ``AdverseEventRecorded``. Raises ``StaleRecord`` if it has changed since ``revision`` was read,
    or ``RecordRefused``: no reason, or the whole would contradict itself.
    """
    found = AdverseEvent.objects.visible_to(by).get(pk=adverse_event_id)
    subject = subject_for(by, found.subject_id, Permission.CORRECT_CLINICAL, reason=reason, at=at)
    event = AdverseEvent.objects.get(pk=adverse_event_id)
    require_reason(reason)
    check_revision(event.revision, revision)
    for name, value in changes.items():
        text_of_day = name in {"started_on", "ended_on"}
        setattr(event, name, str(value or "") if text_of_day else value)
    _judge(subject, {name: getattr(event, name) for name in _JUDGED}, at)
    event.revision += 1
    event.save(update_fields=[*changes, "revision"])
    _publish(subject, event, at)
    return event


_JUDGED = ("grade", "started_on", "ended_on", "outcome", "serious", "seriousness")


def _judge(subject: Subject, fields: dict[str, Any], at: datetime) -> None:
    facts = AdverseEventFacts(
        grade=fields["grade"],
        started_on=PartialDate(fields["started_on"]),
        ended_on=PartialDate(fields["ended_on"]) if fields["ended_on"] else None,
        outcome=Outcome(fields["outcome"]),
        serious=fields["serious"],
        seriousness=tuple(Seriousness(criterion) for criterion in fields["seriousness"]),
    )
    refuse_if(list(record_problems(facts, on=subject.site.local_day(at))))


def _publish(subject: Subject, event: AdverseEvent, at: datetime) -> None:
    publish(
        AdverseEventRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            adverse_event_id=event.pk,
            grade=event.grade,
            serious=event.serious,
        ),
        at=at,
    )
