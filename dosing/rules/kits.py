"""Kit numbers that say nothing: how they are made, and whether given ones tell the arm."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import exp, inf, lgamma, log

from events.outcomes import Reason


# Numbers that mean nothing fail all tests together at most once in a hundred supplies; then
# other numbers are drawn. This is a property of the check, not of a trial.
SIGNIFICANCE = 0.01
ROUNDING = 1e-9  # two tables that are equally likely
SPACE = 10**8  # of a number without its check digit


@dataclass(frozen=True, slots=True)
class KitLabel:
    """What is printed on one kit, and its arm; in the order in which the supplier sent them."""

    number: str
    arm: str
    expires_on: date
    dose_mg: Decimal


def with_check_digit(serial: int) -> str:
    """Return the nine digits of a kit number: eight drawn ones and Luhn's check digit.

    A wrong digit, and nearly every swap of two neighbours, gives another check digit.
    Source: ISO/IEC 7812-1, annex B.
    """
    digits = f"{serial:08d}"
    doubled = [int(d) * (2 - place % 2) for place, d in enumerate(reversed(digits))]
    total = sum(value // 10 + value % 10 for value in doubled)
    return f"{digits}{-total % 10}"


def number_problems(labels: Sequence[KitLabel]) -> tuple[Reason, ...]:
    """Return how the labels of one supply tell what is in the kits; empty means they do not.

    Every mark a reader can see is compared with the arms: parity, length, the first one to three
    characters, the last one, the day of expiry, and whether the kits of an arm lie together, or
    take turns, when sorted by number. Each is an exact test (Fisher's; Wald and Wolfowitz's runs)
    and the limit is shared out between them. The reasons name no arm, number or value.

    Source: EMA/INS/GCP/112288/2023, A5.2; Wald & Wolfowitz 1940, Ann Math Stat 11:147.
    """
    return tuple(
        Reason("kit_labels_tell_the_arm", f"The kits' labels tell what is in them: {told}.")
        for told, find in _TESTS
        if find(labels) < SIGNIFICANCE / len(_TESTS)
    )


def _marks(of: Callable[[KitLabel], object]) -> Callable[[Sequence[KitLabel]], float]:
    """Return a test of one mark: the smallest p over values and arms, times how many are free."""

    def smallest(labels: Sequence[KitLabel]) -> float:
        marked = Counter(of(label) for label in labels)
        arms = Counter(label.arm for label in labels)
        both = Counter((of(label), label.arm) for label in labels)
        found = [
            fisher(both=both[mark, arm], marked=marked[mark], in_arm=arms[arm], total=len(labels))
            for mark in marked
            for arm in arms
        ]
        return min(found, default=1.0) * max((len(marked) - 1) * (len(arms) - 1), 1)

    return smallest


def fisher(*, both: int, marked: int, in_arm: int, total: int) -> float:
    """Return Fisher's exact two-sided p of a mark and an arm falling together ``both`` times."""
    ways = {
        k: _ways(in_arm, k) + _ways(total - in_arm, marked - k)
        for k in range(max(0, marked + in_arm - total), min(marked, in_arm) + 1)
    }
    here, all_ways = ways[both] + ROUNDING, _ways(total, marked)
    return min(1.0, sum(exp(way - all_ways) for way in ways.values() if way <= here))


def runs(members: Sequence[bool]) -> float:
    """Return the exact two-sided p of as few, or as many, runs as these."""
    a, b = sum(members), len(members) - sum(members)
    if not a or not b:
        return 1.0
    seen = 1 + sum(x != y for x, y in pairwise(members))
    all_ways = _ways(a + b, a)
    chance = {r: exp(_run_ways(r, a, b) - all_ways) for r in range(2, 2 * min(a, b) + 2)}
    few = sum(p for r, p in chance.items() if r <= seen)
    many = sum(p for r, p in chance.items() if r >= seen)
    return min(1.0, 2 * min(few, many))


def _ways(of: int, chosen: int) -> float:
    """Return the logarithm of a binomial coefficient; minus infinity where there is no way."""
    if not 0 <= chosen <= of:
        return -inf
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)


def _run_ways(count: int, a: int, b: int) -> float:
    half = count // 2
    if count % 2 == 0:
        return log(2) + _ways(a - 1, half - 1) + _ways(b - 1, half - 1)
    first = _ways(a - 1, half) + _ways(b - 1, half - 1)
    second = _ways(a - 1, half - 1) + _ways(b - 1, half)
    if max(first, second) == -inf:
        return -inf
    both = exp(first - max(first, second)) + exp(second - max(first, second))
    return max(first, second) + log(both)


def _lying_together(labels: Sequence[KitLabel]) -> float:
    """Return the smallest p of the arms' runs in the order of the numbers."""
    ordered = sorted(labels, key=lambda label: (len(label.number), label.number))
    arms = {label.arm for label in labels}
    found = [runs([label.arm == arm for label in ordered]) for arm in arms]
    return min(found, default=1.0) * max(len(arms) - 1, 1)


def _parity(label: KitLabel) -> object:
    return int(label.number[-1]) % 2 if label.number[-1].isdigit() else None


_TESTS: tuple[tuple[str, Callable[[Sequence[KitLabel]], float]], ...] = (
    ("even and odd numbers differ", _marks(_parity)),
    ("the numbers' length differs", _marks(lambda label: len(label.number))),
    ("the first character differs", _marks(lambda label: label.number[:1])),
    ("the first two characters differ", _marks(lambda label: label.number[:2])),
    ("the first three characters differ", _marks(lambda label: label.number[:3])),
    ("the last character differs", _marks(lambda label: label.number[-1:])),
    ("the days of expiry differ", _marks(lambda label: label.expires_on)),
    ("sorted by number, the arms lie apart or take turns", _lying_together),
)
