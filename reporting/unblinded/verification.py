"""Verify a trial's randomisation against its sealed lists, and certify what came of it."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction

from events.history import history_model
from events.models import OutboxEvent
from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import Subject
from patients.rules.screening import read_values
from patients.rules.strata import levels_of, stratum_code
from reporting.errors import ReportRefused
from trials.models import Allocation, ProtocolVersion, RandomisationList, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.protocol import Protocol, ProtocolInvalid, Value, digest
from trials.rules.verification import (
    Allocated,
    Facts,
    HeldList,
    KeptVersion,
    PublishedList,
    verify,
)
from trials.services.verification import sealed_lists


WHOLE = "a randomisation is verified over all sites"
LOOKS = 3
KEPT = (
    "slot_id", "list_id", "site_id", "number", "stratum", "levels", "inputs", "algorithm",
    "randomised_on", "allocated_by_id", "allocated_at", "protocol_version_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CertifiedList:
    """One live list as the certificate names it; nothing of its contents."""

    number: int
    method: str
    generator: str
    origin: str
    digest: str
    live_at: datetime | None
    approved_by: tuple[str, ...]
    taken: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a verification found. ``by_arm`` is the unblinded annex: stratum, arm, count."""

    trial: str
    title: str
    software: str
    verified_at: datetime
    verified_by: str
    lists: tuple[CertifiedList, ...]
    allocations: int
    findings: tuple[Reason, ...]
    by_arm: tuple[tuple[str, str, int], ...] = ()

    @property
    def verified(self) -> bool:
        return not self.findings


def verify_randomisation(
    *, trial: Trial, annex: bool = False, by: User, at: datetime
) -> Certificate:
    """Derive every allocation again and return the certificate, with what is not as it must be.

    The look is written to the access log and committed before. ``annex`` adds the counts by arm.
    Publishes ``BlindOpened``. Raises ``PermissionDenied`` without the role, ``ReportRefused``
    while subjects are randomised so fast that no moment between two could be read.
    """
    with transaction.atomic():
        authorise(by, Permission.VERIFY_RANDOMISATION, trial=trial)
    detail = "verification with an annex by arm" if annex else "verification"
    with reading_as_system(WHOLE):
        held, allocated, gone = _one_moment(trial, by=by, detail=detail)
        rows = RandomisationList.objects.live().filter(trial=trial)
        lists = list(rows.prefetch_related("approvals__approved_by"))
        published = [_published(trial, each) for each in lists]
        findings = verify(held, published, allocated, gone, _kept_versions(trial))
    taken = _taken_by_stratum(allocated)
    return Certificate(
        trial=trial.code,
        title=trial.title,
        software=f"Vigil {_version()}",
        verified_at=at,
        verified_by=by.username,
        lists=tuple(_certified(each, taken[str(each.pk)]) for each in lists),
        allocations=len(allocated),
        findings=findings,
        by_arm=_by_arm(held, allocated) if annex else (),
    )


def _one_moment(
    trial: Trial, *, by: User, detail: str
) -> tuple[tuple[HeldList, ...], list[Allocated], list[str]]:
    """Return sealed lists, allocations and those gone, as of one moment between two of them."""
    before, _ = _allocated(trial)
    for _ in range(LOOKS):
        held = sealed_lists(trial=trial, by=by, detail=detail)
        after, gone = _allocated(trial)
        if {each.number for each in after} == {each.number for each in before}:
            return held, after, gone
        before = after
    raise ReportRefused(Reason("too_busy", "Subjects are being randomised: try again in a moment."))


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """What tells of allocations beside their rows, by the allocation's id."""

    announced: Mapping[str, list[dict[str, Any]]]
    randomised: Mapping[str, list[dict[str, Any]]]
    history: Mapping[str, list[Any]]
    subjects: Mapping[str, list[str]]

    def names(self) -> dict[str, str]:
        """Return a name of every allocation told of: its number, or its id if only events know."""
        named = {key: key for key in (*self.announced, *self.randomised)}
        return named | {key: versions[0].number for key, versions in self.history.items()}


def _allocated(trial: Trial) -> tuple[list[Allocated], list[str]]:
    """Return the allocations, and the names of those that only an event or the history knows.

    The rows are read last, so that none made meanwhile seems to be gone.
    """
    told = _witnesses(trial)
    rows = Allocation.objects.filter(site__trial=trial).select_related("site", "protocol_version")
    found = list(rows.order_by("allocated_at", "pk"))
    there = {str(row.pk) for row in found}
    gone = sorted(name for key, name in told.names().items() if key not in there)
    return [_one(row, told) for row in found], gone


def _one(row: Allocation, told: _Witnesses) -> Allocated:
    key = str(row.pk)
    versions = told.history.get(key, [])
    return Allocated(
        number=row.number,
        list_id=str(row.list_id),
        slot_id=str(row.slot_id),
        facts=Facts(row.stratum, row.levels, row.site.code, row.randomised_on.isoformat()),
        derived=_derived(row.inputs, _readable(row.protocol_version)),
        same_as_first_kept=_same(row, versions),
        versions=len(versions),
        announced=tuple(_facts_told(each, row) for each in told.announced.get(key, ())),
        subjects=tuple(told.subjects.get(key, ())),
        told_subjects=tuple(each.get("subject_id", "") for each in told.randomised.get(key, ())),
    )


def _witnesses(trial: Trial) -> _Witnesses:
    history: defaultdict[str, list[Any]] = defaultdict(list)
    kept: Any = history_model(Allocation)._default_manager.filter(site__trial=trial)
    for version_ in kept.order_by("pgh_id"):
        history[str(version_.pgh_obj_id)].append(version_)
    subjects: defaultdict[str, list[str]] = defaultdict(list)
    pointing = Subject.objects.filter(trial=trial, allocation__isnull=False)
    for allocation_id, subject_id in pointing.values_list("allocation", "pk"):
        subjects[str(allocation_id)].append(str(subject_id))
    return _Witnesses(
        announced=_told(trial, "trials.SlotAllocated"),
        randomised=_told(trial, "patients.SubjectRandomised"),
        history=history,
        subjects=subjects,
    )


def _told(trial: Trial, type_: str) -> defaultdict[str, list[dict[str, Any]]]:
    """Return what the events of a type say, by the allocation they name."""
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    events = OutboxEvent.objects.filter(stream=trial.code, type=type_).order_by("pk")
    for payload in events.values_list("payload", flat=True):
        if isinstance(payload, dict) and "allocation_id" in payload:
            told[str(payload["allocation_id"])].append(payload)
    return told


def _facts_told(payload: dict[str, Any], row: Allocation) -> tuple[str, str, str]:
    site_id = payload.get("site_id", "")
    here = row.site.code if site_id == str(row.site_id) else site_id
    return payload.get("stratum", ""), here, payload.get("randomised_on", "")


def _same(row: Allocation, versions: list[Any]) -> bool:
    return bool(versions) and all(getattr(row, name) == getattr(versions[0], name) for name in KEPT)


def _readable(row: ProtocolVersion) -> Protocol | None:
    """Return the protocol of a stored text, or nothing where it cannot be read."""
    try:
        return row.protocol
    except ProtocolInvalid:
        return None


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


def _kept_versions(trial: Trial) -> list[KeptVersion]:
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
        for row in trial.versions.order_by("submitted_at", "version")
    ]


def _published(trial: Trial, row: RandomisationList) -> PublishedList:
    events = OutboxEvent.objects.filter(
        stream=trial.code, type="trials.RandomisationListLive", payload__list_id=str(row.pk)
    )
    return PublishedList(
        list_id=str(row.pk),
        number=row.number,
        method=row.method,
        generator=row.generator,
        digest=row.digest,
        announced=tuple(
            payload.get("digest", "") for payload in events.values_list("payload", flat=True)
        ),
        approvals=tuple((yes.approved_by.username, yes.digest) for yes in row.approvals.all()),
    )


def _certified(row: RandomisationList, taken: Mapping[str, int]) -> CertifiedList:
    return CertifiedList(
        number=row.number,
        method=row.method,
        generator=row.generator,
        origin=row.origin,
        digest=row.digest,
        live_at=row.live_at,
        approved_by=tuple(yes.approved_by.username for yes in row.approvals.all()),
        taken=taken,
    )


def _taken_by_stratum(allocated: list[Allocated]) -> defaultdict[str, Counter[str]]:
    taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in allocated:
        taken[each.list_id][each.facts.stratum] += 1
    return taken


def _by_arm(
    held: tuple[HeldList, ...], allocated: list[Allocated]
) -> tuple[tuple[str, str, int], ...]:
    arms = {slot.id: slot.arm for each in held for slot in each.slots}
    count = Counter((each.facts.stratum, arms.get(each.slot_id, "?")) for each in allocated)
    return tuple((stratum, arm, number) for (stratum, arm), number in sorted(count.items()))


@cache
def _version() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    return str(project["version"])
