"""May this subject be randomised? Screening answers for the person, randomisation for the day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from events.outcomes import Reason
from trials.rules.protocol import Eligibility


class Ineligible(StrEnum):
    """Why a subject cannot take part. Values are stable: the API and the reports show them.

    A protocol exclusion has the code ``exclusion_`` and its own, as in ``exclusion_comorbidity``.
    """

    TOO_YOUNG = "too_young"
    REGIMEN_NOT_ACCEPTED = "regimen_not_accepted"
    TOO_FEW_CYCLES = "too_few_cycles"
    RESPONSE_TOO_LOW = "response_too_low"
    MRD_MISSING = "mrd_missing"
    MRD_LOW_RISK = "mrd_low_risk"
    MARKERS_MISSING = "markers_missing"
    NO_HIGH_RISK_MARKER = "no_high_risk_marker"
    ECOG_TOO_HIGH = "ecog_too_high"
    ANC_TOO_LOW = "anc_too_low"
    PLATELETS_TOO_LOW = "platelets_too_low"
    CREATININE_CLEARANCE_TOO_LOW = "creatinine_clearance_too_low"
    MEASUREMENT_MISSING = "measurement_missing"


class RandomisationBlock(StrEnum):
    """Why a subject cannot be randomised on a day. Values are stable."""

    CONSENT_MISSING = "consent_missing"
    RECONSENT_DUE = "reconsent_due"
    JUDGED_BY_ANOTHER_VERSION = "judged_by_another_version"
    NOT_SCREENED = "not_screened"
    NOT_ELIGIBLE = "not_eligible"
    ALREADY_RANDOMISED = "already_randomised"
    LAST_CYCLE_MISSING = "last_cycle_missing"
    TOO_SOON_AFTER_FIRST_LINE = "too_soon_after_first_line"
    TOO_LATE_AFTER_FIRST_LINE = "too_late_after_first_line"


@dataclass(frozen=True, slots=True)
class EligibilityFacts:
    """What screening found. ``None`` means not known, which never speaks for the subject.

    ``age`` in completed years at consent; ``mrd_level`` a fraction of leukocytes in peripheral
    blood; the markers are those of before first-line treatment.
    """

    age: int
    first_line_regimen: str
    first_line_cycles: int
    response: str
    mrd_level: Decimal | None
    ighv_unmutated: bool | None
    tp53_mutated: bool | None
    del17p: bool | None
    ecog: int | None
    anc_10e9_l: Decimal | None
    platelets_10e9_l: Decimal | None
    creatinine_clearance_ml_min: Decimal | None
    exclusions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RandomisationFacts:
    """What holds on the day of randomisation; ``eligible`` is ``None`` before any screening.

    ``form_due`` is the consent form to be signed first; ``judged_anew`` whether the version in
    force judges otherwise than the one the screening was judged by.
    """

    randomised_on: date
    last_cycle_on: date | None
    consent_active: bool
    eligible: bool | None
    already_randomised: bool = False
    form_due: str = ""
    judged_anew: bool = False


def completed_years(year_of_birth: int, on: date) -> int:
    """Return the years a person has certainly completed on a day, knowing the year of birth only.

    Until the last day of December the birthday of that year may still be to come.
    """
    birthday_passed = (on.month, on.day) == (12, 31)
    return on.year - year_of_birth - (0 if birthday_passed else 1)


def ineligible_reasons(facts: EligibilityFacts, policy: Eligibility) -> tuple[Reason, ...]:
    """Return every reason a subject cannot take part; empty means eligible.

    Limits are inclusive: a value at the limit is accepted, and an MRD at the high limit is high.
    High MRD needs no marker; between the minimum and the high limit at least one marker must
    be there. The days since first-line treatment are judged at randomisation.

    Raises ``ValueError`` if an exclusion is not the protocol's or the MRD is not a fraction.

    Source: ASH 2014, Blood 124(21):4699; limits and their standing in the protocol file.
    """
    return (
        *_history_reasons(facts, policy),
        *_risk_reasons(facts, policy),
        *_condition_reasons(facts, policy),
        *_exclusion_reasons(facts, policy),
    )


def randomisation_blocks(facts: RandomisationFacts, policy: Eligibility) -> tuple[Reason, ...]:
    """Return every reason a subject cannot be randomised on a day; empty means go ahead.

    Days since the last first-line cycle are the difference of two site-local calendar days;
    both ends of the protocol's range are allowed.
    """
    return (*_standing_blocks(facts), *_timing_blocks(facts, policy))


def _history_reasons(facts: EligibilityFacts, policy: Eligibility) -> Iterator[Reason]:
    if facts.age < policy.min_age.value:
        yield Reason(Ineligible.TOO_YOUNG, f"{facts.age} years, below {policy.min_age.value}")
    if facts.first_line_regimen not in policy.regimens:
        detail = f"first-line regimen {facts.first_line_regimen} is not accepted"
        yield Reason(Ineligible.REGIMEN_NOT_ACCEPTED, detail)
    if facts.first_line_cycles < policy.min_first_line_cycles.value:
        needed = policy.min_first_line_cycles.value
        detail = f"{facts.first_line_cycles} first-line cycles, {needed} needed"
        yield Reason(Ineligible.TOO_FEW_CYCLES, detail)
    if facts.response not in policy.accepted_responses:
        detail = f"response {facts.response}, at least a partial response needed"
        yield Reason(Ineligible.RESPONSE_TOO_LOW, detail)


def _risk_reasons(facts: EligibilityFacts, policy: Eligibility) -> Iterator[Reason]:
    mrd = facts.mrd_level
    if mrd is None:
        yield Reason(Ineligible.MRD_MISSING, "the MRD result is missing")
        return
    if not 0 <= mrd <= 1:
        raise ValueError(f"an MRD of {mrd} is not a fraction of leukocytes")
    if mrd < policy.mrd_minimum.value:
        detail = f"MRD {mrd}, below {policy.mrd_minimum.value}: low risk"
        yield Reason(Ineligible.MRD_LOW_RISK, detail)
    elif mrd < policy.mrd_high.value:
        yield from _marker_reasons(facts, policy)


def _marker_reasons(facts: EligibilityFacts, policy: Eligibility) -> Iterator[Reason]:
    found = {marker: getattr(facts, marker) for marker in policy.high_risk_markers}
    if any(found.values()):
        return
    if unknown := sorted(marker for marker, value in found.items() if value is None):
        detail = f"intermediate MRD needs a high-risk marker; not known: {', '.join(unknown)}"
        yield Reason(Ineligible.MARKERS_MISSING, detail)
    else:
        detail = "intermediate MRD, and none of the high-risk markers"
        yield Reason(Ineligible.NO_HIGH_RISK_MARKER, detail)


def _condition_reasons(facts: EligibilityFacts, policy: Eligibility) -> Iterator[Reason]:
    if facts.ecog is None:
        yield Reason(Ineligible.MEASUREMENT_MISSING, "ECOG is missing")
    elif facts.ecog > policy.max_ecog.value:
        detail = f"ECOG {facts.ecog}, above {policy.max_ecog.value}"
        yield Reason(Ineligible.ECOG_TOO_HIGH, detail)
    for name, value, limit, code in (
        ("neutrophils", facts.anc_10e9_l, policy.min_anc, Ineligible.ANC_TOO_LOW),
        (
            "platelets",
            facts.platelets_10e9_l,
            policy.min_platelets,
            Ineligible.PLATELETS_TOO_LOW,
        ),
        (
            "creatinine clearance",
            facts.creatinine_clearance_ml_min,
            policy.min_creatinine_clearance,
            Ineligible.CREATININE_CLEARANCE_TOO_LOW,
        ),
    ):
        if value is None:
            yield Reason(Ineligible.MEASUREMENT_MISSING, f"{name}: the result is missing")
        elif value < limit.value:
            yield Reason(code, f"{name} {value}, below {limit.value} {limit.unit}")


def _exclusion_reasons(facts: EligibilityFacts, policy: Eligibility) -> Iterator[Reason]:
    labels = {exclusion.code: exclusion.label for exclusion in policy.exclusions}
    for code in dict.fromkeys(facts.exclusions):
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
    if facts.eligible is None:
        yield Reason(RandomisationBlock.NOT_SCREENED, "the subject has not been screened")
    elif not facts.eligible:
        yield Reason(RandomisationBlock.NOT_ELIGIBLE, "the last screening found reasons against it")
    if facts.already_randomised:
        yield Reason(RandomisationBlock.ALREADY_RANDOMISED, "the subject is already randomised")


def _timing_blocks(facts: RandomisationFacts, policy: Eligibility) -> Iterator[Reason]:
    if facts.last_cycle_on is None:
        detail = "the day of the last first-line cycle is missing"
        yield Reason(RandomisationBlock.LAST_CYCLE_MISSING, detail)
        return
    days = (facts.randomised_on - facts.last_cycle_on).days
    allowed = policy.first_line_to_randomisation_days
    detail = f"{days} days after the last first-line cycle; {allowed.min} to {allowed.max} allowed"
    if days < allowed.min:
        yield Reason(RandomisationBlock.TOO_SOON_AFTER_FIRST_LINE, detail)
    elif days > allowed.max:
        yield Reason(RandomisationBlock.TOO_LATE_AFTER_FIRST_LINE, detail)
