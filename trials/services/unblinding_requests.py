"""Asking to unblind, and the second person who has to agree."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Min

from events.models import OutboxEvent
from events.outbox import publish
from events.outcomes import Reason
from events.reading import reading_as_system
from trials.errors import UnblindingRefused
from trials.events import TrialUnblinded, UnblindingAnswered, UnblindingRequested
from trials.identity import Proof, require_proof
from trials.models import (
    RoleAssignment,
    SealedAccess,
    Site,
    Trial,
    UnblindingAnswer,
    UnblindingRequest,
    User,
)
from trials.permissions import Permission, Role, allows, authorise
from trials.rules.unblinding import (
    RequestFacts,
    agreement_reasons,
    look_reasons,
    trial_request_reasons,
)
from trials.services.unblinding import look, noting_refusals, open_look


Purpose = UnblindingRequest.Purpose
ASKS = {
    Purpose.SAFETY: Permission.SAFETY_UNBLIND,
    Purpose.TRIAL: Permission.UNBLIND_TRIAL,
}


@transaction.atomic
def request_trial_unblinding(
    *, trial_id: UUID, reason: str, early_reason: str = "", by: User, at: datetime
) -> UnblindingRequest:
    """Ask to unblind the whole trial. Another person must agree before the protocol's hours pass.

    Publishes ``UnblindingRequested``. Raises ``UnblindingRefused``: without a reason, or while
    sites recruit without a reason why it cannot wait.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    authorise(by, Permission.UNBLIND_TRIAL, trial=trial, reason=reason)
    recruiting = Site.objects.filter(trial=trial, status=Site.Status.ACTIVE).count()
    if reasons := trial_request_reasons(reason, early_reason, recruiting):
        raise UnblindingRefused(*reasons)
    return store_request(
        UnblindingRequest(
            trial=trial, purpose=Purpose.TRIAL, reason=reason, early_reason=early_reason
        ),
        by=by,
        at=at,
    )


def store_request(request: UnblindingRequest, *, by: User, at: datetime) -> UnblindingRequest:
    """Store a request that a rule has let through, until the protocol's hours have passed.

    Publishes ``UnblindingRequested``.
    """
    hours = request.trial.protocol.blind.request_valid_hours.value
    request.requested_by, request.requested_at = by, at
    request.expires_at = at + timedelta(hours=hours)
    request.save(force_insert=True)
    publish(
        UnblindingRequested(
            stream=request.trial.code, request_id=request.pk, purpose=request.purpose
        ),
        at=at,
    )
    return request


@transaction.atomic
def agree_to_unblinding(
    *, request_id: UUID, proof: Proof, by: User, at: datetime
) -> UnblindingAnswer:
    """Agree, as the second person, to a request.

    Publishes ``UnblindingAnswered``. Raises ``UnblindingRefused``:
    your own request, withdrawn, expired, or agreed to already. Refused attempts are kept.
    """
    request = locked_request(request_id, by)
    with noting_refusals(by=by, purpose=f"agree: {request.purpose}", trial_id=request.trial_id):
        authorise(by, Permission.CONFIRM_UNBLINDING, trial=request.trial)
        require_proof(by, proof)
        if reasons := agreement_reasons(request_facts(request), by.pk, at):
            raise UnblindingRefused(*reasons)
    return _answer(request, UnblindingAnswer.Kind.AGREED, "", by=by, at=at)


@transaction.atomic
def withdraw_unblinding_request(
    *, request_id: UUID, reason: str, by: User, at: datetime
) -> UnblindingAnswer:
    """Take a request back, before anybody looked on it; those who agree may stop it too.

    Publishes ``UnblindingAnswered``. Raises ``UnblindingRefused``: withdrawn or used already.
    """
    request = locked_request(request_id, by)
    asker = by.pk == request.requested_by_id
    permission = ASKS[Purpose(request.purpose)] if asker else Permission.CONFIRM_UNBLINDING
    authorise(by, permission, trial=request.trial, reason=reason)
    reasons = []
    if request_facts(request).withdrawn:
        reasons.append(Reason("request_withdrawn", "The request was withdrawn already."))
    if SealedAccess.objects.filter(request_id=request.pk).exists():
        reasons.append(Reason("request_used", "The look on this request has taken place."))
    if reasons:
        raise UnblindingRefused(*reasons)
    return _answer(request, UnblindingAnswer.Kind.WITHDRAWN, reason, by=by, at=at)


@transaction.atomic
def open_trial_look(*, request_id: UUID, proof: Proof, by: User, at: datetime) -> UUID:
    """Return an access for one download of the list of arms; the trial is unblinded from then.

    Publishes ``BlindOpened`` and, the first time that all of it is kept, ``TrialUnblinded``: a
    look outlives an act that broke off after it, and must not keep the event back. Raises
    ``UnblindingRefused`` without a second person's agreement.
    Refused attempts are kept.
    """
    request = locked_request(request_id, by)
    trial = request.trial
    with noting_refusals(by=by, purpose=Purpose.TRIAL, trial_id=trial.pk):
        authorise(by, Permission.UNBLIND_TRIAL, trial=trial, reason=request.reason)
        require_proof(by, proof)
        used = SealedAccess.objects.filter(request_id=request.pk).exists()
        facts = request_facts(request)
        reasons = look_reasons(facts, by.pk, min(at, request.requested_at) if used else at)
        if request.purpose != Purpose.TRIAL:
            reasons += (Reason("not_a_trial_request", "This request names one subject."),)
        if reasons:
            raise UnblindingRefused(*reasons)
        access = open_look(
            trial=trial, by=by, purpose=request.purpose, detail=request.reason,
            request_id=request.pk,
        )  # fmt: skip
    told = OutboxEvent.objects.filter(type=TrialUnblinded.type, stream=trial.code)
    if not told.filter(payload__request_id=str(request.pk)).exists():
        publish(TrialUnblinded(stream=trial.code, access_id=access, request_id=request.pk), at=at)
    return access


def trial_arms(access_id: UUID) -> dict[UUID, str]:
    """Return every subject's arm for an access to a whole trial. Raises ``ShownAlready``."""
    return look(access_id)


def looks_on(request: UnblindingRequest) -> list[SealedAccess]:
    """Return who looked on a request, in order, for somebody who may see the request."""
    looks = SealedAccess.objects.filter(request_id=request.pk).select_related("person")
    with reading_as_system("whoever sees a request is told who looked on it"):
        return list(looks.order_by("opened_at"))


def unblinded_since(trial: Trial) -> datetime | None:
    """Return when the arms of a trial were first handed out, or nothing while they were not."""
    return when_unblinded([trial]).get(trial.pk)


def when_unblinded(trials: Iterable[Trial]) -> dict[UUID, datetime]:
    """Return when the arms of trials were first handed out, of those where they were."""
    looks = SealedAccess.objects.filter(trial__in=list(trials), purpose=Purpose.TRIAL)
    first = looks.order_by().values("trial").annotate(first=Min("opened_at"))
    with reading_as_system("that a trial is unblinded is told to all who work in it"):
        return dict(first.values_list("trial", "first"))


def request_facts(request: UnblindingRequest) -> RequestFacts:
    """Return what the rules on two people are judged from."""
    kinds = set(request.answers.values_list("kind", flat=True))
    asks = ASKS[Purpose(request.purpose)]
    asker = RoleAssignment.objects.filter(
        user=request.requested_by_id,
        trial=request.trial_id,
        role__in=[role for role in Role if allows(role, asks)],
    )
    with reading_as_system("who gave the asker's role is no second person"):
        gave = frozenset(asker.exclude(given_by=None).values_list("given_by", flat=True))
    return RequestFacts(
        requested_by=request.requested_by_id,
        gave_the_role=gave,
        expires_at=request.expires_at,
        agreed=UnblindingAnswer.Kind.AGREED in kinds,
        withdrawn=UnblindingAnswer.Kind.WITHDRAWN in kinds,
    )


def locked_request(request_id: UUID, by: User) -> UnblindingRequest:
    """Return a request while its trial is locked, so that answers and looks come in turn.

    A request's own row is never changed. Raises ``UnblindingRequest.DoesNotExist``.
    """
    request = UnblindingRequest.objects.visible_to(by).select_related("trial").get(pk=request_id)
    Trial.objects.select_for_update(no_key=True).get(pk=request.trial_id)
    return request


def _answer(
    request: UnblindingRequest, kind: str, reason: str, *, by: User, at: datetime
) -> UnblindingAnswer:
    answer = UnblindingAnswer.objects.create(
        request=request, kind=kind, reason=reason, answered_by=by, answered_at=at
    )
    publish(
        UnblindingAnswered(stream=request.trial.code, request_id=request.pk, answer=kind), at=at
    )
    return answer
