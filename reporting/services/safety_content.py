"""What a safety summary says: a pure function of a data cut and a period. Arms pooled, always."""

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any, Generic, TypeVar

from reporting.cuts import DataCut
from reporting.datasets import (
    SafetyEvent,
    Supply,
    deaths,
    holds,
    pregnancy_findings,
    safety_events,
    screened_subjects,
    supplies,
)
from reporting.services.periods import Period
from trials.rules.protocol import Claim, Protocol


BANDS = {"1-2": (1, 2), "3-4": (3, 4), "5": (5,)}  # CTCAE grades told together

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Twice(Generic[T]):
    """The same figure for the period and for the trial up to its end."""

    period: T
    total: T


@dataclass(frozen=True, slots=True)
class Tally:
    """Adverse events of one kind; ``worst`` counts each subject once, in its worst grade's band."""

    subjects: int
    events: int
    worst: dict[str, int]
    related: int
    serious: int


@dataclass(frozen=True, slots=True)
class Class:
    """One system organ class; ``code`` is empty for one the protocol has no interest in."""

    code: str
    label: str
    counts: Twice[Tally]


@dataclass(frozen=True, slots=True)
class DoseLevel:
    """What was handed over at one daily dose (mg)."""

    dose_mg: str
    subjects: int
    cycles: int
    days: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """Study drug handed over; active drug and placebo alike."""

    subjects: int
    cycles: int
    days: int
    by_dose: tuple[DoseLevel, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a listing; ``in_period`` says whether it began in the period."""

    number: str
    on: str
    in_period: bool
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SummaryContent:
    """A whole summary, ready to be stored as JSON."""

    trial: str
    title: str
    protocol_version: str
    conduct: str
    period_kind: str
    period_name: str
    period_start: date
    period_end: date
    cutoff_on: date
    as_known_at: str
    teae_days: int
    ctcae_version: str
    assumed: tuple[str, ...]
    subjects: dict[str, Twice[int]]
    of_interest: tuple[Class, ...]
    classes: tuple[Class, ...]
    any_event: Twice[Tally]
    not_emergent: Twice[int]
    exposure: Twice[Exposure]
    serious: tuple[Line, ...]
    deaths: tuple[Line, ...]
    pregnancy_tests: tuple[Line, ...]
    holds: tuple[Line, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the content in the words of JSON: no float, no date, nothing unordered."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain


def content_digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def summary_content(cut: DataCut, period: Period) -> SummaryContent:
    """Return the summary of a period on a cut that ends with it, or earlier in its course.

    The tables count treatment-emergent events of treated subjects, by the day they began; the
    listings hold every record of the cut, so that what was reported late is seen. Nothing in it
    depends on an arm, or on who asks when.
    """
    protocol = cut.protocol()
    events = safety_events(cut)
    emergent = [event for event in events if event.emergent]
    others = [event for event in events if not event.emergent]
    return SummaryContent(
        trial=protocol.trial.code,
        title=protocol.trial.short_title,
        protocol_version=protocol.version,
        conduct=cut.conduct(),
        period_kind=period.kind.value,
        period_name=period.name,
        period_start=period.start,
        period_end=period.end,
        cutoff_on=cut.cutoff_on,
        as_known_at=cut.as_known_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        teae_days=protocol.safety.teae_days.value,
        ctcae_version=protocol.safety.ctcae_version,
        assumed=_assumed(protocol),
        subjects=_subjects(cut, period),
        of_interest=_of_interest(emergent, protocol, period),
        classes=_classes(emergent, period),
        any_event=_tallies(emergent, period),
        not_emergent=Twice(sum(period.holds(each.began_on) for each in others), len(others)),
        exposure=_exposures(supplies(cut), period),
        serious=tuple(_serious_line(event, period) for event in events if event.serious),
        **_listings(cut, period),
    )


def _assumed(protocol: Protocol) -> tuple[str, ...]:
    safety = protocol.safety
    named: dict[str, Claim] = {
        f"Events count as treatment-emergent until {safety.teae_days.value} days after the last "
        "dose": safety.teae_days,
        f"Grades are those of CTCAE {safety.ctcae_version}": safety.sourced_ctcae,
    }
    return tuple(text for text, claim in named.items() if claim.flag == "assumed")


def _subjects(cut: DataCut, period: Period) -> dict[str, Twice[int]]:
    people = screened_subjects(cut)
    first_doses: dict[str, date] = {}
    for supply in supplies(cut):
        known = first_doses.get(supply.number, supply.dispensed_on)
        first_doses[supply.number] = min(known, supply.dispensed_on)
    days = {
        "screened": [person.screened_on for person in people],
        "randomised": [person.randomised_on for person in people if person.randomised_on],
        "treated": list(first_doses.values()),
        "died": [death.earliest_on for death in deaths(cut)],
    }
    return {name: Twice(sum(map(period.holds, each)), len(each)) for name, each in days.items()}


def _of_interest(
    events: Sequence[SafetyEvent], protocol: Protocol, period: Period
) -> tuple[Class, ...]:
    return tuple(
        Class(
            soc.code,
            soc.label,
            _tallies([event for event in events if event.category == soc.code], period),
        )
        for soc in protocol.safety.soc_of_interest
    )


def _classes(events: Sequence[SafetyEvent], period: Period) -> tuple[Class, ...]:
    by_class = _grouped(events, lambda event: event.soc)
    return tuple(
        Class(found[0].category, soc, _tallies(found, period))
        for soc, found in sorted(by_class.items())
    )


def _tallies(events: Sequence[SafetyEvent], period: Period) -> Twice[Tally]:
    within = [event for event in events if period.holds(event.began_on)]
    return Twice(_tally(within), _tally(events))


def _tally(events: Sequence[SafetyEvent]) -> Tally:
    worst = {
        number: max(event.grade for event in own)
        for number, own in _grouped(events, lambda event: event.number).items()
    }
    return Tally(
        subjects=len(worst),
        events=len(events),
        worst={
            band: sum(grade in grades for grade in worst.values()) for band, grades in BANDS.items()
        },
        related=sum(event.related for event in events),
        serious=sum(event.serious for event in events),
    )


def _exposures(given: Sequence[Supply], period: Period) -> Twice[Exposure]:
    within = [supply for supply in given if period.holds(supply.dispensed_on)]
    return Twice(_exposure(within), _exposure(given))


def _exposure(given: Sequence[Supply]) -> Exposure:
    by_dose = _grouped(given, lambda supply: supply.dose_mg)
    return Exposure(
        **_amount(given),
        by_dose=tuple(
            DoseLevel(dose_mg=_milligrams(dose), **_amount(found))
            for dose, found in sorted(by_dose.items())
        ),
    )


def _amount(given: Sequence[Supply]) -> dict[str, int]:
    return {
        "subjects": len({supply.number for supply in given}),
        "cycles": len(given),
        "days": sum(supply.days for supply in given),
    }


def _serious_line(event: SafetyEvent, period: Period) -> Line:
    return Line(
        number=event.number,
        on=event.onset,
        in_period=period.holds(event.began_on),
        facts={
            "term": event.term,
            "soc": event.soc,
            "grade": event.grade,
            "seriousness": list(event.seriousness),
            "related": event.related,
            "outcome": event.outcome,
            "emergent": event.emergent,
        },
    )


def _listings(cut: DataCut, period: Period) -> dict[str, tuple[Line, ...]]:
    return {
        "deaths": tuple(
            Line(row.number, row.died_on, period.holds(row.earliest_on), {"cause": row.cause})
            for row in deaths(cut)
        ),
        "pregnancy_tests": tuple(
            Line(row.number, str(row.taken_on), period.holds(row.taken_on), {"result": row.result})
            for row in pregnancy_findings(cut)
        ),
        "holds": tuple(
            Line(
                row.number, str(row.decided_on), period.holds(row.decided_on), {"cycle": row.cycle}
            )
            for row in holds(cut)
        ),
    }


K = TypeVar("K")
V = TypeVar("V")


def _grouped(rows: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _milligrams(dose: Decimal) -> str:
    return f"{dose.normalize():f}"
