"""Kit numbers say nothing: those that do are found, and those by chance are let through."""

import random
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from dosing.rules.kits import (
    KitLabel,
    deal,
    fisher,
    number_problems,
    runs,
    supply_problems,
    with_check_digit,
)


DAY, LATER = date(2030, 1, 1), date(2031, 1, 1)


def labels(numbers, arms, *, days=None, dose_mg=5):
    days = days or [DAY] * len(arms)
    return [
        KitLabel(str(number), arm, Decimal(dose_mg), day)
        for number, arm, day in zip(numbers, arms, days, strict=True)
    ]


def codes(labels, *, earlier=(), arms="LP"):
    return {reason.code for reason in supply_problems(labels, earlier=earlier, arms=arms)}


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


# --- Dealt by Vigil ---------------------------------------------------------------------------


CONTENTS = [(Decimal(5), arm) for arm in TWO_TO_ONE] + [(Decimal(10), arm) for arm in "LP"]


def test_a_deal_gives_each_content_one_number_sorted_by_number():
    numbers = by_chance(62)

    dealt = deal(numbers, CONTENTS, rng=random.Random(1))

    assert [kit.number for kit in dealt] == sorted(numbers)
    assert Counter((kit.dose_mg, kit.arm) for kit in dealt) == Counter(CONTENTS)
    assert dealt != deal(numbers, CONTENTS, rng=random.Random(2))


def test_a_deal_that_looks_like_a_pattern_is_dealt_again():
    """The first two deals put all kits of an arm together, the third does not."""
    mixed = random.Random(7).sample(CONTENTS, len(CONTENTS))
    patterns = [sorted(CONTENTS, key=lambda kit: kit[1])] * 2 + [mixed]

    class Stacked(random.Random):
        def shuffle(self, contents):
            contents[:] = patterns.pop(0)

    dealt = deal([f"{n:03}" for n in range(62)], CONTENTS, rng=Stacked())

    assert patterns == []
    assert [(kit.dose_mg, kit.arm) for kit in dealt] == mixed


def test_every_place_of_a_deal_falls_to_an_arm_in_the_share_of_its_kits():
    """Chi-square of 8 places over 3,000 deals: below the limit that chance passes once in 1,000."""
    contents = [(Decimal(5), "L")] * 4 + [(Decimal(5), "P")] * 4
    rng, deals = random.Random(20), 3000
    active = Counter(
        place
        for _ in range(deals)
        for place, kit in enumerate(deal([str(n) for n in range(8)], contents, rng=rng))
        if kit.arm == "L"
    )
    expected = deals / 2

    square = sum((active[place] - expected) ** 2 / (expected / 2) for place in range(8))

    assert square * 7 / 8 < 24.3  # 7 degrees of freedom: the eight counts add up to a constant


# --- What came together -----------------------------------------------------------------------


def test_a_supply_of_every_arm_in_one_batch_is_taken():
    assert codes(labels(by_chance(60), TWO_TO_ONE)) == set()
    assert codes(labels(by_chance(2), "LP")) == set()


@pytest.mark.parametrize("arms", ["L", "P", "LLLL"])
def test_kits_that_are_known_to_be_alike_are_not_taken(arms):
    assert codes(labels(by_chance(len(arms)), arms)) == {"kits_all_alike"}


def test_each_dose_and_each_day_of_expiry_needs_every_arm():
    numbers = by_chance(4)
    by_day = labels(numbers, "LPLL", days=[DAY, DAY, DAY, LATER])
    by_dose = [*labels(numbers[:2], "LP"), *labels(numbers[2:], "PP", dose_mg=10)]

    assert codes(by_day) == codes(by_dose) == {"kits_all_alike"}


def test_a_third_arm_is_asked_for_too():
    assert codes(labels(by_chance(2), "LP"), arms="LPX") == {"kits_all_alike"}
    assert codes(labels(by_chance(3), "LPX"), arms="LPX") == set()


@pytest.mark.parametrize(("placebo", "found"), [(19, set()), (20, {"kits_in_other_shares"})])
def test_a_share_that_chance_does_not_explain_beside_the_kits_before_is_not_taken(placebo, found):
    """Beside 20 and 20, 4 of L and so many of P: Fisher's p is 0.0149 with 19, 0.0087 with 20."""
    numbers = by_chance(80)
    before = labels(numbers[:40], "LP" * 20)
    now = labels(numbers[40 : 44 + placebo], "L" * 4 + "P" * placebo)

    assert codes(now, earlier=before) & {"kits_in_other_shares"} == found


def test_batches_that_differ_are_found_within_one_supply_too():
    arms = "L" * 20 + "P" + "L" + "P" * 20
    days = [DAY] * 21 + [LATER] * 21

    assert "kits_in_other_shares" in codes(labels(by_chance(42), arms, days=days))


def test_kits_of_another_dose_are_another_matter():
    numbers = by_chance(80)
    before = labels(numbers[:40], "LP" * 20, dose_mg=10)
    now = labels(numbers[40:63], "L" + "P" * 22)

    assert "kits_in_other_shares" not in codes(now, earlier=before)


def test_no_reason_names_an_arm():
    before = labels(by_chance(40), ["QXACT", "QXCON"] * 20)
    now = labels(range(30), ["QXACT"] * 30)

    found = supply_problems(now, earlier=before, arms=("QXACT", "QXCON"))

    assert {reason.code for reason in found} >= {"kits_all_alike", "kits_in_other_shares"}
    assert not any("QX" in reason.detail for reason in found)


# --- The tests themselves ---------------------------------------------------------------------


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
