"""Kit numbers that say nothing: how they are made and dealt, and whether labels tell the arm."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import exp, inf, lgamma, log
from random import Random
from typing import TypeVar

from events.outcomes import Reason


# Numbers that mean nothing fail all tests together at most once in a hundred deals; then they are
# dealt again, before anybody has seen them. This is a property of the check, not of a trial.
SIGNIFICANCE = 0.01
ROUNDING = 1e-9  # two tables that are equally likely
SPACE = 10**8  # of a number without its check digit

Group = TypeVar("Group", bound=Hashable)


@dataclass(frozen=True, slots=True)
class KitLabel:
    """What is printed on one kit, and its arm. The day of expiry is known when it is packed."""

    number: str
    arm: str
    dose_mg: Decimal
    expires_on: date | None = None


def with_check_digit(serial: int) -> str:
    """Return the nine digits of a kit number: eight drawn ones and Luhn's check digit.

    A wrong digit, and nearly every swap of two neighbours, gives another check digit.
    Source: ISO/IEC 7812-1, annex B.
    """
    digits = f"{serial:08d}"
    doubled = [int(d) * (2 - place % 2) for place, d in enumerate(reversed(digits))]
    total = sum(value // 10 + value % 10 for value in doubled)
    return f"{digits}{-total % 10}"


def deal(
    numbers: Sequence[str], contents: Sequence[tuple[Decimal, str]], *, rng: Random
) -> tuple[KitLabel, ...]:
    """Give each content, a dose in mg and an arm, a number by chance; sorted by number.

    A number says nothing about its content because chance alone put them together. That chance
    can look like a pattern: such a deal is thrown away, and another one made.
    """
    left = list(contents)
    while True:
        rng.shuffle(left)
        dealt = tuple(
            KitLabel(number, arm, dose_mg)
            for number, (dose_mg, arm) in zip(sorted(numbers), left, strict=True)
        )
        if not number_problems(dealt):
            return dealt


def without_some_arm(contents: Iterable[tuple[Group, str]], arms: Iterable[str]) -> list[Group]:
    """Return each group of kits that lacks an arm: kits known to be alike tell of one another."""
    held: dict[Group, set[str]] = {}
    for group, arm in contents:
        held.setdefault(group, set()).add(arm)
    return [group for group, found in held.items() if not found >= set(arms)]


def supply_problems(
    labels: Sequence[KitLabel], *, earlier: Sequence[KitLabel], arms: Sequence[str]
) -> tuple[Reason, ...]:
    """Return how one supply of a site tells what is in its kits; empty means it does not.

    The kits of one dose and day of expiry that came together are a group, and anybody can see it.
    Each holds every arm, in a share that chance can explain beside the other kits of the dose,
    those of ``earlier`` supplies among them: else one unblinded kit would tell of its group. The
    numbers are judged too, for a supply may be a part of what was dealt. No reason names an arm.
    """
    alike = without_some_arm(((_group(label), label.arm) for label in labels), arms)
    found = [
        Reason("kits_all_alike", f"{_told(group)} there is none of some arm.") for group in alike
    ]
    found += [
        Reason("kits_in_other_shares", f"{_told(group)} the shares of the arms are others.")
        for group in _in_other_shares(labels, earlier)
    ]
    return (*found, *number_problems(labels))


def number_problems(labels: Sequence[KitLabel]) -> tuple[Reason, ...]:
    """Return how the numbers of some kits tell what is in them; empty means they do not.

    Every mark a reader can see is compared with the arms: parity, length, the first one to three
    characters, the last one, and whether the kits of an arm lie together, or take turns, when
    sorted by number. Each is an exact test (Fisher's; Wald and Wolfowitz's runs) and the limit is
    shared out between them. The reasons name no arm, number or value.

    Source: EMA/INS/GCP/112288/2023, A5.2; Wald & Wolfowitz 1940, Ann Math Stat 11:147.
    """
    return tuple(
        Reason("kit_labels_tell_the_arm", f"The kits' labels tell what is in them: {told}.")
        for told, find in _TESTS
        if find(labels) < SIGNIFICANCE / len(_TESTS)
    )


_Batch = tuple[Decimal, date | None]


def _group(label: KitLabel) -> _Batch:
    return label.dose_mg, label.expires_on


def _told(group: _Batch) -> str:
    dose_mg, expires_on = group
    return f"Among the kits of {dose_mg.normalize():f} mg that expire on {expires_on}"


def _in_other_shares(labels: Sequence[KitLabel], earlier: Sequence[KitLabel]) -> list[_Batch]:
    """Return the new groups whose arms chance does not explain beside all kits of the dose."""
    groups = Counter(map(_group, labels))
    arms = {label.arm for label in (*labels, *earlier)}
    limit = SIGNIFICANCE / max(len(groups) * (len(arms) - 1), 1)
    found = []
    for group, size in groups.items():
        of_dose = [label.arm for label in (*labels, *earlier) if label.dose_mg == group[0]]
        in_group = Counter(label.arm for label in labels if _group(label) == group)
        chances = (
            fisher(both=in_group[arm], marked=size, in_arm=of_dose.count(arm), total=len(of_dose))
            for arm in arms
        )
        if min(chances) < limit:
            found.append(group)
    return found


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
    ("sorted by number, the arms lie apart or take turns", _lying_together),
)
