"""A randomisation list from draft to use: made by one, checked and approved by two, then live."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Sum

from events.outbox import publish
from events.outcomes import Reason
from trials import sealed
from trials.errors import ApprovalRefused, ListRefused
from trials.events import (
    RandomisationListApproved,
    RandomisationListDrafted,
    RandomisationListLive,
    RandomisationListWithdrawn,
)
from trials.models import (
    ListApproval,
    ProtocolVersion,
    RandomisationList,
    SealedAccess,
    Trial,
    User,
)
from trials.permissions import Permission, authorise
from trials.rules.dry_run import DryRun, dry_run_of, problems_of
from trials.rules.list_parameters import parameters_of
from trials.rules.randomisation import GENERATOR, Design, Entry, design_of, generate
from trials.services.amendments import designs_against
from trials.services.unblinding import open_blind


APPROVALS_NEEDED = 2
CHECK = "check dry run"
LOAD = "load randomisation list"
MADE_ELSEWHERE = "made elsewhere"
SEED_BYTES = 32
SHORTEST_SEED = 16

State = RandomisationList.State


def load_list(
    *,
    trial_id: uuid.UUID,
    made_for: str,
    entries: Sequence[tuple[str, str]],
    reason: str,
    by: User,
    at: datetime,
) -> RandomisationList:
    """Store a list made elsewhere as a draft, sealed. It is good for nothing until approved.

    ``made_for`` is the trial's code as the list itself says it. ``entries`` are (stratum, arm) in
    the order of allocation within each stratum. The next list of a trial that has a live one is
    its extension. The sealed part is written first, over its own log-in; without the row that
    names it here it is never used.

    Publishes ``RandomisationListDrafted``. Raises ``ListRefused`` with every problem.
    """
    trial = _trial_to_draft_for(trial_id, by)
    reasons = []
    if made_for != trial.code:
        text = f"The list was made for {made_for}, not for {trial.code}."
        reasons.append(Reason("other_trial", text))
    if trial.protocol.randomisation.method == "minimisation":
        text = "A minimisation draws its numbers here: generate the list."
        reasons.append(Reason("not_draws", text))
    made = _Made(
        entries=tuple(Entry(stratum, arm) for stratum, arm in entries),
        design=design_of(trial.protocol),
        origin=RandomisationList.Origin.LOADED,
        generator=MADE_ELSEWHERE,
    )
    return _draft(trial, made, reasons, reason=reason, by=by, at=at)


def generate_list(
    *,
    trial_id: uuid.UUID,
    seed: str = "",
    length: int | None = None,
    reason: str,
    by: User,
    at: datetime,
) -> RandomisationList:
    """Generate a list by the protocol's design and store it as a draft, sealed, with its seed.

    Without ``seed`` the operating system's random numbers give one of 256 bits. ``length`` is the
    number of places of each stratum, or of draws in a minimisation: the protocol's if missing.

    Publishes ``RandomisationListDrafted``. Raises ``ListRefused`` with every problem.
    """
    trial = _trial_to_draft_for(trial_id, by)
    design = design_of(trial.protocol)
    if length is not None:
        design = replace(design, length=length)
    reasons = []
    if seed and len(seed) < SHORTEST_SEED:
        text = f"A seed needs {SHORTEST_SEED} characters or more: a short one can be guessed."
        reasons.append(Reason("seed_short", text))
    used = seed or secrets.token_hex(SEED_BYTES)
    made = _Made(
        entries=generate(design, seed=used),
        design=design,
        origin=RandomisationList.Origin.GENERATED,
        generator=GENERATOR,
        seed=used,
    )
    return _draft(trial, made, reasons, reason=reason, by=by, at=at)


@dataclass(frozen=True, slots=True)
class _Made:
    """A list before it is sealed. ``seed`` is empty for one made elsewhere."""

    entries: tuple[Entry, ...]
    design: Design
    origin: str
    generator: str
    seed: str = ""


def _trial_to_draft_for(trial_id: uuid.UUID, by: User) -> Trial:
    """Return the trial, after asking: whoever may not draft hears nothing of what there is."""
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    with transaction.atomic():
        authorise(by, Permission.LOAD_LIST, trial=trial)
    return trial


def _draft(
    trial: Trial, made: _Made, reasons: list[Reason], *, reason: str, by: User, at: datetime
) -> RandomisationList:
    """Refuse, or look behind the blind once to store the sealed part, then the visible one.

    What the sites run is asked before the look, and again under the trial's lock: a version that
    comes into force meanwhile leaves no list, and a look that made none.
    """
    number = trial.randomisation_lists.live().count() + 1
    reasons += problems_of(made.entries, trial.protocol, number=number)
    reasons += designs_against(trial.current_version, at=at)
    if not reason.strip():
        reasons.append(Reason("reason_missing", "Say what the list is for."))
    if RandomisationList.objects.filter(trial=trial, state=State.DRAFT).exists():
        text = f"{trial.code} has a draft already: approve or withdraw it first."
        reasons.append(Reason("draft_exists", text))
    if reasons:
        raise ListRefused(*reasons)
    draft = RandomisationList(
        trial=trial,
        number=number,
        origin=made.origin,
        method=made.design.method,
        generator=made.generator,
        entries=len(made.entries),
        protocol_version=trial.current_version,
        reason=reason,
        made_by=by,
        made_at=at,
    )
    draft.digest = _seal(draft, made, by=by)
    try:
        return _keep(draft, by=by, at=at)
    except IntegrityError as error:
        text = f"A list of {trial.code} was drafted at the same moment."
        raise ListRefused(Reason("draft_exists", text)) from error


def _seal(draft: RandomisationList, made: _Made, *, by: User) -> str:
    access = open_blind(
        trial=draft.trial,
        by=by,
        permission=Permission.LOAD_LIST,
        purpose=LOAD,
        detail=look_to_make(draft),
    )
    try:
        return sealed.store_list(
            access,
            draft.pk,
            number=draft.number,
            method=draft.method,
            generator=draft.generator,
            seed=made.seed,
            parameters=parameters_of(made.design),
            entries=made.entries,
        )
    except IntegrityError as error:
        text = "Another list of this trial was generated from this seed: give a new one."
        raise ListRefused(Reason("seed_used", text)) from error


@transaction.atomic
def _keep(draft: RandomisationList, *, by: User, at: datetime) -> RandomisationList:
    Trial.objects.select_for_update(no_key=True).get(pk=draft.trial_id)
    authorise(by, Permission.LOAD_LIST, trial=draft.trial, reason=draft.reason)
    if reasons := designs_against(draft.protocol_version, at=at):
        raise ListRefused(*reasons)
    draft.save(force_insert=True)
    # A withdrawal of the version's start waits for the row above, or is done by now.
    if ProtocolVersion.objects.filter(pk=draft.protocol_version_id, activated_at=None).exists():
        text = "The protocol version's start was withdrawn meanwhile: draft the list anew."
        raise ListRefused(Reason("version_withdrawn", text))
    publish(
        RandomisationListDrafted(
            stream=draft.trial.code,
            list_id=draft.pk,
            number=draft.number,
            origin=draft.origin,
            digest=draft.digest,
            made_by=by.pk,
            protocol_version=draft.protocol_version.version,
        ),
        at=at,
    )
    return draft


def dry_run(*, list_id: uuid.UUID, by: User) -> DryRun:
    """Return what a draft would do: order, counts, ratio, blocks, strata. For approvers alone.

    It tells the places beside the planned accrual: with several strata they are more, and with
    those of the live lists they may be many more.

    The look is written to the access log and committed before anything is read. Publishes
    ``BlindOpened``. Raises ``ApprovalRefused`` if the list is no draft (any more).
    """
    found = RandomisationList.objects.visible_to(by).select_related("trial").get(pk=list_id)
    with transaction.atomic():
        authorise(by, Permission.APPROVE_LIST, trial=found.trial)
    if found.state != State.DRAFT:
        raise ApprovalRefused(_not_a_draft(found))
    access = open_blind(
        trial=found.trial,
        by=by,
        permission=Permission.APPROVE_LIST,
        purpose=CHECK,
        detail=look_at(found.number, found.digest),
    )
    entries = sealed.draft_entries(access, found.pk)
    protocol = found.protocol_version.protocol
    before = found.trial.randomisation_lists.live().aggregate(places=Sum("entries"))["places"]
    return dry_run_of(
        entries,
        protocol,
        number=found.number,
        digest=found.digest,
        places_before=before or 0,
    )


def saw_dry_run(found: RandomisationList, by: User) -> bool:
    """Return whether somebody looked at the dry run of this very list, by the access log."""
    looks = SealedAccess.objects.filter(trial_id=found.trial_id, person=by, purpose=CHECK)
    return looks.filter(detail=look_at(found.number, found.digest)).exists()


def look_at(number: int, digest: str) -> str:
    """Return how the access log names a look at a dry run. ``sealed.go_live`` asks for the same."""
    return f"list {number}, digest {digest[:12]}"


def look_to_make(draft: RandomisationList) -> str:
    """Return how the access log names the look by which a list was stored, and why."""
    return f"list {draft.number}: {draft.reason}"


@transaction.atomic
def approve_list(*, list_id: uuid.UUID, digest: str, by: User, at: datetime) -> RandomisationList:
    """Say yes to a draft by the digest its dry run shows; the second person's yes makes it live.

    Whoever made the list may be one of the two; each must have looked at the dry run. PostgreSQL
    counts the approvals of those who looked once more, and a list goes live there or nowhere. Its
    digest is then published as a commitment. Under the trial's lock no version comes into force
    meanwhile that randomises otherwise.

    Publishes ``RandomisationListApproved``, and at the second one ``RandomisationListLive``.
    Raises ``ApprovalRefused`` with every reason, and changes nothing.
    """
    found = _locked(list_id, by)
    authorise(by, Permission.APPROVE_LIST, trial=found.trial, reason=f"list {found.number}")
    reasons = [] if found.state == State.DRAFT else [_not_a_draft(found)]
    if digest.strip().lower() != found.digest:
        text = "This is not the digest of the list: look at its dry run again."
        reasons.append(Reason("digest_differs", text))
    if found.state == State.DRAFT and not saw_dry_run(found, by):
        text = "You have not seen the dry run of this list: look at it first."
        reasons.append(Reason("dry_run_not_seen", text))
    if found.approvals.filter(approved_by=by).exists():
        text = "You have approved this list already: a second person has to."
        reasons.append(Reason("same_person", text))
    reasons += designs_against(found.protocol_version, at=at)
    if reasons:
        raise ApprovalRefused(*reasons)
    approval = ListApproval.objects.create(
        list=found, digest=found.digest, approved_by=by, approved_at=at
    )
    given = found.approvals.count()
    publish(
        RandomisationListApproved(
            stream=found.trial.code,
            list_id=found.pk,
            number=found.number,
            digest=found.digest,
            approvals=given,
            approval_id=approval.pk,
            approved_by=by.pk,
        ),
        at=at,
    )
    if given >= APPROVALS_NEEDED:
        _go_live(found, at=at)
    return found


def _go_live(found: RandomisationList, *, at: datetime) -> None:
    if not sealed.go_live(found.pk):
        text = "The sealed list is not the one that was approved: withdraw this draft."
        raise ApprovalRefused(Reason("sealed_part_differs", text))
    found.state, found.live_at = State.LIVE, at
    found.save(update_fields=["state", "live_at"])
    publish(
        RandomisationListLive(
            stream=found.trial.code,
            list_id=found.pk,
            number=found.number,
            digest=found.digest,
            generator=found.generator,
        ),
        at=at,
    )


@transaction.atomic
def withdraw_list(*, list_id: uuid.UUID, reason: str, by: User, at: datetime) -> RandomisationList:
    """Set a draft aside for good, with the reason. A live list is never withdrawn.

    Publishes ``RandomisationListWithdrawn``. Raises ``ApprovalRefused`` with every reason.
    """
    found = _locked(list_id, by)
    authorise(by, Permission.LOAD_LIST, trial=found.trial, reason=reason)
    reasons = [] if found.state == State.DRAFT else [_not_a_draft(found)]
    if not reason.strip():
        reasons.append(Reason("reason_missing", "Say why the draft is withdrawn."))
    if reasons:
        raise ApprovalRefused(*reasons)
    found.state, found.withdrawn_by, found.withdrawn_at = State.WITHDRAWN, by, at
    found.withdrawn_because = reason
    found.save()
    publish(
        RandomisationListWithdrawn(
            stream=found.trial.code, list_id=found.pk, number=found.number, digest=found.digest
        ),
        at=at,
    )
    return found


def _locked(list_id: uuid.UUID, by: User) -> RandomisationList:
    """Return a list the user may know of, under lock: two approvals run one after the other.

    Its trial is locked before, as where a version comes into force.
    """
    rows = RandomisationList.objects.visible_to(by)
    trial_id = rows.values_list("trial", flat=True).get(pk=list_id)
    Trial.objects.select_for_update(no_key=True).get(pk=trial_id)
    return rows.select_for_update(of=("self",)).select_related("trial").get(pk=list_id)


def _not_a_draft(found: RandomisationList) -> Reason:
    return Reason("not_a_draft", f"List {found.number} is {found.state}, not a draft.")
