"""How small a leak the referee of the blind finds, measured on numbers made by chance.

As many subjects and at least as many different numbers as in the story of the whole trial; a third
of the numbers are marks of two kinds. One number tells the arm, more or less.
"""

import numpy as np
import pytest
from scipy.stats import rankdata

from tests.stories.chance import verdict_on


SUBJECTS, NUMBERS, TRIALS = 61, 4600, 25
ACTIVE = np.arange(SUBJECTS) < round(SUBJECTS * 2 / 3)


def found_in(plant) -> float:
    """Return in which share of the trials something planted in one number or more is found."""
    drawn = np.random.default_rng(3)
    return np.mean([_is_found(drawn, plant) for _ in range(TRIALS)])


def _is_found(drawn, plant) -> bool:
    truth = drawn.permutation(ACTIVE)
    table = drawn.random((SUBJECTS, NUMBERS))
    table[:, : NUMBERS // 3] = table[:, : NUMBERS // 3] < 0.5
    planted = plant(drawn, truth)
    table[:, : planted.shape[1]] = planted
    names = [str(i) for i in range(NUMBERS)]
    return verdict_on(names, rankdata(table, axis=0), truth).tells


def mark(wrong, *, marks=1):
    """Marks that are wrong for a share of the subjects, each for others."""
    return lambda drawn, truth: truth[:, None] ^ (drawn.random((SUBJECTS, marks)) < wrong)


def shift(deviations):
    """A normal value, higher in one arm by so many standard deviations."""
    return lambda drawn, truth: (drawn.normal(size=SUBJECTS) + deviations * truth)[:, None]


@pytest.mark.parametrize(
    "plant",
    [mark(0.1), shift(2.5), mark(0.3, marks=60)],
    ids=[
        "a mark right for 90 %",
        "a value shifted by 2.5 deviations",
        "sixty marks right for 70 %",
    ],
)
def test_found_with_a_probability_of_nine_tenths(plant):
    assert found_in(plant) >= 0.9


@pytest.mark.parametrize(
    "plant",
    [mark(0.25), shift(1), mark(0.45, marks=60)],
    ids=["a mark right for 75 %", "a value shifted by one deviation", "sixty of next to nothing"],
)
def test_what_is_smaller_is_mostly_not_found(plant):
    assert found_in(plant) < 0.5


def test_chance_alone_raises_no_alarm():
    assert found_in(mark(0.5)) == 0
