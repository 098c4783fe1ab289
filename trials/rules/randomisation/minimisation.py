"""Which arm does a subject get in a minimisation?

Everything is in whole numbers, so that the database's own version of this rule agrees with it
exactly. Step by step, for a subject with one level of each factor and a draw u (0 to 2^32 - 1):

1. The *equal arms* j = 1 ... S are the arms of the design, each as often as its ratio says, in
   the protocol's order: with 2:1, arm L is 1 and 2, and arm P is 3. Subjects are counted by
   equal arm, so that each is as likely as any other and the ratio holds at every step.
2. For each factor f take n[f, j]: how many earlier subjects with the new subject's level of f went
   to equal arm j.
3. For each candidate j, let x[k] = n[f, k], but x[j] = n[f, j] + 1. The spread of f is
   ``range``: max(x) - min(x), or ``variance``: S * sum(x[k]^2) - (sum(x[k]))^2, which is the
   variance times a constant. The *imbalance* of j is G[j] = the sum over f of weight[f] * spread.
4. The *preferred* arms are those whose G[j] is the smallest. Let m be how many they are.
5. The protocol's probability is p = a/b. The preferred arm gets p, and the rest shares 1 - p
   equally; preferred arms that tie share what they would get in any order. In whole numbers out
   of T = b * (S - 1) * m:
   a preferred arm weighs  a * (S - 1) + (b - a) * (m - 1),
   every other arm weighs  (b - a) * m.
6. The arm is the first j, from 1, whose weights added up to and including j, called C[j],
   satisfy  u * T < C[j] * 2^32.

Step 5 makes the first subject's arms equally likely: all tie. A draw has 32 bits, so a
probability is met to within 2^-32. The protocol's bounds keep both sides of step 6 below 2^63.

Source: Pocock and Simon, Biometrics 1975;31:103-115 (range, variance, probability for the
preferred arm); Kuznetsova and Tymofyeyev, Stat Med 2012;31:701-723 (unequal ratios through
fictitious equal arms).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from trials.rules.randomisation.design import Design, Imbalance, Minimisation
from trials.rules.randomisation.generation import DRAW_BITS


Counts = Mapping[tuple[str, str], Sequence[int]]
"""How many subjects by (factor, level) went to each equal arm, in order; none if missing."""


@dataclass(frozen=True, slots=True)
class Minimised:
    """The equal arm (from 1) and its arm, with what led there: steps 3 and 5, by equal arm."""

    place: int
    arm: str
    imbalances: tuple[int, ...]
    weights: tuple[int, ...]


def minimised_arm(
    design: Design, *, counts: Counts, levels: Mapping[str, str], draw: int
) -> Minimised:
    """Return where a subject goes who has these levels of the design's factors (code to level).

    Raises ``KeyError`` if a factor has no level, ``ValueError`` if the draw is not one.
    """
    if not 0 <= draw < 1 << DRAW_BITS:
        raise ValueError("a draw has 32 bits")
    rule = _rule(design)
    imbalances = _imbalances(rule, counts, levels, arms=design.unit)
    weights = _weights(rule, imbalances)
    total = sum(weights)
    passed = [draw * total >= reached << DRAW_BITS for reached in accumulate(weights)]
    place = sum(passed) + 1
    return Minimised(place, design.equal_arms[place - 1], imbalances, weights)


def counted(
    allocated: Iterable[tuple[Mapping[str, str], int]], design: Design
) -> dict[tuple[str, str], list[int]]:
    """Return the counts after subjects with these levels went to these equal arms (from 1)."""
    counts: dict[tuple[str, str], list[int]] = {}
    for levels, place in allocated:
        for factor in _rule(design).factors:
            row = counts.setdefault((factor.code, levels[factor.code]), [0] * design.unit)
            row[place - 1] += 1
    return counts


def _rule(design: Design) -> Minimisation:
    if design.minimisation is None:
        raise ValueError(f"{design.method} is not a minimisation")
    return design.minimisation


def _imbalances(
    rule: Minimisation, counts: Counts, levels: Mapping[str, str], *, arms: int
) -> tuple[int, ...]:
    rows = [
        (factor.weight, counts.get((factor.code, levels[factor.code])) or [0] * arms)
        for factor in rule.factors
    ]
    return tuple(
        sum(weight * _spread(rule.imbalance, row, candidate) for weight, row in rows)
        for candidate in range(arms)
    )


def _spread(measure: Imbalance, row: Sequence[int], candidate: int) -> int:
    x = list(row)
    x[candidate] += 1
    if measure == "range":
        return max(x) - min(x)
    return len(x) * sum(number * number for number in x) - sum(x) ** 2


def _weights(rule: Minimisation, imbalances: Sequence[int]) -> tuple[int, ...]:
    a, b = rule.probability.as_integer_ratio()
    arms, smallest = len(imbalances), min(imbalances)
    tied = sum(imbalance == smallest for imbalance in imbalances)
    preferred, other = a * (arms - 1) + (b - a) * (tied - 1), (b - a) * tied
    return tuple(preferred if imbalance == smallest else other for imbalance in imbalances)
