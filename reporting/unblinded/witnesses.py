"""What tells of lists, approvals and allocations beside their rows: history, events, access log.

Everything here is read by the application's log-in and tells no arm; a verification compares it.
"""

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model

from events.history import history_model
from events.models import OutboxEvent
from patients.models import Subject
from patients.rules.screening import read_values
from patients.rules.strata import levels_of, stratum_code
from trials.models import (
    Allocation,
    ListApproval,
    ProtocolVersion,
    RandomisationList,
    SealedAccess,
    Trial,
)
from trials.rules.protocol import Protocol, ProtocolInvalid, Value, digest
from trials.rules.randomisation import Design, design_of
from trials.rules.verification import (
    Allocated,
    Approval,
    Facts,
    KeptVersion,
    Made,
    PublishedList,
    Told,
)
from trials.services.lists import CHECK, LOAD, look_at, look_to_make


State = RandomisationList.State
Payload = dict[str, Any]


# --- Allocations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """What tells of allocations beside their rows, by the allocation's id."""

    announced: Mapping[str, list[OutboxEvent]]
    randomised: Mapping[str, list[OutboxEvent]]
    history: Mapping[str, list[Any]]
    subjects: Mapping[str, list[str]]

    def names(self) -> dict[str, str]:
        """Return a name of every allocation told of: its number, or its id if only events know."""
        named = {key: key for key in (*self.announced, *self.randomised)}
        return named | {key: versions[0].number for key, versions in self.history.items()}


def allocations(trial: Trial) -> tuple[list[Allocated], list[str]]:
    """Return the allocations, and the names of those that only an event or the history knows.

    The rows are read last, so that none made meanwhile seems to be gone.
    """
    told = _witnesses(trial)
    rows = Allocation.objects.filter(site__trial=trial).select_related("site", "protocol_version")
    found = list(rows.order_by("allocated_at", "pk"))
    there = {str(row.pk) for row in found}
    gone = sorted(name for key, name in told.names().items() if key not in there)
    designs = {version.pk: _design(version) for version in trial.versions.all()}
    return [_one(row, told, designs[row.protocol_version_id]) for row in found], gone


def _one(row: Allocation, told: _Witnesses, design: Design | None) -> Allocated:
    key = str(row.pk)
    versions = told.history.get(key, [])
    return Allocated(
        id=key,
        number=row.number,
        list_id=str(row.list_id),
        slot_id=str(row.slot_id),
        facts=Facts(row.stratum, row.levels, row.site.code, row.randomised_on.isoformat()),
        derived=_derived(row.inputs, _readable(row.protocol_version)),
        design=design,
        same_as_first_kept=bool(versions) and _same(row, versions[0]),
        versions=len(versions),
        announced=tuple(_facts_told(each, row) for each in told.announced.get(key, ())),
        subjects=tuple(told.subjects.get(key, ())),
        told_subjects=tuple(
            each.payload.get("subject_id", "") for each in told.randomised.get(key, ())
        ),
    )


def _witnesses(trial: Trial) -> _Witnesses:
    subjects: defaultdict[str, list[str]] = defaultdict(list)
    pointing = Subject.objects.filter(trial=trial, allocation__isnull=False)
    for allocation_id, subject_id in pointing.values_list("allocation", "pk"):
        subjects[str(allocation_id)].append(str(subject_id))
    return _Witnesses(
        announced=_told(trial, "trials.SlotAllocated", of="allocation_id"),
        randomised=_told(trial, "patients.SubjectRandomised", of="allocation_id"),
        history=_history(Allocation, site__trial=trial),
        subjects=subjects,
    )


def _facts_told(event: OutboxEvent, row: Allocation) -> Told:
    said: Payload = event.payload
    site_id = said.get("site_id", "")
    return Told(
        stratum=said.get("stratum", ""),
        site=row.site.code if site_id == str(row.site_id) else site_id,
        randomised_on=said.get("randomised_on", ""),
        slot_digest=said.get("slot_digest", ""),
        event=event.pk,
    )


def _derived(inputs: Any, protocol: Protocol | None) -> tuple[dict[str, str], str] | None:
    """Return levels and stratum that stored inputs give, or nothing if no level holds them."""
    if protocol is None or not isinstance(inputs, Mapping):
        return None
    asked = [each for each in protocol.screening.variables if each.code in inputs]
    own = {each.code for each in asked}
    values: dict[str, Value] = {code: value for code, value in inputs.items() if code not in own}
    try:
        values |= read_values({code: inputs[code] for code in own}, asked)
        levels = levels_of(values, protocol.factors)
    except ValueError:
        return None
    return levels, stratum_code(levels, protocol.factors)


# --- Lists and their approvals ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListWitnesses:
    """What tells of lists beside their rows, by the list's id; looks are (person, detail)."""

    drafted: Mapping[str, list[OutboxEvent]]
    approved: Mapping[str, list[OutboxEvent]]
    live: Mapping[str, list[OutboxEvent]]
    history: Mapping[str, list[Any]]
    approvals: Mapping[str, list[Any]]
    looks: frozenset[tuple[int, str]]

    def gone(self, there: set[str]) -> list[str]:
        """Return the numbers of the lists that are told to have gone live and are not there."""
        named = {key: events[0].payload.get("number", 0) for key, events in self.live.items()}
        for key, versions in self.history.items():
            if live := [each.number for each in versions if each.state == State.LIVE]:
                named[key] = live[0]
        return sorted(str(number) for key, number in named.items() if key not in there)


def list_witnesses(trial: Trial) -> ListWitnesses:
    looks = SealedAccess.objects.filter(trial=trial, purpose__in=(CHECK, LOAD))
    return ListWitnesses(
        drafted=_told(trial, "trials.RandomisationListDrafted", of="list_id"),
        approved=_told(trial, "trials.RandomisationListApproved", of="list_id"),
        live=_told(trial, "trials.RandomisationListLive", of="list_id"),
        history=_history(RandomisationList, trial=trial),
        approvals=_history(ListApproval, list__trial=trial),
        looks=frozenset(looks.values_list("person_id", "detail")),
    )


def published(row: RandomisationList, told: ListWitnesses) -> PublishedList:
    """Return a live list as its row says it is, with what its witnesses say."""
    key, rows = str(row.pk), list(row.approvals.all())
    there = {str(each.pk) for each in rows}
    return PublishedList(
        list_id=key,
        number=row.number,
        method=row.method,
        generator=row.generator,
        digest=row.digest,
        entries=row.entries,
        live_at=_moment(row.live_at),
        announced=tuple(
            (each.payload.get("digest", ""), _moment(each.occurred_at))
            for each in told.live.get(key, ())
        ),
        made=Made(
            number=row.number,
            origin=row.origin,
            by=str(row.made_by_id),
            protocol_version=row.protocol_version.version,
            at=_moment(row.made_at),
        ),
        told=tuple(_draft_told(each) for each in told.drafted.get(key, ())),
        as_kept=_went_live_so(row, told.history.get(key, [])),
        logged=(row.made_by_id, look_to_make(row)) in told.looks,
        design=_design(row.protocol_version),
        approvals=tuple(_approval(each, row, told) for each in rows),
        approvals_gone=len(_approvals_told(key, told) - there),
    )


def _draft_told(event: OutboxEvent) -> Made:
    said: Payload = event.payload
    return Made(
        number=said.get("number", 0),
        origin=said.get("origin", ""),
        by=str(said.get("made_by", "")),
        protocol_version=said.get("protocol_version", ""),
        at=_moment(event.occurred_at),
    )


def _went_live_so(row: RandomisationList, versions: list[Any]) -> bool:
    """Return whether the history has a draft and then this row, which differs in being live."""
    if [each.state for each in versions] != [State.DRAFT, State.LIVE]:
        return False
    draft, live = versions
    return _same(row, live) and _same(row, draft, but={"state", "live_at"})


def _approval(row: ListApproval, of: RandomisationList, told: ListWitnesses) -> Approval:
    key, versions = str(row.pk), told.approvals.get(str(row.pk), [])
    events = (each for each in told.approved.get(str(of.pk), ()) if _names(each, key))
    return Approval(
        person=row.approved_by.username,
        digest=row.digest,
        given=(str(row.approved_by_id), row.digest, _moment(row.approved_at)),
        as_kept=len(versions) == 1 and _same(row, versions[0]),
        announced=tuple(
            (
                str(each.payload.get("approved_by", "")),
                each.payload.get("digest", ""),
                _moment(each.occurred_at),
            )
            for each in events
        ),
        looked=(row.approved_by_id, look_at(of.number, row.digest)) in told.looks,
    )


def _names(event: OutboxEvent, approval: str) -> bool:
    return bool(event.payload.get("approval_id") == approval)


def _approvals_told(list_id: str, told: ListWitnesses) -> set[str]:
    """Return the ids of a list's approvals that an event or the history tells of."""
    named = {str(each.payload.get("approval_id", "")) for each in told.approved.get(list_id, ())}
    kept = {
        key
        for key, versions in told.approvals.items()
        if any(str(each.list_id) == list_id for each in versions)
    }
    return named | kept


# --- Protocol versions ------------------------------------------------------------------------


def kept_versions(trial: Trial) -> list[KeptVersion]:
    rows = list(trial.versions.order_by("submitted_at", "version"))  # before what tells of them
    told = OutboxEvent.objects.filter(
        stream=trial.code, type__in=("trials.ProtocolActivated", "trials.ProtocolSubmitted")
    )
    announced: defaultdict[str, list[str]] = defaultdict(list)
    for payload in told.order_by("pk").values_list("payload", flat=True):
        announced[payload.get("protocol_version", "")].append(payload.get("digest", ""))
    return [
        KeptVersion(
            version=row.version,
            digest=row.digest,
            computed=digest(row.text),
            announced=tuple(announced[row.version]),
            readable=_readable(row) is not None,
        )
        for row in rows
    ]


def _readable(row: ProtocolVersion) -> Protocol | None:
    """Return the protocol of a stored text, or nothing where it cannot be read."""
    try:
        return row.protocol
    except ProtocolInvalid:
        return None


def _design(row: ProtocolVersion) -> Design | None:
    """Return the design of a stored text, or nothing where none can be read in it."""
    try:
        return design_of(row.protocol)
    except (ProtocolInvalid, ValueError):
        return None


# --- Events and history -----------------------------------------------------------------------


def _told(trial: Trial, type_: str, *, of: str) -> defaultdict[str, list[OutboxEvent]]:
    """Return the events of a type by what they name under a key, in the order of the log."""
    told: defaultdict[str, list[OutboxEvent]] = defaultdict(list)
    for event in OutboxEvent.objects.filter(stream=trial.code, type=type_).order_by("pk"):
        if isinstance(event.payload, dict) and of in event.payload:
            told[str(event.payload[of])].append(event)
    return told


def _history(model: type[Model], **which: Any) -> defaultdict[str, list[Any]]:
    """Return the versions of rows that the history keeps, by the row's id, the first one first."""
    kept: defaultdict[str, list[Any]] = defaultdict(list)
    rows: Any = history_model(model)._default_manager.filter(**which)
    for version in rows.order_by("pgh_id"):
        kept[str(version.pgh_obj_id)].append(version)
    return kept


def _same(row: Model, kept: Any, *, but: Set[str] = frozenset()) -> bool:
    """Return whether a row and a version of it hold the same in every field."""
    names = {field.attname for field in row._meta.concrete_fields} - but
    return all(getattr(row, name) == getattr(kept, name) for name in names)


def _moment(at: datetime | None) -> str:
    return at.isoformat() if at else ""
