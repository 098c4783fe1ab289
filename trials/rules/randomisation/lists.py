"""Is a list one that this protocol allows, and what does it hold?"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from events.outcomes import Reason
from trials.rules.protocol import Protocol
from trials.rules.randomisation.design import BlockSize, Design, design_of
from trials.rules.randomisation.generation import DRAW_BITS, Entry


@dataclass(frozen=True, slots=True)
class Structure:
    """What one stratum's list holds. It tells arms: for unblinded eyes only.

    ``whole_blocks`` are the fewest and the most whole blocks the list can be cut into, which
    differ where blocks vary in size; nothing in a design without blocks. ``open_places`` follow
    the last whole block.
    """

    stratum: str
    places: int
    by_arm: Mapping[str, int]
    ratio: Mapping[str, int]
    whole_blocks: tuple[int, int] | None
    open_places: int


def list_problems(
    entries: Iterable[Entry | tuple[str, str]], protocol: Protocol
) -> tuple[Reason, ...]:
    """Return every reason a list does not fit the protocol; empty means it fits.

    The arms and strata must be the protocol's and every stratum present. The list holds the
    planned accrual, and no stratum's part goes on after the block in which it reaches the
    planned length. That is the whole accrual if the protocol states no other: nobody knows how
    strata fill, and one that runs out turns subjects away. So a list of two strata may hold twice
    the places that are planned; those left over are never used. With permuted blocks each stratum
    must be a row of whole blocks of the protocol's sizes and ratio, the last of which may be open.
    In a minimisation entries are draws and nothing else.

    Each list is judged by itself. What the lists of a trial hold together has no bound: how far an
    extension goes is for the two people to decide who approve it.
    """
    listed = [Entry(*entry) for entry in entries]
    if not listed:
        return (Reason("list_empty", "The list has no entries."),)
    design = design_of(protocol)
    planned = protocol.trial.planned_accrual.value
    if design.method == "minimisation":
        return tuple(_draw_problems(listed, design, planned))
    if any(entry.draw is not None for entry in listed):
        detail = (
            f"The list holds draws of a minimisation; the protocol's method is {design.method}."
        )
        return (Reason("not_arms", detail),)
    by_stratum = _by_stratum(listed)
    return (
        *_foreign(by_stratum, design),
        *_lengths(by_stratum, design, planned),
        *_block_problems(by_stratum, design),
    )


def structure(
    entries: Iterable[Entry | tuple[str, str]], protocol: Protocol
) -> tuple[Structure, ...]:
    """Return what each stratum's list holds, in the protocol's order. Nothing in a minimisation.

    The entries are those of a list without problems.
    """
    design = design_of(protocol)
    by_stratum = _by_stratum([Entry(*entry) for entry in entries])
    return tuple(
        _structure(stratum, by_stratum.get(stratum, []), design) for stratum in design.strata
    )


def sizes_alone(arms: Sequence[str], design: Design) -> tuple[int, ...]:
    """Return the sizes, from the smallest, of which alone two or more blocks make up the list.

    The last block may be open.
    """
    return tuple(block.size for block in design.blocks if _is_row_of(block, arms, design))


def _is_row_of(block: BlockSize, arms: Sequence[str], design: Design) -> bool:
    alone = replace(design, blocks=(block,))
    last = max(_cuts(arms, alone))
    return last >= 2 * block.size and _opens_a_block(arms[last:], alone)


def _by_stratum(entries: Sequence[Entry]) -> dict[str, list[str]]:
    arms: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        arms[entry.stratum].append(entry.arm)
    return arms


def _draw_problems(entries: Sequence[Entry], design: Design, planned: int) -> Iterator[Reason]:
    wrong = sum(
        bool(entry.stratum or entry.arm)
        or entry.draw is None
        or not 0 <= entry.draw < 1 << DRAW_BITS
        for entry in entries
    )
    if wrong:
        yield Reason("not_draws", f"{wrong} entries are not draws of {DRAW_BITS} bits alone.")
    if len(entries) < planned:
        yield _short(len(entries), planned)
    if len(entries) > design.length:
        yield Reason(
            "list_long", f"The list has {len(entries)} draws; the protocol plans {design.length}."
        )


def _short(places: int, planned: int) -> Reason:
    return Reason("list_short", f"The list has {places} entries for {planned} planned.")


def _foreign(by_stratum: Mapping[str, list[str]], design: Design) -> Iterator[Reason]:
    arms = {arm for listed in by_stratum.values() for arm in listed}
    for arm in sorted(arms - {arm.code for arm in design.arms}):
        yield Reason("unknown_arm", f"{arm} is not an arm of the protocol.")
    for stratum in sorted(set(by_stratum) - set(design.strata)):
        yield Reason("unknown_stratum", f"{stratum} is not a stratum of the protocol.")
    for stratum in sorted(set(design.strata) - set(by_stratum)):
        yield Reason("stratum_missing", f"The list has no entry for stratum {stratum}.")


def _lengths(by_stratum: Mapping[str, list[str]], design: Design, planned: int) -> Iterator[Reason]:
    places = sum(len(listed) for listed in by_stratum.values())
    if places < planned:
        yield _short(places, planned)
    allowed = longest(design)
    for stratum, listed in sorted(by_stratum.items()):
        if stratum in design.strata and len(listed) > allowed:
            yield Reason(
                "list_long",
                f"Stratum {stratum} has {len(listed)} entries; the protocol plans"
                f" {design.length}, {allowed} with the block that ends there.",
            )


def longest(design: Design) -> int:
    """Return how long a stratum's list may be: to the end of the block that reaches the plan.

    Blocks end at multiples of what all their sizes are multiples of; the last one that may begin
    does so before the planned length.
    """
    sizes = [block.size for block in design.blocks]
    if not sizes:
        return design.length
    step = gcd(*sizes)
    return (design.length - 1) // step * step + max(sizes)


def _block_problems(by_stratum: Mapping[str, list[str]], design: Design) -> Iterator[Reason]:
    """Yield which strata are no rows of blocks, of those that hold nothing foreign.

    Places beyond the plan are not looked at: they are too many as it is.
    """
    sizes = [block.size for block in design.blocks]
    known = {arm.code for arm in design.arms}
    for stratum in sorted({*by_stratum} & {*design.strata} if sizes else ()):
        arms = by_stratum[stratum][: longest(design)]
        last = max(_cuts(arms, design))
        if not known.issuperset(arms) or _opens_a_block(arms[last:], design):
            continue
        if len(sizes) == 1:
            where = f"Block {last // sizes[0] + 1} of stratum {stratum} breaks the ratio."
        else:
            listed = " or ".join(map(str, sizes))
            where = (
                f"Stratum {stratum} is no row of blocks of {listed} in the ratio"
                f" after place {last}."
            )
        yield Reason("block_ratio", where)


def _cuts(arms: Sequence[str], design: Design) -> dict[int, tuple[int, int]]:
    """Return after how many places whole blocks can end: with the fewest and the most of them."""
    ratio = {arm.code: arm.ratio for arm in design.arms}
    cuts = {0: (0, 0)}
    for end in range(1, len(arms) + 1):
        before = [
            cuts[end - block.size]
            for block in design.blocks
            if end - block.size in cuts
            and _holds(arms[end - block.size : end], ratio, block.size // design.unit)
        ]
        if before:
            cuts[end] = (min(low for low, _ in before) + 1, max(high for _, high in before) + 1)
    return cuts


def _holds(block: Sequence[str], ratio: Mapping[str, int], times: int) -> bool:
    counts = Counter(block)
    return all(counts[arm] == share * times for arm, share in ratio.items())


def _opens_a_block(arms: Sequence[str], design: Design) -> bool:
    """Return whether these arms, fewer than a block, could be how one begins."""
    counts = Counter(arms)
    return any(
        all(counts[arm.code] <= arm.ratio * block.size // design.unit for arm in design.arms)
        for block in design.blocks
    )


def _structure(stratum: str, arms: Sequence[str], design: Design) -> Structure:
    counts = Counter(arms)
    cuts = _cuts(arms, design)
    last = max(cuts)
    return Structure(
        stratum=stratum,
        places=len(arms),
        by_arm={arm.code: counts[arm.code] for arm in design.arms},
        ratio={arm.code: arm.ratio for arm in design.arms},
        whole_blocks=cuts[last] if design.blocks else None,
        open_places=len(arms) - last if design.blocks else 0,
    )
