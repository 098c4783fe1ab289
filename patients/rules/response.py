"""Progression-free survival of one subject, from what was assessed and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from patients.rules.partial_dates import PartialDate, earliest_not_before


PROGRESSION = "PD"  # progressive disease, in every response scale


class PfsReason(StrEnum):
    """What ended the observation. Values are stable: analysis data sets show them."""

    PROGRESSION = "progression"
    DEATH = "death"
    CENSORED_AT_LAST_ASSESSMENT = "censored_at_last_assessment"
    CENSORED_AT_RANDOMISATION = "censored_at_randomisation"


@dataclass(frozen=True, slots=True)
class Assessment:
    """One disease assessment; ``assessor`` is ``independent_review`` or ``investigator``."""

    assessed_on: date
    response: str
    assessor: str


@dataclass(frozen=True, slots=True)
class PfsOutcome:
    """``days`` from randomisation to ``on``; the day of randomisation is day 0."""

    days: int
    event: bool
    reason: PfsReason
    on: date
    is_imputed: bool = False


def pfs(
    randomised_on: date,
    assessments: Sequence[Assessment],
    died_on: PartialDate | None,
    cutoff: date,
    assessor: str,
    *,
    alive_on: date | None = None,
) -> PfsOutcome:
    """Return progression-free survival as one assessor sees it, up to and including ``cutoff``.

    The event is the first progression or death, whichever is earlier; on the same day it is
    progression. Otherwise the subject is censored at the last assessment on or before the
    cut-off, and without one at randomisation. Assessments before randomisation are the baseline
    and do not count. New treatment and missed visits do not censor.

    A partial day of death is taken as the earliest it can mean that is not before the subject
    was last known alive: the later of the last assessment by anybody and ``alive_on`` (the
    last contact). The outcome then says ``is_imputed``.

    Raises ``ValueError`` if the cut-off or the death lies before randomisation.

    Source: a usual rule (progression or death, else last disease assessment), assumed; death as
    an event at its date also after missed visits follows EMA's guidance and differs from FDA
    2007, table A.
    """
    if cutoff < randomised_on:
        raise ValueError(f"the cut-off {cutoff} lies before randomisation on {randomised_on}")
    known = [a for a in assessments if randomised_on <= a.assessed_on <= cutoff]
    seen = [a for a in known if a.assessor == assessor]
    ends = [
        (a.assessed_on, PfsReason.PROGRESSION, False) for a in seen if a.response == PROGRESSION
    ]
    if died_on is not None:
        ends.extend(_death(died_on, randomised_on, known, cutoff, alive_on))
    if ends:
        on, reason, is_imputed = min(ends, key=lambda end: end[0])
        return PfsOutcome((on - randomised_on).days, True, reason, on, is_imputed)
    return _censored(randomised_on, seen)


def _death(
    died_on: PartialDate,
    randomised_on: date,
    known: Sequence[Assessment],
    cutoff: date,
    alive_on: date | None,
) -> list[tuple[date, PfsReason, bool]]:
    if died_on.last_day < randomised_on:
        raise ValueError(f"died on {died_on}, before randomisation on {randomised_on}")
    alive = [randomised_on, *(a.assessed_on for a in known), *([alive_on] if alive_on else [])]
    floor = max(day for day in alive if day <= died_on.last_day)
    death = earliest_not_before(died_on, floor)
    if death.day > cutoff:
        return []
    return [(death.day, PfsReason.DEATH, death.is_imputed)]


def _censored(randomised_on: date, seen: Sequence[Assessment]) -> PfsOutcome:
    if not seen:
        reason = PfsReason.CENSORED_AT_RANDOMISATION
        return PfsOutcome(0, False, reason, randomised_on)
    last = max(a.assessed_on for a in seen)
    reason = PfsReason.CENSORED_AT_LAST_ASSESSMENT
    return PfsOutcome((last - randomised_on).days, False, reason, last)
