"""Does an adverse-event record hold together, and does it belong to the treatment?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from events.outcomes import Reason
from patients.rules.partial_dates import PartialDate, earliest_not_before
from trials.rules.protocol import Safety


class Outcome(StrEnum):
    """How an event ended, in the terms of E2B(R3) E.i.7."""

    RECOVERED = "recovered"
    RECOVERING = "recovering"
    NOT_RECOVERED = "not_recovered"
    RECOVERED_WITH_SEQUELAE = "recovered_with_sequelae"
    FATAL = "fatal"
    UNKNOWN = "unknown"


class Seriousness(StrEnum):
    """What makes an event serious: the criteria of ICH E2A."""

    DEATH = "death"
    LIFE_THREATENING = "life_threatening"
    HOSPITALISATION = "hospitalisation"
    DISABILITY = "disability"
    CONGENITAL_ANOMALY = "congenital_anomaly"
    IMPORTANT_MEDICAL_EVENT = "important_medical_event"


class RecordProblem(StrEnum):
    """What contradicts itself in a record. Values are stable: the API shows them."""

    ENDS_BEFORE_START = "ends_before_start"
    STARTS_IN_FUTURE = "starts_in_future"
    ENDS_IN_FUTURE = "ends_in_future"
    GRADE_5_NOT_FATAL = "grade_5_not_fatal"
    FATAL_NOT_GRADE_5 = "fatal_not_grade_5"
    FATAL_NOT_SERIOUS = "fatal_not_serious"
    DEATH_NOT_FATAL = "death_not_fatal"
    SERIOUS_WITHOUT_CRITERION = "serious_without_criterion"
    CRITERION_WITHOUT_SERIOUS = "criterion_without_serious"


DEATH_GRADE = 5  # CTCAE: grade 5 is death, in every version


@dataclass(frozen=True, slots=True)
class AdverseEventFacts:
    """One record as it is entered; ``ended_on`` is ``None`` while the event goes on."""

    grade: int
    started_on: PartialDate
    ended_on: PartialDate | None
    outcome: Outcome
    serious: bool
    seriousness: tuple[Seriousness, ...] = ()


def record_problems(facts: AdverseEventFacts, *, on: date) -> tuple[Reason, ...]:
    """Return everything that contradicts itself in a record entered on a site-local day.

    A partial date is held against the record only when each day it can mean is impossible.
    A fatal event is of grade 5, serious, and has death among its criteria; so the other way
    round.

    Raises ``ValueError`` for a grade outside 1 to 5.
    """
    if not 1 <= facts.grade <= DEATH_GRADE:
        raise ValueError(f"CTCAE has no grade {facts.grade}")
    return (*_date_problems(facts, on), *_fatal_problems(facts), *_seriousness_problems(facts))


def is_treatment_emergent(
    onset: PartialDate, first_dose: date | None, last_dose: date | None, policy: Safety
) -> bool:
    """Return whether an event began from the first dose to ``teae_days`` after the last one.

    Both ends count. A partial onset is taken as the earliest day it can mean from the first
    dose on, so doubt counts for the treatment. Without a first dose nothing is treatment
    emergent; without a last dose treatment goes on and the window has no end.

    Source: protocol file, ``safety.teae_days``.
    """
    if first_dose is None:
        return False
    began = earliest_not_before(onset, first_dose).day
    if began < first_dose:
        return False
    return last_dose is None or began <= last_dose + timedelta(days=policy.teae_days.value)


def _date_problems(facts: AdverseEventFacts, on: date) -> Iterator[Reason]:
    start, end = facts.started_on, facts.ended_on
    if start.is_after(on):
        yield Reason(RecordProblem.STARTS_IN_FUTURE, f"begins on {start}, after {on}")
    if end is None:
        return
    if end.is_after(on):
        yield Reason(RecordProblem.ENDS_IN_FUTURE, f"ends on {end}, after {on}")
    if end.is_before(start):
        yield Reason(RecordProblem.ENDS_BEFORE_START, f"ends on {end}, begins on {start}")


def _fatal_problems(facts: AdverseEventFacts) -> Iterator[Reason]:
    fatal = facts.outcome == Outcome.FATAL
    if facts.grade == DEATH_GRADE and not fatal:
        detail = f"grade 5 means death, the outcome is {facts.outcome}"
        yield Reason(RecordProblem.GRADE_5_NOT_FATAL, detail)
    if fatal and facts.grade != DEATH_GRADE:
        detail = f"a fatal event is of grade 5, not {facts.grade}"
        yield Reason(RecordProblem.FATAL_NOT_GRADE_5, detail)
    if fatal and Seriousness.DEATH not in facts.seriousness:
        detail = "a fatal event is serious, with death among its criteria"
        yield Reason(RecordProblem.FATAL_NOT_SERIOUS, detail)
    if Seriousness.DEATH in facts.seriousness and not fatal:
        detail = f"death is a criterion, the outcome is {facts.outcome}"
        yield Reason(RecordProblem.DEATH_NOT_FATAL, detail)


def _seriousness_problems(facts: AdverseEventFacts) -> Iterator[Reason]:
    if facts.serious and not facts.seriousness:
        detail = "a serious event names at least one criterion"
        yield Reason(RecordProblem.SERIOUS_WITHOUT_CRITERION, detail)
    if facts.seriousness and not facts.serious:
        detail = f"serious because of {', '.join(facts.seriousness)}, and not marked as serious"
        yield Reason(RecordProblem.CRITERION_WITHOUT_SERIOUS, detail)
