"""Kit numbers say nothing: those that do are found, and those by chance are let through."""

import random
from datetime import date
from decimal import Decimal

import pytest

from dosing.rules.kits import KitLabel, fisher, number_problems, runs, with_check_digit


DAY = date(2030, 1, 1)


def labels(numbers, arms, *, days=None):
    days = days or [DAY] * len(arms)
    return [
        KitLabel(str(number), arm, day, Decimal(5))
        for number, arm, day in zip(numbers, arms, days, strict=True)
    ]


def by_chance(count):
    drawn = random.Random(7).sample(range(10**8), count)
    return [with_check_digit(number) for number in drawn]


TWO_TO_ONE = ["L", "P", "L"] * 20


def test_numbers_by_chance_are_let_through():
    assert number_problems(labels(by_chance(60), TWO_TO_ONE)) == ()


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([2 * n + (a == "P") for n, a in enumerate(TWO_TO_ONE, 100)], "even and odd"),
        ([f"{a}{n}" for n, a in zip(by_chance(60), TWO_TO_ONE, strict=True)], "first character"),
        ([n + 5000 * (a == "P") for n, a in enumerate(TWO_TO_ONE, 1000)], "lie apart"),
        ([f"{n}{'0' * (a == 'P')}" for n, a in enumerate(TWO_TO_ONE, 1000)], "length"),
    ],
)
def test_numbers_that_tell_the_arm_are_found_and_no_arm_is_named(numbers, told):
    found = number_problems(labels(numbers, TWO_TO_ONE))

    assert {reason.code for reason in found} == {"kit_labels_tell_the_arm"}
    assert any(told in reason.detail for reason in found)


def test_days_of_expiry_that_tell_the_arm_are_found():
    days = [DAY if arm == "L" else date(2031, 1, 1) for arm in TWO_TO_ONE]

    found = number_problems(labels(by_chance(60), TWO_TO_ONE, days=days))

    assert ["expiry" in reason.detail for reason in found] == [True]


@pytest.mark.parametrize(("count", "found"), [(12, False), (14, True)])
def test_taking_turns_is_found_as_soon_as_chance_cannot_explain_it(count, found):
    turns = labels(range(100, 100 + count), ["L", "P"] * (count // 2))

    assert bool(number_problems(turns)) is found


def test_the_exact_tests_give_the_numbers_of_the_tables():
    """Fisher's tea-tasting, 3 of 4 right: 34/70. Three and three in two runs: 2 of 20, doubled."""
    assert fisher(both=3, marked=4, in_arm=4, total=8) == pytest.approx(34 / 70)
    assert runs([True, True, True, False, False, False]) == pytest.approx(0.2)
    assert runs([True, False] * 3) == pytest.approx(0.2)


@pytest.mark.parametrize(("serial", "number"), [(92739871, "927398719"), (0, "000000000")])
def test_a_check_digit_makes_luhns_sum_a_multiple_of_ten(serial, number):
    """Worked by hand: 1 7x2 8 9x2 3 7x2 2 9x2 from the left of 92739871, and 9."""
    assert with_check_digit(serial) == number


def test_another_last_digit_has_another_check_digit():
    assert len({with_check_digit(92739870 + last)[-1] for last in range(10)}) == 10
