"""What an observer of every earlier arm guesses, by hand, by listing all blocks, and simulated."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import PROTOCOL
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import (
    BlockSize,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
    design_of,
    guess_rate,
)


CLLM1 = design_of(load_protocol(PROTOCOL))


def blocks(ratios, *sizes):
    return Design(
        method="permuted_blocks",
        arms=tuple(DesignArm(f"A{number}", ratio) for number, ratio in enumerate(ratios)),
        strata=("S",),
        length=100,
        blocks=tuple(BlockSize(size, 1) for size in sizes),
    )


def minimised(probability, *, ratios=(1, 1), factors=(("f", ("x", "y")),)):
    rule = Minimisation(
        tuple(MinimisedFactor(code, 1, levels) for code, levels in factors), "range", probability
    )
    plain = replace(blocks(ratios), method="minimisation", strata=(), minimisation=rule)
    return replace(plain, length=50)


def by_listing(ratios, size):
    """Return right guesses and certain places of a block, over each of its orders."""
    arms = [arm for arm, n in enumerate(ratios) for _ in range(n * size // sum(ratios))]
    orders = set(permutations(arms))
    right, certain = Fraction(0), Fraction(0)
    for order in orders:
        for place in range(size):
            left = order[place:]
            right += Fraction(max(left.count(arm) for arm in set(left)), len(left))
            certain += len(set(left)) == 1
    return right / len(orders), certain / len(orders)


def test_cllm1s_blocks_of_three_by_hand():
    # Orders LLP, LPL, PLL, each 1/3. First place: L is right 2/3 of the time. Second: after L one
    # of each is left, 1/2; after P it is L for certain: 2/3 * 1/2 + 1/3 = 2/3. Third: certain.
    # Right 2/3 + 2/3 + 1 = 7/3 of three. Certain: the third place, and after P the second: 4/3.
    found = guess_rate(CLLM1)

    assert found.best.right == Fraction(7, 9)
    assert found.best.certain == Fraction(4, 9)
    assert found.best.exact
    assert found.blind == Fraction(2, 3)
    assert found.unaware is None


@pytest.mark.parametrize(
    ("ratios", "size", "right"),
    [
        # Blackwell and Hodges 1957: 1/2 + (2^(2b) / C(2b; b) - 1) / 4b of a block of 2b.
        ((1, 1), 2, Fraction(3, 4)),
        ((1, 1), 4, Fraction(1, 2) + (Fraction(16, 6) - 1) / 8),
        ((1, 1), 6, Fraction(1, 2) + (Fraction(64, 20) - 1) / 12),
        ((1, 1), 20, Fraction(1, 2) + (Fraction(2**20, 184_756) - 1) / 40),
        ((1, 1), 200, Fraction(1, 2) + (Fraction(2**200, comb(200, 100)) - 1) / 400),
    ],
)
def test_two_equal_arms_are_those_of_blackwell_and_hodges(ratios, size, right):
    assert guess_rate(blocks(ratios, size)).best.right == right


@pytest.mark.parametrize(
    ("ratios", "size"),
    [((1, 1), 6), ((2, 1), 6), ((1, 1, 1), 6), ((3, 2, 1), 6), ((1, 1, 1, 1), 4), ((5, 2), 7)],
)
def test_any_arms_and_ratios_are_those_of_listing_every_order(ratios, size):
    right, certain = by_listing(ratios, size)

    found = guess_rate(blocks(ratios, size)).best

    assert (found.right, found.certain) == (right / size, certain / size)


def test_sizes_that_vary_count_by_their_places_and_weights():
    three, six = by_listing((2, 1), 3), by_listing((2, 1), 6)
    plan = replace(blocks((2, 1)), blocks=(BlockSize(3, 2), BlockSize(6, 1)))

    found = guess_rate(plan).best

    assert found.right == (2 * three[0] + six[0]) / 12
    assert found.certain == (2 * three[1] + six[1]) / 12


def test_who_does_not_know_the_sizes_guesses_worse_but_better_than_blindly():
    found = guess_rate(blocks((1, 1), 2, 4, 6))

    assert found.best.exact
    assert not found.unaware.exact
    assert found.blind < found.unaware.right < found.best.right
    assert found.unaware.certain < found.best.certain
    assert guess_rate(blocks((1, 1), 2, 4, 6)) == found


def test_one_size_leaves_nothing_to_learn():
    # The simulation for the unaware, given two sizes of which one is all but never drawn, comes to
    # the exact rate of the other: belief and list agree.
    plan = replace(blocks((2, 1)), blocks=(BlockSize(3, 1_000_000), BlockSize(6, 1)))

    assert float(guess_rate(plan).unaware.right) == pytest.approx(7 / 9, abs=0.005)
    assert float(guess_rate(plan).unaware.certain) < 4 / 9


def test_simple_randomisation_tells_nothing():
    found = guess_rate(replace(CLLM1, method="simple", blocks=()))

    assert (found.best.right, found.best.certain) == (Fraction(2, 3), 0)
    assert found.best.exact


def test_a_minimisation_that_prefers_nothing_is_guessed_as_blindly():
    found = guess_rate(minimised(Fraction(1, 2)))

    assert (found.best.right, found.best.certain) == (Fraction(1, 2), 0)


def test_a_minimisation_without_a_random_element_is_mostly_certain():
    # One factor of one level: every second subject goes where the one before did not.
    found = guess_rate(minimised(Fraction(1), factors=(("f", ("x",)),)))

    assert (found.best.right, found.best.certain) == (Fraction(3, 4), Fraction(1, 2))
    assert found.best.simulated_places == 20_000


def test_a_minimisation_of_one_level_and_four_fifths():
    # With one factor of one level this is Efron's biased coin; whoever guesses the arm behind is
    # right 4/5 of the time when one is. In the long run the arms are even at (2p - 1) / 2p, 3/8,
    # of the places: 3/8 * 1/2 + 5/8 * 4/5 = 11/16. Only every second place can be even, so the
    # trial's 50 are near it. Source: Efron, Biometrika 1971;58:403-417.
    found = guess_rate(minimised(Fraction(4, 5), factors=(("f", ("x",)),)))

    assert float(found.best.right) == pytest.approx(11 / 16, abs=0.01)
    assert found.best.certain == 0


def test_sites_count_as_a_factor_of_ten_levels():
    few = guess_rate(minimised(Fraction(9, 10), factors=(("f", ("x", "y")),)))
    many = guess_rate(minimised(Fraction(9, 10), factors=(("site", ()), ("f", ("x", "y")))))

    assert few.blind < many.best.right != few.best.right


@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    st.lists(st.integers(1, 3), min_size=1, max_size=1),
)
def test_rates_are_in_order(ratios, times):
    plan = blocks(ratios, *(sum(ratios) * n for n in times))

    found = guess_rate(plan)

    assert found.blind < found.best.right < 1
    assert 0 < found.best.certain < found.best.right
