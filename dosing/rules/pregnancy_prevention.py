"""Pregnancy prevention: whom it concerns, and whether it lets study drug be handed over.

The programme is the same in both arms; anything else would give the blind away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum

from events.outcomes import Reason
from trials.rules.protocol import PregnancyPrevention


class RiskCategory(StrEnum):
    """FCBP: female of childbearing potential. FNCBP: female, not of childbearing potential."""

    FCBP = "FCBP"
    FNCBP = "FNCBP"
    MALE = "MALE"


class TestResult(StrEnum):
    NEGATIVE = "negative"
    POSITIVE = "positive"
    INDETERMINATE = "indeterminate"

    __test__ = False  # a clinical test, not one of pytest's


class Contraception(StrEnum):
    EFFECTIVE_METHOD = "effective_method"
    ABSTINENCE = "abstinence"
    CONDOM = "condom"
    NOT_APPLICABLE = "not_applicable"


class GateBlock(StrEnum):
    """Why the gate is closed. Values are stable: the API and the audit trail show them."""

    RISK_CATEGORY_MISSING = "risk_category_missing"
    PREGNANCY_OPEN = "pregnancy_open"
    TEST_POSITIVE = "pregnancy_test_positive"
    TEST_INDETERMINATE = "pregnancy_test_indeterminate"
    COUNSELLING_MISSING = "counselling_missing"
    COUNSELLING_EXPIRED = "counselling_expired"
    ACKNOWLEDGEMENT_OUTDATED = "acknowledgement_outdated"
    CONTRACEPTION_INSUFFICIENT = "contraception_insufficient"
    CONTRACEPTION_TOO_SHORT = "contraception_too_short"
    CONDOM_MISSING = "condom_missing"
    FIRST_TEST_MISSING = "first_pregnancy_test_missing"
    SECOND_TEST_MISSING = "second_pregnancy_test_missing"
    TEST_MISSING = "pregnancy_test_missing"
    TEST_OVERDUE = "pregnancy_test_overdue"


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """``None`` means not known; ``evidence`` names the document that a statement rests on."""

    sex: str | None
    surgically_sterile: bool | None = None
    natural_menopause_months: int | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class PregnancyTest:
    """``taken_at`` is when the sample was taken, with its offset."""

    taken_at: datetime
    result: TestResult
    sensitivity_miu_ml: Decimal


@dataclass(frozen=True, slots=True)
class Counselling:
    counselled_on: date
    acknowledgement_version: str
    contraception: Contraception
    contraception_since: date | None = None


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What is known of one subject when study drug is asked for.

    ``zone`` is the site's time zone: it turns instants into calendar days.
    ``supplied_on`` are the days of earlier supplies. ``pregnancy_excluded_at`` is when a
    physician documented that earlier positive or indeterminate tests meant no pregnancy.
    """

    zone: tzinfo
    category: RiskCategory | None
    counsellings: tuple[Counselling, ...] = ()
    tests: tuple[PregnancyTest, ...] = ()
    supplied_on: tuple[date, ...] = ()
    pregnancy_open: bool = False
    pregnancy_excluded_at: datetime | None = None
    irregular_cycles: bool = False


def risk_category(facts: RiskFacts, policy: PregnancyPrevention) -> RiskCategory:
    """Return the category the programme puts a subject in.

    A woman is of childbearing potential unless a document shows that she is surgically sterile
    or has been in natural menopause for ``menopause_months`` in a row, that many included.
    Whatever is missing counts as childbearing potential, an unknown sex too.

    Source: the protocol file, ``pregnancy_prevention``, where each limit has its own.
    """
    if facts.sex == "male":
        return RiskCategory.MALE
    months = facts.natural_menopause_months
    in_menopause = months is not None and months >= policy.menopause_months.value
    if (
        facts.sex == "female"
        and facts.evidence.strip()
        and (facts.surgically_sterile or in_menopause)
    ):
        return RiskCategory.FNCBP
    return RiskCategory.FCBP


def standing_category(assessed: str | None, sex: str) -> RiskCategory | None:
    """Return the last assessed category, or nothing if it was assessed for another sex.

    A subject whose sex was corrected has none until the risk is assessed again: the gate takes
    that for childbearing potential, and is shut.
    """
    category = RiskCategory(assessed) if assessed else None
    return category if (category is RiskCategory.MALE) == (sex == "male") else None


def gate_blocks(
    facts: GateFacts, policy: PregnancyPrevention, *, prescribed_at: datetime, dispensed_on: date
) -> tuple[Reason, ...]:
    """Return every reason pregnancy prevention keeps the drug back; empty means it may go.

    Days are site-local calendar days, hours are elapsed hours from the sample to the
    prescription; both ends count. A missing category is treated as childbearing potential. An
    indeterminate test closes the gate as a positive one does, for every category, and a later
    negative does not open it: a documented exclusion of pregnancy after it does.

    Raises ``ValueError`` if an instant has no offset.

    Source: SmPC 4.4 and the REMS, the stricter of the two; limits in the protocol file.
    """
    if not policy.required:
        return ()
    prescribed = _elapsed(prescribed_at)
    category = facts.category or RiskCategory.FCBP
    blocks = [*_pregnancy_blocks(facts), *_counselling_blocks(facts, policy, dispensed_on)]
    if category is RiskCategory.FCBP:
        blocks.extend(_contraception_blocks(facts, policy, dispensed_on))
        blocks.extend(_test_blocks(facts, policy, prescribed, dispensed_on))
    if category is RiskCategory.MALE:
        blocks.extend(_condom_blocks(facts, dispensed_on))
    return tuple(blocks)


def next_test_due_on(
    last_test_on: date, first_supplied_on: date, policy: PregnancyPrevention, *, irregular: bool
) -> date:
    """Return the last day on which the next pregnancy test is in time.

    Weekly after a test within the first ``weekly_test_days`` from the first supply, the day of
    that supply being day 0; then at the later interval, or the shorter one for irregular cycles.
    """
    if (last_test_on - first_supplied_on).days < policy.weekly_test_days.value:
        interval = policy.weekly_test_interval_days
    elif irregular:
        interval = policy.irregular_test_interval_days
    else:
        interval = policy.later_test_interval_days
    return last_test_on + timedelta(days=interval.value)


def _elapsed(instant: datetime) -> datetime:
    """Return the instant in UTC: local clocks jump, and hours must be counted through the jump."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no offset")
    return instant.astimezone(UTC)


def _pregnancy_blocks(facts: GateFacts) -> Iterator[Reason]:
    if facts.category is None:
        detail = "no risk category is recorded for this sex; treated as of childbearing potential"
        yield Reason(GateBlock.RISK_CATEGORY_MISSING, detail)
    if facts.pregnancy_open:
        yield Reason(GateBlock.PREGNANCY_OPEN, "a pregnancy is being followed")
    excluded = facts.pregnancy_excluded_at and _elapsed(facts.pregnancy_excluded_at)
    results = {
        test.result for test in facts.tests if not excluded or _elapsed(test.taken_at) > excluded
    }
    if TestResult.POSITIVE in results:
        detail = "a positive pregnancy test has not been resolved"
        yield Reason(GateBlock.TEST_POSITIVE, detail)
    if TestResult.INDETERMINATE in results:
        detail = "an indeterminate pregnancy test has not been resolved; it counts as positive"
        yield Reason(GateBlock.TEST_INDETERMINATE, detail)


def _last_counselling(facts: GateFacts, on: date) -> Counselling | None:
    """Return the last counselling up to a day that no earlier supply was handed over after."""
    last_supply = max((day for day in facts.supplied_on if day <= on), default=date.min)
    fresh = [c for c in facts.counsellings if last_supply < c.counselled_on <= on]
    return max(fresh, key=lambda c: c.counselled_on, default=None)


def _counselling_blocks(
    facts: GateFacts, policy: PregnancyPrevention, on: date
) -> Iterator[Reason]:
    counselling = _last_counselling(facts, on)
    if counselling is None:
        detail = "no counselling since the last supply, or none at all"
        yield Reason(GateBlock.COUNSELLING_MISSING, detail)
        return
    age, limit = (on - counselling.counselled_on).days, policy.counselling_interval_days.value
    if age > limit:
        detail = f"counselled {age} days before; at most {limit}"
        yield Reason(GateBlock.COUNSELLING_EXPIRED, detail)
    if counselling.acknowledgement_version != policy.acknowledgement_version:
        detail = (
            f"acknowledgement {counselling.acknowledgement_version} was signed; "
            f"{policy.acknowledgement_version} is in force"
        )
        yield Reason(GateBlock.ACKNOWLEDGEMENT_OUTDATED, detail)


def _contraception_blocks(
    facts: GateFacts, policy: PregnancyPrevention, on: date
) -> Iterator[Reason]:
    counselling = _last_counselling(facts, on)
    if counselling is None or counselling.contraception is Contraception.ABSTINENCE:
        return  # a missing counselling is named already; abstinence is reviewed by counselling
    since, lead = counselling.contraception_since, policy.contraception_lead_days.value
    if counselling.contraception is not Contraception.EFFECTIVE_METHOD:
        detail = "neither an effective method of contraception nor abstinence is recorded"
        yield Reason(GateBlock.CONTRACEPTION_INSUFFICIENT, detail)
    elif since is None:
        detail = "it is not recorded since when contraception has been effective"
        yield Reason(GateBlock.CONTRACEPTION_TOO_SHORT, detail)
    elif (on - since).days < lead:
        detail = f"effective contraception for {(on - since).days} days; {lead} needed"
        yield Reason(GateBlock.CONTRACEPTION_TOO_SHORT, detail)


def _condom_blocks(facts: GateFacts, on: date) -> Iterator[Reason]:
    counselling = _last_counselling(facts, on)
    agreed = (Contraception.CONDOM, Contraception.ABSTINENCE)
    if counselling is not None and counselling.contraception not in agreed:
        detail = "neither condoms nor abstinence is agreed, which vasectomy does not replace"
        yield Reason(GateBlock.CONDOM_MISSING, detail)


def _test_blocks(
    facts: GateFacts, policy: PregnancyPrevention, prescribed: datetime, on: date
) -> Iterator[Reason]:
    limit = policy.test_sensitivity_miu_ml.value
    negatives = [
        _elapsed(test.taken_at)
        for test in facts.tests
        if test.result is TestResult.NEGATIVE
        and test.sensitivity_miu_ml <= limit
        and _elapsed(test.taken_at) <= prescribed
    ]
    if any(day <= on for day in facts.supplied_on):
        yield from _later_test_blocks(facts, policy, negatives, prescribed, on)
    else:
        yield from _first_test_blocks(facts, policy, negatives, prescribed, on)


def _first_test_blocks(
    facts: GateFacts,
    policy: PregnancyPrevention,
    negatives: list[datetime],
    prescribed: datetime,
    on: date,
) -> Iterator[Reason]:
    window, hours = policy.first_test_days, policy.second_test_hours.value
    ages = [(on - taken.astimezone(facts.zone).date()).days for taken in negatives]
    if not any(window.min <= age <= window.max for age in ages):
        detail = f"no negative test {window.min} to {window.max} days before the first supply"
        yield Reason(GateBlock.FIRST_TEST_MISSING, detail)
    if not any(prescribed - taken <= timedelta(hours=hours) for taken in negatives):
        detail = f"no negative test in the {hours} hours before the prescription"
        yield Reason(GateBlock.SECOND_TEST_MISSING, detail)


def _later_test_blocks(
    facts: GateFacts,
    policy: PregnancyPrevention,
    negatives: list[datetime],
    prescribed: datetime,
    on: date,
) -> Iterator[Reason]:
    hours = policy.later_test_hours.value
    if not any(prescribed - taken <= timedelta(hours=hours) for taken in negatives):
        detail = f"no negative test in the {hours} hours before the prescription"
        yield Reason(GateBlock.TEST_MISSING, detail)
    if not negatives:
        return
    last = max(negatives).astimezone(facts.zone).date()
    due = next_test_due_on(last, min(facts.supplied_on), policy, irregular=facts.irregular_cycles)
    if on > due:
        yield Reason(GateBlock.TEST_OVERDUE, f"a pregnancy test was due by {due}")
