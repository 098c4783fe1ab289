from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosing.rules.escalation import (
    DayOneLabs,
    GivenCycle,
    dose_blocks,
    planned_dose,
    proposed_dose,
    start_blocks,
)
from trials.rules.protocol import load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())
POLICY = PROTOCOL.dosing
GOOD = DayOneLabs(Decimal("2.0"), Decimal(150), Decimal(90))
WITH_REVIEW = POLICY.model_copy(
    update={
        "re_escalation_above_failed_level": (
            POLICY.re_escalation_above_failed_level.model_copy(update={"value": True})
        )
    }
)


def given_cycles(*doses: str, failed: tuple[int, ...] = (), open_cycles: tuple[int, ...] = ()):
    return tuple(
        GivenCycle(n, Decimal(dose), completed=n not in open_cycles, failed=n in failed)
        for n, dose in enumerate(doses, start=1)
    )


def proposal(cycle, history=(), labs=GOOD, policy=POLICY, **known):
    found = proposed_dose(cycle, history, labs, policy, **known)
    return found.dose_mg, [reason.code for reason in found.because]


def blocks(cycle, dose, history=(), labs=GOOD, reason="judgement", policy=POLICY, **known):
    found = dose_blocks(cycle, Decimal(dose), reason, history, labs, policy, **known)
    return [block.code for block in found]


# --- The plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cycle", "without_mrd", "mrd_positive"),
    [(1, 5, 5), (2, 10, 10), (6, 10, 10), (7, 15, 15), (12, 15, 15), (13, 15, 20), (18, 15, 20),
     (19, 15, 25), (60, 15, 25)],
)  # fmt: skip
def test_the_plan_gives_each_cycle_its_dose(cycle, without_mrd, mrd_positive):
    assert planned_dose(cycle, POLICY) == without_mrd
    assert planned_dose(cycle, POLICY, met=()) == without_mrd
    assert planned_dose(cycle, POLICY, met={"mrd_positive"}) == mrd_positive


def test_a_cycle_beyond_a_plan_that_ends_is_an_error():
    ends = POLICY.model_copy(update={"planned": POLICY.planned[:1]})

    assert planned_dose(1, ends) == 5
    with pytest.raises(ValueError, match="no cycle 2"):
        planned_dose(2, ends)


def test_cycles_are_counted_from_one():
    with pytest.raises(ValueError, match="no cycle 0"):
        planned_dose(0, POLICY)


def test_a_plan_of_conditions_alone_is_an_error():
    conditional = POLICY.planned[-1].model_copy(update={"from_cycle": 1})
    policy = POLICY.model_copy(update={"planned": (conditional,)})

    with pytest.raises(ValueError, match="without a condition"):
        planned_dose(1, policy)


# --- The proposal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cycle", "history", "dose", "because"),
    [
        pytest.param(1, (), 5, [], id="first cycle"),
        pytest.param(2, given_cycles("5"), 10, [], id="as planned"),
        pytest.param(2, (), 5, ["dose_above_start"], id="late first cycle"),
        pytest.param(
            2, given_cycles("5", open_cycles=(1,)), 5, ["cycle_not_completed"], id="not completed"
        ),
        pytest.param(
            7,
            given_cycles("5", "5"),
            10,
            ["step_too_large"],
            id="one level at a time",
        ),
        pytest.param(
            3, given_cycles("5", "10", failed=(2,)), 5, ["level_failed"], id="below what failed"
        ),
        pytest.param(
            4, given_cycles("5", "10", "5", failed=(2,)), 5, ["level_failed"], id="and stays there"
        ),
        pytest.param(
            3,
            given_cycles("2.5", "2.5", failed=(2,)),
            0,
            ["step_too_large", "level_failed", "no_level_left"],
            id="nothing left",
        ),
    ],
)
def test_the_proposal_is_the_highest_dose_that_breaks_no_rule(cycle, history, dose, because):
    found, codes = proposal(cycle, history)

    assert found == dose
    assert set(because) <= set(codes)
    assert bool(because) == bool(codes)


def test_the_proposal_follows_mrd_and_its_loss():
    history = given_cycles("5", *["10"] * 5, *["15"] * 6)
    later = given_cycles("5", *["10"] * 5, *["15"] * 6, *["20"] * 6)

    assert proposal(13, history, met={"mrd_positive"})[0] == 20
    assert proposal(13, history, met={"something_else"})[0] == 15
    assert proposal(19, later, met=())[0] == 15


def test_a_held_cycle_does_not_count_as_a_dose():
    held = given_cycles("5", "0")

    assert proposal(3, held) == (10, [])


@pytest.mark.parametrize(("clearance", "dose"), [("60", 10), ("59.9", 5), ("30", 5), ("29.9", 0)])
def test_poor_renal_function_halves_the_plan_and_then_holds(clearance, dose):
    labs = replace(GOOD, creatinine_clearance_ml_min=Decimal(clearance))

    assert proposal(2, given_cycles("5"), labs)[0] == dose


def test_half_of_a_dose_is_rounded_down_to_the_ladder():
    labs = replace(GOOD, creatinine_clearance_ml_min=Decimal(45))
    history = given_cycles("5", *["10"] * 5)

    assert proposal(7, history, labs) == (5, ["renal_limit"])


# --- The decision ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "enough", "too_low", "code"),
    [
        ("anc_10e9_l", "1.0", "0.99", "anc_too_low"),
        ("platelets_10e9_l", "50", "49.9", "platelets_too_low"),
        ("creatinine_clearance_ml_min", "30", "29.9", "creatinine_clearance_too_low"),
    ],
)
def test_a_cycle_starts_at_the_limit_and_not_below_it(field, enough, too_low, code):
    assert start_blocks(replace(GOOD, **{field: Decimal(enough)}), POLICY) == ()
    low = replace(GOOD, **{field: Decimal(too_low)})
    missing = replace(GOOD, **{field: None})

    assert code in blocks(2, "2.5", given_cycles("5"), low)
    assert blocks(2, "2.5", given_cycles("5"), missing) == ["lab_missing"]
    assert proposal(2, given_cycles("5"), low) == (0, [code])


@pytest.mark.parametrize(
    ("cycle", "dose", "history", "expected"),
    [
        pytest.param(1, "5", (), [], id="start"),
        pytest.param(1, "2.5", (), [], id="start lower"),
        pytest.param(2, "10", (), ["dose_above_start"], id="start too high"),
        pytest.param(
            1,
            "7.5",
            (),
            ["dose_not_on_ladder", "dose_above_plan", "dose_above_start"],
            id="not on the ladder",
        ),
        pytest.param(2, "10", given_cycles("5"), [], id="one level up"),
        pytest.param(3, "15", given_cycles("5", "10"), ["dose_above_plan"], id="above the plan"),
        pytest.param(7, "15", given_cycles("5"), ["step_too_large"], id="two levels up"),
        pytest.param(
            2,
            "10",
            given_cycles("5", open_cycles=(1,)),
            ["cycle_not_completed"],
            id="cycle not completed",
        ),
        pytest.param(
            3, "5", given_cycles("5", "10", open_cycles=(2,)), [], id="down, not completed"
        ),
        pytest.param(8, "2.5", given_cycles("5", "10", "15", open_cycles=(3,)), [], id="far down"),
        pytest.param(
            4,
            "10",
            given_cycles("5", "10", "5", failed=(2,)),
            ["level_failed"],
            id="up to what failed",
        ),
        pytest.param(
            3, "10", given_cycles("5", "10", failed=(2,)), [], id="same level, with reason"
        ),
        pytest.param(
            4, "5", given_cycles("5", "10", "2.5", failed=(2,)), [], id="up below what failed"
        ),
    ],
)
def test_up_is_one_level_after_a_full_cycle_and_down_is_always_allowed(
    cycle, dose, history, expected
):
    assert blocks(cycle, dose, history) == expected


def test_with_review_a_protocol_may_allow_a_level_again():
    history = given_cycles("5", "10", "5", failed=(2,))

    assert blocks(4, "10", history) == ["level_failed"]
    assert blocks(4, "10", history, policy=WITH_REVIEW) == []


def test_the_order_of_the_history_does_not_matter():
    history = given_cycles("5", "10", "5")

    assert blocks(4, "15", history) == blocks(4, "15", history[::-1])


def test_a_protocol_may_ask_for_more_than_one_full_cycle():
    two = POLICY.full_cycles_before_escalation.model_copy(update={"value": 2})
    policy = POLICY.model_copy(update={"full_cycles_before_escalation": two})

    assert blocks(2, "10", given_cycles("5"), policy=policy) == ["cycle_not_completed"]
    assert blocks(3, "10", given_cycles("5", "5"), policy=policy) == []


@pytest.mark.parametrize(
    ("dose", "reason", "expected"),
    [
        ("10", "", []),
        ("5", "", ["reason_missing"]),
        ("5", " ", ["reason_missing"]),
        ("5", "rash", []),
    ],
)
def test_a_dose_other_than_the_proposed_one_needs_a_reason(dose, reason, expected):
    assert blocks(2, dose, given_cycles("5"), reason=reason) == expected


def test_holding_is_always_allowed_and_needs_a_reason_only_when_not_proposed():
    low = replace(GOOD, anc_10e9_l=Decimal("0.4"))

    assert blocks(2, "0", given_cycles("5"), low, reason="") == []
    assert blocks(2, "0", given_cycles("5"), reason="") == ["reason_missing"]
    assert blocks(2, "0", given_cycles("5"), reason="surgery") == []


def test_all_reasons_are_given_at_once():
    labs = DayOneLabs(Decimal("0.4"), Decimal(20), None)
    history = given_cycles("5", open_cycles=(1,))

    assert blocks(2, "30", history, labs, reason="") == [
        "anc_too_low",
        "platelets_too_low",
        "lab_missing",
        "dose_not_on_ladder",
        "dose_above_plan",
        "step_too_large",
        "cycle_not_completed",
        "reason_missing",
    ]


cycles = st.builds(
    GivenCycle,
    st.integers(1, 30),
    st.sampled_from([Decimal(0), *POLICY.ladder_mg]),
    st.booleans(),
    st.booleans(),
)
values = st.none() | st.decimals("0", "200", places=1)


@given(
    st.integers(1, 30),
    st.lists(cycles, max_size=6, unique_by=lambda c: c.cycle),
    st.builds(DayOneLabs, values, values, values),
    st.sampled_from([(), ("mrd_positive",)]),
)
def test_the_proposal_can_always_be_decided_without_a_reason(cycle, history, labs, met):
    found = proposed_dose(cycle, history, labs, POLICY, met=met)

    assert dose_blocks(cycle, found.dose_mg, "", history, labs, POLICY, met=met) == ()
    assert found.dose_mg <= planned_dose(cycle, POLICY, met=met)
    failed = [past.dose_mg for past in history if past.failed and past.dose_mg]
    assert all(found.dose_mg < dose for dose in failed)
