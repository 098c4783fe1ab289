"""How well can the next arm be guessed by somebody who knows every arm before it?

That is more than a site ever sees: no arm is shown to it, and a stratum's blocks run over all
sites. It is what a leak of every earlier arm would be worth.

Source: Blackwell and Hodges, Ann Math Stat 1957;28:449-460 (guess the arm with most places left);
Berger, Selection Bias and Covariate Imbalances in Randomized Clinical Trials, 2005 (certain
places).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from math import comb

from trials.rules.randomisation.design import SITE, Design
from trials.rules.randomisation.generation import below, generate, words
from trials.rules.randomisation.minimisation import minimised_arm


SIMULATED_PLACES = 20_000
SIMULATED_SITES = 10
_SEED = b"vigil guess rate, simulated"
Left = tuple[int, ...]
"""Places left in the open block, by arm."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of right guesses and of places that are certain; exact, or over so many places."""

    right: Fraction
    certain: Fraction
    simulated_places: int = 0

    @property
    def exact(self) -> bool:
        return not self.simulated_places


@dataclass(frozen=True, slots=True)
class GuessRate:
    """What an observer of every earlier arm guesses right, beside the largest arm's share.

    ``best`` guesses as well as anybody can. With blocks of varying size it is the bound for one
    who learns each block's size as it begins, and ``unaware`` is the best guess of one who knows
    the design and not the sizes drawn.
    """

    blind: Fraction
    best: Rate
    unaware: Rate | None = None


@lru_cache(maxsize=32)  # every page about a version asks again
def guess_rate(design: Design) -> GuessRate:
    """Return how predictable a design is: exact for blocks and simple, simulated otherwise.

    Rates are those of an endless list; in a minimisation, of a trial of the planned size whose
    subjects have every level of a factor equally often, at ten sites, when the observer knows the
    levels too. A simulation takes each place's probability of a right guess, not the guess, and
    always the same seed.
    """
    blind = Fraction(max(arm.ratio for arm in design.arms), design.unit)
    if design.method == "simple":
        return GuessRate(blind, Rate(blind, Fraction(len(design.arms) == 1)))
    if design.method == "minimisation":
        return GuessRate(blind, _simulated(islice(_minimised_chances(design), SIMULATED_PLACES)))
    unaware = _simulated(_unaware_chances(design)) if len(design.blocks) > 1 else None
    return GuessRate(blind, _blocks_rate(design), unaware)


def _blocks_rate(design: Design) -> Rate:
    """Return the exact rate when each block's size is known: sums over blocks by their weight."""
    places = right = certain = Fraction(0)
    for block in design.blocks:
        times = block.size // design.unit
        in_block = _in_block([arm.ratio * times for arm in design.arms])
        places += block.weight * block.size
        right += block.weight * in_block[0]
        certain += block.weight * in_block[1]
    return Rate(right / places, certain / places)


def _in_block(arms: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Return the expected right guesses and certain places of a block with so many of each arm.

    When m places are left, every choice of m of the block's places is as likely as any other. The
    best guess is the arm with most places left; with one arm left it is certain. The mean of the
    largest number left is the sum, over k from 0, of the probability that it is above k.
    """
    size = sum(arms)
    right = certain = Fraction(0)
    at_most = [_ways(arms, at_most=k) for k in range(max(arms))]
    for left in range(1, size + 1):
        ways = comb(size, left)
        largest = Fraction(sum(ways - fewer[left] for fewer in at_most), ways)
        right += largest / left
        certain += Fraction(sum(comb(number, left) for number in arms), ways)
    return right, certain


def _ways(arms: Sequence[int], *, at_most: int) -> list[int]:
    """Return how many choices of 0, 1, 2 ... places hold no arm more often than that."""
    ways = [1] + [0] * sum(arms)
    for number in arms:
        taken = [comb(number, n) for n in range(min(number, at_most) + 1)]
        ways = [
            sum(ways[total - n] * some for n, some in enumerate(taken) if n <= total)
            for total in range(len(ways))
        ]
    return ways


def _simulated(chances: Iterable[float]) -> Rate:
    best = list(chances)
    certain = sum(chance > 1 - 1e-9 for chance in best)
    right = Fraction(round(sum(best) / len(best) * 10**6), 10**6)
    return Rate(right, Fraction(certain, len(best)), len(best))


def _unaware_chances(design: Design) -> Iterator[float]:
    """Yield, place by place, how likely the likeliest arm is to one who does not know the sizes.

    The belief is a distribution over the places left in the open block, kept by Bayes' rule.
    """
    arms = [arm.code for arm in design.arms]
    total = sum(block.weight for block in design.blocks)
    fresh: dict[Left, float] = {
        tuple(arm.ratio * block.size // design.unit for arm in design.arms): block.weight / total
        for block in design.blocks
    }
    belief = fresh
    one = replace(design, strata=("simulated",))
    for entry in generate(one, seed=_SEED, length=SIMULATED_PLACES)[:SIMULATED_PLACES]:
        yield max(
            sum(chance * left[arm] / sum(left) for left, chance in belief.items())
            for arm in range(len(arms))
        )
        belief = _after(belief, arms.index(entry.arm), fresh)


def _after(belief: dict[Left, float], arm: int, fresh: dict[Left, float]) -> dict[Left, float]:
    seen: dict[Left, float] = defaultdict(float)
    for left, chance in belief.items():
        if not left[arm]:
            continue
        weight = chance * left[arm] / sum(left)
        after = tuple(n - (i == arm) for i, n in enumerate(left))
        if any(after):
            seen[after] += weight
        else:
            for begun, share in fresh.items():
                seen[begun] += weight * share
    total = sum(seen.values())
    return {left: weight / total for left, weight in seen.items()}


def _minimised_chances(design: Design) -> Iterator[float]:
    """Yield, subject by subject of trial after trial, how likely the likeliest arm is."""
    factors = design.minimisation.factors if design.minimisation else ()
    sites = tuple(str(number) for number in range(SIMULATED_SITES))
    stream = words(_SEED, "minimisation")
    while True:
        counts: dict[tuple[str, str], list[int]] = {}
        for _ in range(design.length):
            levels = {
                factor.code: known[below(stream, len(known))]
                for factor in factors
                for known in [sites if factor.code == SITE else factor.levels]
            }
            found = minimised_arm(design, counts=counts, levels=levels, draw=next(stream))
            yield _likeliest(design.equal_arms, found.weights)
            for level in levels.items():
                counts.setdefault(level, [0] * design.unit)[found.place - 1] += 1


def _likeliest(arms: Sequence[str], weights: Sequence[int]) -> float:
    by_arm: dict[str, int] = defaultdict(int)
    for arm, weight in zip(arms, weights, strict=True):
        by_arm[arm] += weight
    return max(by_arm.values()) / sum(weights)
