"""May this subject be randomised? Screening answers for the person, randomisation for the day.

What is asked stands in the protocol file: criteria over screening variables, and days to
randomisation. Here stands only how such a question is answered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from events.outcomes import Reason
from patients.rules.screening import is_number, told
from trials.rules.protocol import Criterion, Eligibility, Protocol, Test, Timing, Value, Variable


class RandomisationBlock(StrEnum):
    """Why a subject cannot be randomised on a day. Values are stable.

    Beside them stand the codes of the protocol's timing: ``too_soon_after_`` and
    ``too_late_after_`` with its own, and the one it gives for a day that is missing.
    """

    CONSENT_MISSING = "consent_missing"
    RECONSENT_DUE = "reconsent_due"
    JUDGED_BY_ANOTHER_VERSION = "judged_by_another_version"
    CORRECTED_SINCE_SCREENED = "corrected_since_screened"
    NOT_SCREENED = "not_screened"
    NOT_ELIGIBLE = "not_eligible"
    ALREADY_RANDOMISED = "already_randomised"


@dataclass(frozen=True, slots=True)
class EligibilityFacts:
    """What screening found. ``None`` means not known, which never speaks for the subject.

    ``values`` are those of the protocol's variables, with the age in completed years at consent
    and the sex; one that is not there is not known.
    """

    values: Mapping[str, Value]
    exclusions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RandomisationFacts:
    """What holds on the day of randomisation; ``eligible`` is ``None`` before any screening.

    ``values`` are those of the last screening. ``form_due`` is the consent form to be signed
    first; ``judged_anew`` whether the version in force judges otherwise than the one the screening
    was judged by; ``corrected_since`` whether it was judged with another sex or year of birth.
    """

    randomised_on: date
    values: Mapping[str, Value]
    consent_active: bool
    eligible: bool | None
    already_randomised: bool = False
    form_due: str = ""
    judged_anew: bool = False
    corrected_since: bool = False


def completed_years(year_of_birth: int, on: date) -> int:
    """Return the years a person has certainly completed on a day, knowing the year of birth only.

    Until the last day of December the birthday of that year may still be to come. Of whoever is
    born in that very year no year is completed.
    """
    birthday_passed = (on.month, on.day) == (12, 31)
    return max(0, on.year - year_of_birth - (0 if birthday_passed else 1))


def ineligible_reasons(facts: EligibilityFacts, protocol: Protocol) -> tuple[Reason, ...]:
    """Return every reason a subject cannot take part; empty means eligible.

    A reason has the code of the criterion that does not hold, of the criterion's ``missing`` if
    it cannot be told, or ``exclusion_`` and the exclusion's own. A value that is not known is
    named once. The days to randomisation are judged at randomisation.

    Raises ``ValueError`` if an exclusion or a value is not the protocol's, or a value lies
    outside its variable's bounds: then the record is wrong, not the subject.

    Source: the protocol file, ``eligibility``.
    """
    _check(facts.values, protocol)
    reasons: list[Reason] = []
    named: set[str] = set()
    for criterion in protocol.eligibility.criteria:
        reasons.extend(_criterion_reasons(criterion, facts.values, protocol.variables, named))
    return (*reasons, *_exclusion_reasons(facts.exclusions, protocol.eligibility))


def randomisation_blocks(facts: RandomisationFacts, protocol: Protocol) -> tuple[Reason, ...]:
    """Return every reason a subject cannot be randomised on a day; empty means go ahead.

    Days are the difference of two site-local calendar days; both ends of a protocol's range are
    allowed.
    """
    timing = [
        block
        for each in protocol.eligibility.timing
        for block in _timing_blocks(facts, each, protocol.variables[each.variable])
    ]
    return (*_standing_blocks(facts), *timing)


def _check(values: Mapping[str, Value], protocol: Protocol) -> None:
    for code, value in values.items():
        variable = protocol.variables.get(code)
        if variable is None:
            raise ValueError(f"the protocol has no variable {code!r}")
        if is_number(value) and not variable.lowest <= value <= variable.highest:
            raise ValueError(f"{code} {value} is out of bounds")


def _criterion_reasons(
    criterion: Criterion,
    values: Mapping[str, Value],
    variables: Mapping[str, Variable],
    named: set[str],
) -> Iterator[Reason]:
    """Yield at most one reason. ``named`` collects what was named as not known before."""
    answers = [_holds(test, values.get(test.variable)) for test in criterion.tests]
    applies = [_holds(test, values.get(test.variable)) for test in criterion.conditions]
    if any(answers) or False in applies:
        return
    asked = criterion.conditions if None in applies else criterion.tests
    unknown = [code for code in _variables(asked) if values.get(code) is None]
    if not unknown:
        found = [_found(code, values, variables) for code in _variables(criterion.tests)]
        yield Reason(criterion.code, f"{criterion.label}: {', '.join(found)}")
    elif left := [code for code in unknown if code not in named]:
        named.update(left)
        labels = ", ".join(variables[code].label for code in left)
        yield Reason(criterion.missing, f"{labels}: not known")


def _variables(tests: tuple[Test, ...]) -> list[str]:
    return list(dict.fromkeys(test.variable for test in tests))


def _found(code: str, values: Mapping[str, Value], variables: Mapping[str, Variable]) -> str:
    variable = variables[code]
    return f"{variable.label} {told(variable, values.get(code))}"


def _holds(test: Test, value: Value) -> bool | None:
    """Return whether all a test asks for holds; ``None`` if the value is not known."""
    if value is None:
        return None
    if is_number(value):
        return _within(test, value)
    return (test.equals is None or value == test.equals) and (
        test.one_of is None or value in test.one_of
    )


def _within(test: Test, number: Decimal | int) -> bool:
    return (
        (test.at_least is None or number >= test.at_least)
        and (test.above is None or number > test.above)
        and (test.at_most is None or number <= test.at_most)
        and (test.below is None or number < test.below)
    )


def _exclusion_reasons(exclusions: tuple[str, ...], policy: Eligibility) -> Iterator[Reason]:
    labels = {exclusion.code: exclusion.label for exclusion in policy.exclusions}
    for code in dict.fromkeys(exclusions):
        if code not in labels:
            raise ValueError(f"the protocol has no exclusion {code!r}")
        yield Reason(f"exclusion_{code}", labels[code])


def _standing_blocks(facts: RandomisationFacts) -> Iterator[Reason]:
    if not facts.consent_active:
        yield Reason(RandomisationBlock.CONSENT_MISSING, "there is no consent in force")
    if facts.form_due:
        detail = f"consent form {facts.form_due} has to be signed first"
        yield Reason(RandomisationBlock.RECONSENT_DUE, detail)
    if facts.judged_anew:
        detail = "the protocol was amended since the screening: record a screening under it"
        yield Reason(RandomisationBlock.JUDGED_BY_ANOTHER_VERSION, detail)
    if facts.corrected_since:
        detail = "sex or year of birth was corrected since the screening: record a screening anew"
        yield Reason(RandomisationBlock.CORRECTED_SINCE_SCREENED, detail)
    if facts.eligible is None:
        yield Reason(RandomisationBlock.NOT_SCREENED, "the subject has not been screened")
    elif not facts.eligible:
        yield Reason(RandomisationBlock.NOT_ELIGIBLE, "the last screening found reasons against it")
    if facts.already_randomised:
        yield Reason(RandomisationBlock.ALREADY_RANDOMISED, "the subject is already randomised")


def _timing_blocks(
    facts: RandomisationFacts, timing: Timing, variable: Variable
) -> Iterator[Reason]:
    counted_from = facts.values.get(timing.variable)
    if not isinstance(counted_from, date):
        yield Reason(timing.missing, f"{variable.label}: not known")
        return
    days = (facts.randomised_on - counted_from).days
    detail = f"{timing.label}: {variable.label} was {days} days before"
    if days < timing.first_day:
        yield Reason(timing.too_soon, detail)
    elif timing.at_most_days is not None and days > timing.at_most_days:
        yield Reason(timing.too_late, detail)
