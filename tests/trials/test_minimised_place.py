"""The database's minimisation and the pure rule are one: thousands of random cases of both."""

import json
from fractions import Fraction
from random import Random

import pytest

from tests.marks import on_postgres
from tests.postgres import ask
from trials.rules.list_parameters import design_from, parameters_of
from trials.rules.randomisation import (
    SITE,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
    minimised_arm,
)


pytestmark = on_postgres

CASES = 4000
TOP = (1 << 32) - 1


def a_design(random: Random) -> Design:
    arms = tuple(DesignArm(code, random.randint(1, 3)) for code in "ABCD"[: random.randint(2, 4)])
    factors = tuple(
        MinimisedFactor(code, random.randint(1, 5), ("x", "y"))
        for code in ("one", "two", SITE)[: random.randint(1, 3)]
    )
    rule = Minimisation(
        factors=factors,
        imbalance=random.choice(["range", "variance"]),
        probability=Fraction(random.choice(["0.55", "0.7", "0.8", "0.95", "1"])),
    )
    return Design("minimisation", arms, (), 100, minimisation=rule)


def a_case(random: Random) -> tuple[Design, dict[str, list[int]], int]:
    """Small counts make ties, the hard part; the ends of a draw's range are drawn often."""
    design = a_design(random)
    most = random.choice([0, 1, 3, 60])
    counts = {
        factor.code: [random.randint(0, most) for _ in range(design.unit)]
        for factor in design.minimisation.factors
    }
    return design, counts, random.choice([0, TOP, random.getrandbits(32), random.getrandbits(32)])


@pytest.mark.parametrize("seed", range(3))
def test_the_database_and_the_rule_choose_the_same_equal_arm(seed):
    random = Random(seed)
    cases = [a_case(random) for _ in range(CASES)]

    by_rule = [
        minimised_arm(
            design,
            counts={(code, "x"): row for code, row in counts.items()},
            levels=dict.fromkeys(counts, "x"),
            draw=draw,
        ).place
        for design, counts, draw in cases
    ]
    rows = ask(
        "SELECT sealed.minimised_place(p, c, d) FROM unnest(%s::jsonb[], %s::jsonb[], %s::bigint[])"
        " WITH ORDINALITY AS e(p, c, d, n) ORDER BY n",
        [parameters_of(design) for design, _, _ in cases],
        [json.dumps(counts) for _, counts, _ in cases],
        [draw for _, _, draw in cases],
    )

    assert [row[0] for row in rows] == by_rule
    assert len(set(by_rule)) > 3


def test_a_design_comes_back_from_the_text_that_is_sealed_with_a_list():
    random = Random(9)

    for design in (a_design(random) for _ in range(50)):
        assert design_from(parameters_of(design)) == design
