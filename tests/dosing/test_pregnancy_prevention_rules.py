from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosing.rules.pregnancy_prevention import (
    Contraception,
    Counselling,
    GateFacts,
    PregnancyTest,
    RiskCategory,
    RiskFacts,
    TestResult,
    gate_blocks,
    next_test_due_on,
    risk_category,
    standing_category,
)
from trials.rules.protocol import load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())
POLICY = PROTOCOL.pregnancy_prevention
BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2014, 3, 10)
NOON = datetime(2014, 3, 10, 12, tzinfo=BERLIN)


def ago(**span) -> datetime:
    return NOON - timedelta(**span)


def negative(taken_at: datetime, sensitivity: str = "25") -> PregnancyTest:
    return PregnancyTest(taken_at, TestResult.NEGATIVE, Decimal(sensitivity))


def counselled(on: date = DAY, **changes) -> Counselling:
    usual = Counselling(on, "1.0", Contraception.EFFECTIVE_METHOD, on - timedelta(days=28))
    return replace(usual, **changes)


FIRST = GateFacts(
    zone=BERLIN,
    category=RiskCategory.FCBP,
    counsellings=(counselled(),),
    tests=(negative(ago(days=12)), negative(ago(hours=3))),
)
LATER = replace(
    FIRST,
    tests=(negative(ago(hours=3)),),
    supplied_on=(DAY - timedelta(days=84), DAY - timedelta(days=56), DAY - timedelta(days=28)),
)
MALE = GateFacts(
    zone=BERLIN,
    category=RiskCategory.MALE,
    counsellings=(Counselling(DAY, "1.0", Contraception.CONDOM),),
)
FNCBP = GateFacts(
    zone=BERLIN,
    category=RiskCategory.FNCBP,
    counsellings=(Counselling(DAY, "1.0", Contraception.NOT_APPLICABLE),),
)


def blocks(facts: GateFacts, *, prescribed_at=NOON, dispensed_on=DAY, policy=POLICY) -> list[str]:
    found = gate_blocks(facts, policy, prescribed_at=prescribed_at, dispensed_on=dispensed_on)
    return [reason.code for reason in found]


# --- Whom it concerns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assessed", "sex", "standing"),
    [
        (None, "female", None),
        (None, "male", None),
        ("MALE", "male", RiskCategory.MALE),
        ("MALE", "female", None),
        ("FCBP", "female", RiskCategory.FCBP),
        ("FNCBP", "female", RiskCategory.FNCBP),
        ("FCBP", "male", None),
        ("FNCBP", "male", None),
    ],
)
def test_a_category_stands_for_the_sex_it_was_assessed_for_alone(assessed, sex, standing):
    assert standing_category(assessed, sex) is standing


@pytest.mark.parametrize(
    ("facts", "category"),
    [
        pytest.param(RiskFacts("male"), "MALE", id="male"),
        pytest.param(RiskFacts("female"), "FCBP", id="nothing known"),
        pytest.param(RiskFacts(None), "FCBP", id="sex not known"),
        pytest.param(RiskFacts(None, True, 60, "letter"), "FCBP", id="only sex not known"),
        pytest.param(RiskFacts("female", True, None, "letter"), "FNCBP", id="sterile"),
        pytest.param(RiskFacts("female", True, None, ""), "FCBP", id="sterile, no document"),
        pytest.param(RiskFacts("female", True, None, "  "), "FCBP", id="sterile, blank document"),
        pytest.param(RiskFacts("female", False, 24, "letter"), "FNCBP", id="24 months"),
        pytest.param(RiskFacts("female", False, 23, "letter"), "FCBP", id="23 months"),
        pytest.param(RiskFacts("female", None, 24, "letter"), "FNCBP", id="surgery not known"),
    ],
)
def test_whatever_is_missing_counts_as_childbearing_potential(facts, category):
    assert risk_category(facts, POLICY) == category


# --- For everybody --------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [FIRST, LATER, MALE, FNCBP])
def test_the_gate_is_open_when_everything_is_done(facts):
    assert blocks(facts) == []


@pytest.mark.parametrize("facts", [FIRST, LATER, MALE, FNCBP])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"counsellings": ()}, "counselling_missing", id="never counselled"),
        pytest.param({"pregnancy_open": True}, "pregnancy_open", id="pregnancy"),
        pytest.param({"category": None}, "risk_category_missing", id="no category"),
    ],
)
def test_common_conditions_hold_for_every_category(facts, changes, code):
    assert code in blocks(replace(facts, **changes))


@pytest.mark.parametrize(
    ("days", "expected"), [(28, []), (29, ["counselling_expired"]), (-1, ["counselling_missing"])]
)
def test_counselling_lasts_28_days_and_lies_before_the_supply(days, expected):
    on = DAY - timedelta(days=days)

    assert blocks(replace(FIRST, counsellings=(counselled(on),))) == expected


def test_each_supply_needs_a_counselling_of_its_own():
    last_supply = LATER.supplied_on[-1]
    used = counselled(last_supply)
    fresh = counselled(last_supply + timedelta(days=1))

    assert blocks(replace(LATER, counsellings=(used,))) == ["counselling_missing"]
    assert blocks(replace(LATER, counsellings=(used, fresh))) == []


def test_the_last_counselling_decides_in_any_order():
    old = counselled(DAY - timedelta(days=2), acknowledgement_version="0.9")

    assert blocks(replace(FIRST, counsellings=(counselled(), old))) == []
    assert blocks(replace(FIRST, counsellings=(old,))) == ["acknowledgement_outdated"]


def test_a_missing_category_is_treated_as_childbearing_potential():
    assert blocks(replace(MALE, category=None)) == [
        "risk_category_missing",
        "contraception_insufficient",
        "first_pregnancy_test_missing",
        "second_pregnancy_test_missing",
    ]


def test_where_the_programme_is_not_required_the_gate_is_open():
    policy = POLICY.model_copy(update={"required": False})

    assert blocks(replace(MALE, counsellings=()), policy=policy) == []


# --- Contraception --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contraception", "since_days", "expected"),
    [
        (Contraception.EFFECTIVE_METHOD, 28, []),
        (Contraception.EFFECTIVE_METHOD, 27, ["contraception_too_short"]),
        (Contraception.EFFECTIVE_METHOD, None, ["contraception_too_short"]),
        (Contraception.ABSTINENCE, None, []),
        (Contraception.CONDOM, 400, ["contraception_insufficient"]),
        (Contraception.NOT_APPLICABLE, None, ["contraception_insufficient"]),
    ],
)
@pytest.mark.parametrize("facts", [FIRST, LATER])
def test_contraception_is_effective_for_28_days_or_abstinence_is_reviewed(
    facts, contraception, since_days, expected
):
    since = None if since_days is None else DAY - timedelta(days=since_days)
    counselling = counselled(contraception=contraception, contraception_since=since)

    assert blocks(replace(facts, counsellings=(counselling,))) == expected


@pytest.mark.parametrize(
    ("contraception", "expected"),
    [
        (Contraception.CONDOM, []),
        (Contraception.ABSTINENCE, []),
        (Contraception.EFFECTIVE_METHOD, ["condom_missing"]),
        (Contraception.NOT_APPLICABLE, ["condom_missing"]),
    ],
)
def test_men_agree_to_condoms_or_abstinence(contraception, expected):
    counselling = Counselling(DAY, "1.0", contraception)

    assert blocks(replace(MALE, counsellings=(counselling,))) == expected


# --- Pregnancy tests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (9, ["first_pregnancy_test_missing"]),
        (10, []),
        (14, []),
        (15, ["first_pregnancy_test_missing"]),
    ],
)
def test_the_first_test_lies_10_to_14_days_before_the_first_supply(days, expected):
    tests = (negative(ago(days=days)), negative(ago(hours=3)))

    assert blocks(replace(FIRST, tests=tests)) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ({"hours": 24}, []),
        ({"hours": 24, "seconds": 1}, ["second_pregnancy_test_missing"]),
        ({"hours": 0}, []),
        ({"seconds": -1}, ["second_pregnancy_test_missing"]),
    ],
)
def test_the_second_test_lies_in_the_24_hours_before_the_prescription(span, expected):
    tests = (negative(ago(days=12)), negative(ago(**span)))

    assert blocks(replace(FIRST, tests=tests)) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [({"hours": 24}, []), ({"hours": 24, "seconds": 1}, ["pregnancy_test_missing"])],
)
def test_each_later_prescription_needs_a_test_in_the_24_hours_before(span, expected):
    assert blocks(replace(LATER, tests=(negative(ago(**span)),))) == expected


def test_one_test_cannot_be_the_first_and_the_second():
    assert blocks(replace(FIRST, tests=FIRST.tests[:1])) == ["second_pregnancy_test_missing"]
    assert blocks(replace(FIRST, tests=FIRST.tests[1:])) == ["first_pregnancy_test_missing"]


@pytest.mark.parametrize(
    ("sensitivity", "expected"), [("25", []), ("25.1", ["pregnancy_test_missing"])]
)
def test_a_test_that_is_not_sensitive_enough_does_not_count(sensitivity, expected):
    tests = (negative(ago(hours=3), sensitivity),)

    assert blocks(replace(LATER, tests=tests)) == expected


@pytest.mark.parametrize("facts", [FIRST, LATER, MALE, FNCBP])
@pytest.mark.parametrize(
    ("result", "code"),
    [
        (TestResult.POSITIVE, "pregnancy_test_positive"),
        (TestResult.INDETERMINATE, "pregnancy_test_indeterminate"),
    ],
)
def test_a_positive_or_indeterminate_test_closes_the_gate_though_a_negative_follows(
    facts, result, code
):
    doubtful = PregnancyTest(ago(days=60), result, Decimal(50))

    assert blocks(replace(facts, tests=(doubtful, *facts.tests))) == [code]


def test_a_positive_test_after_the_prescription_closes_the_gate_too():
    late = PregnancyTest(NOON + timedelta(hours=1), TestResult.POSITIVE, Decimal(25))

    assert blocks(replace(LATER, tests=(*LATER.tests, late))) == ["pregnancy_test_positive"]


def test_only_a_documented_exclusion_after_the_test_opens_the_gate_again():
    doubtful = PregnancyTest(ago(days=30), TestResult.INDETERMINATE, Decimal(25))
    facts = replace(LATER, tests=(doubtful, *LATER.tests))

    assert blocks(replace(facts, pregnancy_excluded_at=ago(days=30))) == []
    assert blocks(replace(facts, pregnancy_excluded_at=ago(days=30, seconds=1))) == [
        "pregnancy_test_indeterminate"
    ]


@pytest.mark.parametrize(
    ("since_first", "test_age", "irregular", "due_in"),
    [
        pytest.param(3, 0, False, 7, id="first week"),
        pytest.param(27, 0, False, 7, id="last weekly day"),
        pytest.param(28, 0, False, 28, id="then every four weeks"),
        pytest.param(27, 0, True, 7, id="irregular, first month"),
        pytest.param(28, 0, True, 14, id="irregular, then every two weeks"),
    ],
)
def test_tests_are_weekly_for_28_days_and_then_less_often(since_first, test_age, irregular, due_in):
    taken_on = DAY + timedelta(days=since_first)

    due = next_test_due_on(taken_on, DAY, POLICY, irregular=irregular)

    assert due == taken_on + timedelta(days=due_in)


@pytest.mark.parametrize(("days", "expected"), [(7, []), (8, ["pregnancy_test_overdue"])])
def test_a_weekly_test_that_is_overdue_closes_the_gate(days, expected):
    # The prescription follows its test at once; the supply comes days later.
    prescribed = ago(days=days)
    facts = replace(
        FIRST,
        tests=(negative(prescribed),),
        supplied_on=(DAY - timedelta(days=28),),
    )

    assert blocks(facts, prescribed_at=prescribed) == expected


def test_a_subject_supplied_before_and_never_tested_has_no_test():
    assert blocks(replace(LATER, tests=())) == ["pregnancy_test_missing"]


# --- Clocks ---------------------------------------------------------------------------------------


def test_24_hours_are_elapsed_hours_when_the_clock_goes_forward():
    # 2014-03-30: Berlin jumps from 02:00 to 03:00, so noon to noon is 23 hours.
    prescribed = datetime(2014, 3, 30, 12, tzinfo=BERLIN)
    day = prescribed.date()
    facts = replace(LATER, counsellings=(counselled(day),))
    within = negative(datetime(2014, 3, 29, 11, tzinfo=BERLIN))
    beyond = negative(datetime(2014, 3, 29, 10, 59, tzinfo=BERLIN))

    assert blocks(replace(facts, tests=(within,)), prescribed_at=prescribed, dispensed_on=day) == []
    assert blocks(replace(facts, tests=(beyond,)), prescribed_at=prescribed, dispensed_on=day) == [
        "pregnancy_test_missing"
    ]


def test_24_hours_are_elapsed_hours_when_the_clock_goes_back():
    # 2014-10-26: Berlin goes from 03:00 back to 02:00, so noon to noon is 25 hours.
    prescribed = datetime(2014, 10, 26, 12, tzinfo=BERLIN)
    day = prescribed.date()
    facts = replace(
        LATER, counsellings=(counselled(day),), tests=(negative(prescribed - timedelta(days=1)),)
    )

    assert blocks(facts, prescribed_at=prescribed, dispensed_on=day) == ["pregnancy_test_missing"]


def test_days_are_the_sites_days_and_not_those_of_the_server():
    # 23:30 UTC on the 27th is the 28th in Berlin: 10 days before, and 11 in London.
    taken = negative(datetime(2014, 2, 27, 23, 30, tzinfo=UTC))
    facts = replace(FIRST, tests=(taken, negative(ago(hours=3))))

    assert blocks(facts) == []
    ninth = replace(
        facts, tests=(negative(datetime(2014, 2, 28, 23, 30, tzinfo=UTC)), *facts.tests[1:])
    )
    assert blocks(ninth) == ["first_pregnancy_test_missing"]
    assert blocks(replace(ninth, zone=ZoneInfo("Europe/London"))) == []


def test_an_instant_without_offset_is_an_error():
    naive = NOON.replace(tzinfo=None)

    with pytest.raises(ValueError, match="no offset"):
        blocks(FIRST, prescribed_at=naive)
    with pytest.raises(ValueError, match="no offset"):
        blocks(replace(FIRST, tests=(negative(naive),)))


def test_all_reasons_are_given_at_once():
    doubtful = PregnancyTest(ago(days=3), TestResult.POSITIVE, Decimal(25))
    facts = GateFacts(zone=BERLIN, category=None, tests=(doubtful,), pregnancy_open=True)

    assert blocks(facts) == [
        "risk_category_missing",
        "pregnancy_open",
        "pregnancy_test_positive",
        "counselling_missing",
        "first_pregnancy_test_missing",
        "second_pregnancy_test_missing",
    ]


@given(
    st.datetimes(ago(days=800).replace(tzinfo=None), ago(days=-800).replace(tzinfo=None)),
    st.sampled_from(["Europe/Berlin", "Europe/Madrid", "UTC", "America/New_York"]),
    st.integers(0, 20 * 24 * 60),
    st.integers(0, 3 * 24 * 60),
)
def test_the_first_supply_opens_exactly_in_both_windows(wall, zone, first_ago, second_ago):
    site = ZoneInfo(zone)
    prescribed = wall.replace(tzinfo=UTC)
    day = prescribed.astimezone(site).date()
    first = prescribed - timedelta(minutes=first_ago)
    second = prescribed - timedelta(minutes=second_ago)
    facts = replace(
        FIRST,
        zone=site,
        counsellings=(counselled(day),),
        tests=(negative(first), negative(second)),
    )

    found = blocks(facts, prescribed_at=prescribed, dispensed_on=day)

    ages = [(day - taken.astimezone(site).date()).days for taken in (first, second)]
    assert ("first_pregnancy_test_missing" in found) == (not any(10 <= age <= 14 for age in ages))
    latest = min(first_ago, second_ago)
    assert ("second_pregnancy_test_missing" in found) == (latest > 24 * 60)
