"""Opening the blind of one subject, and what is written about it. Nothing here holds an arm.

Opening and showing are two acts: the first commits who looks and why, the second shows once.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import SubjectUnblinded, UnblindingAssessed, UnblindingMistakeRecorded
from patients.models import (
    AdverseEvent,
    Subject,
    Unblinding,
    UnblindingAssessment,
    UnblindingMistake,
)
from patients.rules.unblinding import (
    AfterwardsFacts,
    afterwards_reasons,
    emergency_reasons,
    in_error_reasons,
    masked,
    names_an_arm,
    review_due,
    susar_reasons,
)
from patients.services.recording import refuse_if, store, subject_for
from trials.errors import UnblindingRefused
from trials.identity import Proof, require_proof
from trials.models import RoleAssignment, Trial, UnblindingRequest, User
from trials.permissions import Permission, Role
from trials.rules.protocol import Arm
from trials.rules.unblinding import look_reasons
from trials.services.on_call import on_call
from trials.services.unblinding import first_sheet_at, look, noting_refusals, open_look
from trials.services.unblinding_requests import locked_request, request_facts, store_request


EMERGENCY = "emergency unblinding"
SAFETY = UnblindingRequest.Purpose.SAFETY
Kind = Unblinding.Kind


@transaction.atomic
def break_blind(
    *,
    subject_id: UUID,
    would_change_treatment: bool,
    reason: str,
    proof: Proof,
    by: User,
    at: datetime,
) -> Unblinding:
    """Open the blind of one subject for its investigator, in an emergency, at any hour.

    The access is committed here and nothing is shown yet: ``shown_arm`` shows it, once. Nobody's
    leave is asked for, no number of earlier looks stands in the way, and no other part of the
    system than the database is needed. Whoever else is recording about the subject is not waited
    for: nothing that is recorded changes what the arm is.

    What the reason says of the treatment is covered before it is kept: blinded people read it.

    Publishes ``BlindOpened`` and ``SubjectUnblinded``. Raises
    ``UnblindingRefused``: not randomised, no reason, not an investigator of the subject's present
    site by the database's own judgement. Refused attempts are kept.
    """
    reason = _covered(subject_id, reason, by)
    with noting_refusals(by=by, purpose=EMERGENCY, subject_id=subject_id):
        subject = subject_for(
            by, subject_id, Permission.EMERGENCY_UNBLIND, at=at, reason=reason, locked=False
        )
        require_proof(by, proof)
        randomised = subject.allocation_id is not None
        if reasons := emergency_reasons(randomised=randomised, reason=reason):
            raise UnblindingRefused(*reasons)
        access = open_look(
            trial=subject.trial, by=by, purpose=EMERGENCY, detail=reason, subject_id=subject.pk
        )
    return _store(
        subject, Kind.EMERGENCY, by=by, at=at, happened_at=at, learned_by=by.username,
        reason=reason, would_change_treatment=would_change_treatment, access_id=access,
    )  # fmt: skip


@transaction.atomic
def request_safety_unblinding(
    *, adverse_event_id: UUID, expectedness: str, reason: str, by: User, at: datetime
) -> UnblindingRequest:
    """Ask to learn the arm of one subject, for one suspected unexpected serious reaction.

    Publishes ``UnblindingRequested``. Raises ``UnblindingRefused`` with every reason: the event is
    not serious, not related, or not said to be unexpected; the subject is not randomised.
    """
    event = AdverseEvent.objects.visible_to(by).get(pk=adverse_event_id)
    subject = subject_for(by, event.subject_id, Permission.SAFETY_UNBLIND, at=at, reason=reason)
    reasons = susar_reasons(serious=event.serious, related=event.related, expectedness=expectedness)
    reasons += emergency_reasons(randomised=subject.allocation_id is not None, reason=reason)
    if reasons:
        raise UnblindingRefused(*reasons)
    return store_request(
        UnblindingRequest(
            trial=subject.trial,
            purpose=SAFETY,
            subject_id=subject.pk,
            subject_number=subject.number,
            adverse_event_id=event.pk,
            expectedness=expectedness,
            reason=reason,
        ),
        by=by,
        at=at,
    )


@transaction.atomic
def open_safety_look(*, request_id: UUID, proof: Proof, by: User, at: datetime) -> Unblinding:
    """Open the blind of the one subject a request names, for the officer who asked; once a request.

    ``shown_arm`` shows it. The subject's treatment is not touched, and its site keeps the blind.

    Publishes ``BlindOpened`` and ``SubjectUnblinded``. Raises
    ``UnblindingRefused``: no second person has agreed, withdrawn, expired, used. Refused attempts
    are kept.
    """
    request = locked_request(request_id, by)
    subject_id = request.subject_id
    with noting_refusals(
        by=by, purpose=SAFETY, trial_id=request.trial_id, subject_id=request.subject_id
    ):
        if subject_id is None:
            raise UnblindingRefused(
                Reason("not_a_safety_request", "This request names no subject.")
            )
        subject = subject_for(
            by, subject_id, Permission.SAFETY_UNBLIND, at=at, reason=request.reason
        )
        require_proof(by, proof)
        if reasons := look_reasons(request_facts(request), by.pk, at):
            raise UnblindingRefused(*reasons)
        access = open_look(
            trial=subject.trial, by=by, purpose=SAFETY, detail=request.reason,
            subject_id=subject.pk, request_id=request.pk,
        )  # fmt: skip
    return _store(
        subject, Kind.SAFETY, by=by, at=at, happened_at=at, learned_by=by.username,
        reason=request.reason, access_id=access, request_id=request.pk,
    )  # fmt: skip


def shown_arm(unblinding_id: UUID, *, by: User) -> Arm:
    """Return the arm to the one who opened the blind, once and within ten minutes.

    It is read after everything else was committed, and kept nowhere. Raises
    ``Unblinding.DoesNotExist`` for anybody else, ``ShownAlready`` the second time.
    """
    unblinding = (
        Unblinding.objects.visible_to(by)
        .select_related("subject__trial")
        .get(pk=unblinding_id, recorded_by=by, access_id__isnull=False)
    )
    code = look(unblinding.access_id)[unblinding.subject_id]
    arms: tuple[Arm, ...] = unblinding.subject.trial.protocol.arms
    return next(arm for arm in arms if arm.code == code)


def list_of_arms(access_id: UUID) -> list[tuple[str, str, str, str, str]]:
    """Return (site, subject, randomisation number, arm, treatment) of a trial, once an access.

    The rows are in the order of the subjects' numbers. Raises ``ShownAlready`` the second time.
    """
    arms = look(access_id)
    subjects = Subject.objects.filter(pk__in=arms).select_related("site", "trial", "allocation")
    rows = []
    for subject in subjects.order_by("number"):
        labels = {arm.code: arm.label for arm in subject.trial.protocol.arms}
        number = subject.allocation.number if subject.allocation else ""
        code = arms[subject.pk]
        rows.append((subject.site.code, subject.number, number, code, labels[code]))
    return rows


@transaction.atomic
def record_contingency_opening(
    *, subject_id: UUID, happened_at: datetime, learned_by: str, reason: str, by: User, at: datetime
) -> Unblinding:
    """Record that a contingency sheet was opened while the system was down: who, when and why.

    For treatment it counts as an emergency unblinding. Publishes ``SubjectUnblinded``. Raises
    ``RecordRefused`` with every reason: a moment in the future, before the randomisation, or
    before the first sheet of this subject was made; no reason; a text that names an arm.
    """
    return _afterwards(subject_id, Kind.CONTINGENCY, happened_at, learned_by, reason, by=by, at=at)


@transaction.atomic
def record_inadvertent_unblinding(
    *, subject_id: UUID, happened_at: datetime, learned_by: str, reason: str, by: User, at: datetime
) -> Unblinding:
    """Record that somebody learned an arm by accident. Never write which arm it was.

    Publishes ``SubjectUnblinded``. Raises ``RecordRefused`` with every reason: a moment in the
    future or before the randomisation, no reason, a text that names an arm of the protocol.
    """
    return _afterwards(subject_id, Kind.INADVERTENT, happened_at, learned_by, reason, by=by, at=at)


@transaction.atomic
def assess_unblinding(
    *, unblinding_id: UUID, impact: str, assessment: str, by: User, at: datetime
) -> UnblindingAssessment:
    """Record what an unblinding means for the subject and the trial. Later ones stand beside it.

    Publishes ``UnblindingAssessed``. Raises ``RecordRefused`` with a text that names an arm.
    """
    unblinding = Unblinding.objects.visible_to(by).get(pk=unblinding_id)
    subject = subject_for(by, unblinding.subject_id, Permission.CONFIRM_UNBLINDING, at=at)
    refuse_if(_text_reasons(subject, assessment))
    stored = store(
        UnblindingAssessment, subject, by=by, at=at, unblinding=unblinding, impact=impact,
        assessment=assessment,
    )  # fmt: skip
    publish(
        UnblindingAssessed(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            unblinding_id=unblinding.pk,
            impact=impact,
        ),
        at=at,
    )
    return stored


@transaction.atomic
def record_unblinding_mistake(
    *, unblinding_id: UUID, reason: str, by: User, at: datetime
) -> UnblindingMistake:
    """Mark what was written of an unblinding afterwards as entered in error, with the reason.

    The record stays, and counts no more: a gate that it shut is open again. Judged by a
    responsible person who did not enter it.

    Publishes ``UnblindingMistakeRecorded``. Raises ``RecordRefused`` with every reason: the system
    showed the arm itself, marked already, entered by oneself, no reason, a text that names an arm.
    """
    unblinding = Unblinding.objects.visible_to(by).get(pk=unblinding_id)
    subject = subject_for(
        by, unblinding.subject_id, Permission.CONFIRM_UNBLINDING, at=at, reason=reason
    )
    reasons = in_error_reasons(
        unblinding.kind,
        already=UnblindingMistake.objects.filter(unblinding=unblinding).exists(),
        same_person=unblinding.recorded_by_id == by.pk,
        reason=reason,
    )
    refuse_if([*reasons, *_text_reasons(subject, reason)])
    stored = store(UnblindingMistake, subject, by=by, at=at, unblinding=unblinding, reason=reason)
    publish(
        UnblindingMistakeRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            unblinding_id=unblinding.pk,
            mistake_id=stored.pk,
        ),
        at=at,
    )
    return stored


def needs_review(subject: Subject) -> bool:
    """Return whether a subject was looked at in emergencies more often than passes unreviewed."""
    looks = Unblinding.objects.that_count().filter(subject=subject, kind=Kind.EMERGENCY).count()
    return review_due(looks, subject.trial.protocol.blind)


@dataclass(frozen=True, slots=True)
class Adviser:
    """A medical monitor who may be asked; ``on_call`` when the duty list says so now."""

    person: User
    telephone: str = ""
    on_call: bool = False


def whom_to_call(trial: Trial, at: datetime) -> list[Adviser]:
    """Return the medical monitors on call, or all of the trial's when nobody is on call.

    They may advise. Their leave is not needed.
    """
    if duties := on_call(trial, at):
        return [Adviser(duty.person, duty.telephone, on_call=True) for duty in duties]
    roles = RoleAssignment.objects.in_force(at).filter(
        trial=trial, role=Role.MEDICAL_MONITOR, user__is_active=True
    )
    monitors = User.objects.filter(pk__in=roles.values("user")).order_by("username")
    return [Adviser(person) for person in monitors]


def _afterwards(
    subject_id: UUID, kind: str, happened_at: datetime, learned_by: str, reason: str, *, by: User,
    at: datetime,
) -> Unblinding:  # fmt: skip
    subject = subject_for(by, subject_id, Permission.RECORD_UNBLINDING, at=at, reason=reason)
    facts = AfterwardsFacts(
        kind=kind,
        happened_at=happened_at,
        recorded_at=at,
        reason=reason,
        randomised_at=_randomised_at(subject),
        first_sheet_at=first_sheet_at(subject.pk) if kind == Kind.CONTINGENCY else None,
    )
    refuse_if([*afterwards_reasons(facts), *_text_reasons(subject, f"{reason} {learned_by}")])
    return _store(
        subject, kind, by=by, at=at, happened_at=happened_at, learned_by=learned_by, reason=reason
    )


def _randomised_at(subject: Subject) -> datetime | None:
    """Return since when there is an arm to learn; a replay knows the day and no more."""
    if (allocation := subject.allocation) is None:
        return None
    if subject.trial.conduct == Trial.Conduct.LIVE:
        return allocation.allocated_at
    return subject.site.midnight(allocation.randomised_on)


def _covered(subject_id: UUID, reason: str, by: User) -> str:
    subject = Subject.objects.visible_to(by).filter(pk=subject_id).first()
    if subject is None:
        return reason
    return masked(reason, subject.trial.protocol.arms)


def _text_reasons(subject: Subject, text: str) -> list[Reason]:
    """Return a reason when a text that blinded people will read has the name of an arm in it."""
    if names_an_arm(text, subject.protocol.arms):
        return [Reason("names_an_arm", "Do not write which treatment it is: others read this.")]
    return []


def _store(subject: Subject, kind: str, *, by: User, at: datetime, **fields: object) -> Unblinding:
    stored = store(Unblinding, subject, by=by, at=at, kind=kind, **fields)
    publish(
        SubjectUnblinded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            unblinding_id=stored.pk,
            kind=kind,
        ),
        at=at,
    )
    return stored
