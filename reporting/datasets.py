"""Analysis data sets made from a cut: one frozen row for each subject, event or supply. No arms.

Days are calendar days at the subject's site; day 0 is the day of randomisation.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models

from dosing.models import Dispensation, DoseDecision, PregnancyTest, TreatmentEnd
from events.outcomes import Reason
from patients.models import (
    AdverseEvent,
    Contact,
    Death,
    ResponseAssessment,
    Screening,
    Subject,
    Visit,
)
from patients.rules.adverse_events import is_treatment_emergent
from patients.rules.partial_dates import PartialDate, earliest_not_before
from patients.rules.response import Assessment, PfsOutcome, pfs
from reporting.cuts import DataCut, Row
from reporting.errors import ReportRefused
from trials.models import Allocation
from trials.rules.protocol import Protocol, SocOfInterest


@dataclass(frozen=True, slots=True)
class Treatment:
    """A subject's study drug; ``last_dose_on`` is ``None`` while treatment goes on."""

    first_dose_on: date | None = None
    last_dose_on: date | None = None


@dataclass(frozen=True, slots=True)
class RandomisedSubject:
    """One subject of the efficacy population, blinded; ``slot_id`` is the place on the sealed list.

    ``observed_days`` run to the death, or to the last visit, contact or assessment by anybody.
    ``ae_categories`` are codes of classes of interest with a treatment-emergent event.
    """

    number: str
    site: str
    stratum: str
    slot_id: UUID
    randomised_on: date
    pfs: PfsOutcome
    observed_days: int
    died_on: date | None
    treatment: Treatment
    ae_categories: frozenset[str]

    @property
    def treated(self) -> bool:
        return self.treatment.first_dose_on is not None


@dataclass(frozen=True, slots=True)
class ScreenedSubject:
    """One person screened; ``eligible`` is the last judgement, ``None`` before the first."""

    number: str
    site: str
    screened_on: date
    eligible: bool | None
    stratum: str
    randomised_on: date | None


@dataclass(frozen=True, slots=True)
class SafetyEvent:
    """One adverse event; ``began_on`` is the recorded day, or the imputed one if it was partial.

    ``category`` is the code of the class of interest it belongs to, or empty.
    """

    number: str
    term: str
    soc: str
    category: str
    grade: int
    related: bool
    serious: bool
    seriousness: tuple[str, ...]
    onset: str
    began_on: date
    outcome: str
    emergent: bool


@dataclass(frozen=True, slots=True)
class Supply:
    """One cycle's study drug as it was handed over: milligrams a day, for so many days."""

    number: str
    cycle: int
    dose_mg: Decimal
    days: int
    dispensed_on: date


@dataclass(frozen=True, slots=True)
class Hold:
    """A cycle for which the dose was decided to be nothing."""

    number: str
    cycle: int
    decided_on: date


@dataclass(frozen=True, slots=True)
class DeathRow:
    """A death; the day as it was told."""

    number: str
    died_on: str
    earliest_on: date
    cause: str


@dataclass(frozen=True, slots=True)
class TestFinding:
    """A pregnancy test that was not negative, on the site's day."""

    number: str
    taken_on: date
    result: str


def screened_subjects(cut: DataCut) -> tuple[ScreenedSubject, ...]:
    """Return everybody screened by the cut-off, by number."""
    sites, entered_at = cut.sites(), cut.entry_sites()
    screenings = _by_subject(cut, Screening)
    allocations = {row.pgh_obj_id: row for row in cut.records(Allocation)}
    rows = []
    for subject in _subjects(cut):
        judged = screenings[subject.pgh_obj_id]
        allocation = allocations.get(subject.allocation_id)
        last = max(judged, key=lambda row: row.recorded_at, default=None)
        rows.append(
            ScreenedSubject(
                number=subject.number,
                site=sites[entered_at[subject.pgh_obj_id]].code,
                screened_on=subject.screened_on,
                eligible=last.eligible if last else None,
                stratum=allocation.stratum if allocation else "",
                randomised_on=allocation.randomised_on if allocation else None,
            )
        )
    return tuple(rows)


def randomised_subjects(cut: DataCut) -> tuple[RandomisedSubject, ...]:
    """Return everybody randomised by the cut-off, by number.

    Raises ``ReportRefused`` naming each subject whose records contradict themselves.
    """
    reader = _EfficacyReader(cut)
    found, problems = [], []
    for subject in _subjects(cut):
        try:
            row = reader.row(subject)
        except ValueError as error:
            problems.append(Reason("records_contradict", f"{subject.number}: {error}."))
        else:
            found += [row] if row else []
    if problems:
        raise ReportRefused(*problems)
    return tuple(found)


def safety_events(cut: DataCut) -> tuple[SafetyEvent, ...]:
    """Return every adverse event that began by the cut-off, by day and subject.

    A partial onset counts from the first dose on, if it can mean that.
    """
    protocol = cut.protocol()
    treatments = _treatments(cut)
    numbers = {row.pgh_obj_id: row.number for row in _subjects(cut)}
    rows = []
    for event in cut.records(AdverseEvent):
        treatment = treatments[event.subject_id]
        onset = PartialDate(event.started_on)
        floor = treatment.first_dose_on or onset.first_day
        rows.append(
            SafetyEvent(
                number=numbers[event.subject_id],
                term=event.term,
                soc=event.soc,
                category=_category(event.soc, protocol.safety.soc_of_interest),
                grade=event.grade,
                related=event.related,
                serious=event.serious,
                seriousness=tuple(event.seriousness),
                onset=event.started_on,
                began_on=earliest_not_before(onset, floor).day,
                outcome=event.outcome,
                emergent=_emergent(event, treatment, protocol),
            )
        )
    known = [row for row in rows if row.began_on <= cut.cutoff_on]
    return tuple(sorted(known, key=lambda row: (row.began_on, row.number, row.term, row.grade)))


def supplies(cut: DataCut) -> tuple[Supply, ...]:
    """Return what was handed over by the cut-off, by subject and cycle."""
    numbers = {row.pgh_obj_id: row.number for row in _subjects(cut)}
    rows = [
        Supply(numbers[row.subject_id], row.cycle, row.dose_mg, row.days, row.dispensed_on)
        for row in cut.records(Dispensation)
    ]
    return tuple(sorted(rows, key=lambda row: (row.number, row.cycle)))


def holds(cut: DataCut) -> tuple[Hold, ...]:
    """Return the cycles whose dose was decided to be nothing, by day."""
    numbers = {row.pgh_obj_id: row.number for row in _subjects(cut)}
    rows = [
        Hold(numbers[row.subject_id], row.cycle, row.decided_on)
        for row in cut.records(DoseDecision)
        if not row.dose_mg
    ]
    return tuple(sorted(rows, key=lambda row: (row.decided_on, row.number, row.cycle)))


def deaths(cut: DataCut) -> tuple[DeathRow, ...]:
    """Return the deaths that can lie on or before the cut-off, earliest possible day first."""
    numbers = {row.pgh_obj_id: row.number for row in _subjects(cut)}
    rows = [
        DeathRow(
            numbers[row.subject_id], row.died_on, PartialDate(row.died_on).first_day, row.cause
        )
        for row in cut.records(Death)
    ]
    return tuple(sorted(rows, key=lambda row: (row.earliest_on, row.number)))


def pregnancy_findings(cut: DataCut) -> tuple[TestFinding, ...]:
    """Return the pregnancy tests that were not negative, by day."""
    sites = cut.sites()
    subjects = {row.pgh_obj_id: row for row in _subjects(cut)}
    rows = []
    for row in cut.records(PregnancyTest):
        if row.result != PregnancyTest.Result.NEGATIVE:
            subject = subjects[row.subject_id]
            day = cut.local_day(row.taken_at, sites[subject.site_id])
            rows.append(TestFinding(subject.number, day, row.result))
    return tuple(sorted(rows, key=lambda row: (row.taken_on, row.number)))


class _EfficacyReader:
    """The tables of one cut, read once, from which each subject's row is made."""

    def __init__(self, cut: DataCut) -> None:
        self._cut = cut
        self._protocol = cut.protocol()
        self._sites = cut.sites()
        self._allocations = {row.pgh_obj_id: row for row in cut.records(Allocation)}
        self._assessments = _by_subject(cut, ResponseAssessment)
        self._seen = {
            Visit: _by_subject(cut, Visit),
            Contact: _by_subject(cut, Contact),
        }
        self._deaths = _by_subject(cut, Death)
        self._events = _by_subject(cut, AdverseEvent)
        self._treatments = _treatments(cut)

    def row(self, subject: Row) -> RandomisedSubject | None:
        """Return the row of a subject, or nothing if it was not randomised by the cut-off."""
        allocation = self._allocations.get(subject.allocation_id)
        if allocation is None:
            return None
        key, start = subject.pgh_obj_id, allocation.randomised_on
        assessments = [
            Assessment(row.assessed_on, row.response, row.assessor)
            for row in self._assessments[key]
        ]
        alive = sorted([start, *self._days_alive(key)])
        death = next((PartialDate(row.died_on) for row in self._deaths[key]), None)
        died_on = self._died_on(death, alive)
        last = died_on or alive[-1]
        return RandomisedSubject(
            number=subject.number,
            site=self._sites[allocation.site_id].code,
            stratum=allocation.stratum,
            slot_id=allocation.slot_id,
            randomised_on=start,
            pfs=pfs(
                start,
                assessments,
                death,
                self._cut.cutoff_on,
                self._assessor(),
                alive_on=alive[-1],
            ),
            observed_days=(last - start).days,
            died_on=died_on,
            treatment=self._treatments[key],
            ae_categories=frozenset(self._categories(key)),
        )

    def _assessor(self) -> str:
        assessor = self._protocol.endpoints.primary.assessor
        if assessor is None:
            raise ReportRefused(
                Reason("no_assessor", "The protocol does not say whose assessment is primary.")
            )
        return assessor

    def _days_alive(self, key: Any) -> Iterator[date]:
        yield from (row.assessed_on for row in self._assessments[key])
        yield from (row.visited_on for row in self._seen[Visit][key])
        yield from (row.contacted_on for row in self._seen[Contact][key])

    def _died_on(self, death: PartialDate | None, alive: list[date]) -> date | None:
        """Return the day of death; a partial one is imputed as for progression-free survival."""
        possible = [day for day in alive if death and day <= death.last_day]
        if death is None or not possible:
            return None
        day = earliest_not_before(death, possible[-1]).day
        return day if day <= self._cut.cutoff_on else None

    def _categories(self, key: Any) -> Iterator[str]:
        for event in self._events[key]:
            if _emergent(event, self._treatments[key], self._protocol):
                code = _category(event.soc, self._protocol.safety.soc_of_interest)
                yield from [code] if code else []


def _subjects(cut: DataCut) -> list[Row]:
    return sorted(cut.records(Subject), key=lambda row: str(row.number))


def _by_subject(cut: DataCut, model: type[models.Model]) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in cut.records(model):
        found[row.subject_id].append(row)
    return found


def _treatments(cut: DataCut) -> dict[Any, Treatment]:
    """Return first and last dose by subject; the last is the day treatment ended for good."""
    ends = {row.subject_id: row.ended_on for row in cut.records(TreatmentEnd)}
    found: dict[Any, Treatment] = defaultdict(Treatment)
    for key, given in _by_subject(cut, Dispensation).items():
        days = [row.dispensed_on for row in given]
        end = ends.get(key)
        found[key] = Treatment(min(days), max(end, *days) if end else None)
    return found


def _category(soc: str, of_interest: tuple[SocOfInterest, ...]) -> str:
    """Return the code of the class a record's system organ class is, by its printed name."""
    name = soc.strip().casefold()
    return next((each.code for each in of_interest if each.label.casefold() == name), "")


def _emergent(event: Row, treatment: Treatment, protocol: Protocol) -> bool:
    return is_treatment_emergent(
        PartialDate(event.started_on),
        treatment.first_dose_on,
        treatment.last_dose_on,
        protocol.safety,
    )
