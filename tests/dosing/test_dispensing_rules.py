from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosing.rules.dispensing import (
    Decision,
    DispensingFacts,
    LabResult,
    Request,
    Supply,
    dispense_blocks,
    labs_in_window,
    runs_out_on,
)
from dosing.rules.pregnancy_prevention import Contraception, Counselling, GateFacts, RiskCategory
from trials.rules.protocol import load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())
DOSING, PREVENTION = PROTOCOL.dosing, PROTOCOL.pregnancy_prevention
BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2014, 3, 10)


def before(days: int) -> date:
    return DAY - timedelta(days=days)


def labs(taken_on: date = DAY, anc="2.0", platelets="150", clearance="90") -> tuple[LabResult, ...]:
    return (
        LabResult("anc", taken_on, Decimal(anc)),
        LabResult("platelets", taken_on, Decimal(platelets)),
        LabResult("creatinine_clearance", taken_on, Decimal(clearance)),
    )


GATE = GateFacts(
    zone=BERLIN,
    category=RiskCategory.MALE,
    counsellings=(Counselling(DAY, "1.0", Contraception.CONDOM),),
)
FIRST = DispensingFacts(
    gate=GATE,
    consent_active=True,
    randomised=True,
    treatment_ended=False,
    progressed=False,
    decisions=(Decision(1, DAY, Decimal(5)),),
    labs=labs(),
)
SECOND = replace(
    FIRST,
    gate=replace(GATE, supplied_on=(before(28),)),
    decisions=(Decision(1, before(28), Decimal(5)), Decision(2, DAY, Decimal(10))),
    supplies=(Supply(1, before(28), 28),),
)


def blocks(facts=FIRST, *, cycle=1, days=28, prescribed_on=DAY, dispensed_on=DAY) -> list[str]:
    prescribed_at = datetime(*prescribed_on.timetuple()[:3], 9, tzinfo=BERLIN)
    request = Request(cycle, days, prescribed_at, dispensed_on)
    return [reason.code for reason in dispense_blocks(facts, request, DOSING, PREVENTION)]


def test_drug_is_handed_over_when_nothing_stands_against_it():
    assert blocks(FIRST) == []
    assert blocks(SECOND, cycle=2) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"consent_active": False}, ["consent_missing"]),
        ({"randomised": False}, ["not_randomised"]),
        ({"treatment_ended": True}, ["treatment_ended"]),
        ({"progressed": True}, ["progressed"]),
        ({"decisions": ()}, ["dose_decision_missing"]),
        ({"decisions": (Decision(2, DAY, Decimal(5)),)}, ["dose_decision_missing"]),
        ({"decisions": (Decision(1, DAY, Decimal(0)),)}, ["dose_held"]),
        ({"labs": ()}, ["lab_missing"] * 3),
        ({"gate": replace(GATE, counsellings=())}, ["counselling_missing"]),
    ],
)
def test_each_missing_condition_is_a_reason(changes, expected):
    assert blocks(replace(FIRST, **changes)) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0, []),
        (7, []),
        (8, ["dose_decision_out_of_window"]),
        (-1, ["dose_decision_out_of_window"]),
    ],
)
def test_the_dose_decision_is_at_most_a_week_old(age, expected):
    facts = replace(FIRST, decisions=(Decision(1, before(age), Decimal(5)),))

    assert blocks(facts) == expected


@pytest.mark.parametrize(("age", "missing"), [(0, 0), (7, 0), (8, 3), (-1, 3)])
def test_laboratory_results_are_at_most_a_week_old(age, missing):
    assert blocks(replace(FIRST, labs=labs(before(age)))) == ["lab_missing"] * missing


def test_the_latest_result_in_the_window_counts():
    better, worse = labs(before(3)), labs(before(1), anc="0.9")

    assert blocks(replace(FIRST, labs=(*worse, *better))) == ["anc_too_low"]
    assert labs_in_window((*worse, *better), before(2), DOSING).anc_10e9_l == Decimal("2.0")


@pytest.mark.parametrize(("days", "expected"), [(28, []), (29, ["supply_too_long"])])
def test_a_supply_lasts_28_days_at_most(days, expected):
    assert blocks(days=days) == expected


def test_a_supply_of_no_days_is_an_error():
    with pytest.raises(ValueError, match="at least one day"):
        blocks(days=0)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (7, []),
        (8, ["prescription_expired"]),
        (-1, ["prescription_after_supply"]),
    ],
)
def test_a_prescription_is_valid_for_seven_days(age, expected):
    assert blocks(prescribed_on=before(age)) == expected


def test_the_prescription_is_of_the_sites_day():
    late = datetime(2014, 3, 2, 23, 30, tzinfo=ZoneInfo("UTC"))  # the 3rd in Berlin
    request = Request(1, 28, late, DAY)

    assert dispense_blocks(FIRST, request, DOSING, PREVENTION) == ()


def test_an_instant_without_offset_is_an_error():
    request = Request(1, 28, datetime(2014, 3, 10, 9, tzinfo=BERLIN).replace(tzinfo=None), DAY)

    with pytest.raises(ValueError, match="no offset"):
        dispense_blocks(FIRST, request, DOSING, PREVENTION)


@pytest.mark.parametrize(
    ("cycle", "facts", "expected"),
    [
        pytest.param(0, FIRST, True, id="no cycle 0"),
        pytest.param(1, FIRST, False, id="first"),
        pytest.param(2, FIRST, True, id="first left out"),
        pytest.param(1, SECOND, False, id="again in the same cycle"),
        pytest.param(2, SECOND, False, id="next"),
        pytest.param(3, SECOND, True, id="one left out"),
    ],
)
def test_cycles_follow_one_another(cycle, facts, expected):
    assert ("cycle_out_of_order" in blocks(facts, cycle=cycle)) is expected


def test_a_held_cycle_is_passed_over_and_a_forgotten_one_is_not():
    held = Decision(2, before(28), Decimal(0))
    given_again = Decision(3, DAY, Decimal(5))
    facts = replace(
        SECOND,
        supplies=(Supply(1, before(56), 28),),
        gate=replace(GATE, supplied_on=(before(56),)),
        decisions=(held, given_again),
    )

    assert blocks(facts, cycle=3) == []
    assert blocks(replace(facts, decisions=(given_again,)), cycle=3) == ["cycle_out_of_order"]
    assert "cycle_out_of_order" in blocks(facts, cycle=4)


def test_one_cycle_is_supplied_once_and_not_in_parts():
    half = replace(
        SECOND,
        supplies=(Supply(1, before(14), 14),),
        gate=replace(GATE, supplied_on=(before(14),)),
        decisions=(Decision(1, before(1), Decimal(5)),),
    )

    assert blocks(half, cycle=1, days=14) == ["cycle_supplied"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        pytest.param(20, ["supply_too_early"], id="8 days left"),
        pytest.param(21, [], id="7 days left"),
        pytest.param(56, [], id="28 days without"),
        pytest.param(57, ["interruption_too_long"], id="29 days without"),
    ],
)
def test_a_supply_is_neither_too_early_nor_after_too_long_a_gap(since, expected):
    facts = replace(SECOND, supplies=(Supply(1, before(since), 28),))

    assert blocks(facts, cycle=2) == expected


def test_what_was_left_over_adds_up():
    early = (Supply(1, before(42), 28), Supply(2, before(21), 28))
    facts = replace(
        SECOND,
        supplies=early,
        gate=replace(GATE, supplied_on=(before(42), before(21))),
        decisions=(Decision(3, DAY, Decimal(10)),),
    )

    assert runs_out_on(early) == DAY + timedelta(days=14)
    assert blocks(facts, cycle=3) == ["supply_too_early"]


def test_nothing_handed_over_has_no_end():
    assert runs_out_on(()) is None


def test_all_reasons_are_given_at_once():
    facts = DispensingFacts(
        gate=replace(GATE, category=None, counsellings=()),
        consent_active=False,
        randomised=False,
        treatment_ended=True,
        progressed=True,
        supplies=(Supply(1, before(5), 28),),
    )

    assert blocks(facts, cycle=3, days=60, prescribed_on=before(30)) == [
        "consent_missing",
        "not_randomised",
        "treatment_ended",
        "progressed",
        "dose_decision_missing",
        "lab_missing",
        "lab_missing",
        "lab_missing",
        "cycle_out_of_order",
        "supply_too_long",
        "supply_too_early",
        "prescription_expired",
        "risk_category_missing",
        "counselling_missing",
        "first_pregnancy_test_missing",
        "second_pregnancy_test_missing",
    ]


supplies = st.lists(
    st.builds(Supply, st.integers(1, 9), st.dates(date(2012, 1, 1), date(2016, 12, 31)),
              st.integers(1, 28)),
    min_size=1, max_size=6,
)  # fmt: skip


@given(supplies)
def test_drug_never_runs_out_before_the_last_supply_is_used_nor_is_any_lost(given_supplies):
    empty_on = runs_out_on(given_supplies)

    last = max(supply.dispensed_on + timedelta(days=supply.days) for supply in given_supplies)
    first = min(supply.dispensed_on for supply in given_supplies)
    assert empty_on >= last
    assert empty_on >= first + timedelta(days=sum(supply.days for supply in given_supplies))
    assert empty_on == runs_out_on(given_supplies[::-1])
