from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reporting.impact import Effect, Standing, coming_visits, effects
from trials.rules.protocol import load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
BEFORE = load_protocol(TEXT)
DAY = date(2026, 4, 1)

SCREENED = Standing("DE-01-0001", signed=("1.0",), screened_under="1.0")
TREATED = Standing(
    "DE-01-0002",
    signed=("1.0",),
    screened_under="1.0",
    randomised_on=DAY - timedelta(40),
    dose_mg=Decimal(5),
    next_cycle=2,
    cycle=1,
    cycle_day_1=DAY - timedelta(10),
)
ENDED = replace(TREATED, treatment_ended_on=DAY - timedelta(5))

RECONSENT = (
    ('form_version = "1.0"', 'form_version = "2.0"'),
    ("reconsent = false", "reconsent = true"),
)
FOLLOW_UP = (
    "window_before_days = 2\nwindow_after_days = 7",
    "window_before_days = 3\nwindow_after_days = 10",
)
CYCLES = (
    "window_before_days = 3\nwindow_after_days = 3",
    "window_before_days = 4\nwindow_after_days = 3",
)
TESTS = ("later_test_interval_days = { value = 28", "later_test_interval_days = { value = 21")
COUNSELLING = (
    "counselling_interval_days = { value = 28",
    "counselling_interval_days = { value = 14",
)
EXCLUSION = ('label = "HIV infection"', 'label = "HIV infection of any kind"')
NO_FIVE = (
    ("[2.5, 5, 10, 15, 20, 25]", "[2.5, 10, 15, 20, 25]"),
    ("to_cycle = 1\ndose_mg = 5", "to_cycle = 1\ndose_mg = 10"),
)
LESS = (
    ("dose_mg = 10\nsource", "dose_mg = 5\nsource"),
    ("dose_mg = 15\nsource", "dose_mg = 10\nsource"),
    ("dose_mg = 20\ncondition", "dose_mg = 15\ncondition"),
    ("dose_mg = 25\ncondition", "dose_mg = 20\ncondition"),
)


def amended(*replacements):
    text = TEXT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_protocol(text)


def found(subject, *replacements):
    rows = effects(subject, BEFORE, amended(*replacements), in_force_from=DAY)
    return [row.effect for row in rows]


def details(subject, *replacements):
    rows = effects(subject, BEFORE, amended(*replacements), in_force_from=DAY)
    return [row.detail for row in rows]


@pytest.mark.parametrize(
    ("subject", "replacements", "expected"),
    [
        (SCREENED, (), []),
        (SCREENED, RECONSENT, [Effect.RECONSENT_DUE]),
        (TREATED, RECONSENT, [Effect.RECONSENT_DUE]),
        (ENDED, RECONSENT, []),
        (replace(TREATED, signed=("1.0", "2.0")), RECONSENT, []),
        (SCREENED, (EXCLUSION,), [Effect.JUDGE_ANEW]),
        (TREATED, (EXCLUSION,), []),
        (replace(SCREENED, screened_under=""), (EXCLUSION,), []),
        (TREATED, NO_FIVE, [Effect.LEVEL_GONE]),
        (replace(TREATED, dose_mg=Decimal(10)), NO_FIVE, []),
        (replace(TREATED, decided=((2, Decimal(10)),)), LESS,
         [Effect.DECISION_UNDONE, Effect.PLANNED_DOSE_CHANGED]),
        (replace(TREATED, decided=((2, Decimal(5)),)), LESS, [Effect.PLANNED_DOSE_CHANGED]),
        (TREATED, (TESTS,), []),
        (replace(TREATED, child_bearing=True), (TESTS,), [Effect.PREVENTION_CHANGED]),
        (TREATED, (COUNSELLING,), [Effect.PREVENTION_CHANGED]),
        (SCREENED, (COUNSELLING,), []),
        (ENDED, (COUNSELLING,), []),
        (ENDED, (FOLLOW_UP,), [Effect.WINDOW_MOVED]),
        (TREATED, (FOLLOW_UP,), []),
        (TREATED, (CYCLES,), [Effect.WINDOW_MOVED]),
    ],
)  # fmt: skip
def test_an_amendment_affects_those_it_concerns_and_nobody_else(subject, replacements, expected):
    assert found(subject, *replacements) == expected


@pytest.mark.parametrize("subject", [SCREENED, TREATED, ENDED])
def test_who_is_out_of_the_trial_is_not_affected(subject):
    out = replace(subject, out=True)

    assert found(out, *RECONSENT, EXCLUSION, *NO_FIVE, COUNSELLING, FOLLOW_UP, CYCLES) == []


def test_the_words_say_what_is_to_be_done():
    assert details(SCREENED, *RECONSENT) == [
        "signed form 1.0; form 2.0 is to be signed before randomisation"
    ]
    assert details(TREATED, *NO_FIVE) == ["takes 5 mg, no longer a level; the next lower is 2.5 mg"]
    assert details(TREATED, *LESS) == ["cycle 2 is planned with 5 mg instead of 10 mg"]


def test_a_window_that_is_over_on_the_day_is_past_and_one_that_ends_on_it_is_not():
    follow_up = next(v for v in BEFORE.visits if v.code == "safety_follow_up")
    closes = timedelta(follow_up.offset_days + follow_up.window_after_days)
    last = replace(ENDED, treatment_ended_on=DAY - closes)
    over = replace(ENDED, treatment_ended_on=DAY - closes - timedelta(1))

    assert "safety_follow_up" in coming_visits(last, BEFORE, DAY)
    assert "safety_follow_up" not in coming_visits(over, BEFORE, DAY)


def test_coming_cycles_are_counted_from_the_last_one_that_began():
    visits = coming_visits(TREATED, BEFORE, DAY)

    assert visits["cycle"].planned_on == TREATED.cycle_day_1 + timedelta(28)
    assert visits["mrd_and_quality_of_life"].planned_on == TREATED.cycle_day_1 + timedelta(6 * 28)
