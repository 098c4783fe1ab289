"""Minimisation against published examples, against a plain second version, and at its edges."""

from fractions import Fraction
from itertools import permutations
from statistics import pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.rules.randomisation import (
    DRAW_BITS,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
    counted,
    minimised_arm,
)


DRAWS = 2**DRAW_BITS


def design(ratios, factors, *, imbalance="range", probability=Fraction(4, 5)):
    return Design(
        method="minimisation",
        arms=tuple(DesignArm(code, ratio) for code, ratio in ratios.items()),
        strata=(),
        length=200,
        minimisation=Minimisation(
            tuple(MinimisedFactor(code, weight, ()) for code, weight in factors.items()),
            imbalance,
            probability,
        ),
    )


def balanced(ratios, counts, levels, **options):
    """Minimise for factors of equal weight; ``counts`` by factor are those at the new level."""
    plan = design(ratios, dict.fromkeys(levels, 1), **options)
    by_level = {(factor, levels[factor]): row for factor, row in counts.items()}
    return minimised_arm(plan, counts=by_level, levels=levels, draw=0)


# --- Published examples ---------------------------------------------------------------------------


def test_the_seventh_practice_of_scott_goes_to_the_control():
    """Ivers et al., Trials 2012;13:120, table 3 (after Scott et al., Control Clin Trials 2002;
    23:662-674): high baseline rate 2 and 2, moderate covariate rate 3 and 1 so far. The table
    gives imbalances of 4 for the intervention and 2 for the control.
    """
    found = balanced(
        {"INT": 1, "CONTROL": 1},
        {"baseline": (2, 2), "covariate": (3, 1)},
        {"baseline": "high", "covariate": "moderate"},
        probability=Fraction(1),
    )

    assert (found.imbalances, found.arm) == ((4, 2), "CONTROL")


def test_the_fifteenth_patient_of_lim_and_in_goes_to_the_control():
    """Lim and In, Korean J Anesthesiol 2019;72:221-232, table 4: site 2, female, 65 or older. The
    table gives total imbalances of 3 for the control and 5 for the treatment.
    """
    found = balanced(
        {"CONTROL": 1, "TREAT": 1},
        {"site": (3, 5), "sex": (3, 3), "age": (3, 3)},
        {"site": "2", "sex": "female", "age": "65"},
        probability=Fraction(1),
    )

    assert (found.imbalances, found.arm) == ((3, 5), "CONTROL")


# --- By hand --------------------------------------------------------------------------------------


def test_the_first_subject_may_go_anywhere_equally():
    found = balanced({"L": 2, "P": 1}, {}, {"MRD": "H"})

    assert found.imbalances == (1, 1, 1)
    assert len(set(found.weights)) == 1


def test_an_arm_of_ratio_two_is_two_equal_arms():
    # After L, L and P once each at this level, all are even again; after the first L alone, the
    # second and P are preferred: each 4/5 shared with the first one's part of the other 1/5.
    plan = design({"L": 2, "P": 1}, {"MRD": 1})
    even = counted([({"MRD": "H"}, place) for place in (1, 2, 3)], plan)
    one = counted([({"MRD": "H"}, 1)], plan)

    assert plan.equal_arms == ("L", "L", "P")
    assert len(set(minimised_arm(plan, counts=even, levels={"MRD": "H"}, draw=0).weights)) == 1
    assert minimised_arm(plan, counts=one, levels={"MRD": "H"}, draw=0).weights == (2, 9, 9)
    assert len(set(minimised_arm(plan, counts=one, levels={"MRD": "I"}, draw=0).weights)) == 1


def test_weights_of_factors_decide():
    # MRD asks for B (2 and 0), the site for A (0 and 1).
    counts = {("MRD", "H"): (2, 0), ("site", "X"): (0, 1)}
    levels = {"MRD": "H", "site": "X"}
    mrd = design({"A": 1, "B": 1}, {"MRD": 1, "site": 1}, probability=Fraction(1))
    site = design({"A": 1, "B": 1}, {"MRD": 1, "site": 3}, probability=Fraction(1))

    # A: |3-0| and |1-1|; B: |2-1| and |0-2|: a tie of 3 and 3, and with weight 3: 3 and 7.
    tied = minimised_arm(mrd, counts=counts, levels=levels, draw=0)
    assert tied.imbalances == (3, 3)
    assert tied.weights[0] == tied.weights[1]
    assert minimised_arm(site, counts=counts, levels=levels, draw=0).imbalances == (3, 7)
    assert minimised_arm(site, counts=counts, levels=levels, draw=DRAWS - 1).arm == "A"


def test_range_and_variance_can_differ():
    # With one more, A to D make 1 0 2 3, 0 1 2 3, 0 0 3 3 and 0 0 2 4: ranges 3, 3, 3 and 4, but
    # 4 times the squares less 36 is 20, 20, 36 and 44. Range calls C as good as A and B.
    ratios = {"A": 1, "B": 1, "C": 1, "D": 1}
    counts, levels = {"f": (0, 0, 2, 3)}, {"f": "x"}

    assert balanced(ratios, counts, levels).imbalances == (3, 3, 3, 4)
    assert balanced(ratios, counts, levels, imbalance="variance").imbalances == (20, 20, 36, 44)


@pytest.mark.parametrize(
    ("draw", "place"),
    [
        # The first arm has 1/10, the second 8/10, the third 1/10 of 2^32 draws, which ten does not
        # divide: 2^32 / 10 = 429 496 729.6, so the first arm's last draw is ...729.
        pytest.param(0, 1, id="first draw"),
        pytest.param(429_496_729, 1, id="last draw of the first"),
        pytest.param(429_496_730, 2, id="first draw of the second"),
        pytest.param(3_865_470_566, 2, id="last draw of the second"),
        pytest.param(3_865_470_567, 3, id="first draw of the third"),
        pytest.param(DRAWS - 1, 3, id="last draw"),
    ],
)
def test_a_draw_falls_to_the_first_arm_whose_share_reaches_beyond_it(draw, place):
    plan = design({"A": 1, "B": 1, "C": 1}, {"f": 1})
    counts = {("f", "x"): (1, 0, 1)}

    found = minimised_arm(plan, counts=counts, levels={"f": "x"}, draw=draw)

    assert (found.place, found.arm) == (place, "ABC"[place - 1])


def test_what_is_no_draw_or_lacks_a_level_is_an_error():
    plan = design({"A": 1, "B": 1}, {"f": 1})

    for draw in (-1, DRAWS):
        with pytest.raises(ValueError, match="32 bits"):
            minimised_arm(plan, counts={}, levels={"f": "x"}, draw=draw)
    with pytest.raises(KeyError, match="f"):
        minimised_arm(plan, counts={}, levels={"g": "x"}, draw=0)


def test_only_a_minimisation_minimises():
    simple = Design("simple", (DesignArm("A", 1), DesignArm("B", 1)), ("S",), 10)

    with pytest.raises(ValueError, match="simple is not a minimisation"):
        minimised_arm(simple, counts={}, levels={}, draw=0)


# --- Against a plain second version, in fractions -------------------------------------------------


def plain_chances(plan, counts, levels):
    """Return each equal arm's probability, from the definition: an average over orders of ties."""
    rule, arms = plan.minimisation, range(plan.unit)
    scores = []
    for candidate in arms:
        score = 0
        for factor in rule.factors:
            row = list(counts.get((factor.code, levels[factor.code]), [0] * plan.unit))
            row[candidate] += 1
            if rule.imbalance == "range":
                score += factor.weight * (sorted(row)[-1] - sorted(row)[0])
            else:
                score += factor.weight * pvariance([Fraction(n) for n in row])
        scores.append(score)
    other = (1 - rule.probability) / (plan.unit - 1)
    orders = [o for o in permutations(arms) if scores[o[0]] == min(scores)]
    return [
        sum(rule.probability if order[0] == arm else other for order in orders) / len(orders)
        for arm in arms
    ]


@st.composite
def situations(draw):
    ratios = {f"A{n}": draw(st.integers(1, 2)) for n in range(draw(st.integers(2, 3)))}
    arms = sum(ratios.values())
    factors = {f"f{n}": draw(st.integers(1, 3)) for n in range(draw(st.integers(1, 3)))}
    probability = Fraction(draw(st.integers(10_000 // arms + 1, 10_000)), 10_000)
    plan = design(
        ratios,
        factors,
        imbalance=draw(st.sampled_from(["range", "variance"])),
        probability=probability,
    )
    row = st.lists(st.integers(0, 4), min_size=arms, max_size=arms)
    counts = {(factor, "x"): draw(row) for factor in factors if draw(st.booleans())}
    return plan, counts, dict.fromkeys(factors, "x")


@given(situations(), st.integers(0, DRAWS - 1))
def test_chances_are_those_of_the_definition(situation, draw):
    plan, counts, levels = situation

    found = minimised_arm(plan, counts=counts, levels=levels, draw=draw)

    total = sum(found.weights)
    expected = plain_chances(plan, counts, levels)
    assert [Fraction(weight, total) for weight in found.weights] == expected
    before = sum(expected[: found.place - 1])
    assert before <= Fraction(draw, DRAWS) < before + expected[found.place - 1]
    assert found.arm == plan.equal_arms[found.place - 1]


def test_the_largest_allowed_numbers_stay_below_two_to_the_63():
    plan = design({"A": 50, "B": 50}, {"f": 100_000}, probability=Fraction(9999, 10_000))

    found = minimised_arm(plan, counts={}, levels={"f": "x"}, draw=DRAWS - 1)

    assert sum(found.weights) * DRAWS < 2**63
    assert found.arm == "B"
