"""Verify a trial's randomisation against its sealed lists, and certify what came of it."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from django.conf import settings
from django.db import transaction

from events.outcomes import Reason
from events.reading import reading_as_system
from reporting.errors import ReportRefused
from reporting.unblinded.witnesses import (
    ListWitnesses,
    allocations,
    kept_versions,
    list_witnesses,
    published,
)
from trials.models import RandomisationList, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.verification import Allocated, HeldList, verify
from trials.services.verification import sealed_lists


WHOLE = "a randomisation is verified over all sites"
LOOKS = 3


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
        seen = _one_moment(trial, by=by, detail=detail)
        findings = verify(
            seen.held,
            [published(each, seen.told) for each in seen.lists],
            seen.allocated,
            seen.gone,
            kept_versions(trial),
            seen.told.gone({str(each.pk) for each in seen.lists}),
        )
    taken = _taken_by_stratum(seen.allocated)
    return Certificate(
        trial=trial.code,
        title=trial.title,
        software=f"Vigil {_version()}",
        verified_at=at,
        verified_by=by.username,
        lists=tuple(_certified(each, taken[str(each.pk)]) for each in seen.lists),
        allocations=len(seen.allocated),
        findings=findings,
        by_arm=_by_arm(seen.held, seen.allocated) if annex else (),
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """What there was at one moment between two allocations, and between two lists going live."""

    held: tuple[HeldList, ...]
    lists: list[RandomisationList]
    told: ListWitnesses
    allocated: list[Allocated]
    gone: list[str]

    @property
    def known(self) -> set[str]:
        return {str(each.pk) for each in self.lists} | {each.id for each in self.allocated}


def _one_moment(trial: Trial, *, by: User, detail: str) -> _Moment:
    before = _looked(trial)
    for _ in range(LOOKS):
        held = sealed_lists(trial=trial, by=by, detail=detail)
        after = _looked(trial, held)
        if after.known == before.known:
            return after
        before = after
    raise ReportRefused(Reason("too_busy", "Subjects are being randomised: try again in a moment."))


def _looked(trial: Trial, held: tuple[HeldList, ...] = ()) -> _Moment:
    """Read the witnesses before the rows, so that none made meanwhile seems to be gone."""
    told = list_witnesses(trial)
    rows = RandomisationList.objects.live().filter(trial=trial).select_related("protocol_version")
    lists = list(rows.prefetch_related("approvals__approved_by"))
    allocated, gone = allocations(trial)
    return _Moment(held=held, lists=lists, told=told, allocated=allocated, gone=gone)


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
