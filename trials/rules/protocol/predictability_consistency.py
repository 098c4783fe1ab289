"""Which designs let a site that learned earlier arms come to know the next one.

Such a design is accepted only with a reason. What decides is how much of it chance can still turn:
of the sizes of its blocks, and of the arm that a minimisation gives.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd

from trials.rules.protocol.finding import Finding
from trials.rules.protocol.sections import Arm, Minimisation, Randomisation, Trial


LEAST_CHANCE = Fraction(3, 10)
"""How much of a design has to be left to chance, so that it needs no reason.

Of a minimisation: the share of subjects who are drawn as in simple randomisation. To prefer an arm
with probability p among n equal ones is to give it outright to some and to draw for the others,
(1 - p) n / (n - 1) of all. Of blocks: the share that has another size than the commonest one.

A choice made here. It lets 0.8, with which the balance of larger trials was kept in simulations
(McPherson, Trials 2013;14:86), stand for up to three equal arms, and 0.85 for two. From there on an
observer of every earlier arm would guess more than about half of what guessing blindly leaves
wrong, as ``guess_rate`` simulates. Of blocks it lets seven in ten be of one size: who bets on that
size is wrong at three blocks in ten, and from there on does not know where a block begins.
"""


def predictability_findings(
    randomisation: Randomisation, arms: Sequence[Arm], trial: Trial
) -> Iterator[Finding]:
    """Yield that a reason is missing, with what could be predicted."""
    shares = [arm.ratio for arm in arms]
    unit = sum(shares) // gcd(*shares)
    places = (randomisation.list_length or trial.planned_accrual).value
    why = _blocks(randomisation, unit, places) or _minimised(randomisation.minimisation, unit)
    if why and not randomisation.predictability_reason:
        key = ("randomisation", "predictability_reason")
        yield Finding(key, "predictability_reason_missing", f"{why}: say why it is used")


def _blocks(randomisation: Randomisation, unit: int, places: int) -> str:
    """Return why the ends of blocks could be guessed, or nothing.

    A size that a list never completes hides the ends of the others all the same. Sizes and
    weights that do not match in number are named elsewhere.
    """
    sizes, weights = randomisation.block_sizes, randomisation.block_weights
    if len(sizes) == 1:
        return "blocks of one fixed size let their ends be guessed"
    if unit in sizes:
        return f"a block of {unit}, the smallest possible, lets its end be guessed"
    if sizes and places <= min(sizes):
        return f"a list of {places} places is one block, and where it begins is known"
    if sizes and len(sizes) == len(weights):
        return _commonest(sizes, weights)
    return ""


def _commonest(sizes: Sequence[int], weights: Sequence[int]) -> str:
    share = Fraction(max(weights), sum(weights))
    if 1 - share >= LEAST_CHANCE:
        return ""
    size = sizes[weights.index(max(weights))]
    return (
        f"{_percent(share)} of the blocks are of {size}, more than {_percent(1 - LEAST_CHANCE)}:"
        " that lets their ends be guessed"
    )


def _minimised(minimisation: Minimisation | None, unit: int) -> str:
    """Return why the arm of a minimisation could be guessed, or nothing; the arms are equal."""
    if minimisation is None or unit < 2:
        return ""
    stated = minimisation.probability.value
    drawn = (1 - Fraction(stated)) * unit / (unit - 1)
    if drawn >= LEAST_CHANCE:
        return ""
    if stated == 1:
        return "a minimisation with probability 1 has no random element but for ties"
    return (
        f"a minimisation that prefers one of {unit} equal arms with probability {stated} leaves"
        f" {_percent(drawn)} of the subjects to chance, less than {_percent(LEAST_CHANCE)}"
    )


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"
