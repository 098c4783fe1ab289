"""Everything a blinded reader may know about one subject, in a fixed number of queries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dosing.models import (
    Counselling,
    Dispensation,
    DoseDecision,
    PregnancyRisk,
    PregnancyTest,
    TreatmentEnd,
)
from dosing.queries import dispensing_facts
from dosing.rules.dispensing import Request, dispense_blocks
from dosing.rules.pregnancy_prevention import standing_category
from events.outcomes import Reason
from patients.models import (
    AdverseEvent,
    Consent,
    ConsentWithdrawal,
    Contact,
    Death,
    FurtherTreatment,
    LabResult,
    RandomisationMistake,
    ResponseAssessment,
    Screening,
    ScreeningCorrection,
    Subject,
    SubjectCorrection,
    Visit,
)
from patients.models.subjects import Record
from patients.queries import screened_values, unblinding_kinds, with_version
from patients.rules.partial_dates import PartialDate
from patients.rules.screening import told
from patients.rules.unblinding import treatment_blocks
from reporting import drawings
from trials.models import Allocation, User
from trials.rules.protocol import Protocol


Made = Record | Subject | Allocation  # what was made under a protocol version


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline. ``day`` orders it, ``told`` is the date as it was given.

    ``under`` is the protocol version it was recorded under.
    """

    day: date
    told: str
    icon: str
    under: str
    title: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class LabDay:
    """One day's results, each with whether it lies below the protocol's limit.

    ``under`` names the protocol versions they were recorded under: one, but for late entries.
    """

    on: date
    cells: tuple[tuple[Decimal | None, bool], ...]
    under: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The answer to "may study drug be handed over today?", for one cycle's full supply."""

    cycle: int
    days: int
    on: date
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Casebook:
    """A subject's records, each kind in its own order."""

    subject: Subject
    consents: Sequence[Consent]
    withdrawal: ConsentWithdrawal | None
    screenings: Sequence[Screening]
    corrections: Sequence[ScreeningCorrection]
    corrected: Sequence[SubjectCorrection]
    mistakes: Sequence[RandomisationMistake]
    visits: Sequence[Visit]
    labs: Sequence[LabResult]
    adverse_events: Sequence[AdverseEvent]
    responses: Sequence[ResponseAssessment]
    contacts: Sequence[Contact]
    further: Sequence[FurtherTreatment]
    death: Death | None
    risks: Sequence[PregnancyRisk]
    counsellings: Sequence[Counselling]
    tests: Sequence[PregnancyTest]
    decisions: Sequence[DoseDecision]
    dispensations: Sequence[Dispensation]
    end: TreatmentEnd | None

    @property
    def protocol(self) -> Protocol:
        return self.subject.protocol

    @property
    def risk(self) -> PregnancyRisk | None:
        """The last assessment, if it was made for the sex that is recorded now."""
        last = self.risks[-1] if self.risks else None
        return last if last and standing_category(last.category, self.subject.sex) else None

    @property
    def screening(self) -> Screening | None:
        return self.screenings[-1] if self.screenings else None

    @property
    def screened(self) -> list[tuple[Screening, list[tuple[str, str]]]]:
        """Each screening with its values as people read them, by the variables' labels."""
        return [(row, _values_of(row)) for row in self.screenings]

    @property
    def stratum(self) -> str:
        """The stratum frozen at randomisation, or the one the last screening gave."""
        if self.subject.allocation is not None:
            code = self.subject.allocation.stratum
        else:
            last = self.screening
            stands = last is not None and last.subject_revision == self.subject.revision
            code = last.stratum if last and stands else ""
        return self._label(code)

    @property
    def corrected_stratum(self) -> str:
        """What the last correction since the randomisation gives, if that is another stratum."""
        allocation = self.subject.allocation
        since: list[ScreeningCorrection | SubjectCorrection] = [*self.corrections]
        since += [row for row in self.corrected if row.allocation_id]
        if allocation is None or not since:
            return ""
        code = max(since, key=lambda row: row.recorded_at).stratum
        if code == allocation.stratum:
            return ""
        return self._label(code) if code else "none holds the right values"

    def _label(self, code: str) -> str:
        labels = {stratum.code: stratum.label for stratum in self.protocol.strata}
        return labels.get(code, code)


def _values_of(row: Screening) -> list[tuple[str, str]]:
    values = screened_values(row)
    variables = row.protocol_version.protocol.screening.variables
    return [(variable.label, told(variable, values[variable.code])) for variable in variables]


def subject_today(by: User, subject_id: UUID, *, at: datetime) -> Subject:
    """Return a subject of one's sites under the protocol in force there today.

    Raises ``Subject.DoesNotExist`` for any other.
    """
    own = with_version(Subject.objects.visible_to(by))
    subject = own.select_related("site", "trial", "allocation__protocol_version").get(pk=subject_id)
    subject.version = subject.site.version_on(subject.site.local_day(at))
    return subject


def read_casebook(subject: Subject) -> Casebook:
    """Read all records of a subject that the caller may see."""

    def of(model: Any) -> list[Any]:
        return list(with_version(model.objects.filter(subject=subject)))

    def one(model: Any) -> Any:
        return with_version(model.objects.filter(subject=subject)).first()

    screenings = Screening.objects.filter(subject=subject).select_related("protocol_version")
    dispensations = Dispensation.objects.filter(subject=subject).select_related("kit")
    return Casebook(
        subject=subject,
        consents=of(Consent),
        withdrawal=one(ConsentWithdrawal),
        screenings=list(screenings),
        corrections=of(ScreeningCorrection),
        corrected=of(SubjectCorrection),
        mistakes=of(RandomisationMistake),
        visits=of(Visit),
        labs=of(LabResult),
        adverse_events=of(AdverseEvent),
        responses=of(ResponseAssessment),
        contacts=of(Contact),
        further=of(FurtherTreatment),
        death=one(Death),
        risks=of(PregnancyRisk),
        counsellings=of(Counselling),
        tests=of(PregnancyTest),
        decisions=of(DoseDecision),
        dispensations=list(with_version(dispensations)),
        end=one(TreatmentEnd),
    )


def gate_today(casebook: Casebook, *, at: datetime) -> Gate:
    """Ask the rule of ``dispense_kit`` for the next cycle's full supply, prescribed now.

    The next cycle is the first after the last one supplied whose decided dose is not a hold.
    """
    subject, policy = casebook.subject, casebook.protocol.dosing
    cycle, days = _next_cycle(casebook), policy.max_supply_days.value
    today = subject.site.local_day(at)
    request = Request(cycle, days, at, today)
    facts = dispensing_facts(subject, request, policy)
    prevention = casebook.protocol.pregnancy_prevention
    blocks = (
        *dispense_blocks(facts, request, policy, prevention),
        *treatment_blocks(unblinding_kinds(subject), casebook.protocol.blind),
    )
    return Gate(cycle, days, today, blocks)


def _next_cycle(casebook: Casebook) -> int:
    cycle = max((row.cycle for row in casebook.dispensations), default=0) + 1
    held = {row.cycle for row in casebook.decisions if not row.dose_mg}
    while cycle in held:
        cycle += 1
    return cycle


LAB_COLUMNS = ("anc", "platelets", "creatinine_clearance")


def lab_limits(protocol: Protocol) -> tuple[Any, ...]:
    """Return the protocol's lowest values for starting a cycle, column by column."""
    dosing = protocol.dosing
    return (dosing.start_anc, dosing.start_platelets, dosing.min_creatinine_clearance)


def lab_days(casebook: Casebook) -> list[LabDay]:
    """Return the results by day, the latest first, beside the limits of the protocol."""
    limits = [limit.value for limit in lab_limits(casebook.protocol)]
    by_day: dict[date, dict[str, Decimal]] = {}
    for row in casebook.labs:
        by_day.setdefault(row.taken_on, {})[row.analyte] = row.value
    under = _labs_under(casebook)
    return [
        LabDay(
            day,
            tuple(
                (value := found.get(name), value is not None and value < limit)
                for name, limit in zip(LAB_COLUMNS, limits, strict=True)
            ),
            under[day],
        )
        for day, found in sorted(by_day.items(), reverse=True)
    ]


def _labs_under(book: Casebook) -> dict[date, str]:
    """Return by day the protocol versions the results were recorded under, each once."""
    found: dict[date, dict[str, None]] = {}
    for row in book.labs:
        found.setdefault(row.taken_on, {})[_under(row)] = None
    return {day: ", ".join(sorted(versions)) for day, versions in found.items()}


def timeline(casebook: Casebook) -> list[Entry]:
    """Return everything that happened, the latest first; a partial date stands at its first day."""
    entries = [*_before_treatment(casebook), *_on_treatment(casebook), *_findings(casebook)]
    return sorted(entries, key=lambda entry: entry.day, reverse=True)


def _before_treatment(book: Casebook) -> Iterator[Entry]:
    yield _entry(book.subject, book.subject.screened_on, "person_add", "Entered for screening")
    for consent in book.consents:
        yield _entry(consent, consent.signed_on, "signature", f"Consent {consent.version} signed")
    if book.withdrawal is not None:
        row = book.withdrawal
        yield _entry(row, row.withdrawn_on, "block", "Consent withdrawn", row.reason, "danger")
    for screening in book.screenings:
        title, tone = ("Eligible", "good") if screening.eligible else ("Not eligible", "warning")
        detail = "; ".join(reason["detail"] for reason in screening.reasons)
        yield _entry(
            screening, screening.assessed_on, "fact_check", f"Screened: {title}", detail, tone
        )
    allocation = book.subject.allocation
    if allocation is not None:
        detail = f"{allocation.number}, {book.stratum}"
        yield _entry(
            allocation, allocation.randomised_on, "casino", "Randomised", detail, "primary"
        )
    for mistake in book.mistakes:
        day = book.subject.site.local_day(mistake.recorded_at)
        title = f"Randomised in error: {mistake.get_kind_display()}"
        yield _entry(mistake, day, "report", title, mistake.reason, "danger")
    for correction in book.corrections:
        day = book.subject.site.local_day(correction.recorded_at)
        title = f"Screening corrected: {', '.join(correction.corrected)}"
        yield _entry(correction, day, "edit_note", title, correction.reason, "warning")
    for corrected in book.corrected:
        day = book.subject.site.local_day(corrected.recorded_at)
        title = f"Corrected: {_told_change(corrected)}"
        detail = "; ".join([corrected.reason, *(each["detail"] for each in corrected.against)])
        yield _entry(corrected, day, "edit_note", title, detail, "warning")


def _told_change(row: SubjectCorrection) -> str:
    changes = (f"{name} {row.found[name]} to {value}" for name, value in row.corrected.items())
    return ", ".join(changes).replace("_", " ")


def _on_treatment(book: Casebook) -> Iterator[Entry]:
    for risk in book.risks:
        yield _entry(risk, risk.assessed_on, "family_restroom", f"Pregnancy risk: {risk.category}")
    for talk in book.counsellings:
        yield _entry(
            talk, talk.counselled_on, "forum", "Counselled", talk.get_contraception_display()
        )
    for test in book.tests:
        tone = "" if test.result == PregnancyTest.Result.NEGATIVE else "danger"
        day = book.subject.site.local_day(test.taken_at)
        yield _entry(test, day, "pregnancy", f"Pregnancy test {test.result}", test.specimen, tone)
    for decision in book.decisions:
        dose = f"{decision.dose_mg.normalize():f} mg" if decision.dose_mg else "held"
        title = f"Cycle {decision.cycle}: {dose}"
        yield _entry(decision, decision.decided_on, "tune", title, decision.reason)
    for supply in book.dispensations:
        detail = f"{supply.dose_mg.normalize():f} mg for {supply.days} days, cycle {supply.cycle}"
        yield _entry(
            supply, supply.dispensed_on, "medication", f"Kit {supply.kit.number}", detail, "good"
        )
    if book.end is not None:
        reason = book.end.get_reason_display()
        yield _entry(
            book.end, book.end.ended_on, "stop_circle", "Treatment ended", reason, "warning"
        )


def _findings(book: Casebook) -> Iterator[Entry]:
    for visit in book.visits:
        yield _entry(visit, visit.visited_on, "event_available", f"Visit, {visit}")
    for day, under in _labs_under(book).items():
        values = "; ".join(_value(row) for row in book.labs if row.taken_on == day)
        yield Entry(day, day.isoformat(), "labs", under, "Laboratory", values)
    for event in book.adverse_events:
        grave = event.serious or event.grade >= HIGH_GRADE
        yield _told(
            event,
            event.started_on,
            "warning",
            event.term,
            f"Grade {event.grade}{', serious' if event.serious else ''}",
            "danger" if grave else "warning",
        )
    for response in book.responses:
        tone = "danger" if response.response == ResponseAssessment.Response.PD else ""
        detail = response.get_assessor_display()
        yield _entry(
            response,
            response.assessed_on,
            "monitoring",
            response.get_response_display(),
            detail,
            tone,
        )
    for contact in book.contacts:
        yield _entry(contact, contact.contacted_on, "call", "Known to be alive")
    for treatment in book.further:
        yield _told(
            treatment, treatment.started_on, "vaccines", "Further treatment", treatment.regimen
        )
    if book.death is not None:
        yield _told(book.death, book.death.died_on, "deceased", "Died", book.death.cause, "danger")


HIGH_GRADE = 3  # CTCAE: from grade 3 on an event is called severe


def _value(row: LabResult) -> str:
    return f"{row.get_analyte_display()} {row.value.normalize():f} {row.unit}"


def _under(row: Made) -> str:
    return row.protocol_version.version


def _entry(row: Made, day: date, icon: str, title: str, detail: str = "", tone: str = "") -> Entry:
    return Entry(day, day.isoformat(), icon, _under(row), title, detail, tone)


def _told(row: Made, text: str, icon: str, title: str, detail: str = "", tone: str = "") -> Entry:
    return Entry(PartialDate(text).first_day, text, icon, _under(row), title, detail, tone)


def picture(book: Casebook) -> drawings.Treatment | None:
    """Draw dose by cycle with visits, adverse events and responses on one time line."""
    return drawings.treatment(
        doses=[
            drawings.Dose(row.cycle, row.dose_mg, row.dispensed_on, row.days)
            for row in book.dispensations
        ],
        visits=[
            drawings.Mark(row.visited_on, "", "", f"Visit, {row}, {row.visited_on}")
            for row in book.visits
        ],
        adverse_events=[_span(row) for row in book.adverse_events],
        reviews=[*_responses(book, ResponseAssessment.Assessor.INDEPENDENT)],
        investigators=[*_responses(book, ResponseAssessment.Assessor.INVESTIGATOR)],
        marks=[*_milestones(book)],
        ladder_mg=tuple(
            sorted({*book.protocol.dosing.ladder_mg, *(row.dose_mg for row in book.dispensations)})
        ),
    )


def _responses(book: Casebook, assessor: str) -> Iterator[drawings.Mark]:
    for row in book.responses:
        if row.assessor == assessor:
            tone = "danger" if row.response == ResponseAssessment.Response.PD else ""
            tip = f"{row.get_response_display()}, {row.assessed_on}"
            yield drawings.Mark(row.assessed_on, row.response, tone, tip)


def _span(event: AdverseEvent) -> drawings.Span:
    ended = PartialDate(event.ended_on).last_day if event.ended_on else None
    tip = f"{event.term}, grade {event.grade}, from {event.started_on}"
    return drawings.Span(PartialDate(event.started_on).first_day, ended, f"g{event.grade}", tip)


def _milestones(book: Casebook) -> Iterator[drawings.Mark]:
    if book.subject.allocation is not None:
        day = book.subject.allocation.randomised_on
        yield drawings.Mark(day, "R", "primary", f"Randomised {day}")
    if book.end is not None:
        yield drawings.Mark(
            book.end.ended_on, "E", "warning", f"Treatment ended {book.end.ended_on}"
        )
    if book.death is not None:
        day = PartialDate(book.death.died_on).first_day
        yield drawings.Mark(day, "†", "danger", f"Died {book.death.died_on}")
