"""May a subject's sex and year of birth be corrected like this?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from events.outcomes import Reason


SEXES = ("female", "male")
EARLIEST_YEAR_OF_BIRTH = 1900


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What is recorded of the subject; ``signed_on`` are the days of its consents."""

    year_of_birth: int
    sex: str
    screened_on: date
    signed_on: tuple[date, ...] = ()


def correction_reasons(
    facts: SubjectFacts, *, year_of_birth: int | None, sex: str | None, reason: str
) -> tuple[Reason, ...]:
    """Return every reason against a correction; ``None`` leaves a field as it is."""
    reasons = [*_year_reasons(facts, year_of_birth), *_sex_reasons(facts, sex)]
    if year_of_birth is None and sex is None:
        reasons.append(Reason("nothing_corrected", "Name the sex, the year of birth or both."))
    if not reason.strip():
        reasons.append(Reason("reason_missing", "A correction needs a reason."))
    return tuple(reasons)


def can_be_born_in(year: int, screened_on: date) -> bool:
    """Return whether somebody screened on a day can be born in a year."""
    return EARLIEST_YEAR_OF_BIRTH <= year <= screened_on.year


def _year_reasons(facts: SubjectFacts, year: int | None) -> Iterator[Reason]:
    if year is None:
        return
    if year == facts.year_of_birth:
        yield Reason("not_corrected", f"year_of_birth is recorded as {year} already.")
    if not can_be_born_in(year, facts.screened_on):
        yield Reason("year_of_birth", f"year_of_birth {year} cannot be a year of birth.")
    elif any(day.year < year for day in facts.signed_on):
        first = min(facts.signed_on)
        yield Reason("before_birth", f"year_of_birth {year} lies after the consent of {first}.")


def _sex_reasons(facts: SubjectFacts, sex: str | None) -> Iterator[Reason]:
    if sex is None:
        return
    if sex == facts.sex:
        yield Reason("not_corrected", f"sex is recorded as {sex} already.")
    if sex not in SEXES:
        yield Reason("unknown_sex", f"sex {sex} is not one of {', '.join(SEXES)}.")
