"""What went wrong in randomising: strata that were wrong, mistakes, and bursts at one site.

Blinded: no arm is read for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from patients.models import RandomisationMistake, Subject
from patients.queries import strata_corrections
from trials.models import Site, Trial, User
from trials.permissions import Permission


BURST_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Misstratified:
    """A subject whose corrected stratum differs from the frozen one; empty if none holds it.

    ``found`` is what was recorded at the randomisation and ``corrected`` what is true of it, over
    all corrections of the screening and of the subject; reason and author are the last one's.
    """

    subject_id: UUID
    subject: str
    site: str
    randomised_on: date
    stratum: str
    corrected_stratum: str
    found: dict[str, object]
    corrected: dict[str, object]
    reason: str
    corrected_by: str
    corrected_at: datetime


@dataclass(frozen=True, slots=True)
class Mistake:
    """A subject marked as randomised in error; analysed as randomised."""

    subject_id: UUID
    subject: str
    site: str
    kind: str
    reason: str
    recorded_by: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Burst:
    """Two subjects of one site randomised within so few minutes that one should ask why."""

    site: str
    first: str
    second: str
    first_at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class StratificationReport:
    """What is known at the sites whose randomisation the reader may see.

    A replayed trial has no bursts: its records came in together, long after the days they carry.
    """

    trial: str
    replayed: bool
    randomised: int
    burst_minutes: int
    misstratified: tuple[Misstratified, ...]
    mistakes: tuple[Mistake, ...]
    bursts: tuple[Burst, ...]


def stratification_report(
    *, trial: Trial, burst_minutes: int = BURST_MINUTES, by: User
) -> StratificationReport:
    """Return the mis-stratification report of a trial, at the sites ``by`` may read it for."""
    sites = Site.objects.visible_to(by, Permission.READ_RANDOMISATION).filter(trial=trial)
    subjects = list(
        Subject.objects.filter(site__in=sites, allocation__isnull=False)
        .select_related("allocation", "allocation__site", "site")
        .order_by("allocation__allocated_at", "pk")
    )
    replayed = trial.conduct == Trial.Conduct.REPLAY
    bursts = () if replayed else _bursts(subjects, timedelta(minutes=burst_minutes))
    return StratificationReport(
        trial=trial.code,
        replayed=replayed,
        randomised=len(subjects),
        burst_minutes=burst_minutes,
        misstratified=tuple(_misstratified(subjects)),
        mistakes=tuple(_mistakes(subjects)),
        bursts=tuple(bursts),
    )


def _misstratified(subjects: Sequence[Subject]) -> Iterator[Misstratified]:
    """Yield each subject whose corrections, taken together, give another stratum."""
    corrections = strata_corrections(subjects)
    for subject in subjects:
        rows, allocation = corrections[subject.pk], subject.allocation
        if not rows or allocation is None or rows[-1].stratum == allocation.stratum:
            continue
        row = rows[-1]
        yield Misstratified(
            subject_id=subject.pk,
            subject=subject.number,
            site=subject.site.code,
            randomised_on=allocation.randomised_on,
            stratum=allocation.stratum,
            corrected_stratum=row.stratum,
            found={code: value for each in reversed(rows) for code, value in each.found.items()},
            corrected={code: value for each in rows for code, value in each.corrected.items()},
            reason=row.reason,
            corrected_by=row.recorded_by.username,
            corrected_at=row.recorded_at,
        )


def _mistakes(subjects: Sequence[Subject]) -> Iterator[Mistake]:
    rows = RandomisationMistake.objects.filter(subject__in=subjects)
    for row in rows.select_related("subject__site", "recorded_by").order_by("recorded_at"):
        yield Mistake(
            subject_id=row.subject_id,
            subject=row.subject.number,
            site=row.subject.site.code,
            kind=row.get_kind_display(),
            reason=row.reason,
            recorded_by=row.recorded_by.username,
            recorded_at=row.recorded_at,
        )


def _bursts(subjects: Sequence[Subject], within: timedelta) -> Iterator[Burst]:
    """Yield each two subjects of the site of randomisation that follow one another too soon."""
    by_site: dict[str, list[tuple[datetime, str]]] = {}
    for subject in subjects:
        if subject.allocation is not None:
            told = (subject.allocation.allocated_at, subject.number)
            by_site.setdefault(subject.allocation.site.code, []).append(told)
    for site, acts in sorted(by_site.items()):
        for (first_at, first), (second_at, second) in pairwise(sorted(acts)):
            if second_at - first_at <= within:
                yield Burst(
                    site, first, second, first_at, int((second_at - first_at).total_seconds())
                )
