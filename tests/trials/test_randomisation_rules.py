from datetime import date, timedelta

import pytest

from tests.factories import PROTOCOL
from trials.rules.conduct import day_reasons
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import list_problems


CLLM1 = load_protocol(PROTOCOL)
BLOCK = ("L", "P", "L")
FITTING = [(stratum, BLOCK[i % 3]) for stratum in "HI" for i in range(102)]
TODAY = date(2026, 3, 10)


def problems(entries):
    return {reason.code for reason in list_problems(entries, CLLM1)}


def days(on, *, replay):
    return [
        reason.code for reason in day_reasons(on, today=TODAY, replay=replay, field="randomised_on")
    ]


def test_a_list_of_whole_blocks_for_every_stratum_fits():
    assert list_problems(FITTING, CLLM1) == ()


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([], {"list_empty"}, id="empty"),
        pytest.param([*FITTING, ("H", "X")], {"unknown_arm"}, id="foreign arm"),
        pytest.param([*FITTING, ("Z", "L")], {"unknown_stratum"}, id="foreign stratum"),
        pytest.param(
            [("H", BLOCK[i % 3]) for i in range(201)], {"stratum_missing"}, id="stratum left out"
        ),
        pytest.param(
            [("Z", "X")],
            {"unknown_arm", "unknown_stratum", "stratum_missing", "list_short"},
            id="all at once",
        ),
        pytest.param(
            [("H", "P"), ("H", "P"), ("H", "L"), *FITTING], {"block_ratio"}, id="1:2 instead of 2:1"
        ),
        pytest.param([("H", "P"), *FITTING], {"block_ratio"}, id="blocks out of step"),
    ],
)
def test_each_way_a_list_does_not_fit_is_named(entries, expected):
    assert problems(entries) == expected


def test_a_list_is_as_long_as_the_planned_accrual_or_longer():
    assert problems(FITTING[3:-1]) == set()
    assert problems(FITTING[3:-2]) == {"list_short"}


def test_the_open_block_at_a_stratums_end_could_still_become_a_whole_one():
    assert problems([*FITTING, ("H", "P"), ("H", "L")]) == set()
    assert problems([*FITTING, ("H", "P"), ("H", "P")]) == {"block_ratio"}
    assert problems([*FITTING, ("H", "P"), ("H", "P"), ("H", "L")]) == {"block_ratio"}


def test_a_reason_names_the_block_and_never_what_is_in_it():
    broken = [*FITTING, ("H", "P"), ("H", "P"), ("H", "L")]

    assert [reason.detail for reason in list_problems(broken, CLLM1)] == [
        "Block 35 of stratum H breaks the ratio."
    ]


@pytest.mark.parametrize(
    ("on", "replay", "expected"),
    [
        pytest.param(TODAY, False, [], id="live, today"),
        pytest.param(TODAY - timedelta(1), False, ["not_today"], id="live, yesterday"),
        pytest.param(TODAY + timedelta(1), False, ["future_day"], id="live, tomorrow"),
        pytest.param(TODAY, True, [], id="replay, today"),
        pytest.param(TODAY - timedelta(5000), True, [], id="replay, long ago"),
        pytest.param(TODAY + timedelta(1), True, ["future_day"], id="replay, tomorrow"),
    ],
)
def test_a_live_act_is_dated_today_and_a_replayed_one_today_or_before(on, replay, expected):
    assert days(on, replay=replay) == expected
