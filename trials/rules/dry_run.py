"""What a draft list would do if it went live, for the two people who must approve it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from events.outcomes import Reason
from trials.rules.commitment import Entry
from trials.rules.protocol import Protocol
from trials.rules.randomisation import list_problems


@dataclass(frozen=True, slots=True)
class StratumRun:
    """One stratum of a draft. ``arms`` are in the order of allocation, ``blocks`` the sizes found.

    A block is the fewest places in a row, after the last block, that hold the protocol's ratio;
    ``open_places`` come after the last one. ``counts`` has every arm of the protocol.
    """

    stratum: str
    label: str
    places: int
    counts: dict[str, int]
    blocks: tuple[int, ...]
    open_places: int
    longest_run: int
    arms: tuple[str, ...]

    @property
    def block_sizes(self) -> dict[int, int]:
        """How many blocks there are of each size."""
        return dict(sorted(Counter(self.blocks).items()))


@dataclass(frozen=True, slots=True)
class DryRun:
    """The report two people approve. ``draws`` is filled for a minimisation, which has no arms."""

    digest: str
    method: str
    ratio: dict[str, int]
    strata: tuple[StratumRun, ...]
    counts: dict[str, int]
    draws: tuple[int, ...]
    problems: tuple[Reason, ...]

    @property
    def places(self) -> int:
        return sum(run.places for run in self.strata) or len(self.draws)


def dry_run_of(entries: Sequence[Entry], protocol: Protocol, *, digest: str) -> DryRun:
    """Return the report on a draft's entries, which are in the order of allocation by stratum."""
    ratio = {arm.code: arm.ratio for arm in protocol.arms}
    listed = [(stratum, arm) for stratum, arm, draw in entries if draw is None]
    labels = {stratum.code: stratum.label for stratum in protocol.strata}
    runs = tuple(
        _run(code, labels.get(code, code), [arm for s, arm in listed if s == code], ratio)
        for code in dict.fromkeys([*labels, *(stratum for stratum, _ in listed)])
        if listed
    )
    found = Counter(arm for _, arm in listed)
    return DryRun(
        digest=digest,
        method=protocol.randomisation.method,
        ratio=ratio,
        strata=runs,
        counts={arm: found[arm] for arm in ratio} if listed else {},
        draws=tuple(draw for _, _, draw in entries if draw is not None),
        problems=list_problems(listed, protocol) if listed else (),
    )


def _run(code: str, label: str, arms: Sequence[str], ratio: dict[str, int]) -> StratumRun:
    blocks = tuple(_blocks(arms, ratio))
    found = Counter(arms)
    return StratumRun(
        stratum=code,
        label=label,
        places=len(arms),
        counts={arm: found[arm] for arm in ratio},
        blocks=blocks,
        open_places=len(arms) - sum(blocks),
        longest_run=_longest_run(arms),
        arms=tuple(arms),
    )


def _blocks(arms: Iterable[str], ratio: dict[str, int]) -> Iterable[int]:
    open_: Counter[str] = Counter()
    for arm in arms:
        open_[arm] += 1
        times = open_.total() // sum(ratio.values())
        if times and open_ == Counter({each: share * times for each, share in ratio.items()}):
            yield open_.total()
            open_.clear()


def _longest_run(arms: Sequence[str]) -> int:
    longest = here = 0
    for i, arm in enumerate(arms):
        here = here + 1 if i and arm == arms[i - 1] else 1
        longest = max(longest, here)
    return longest
