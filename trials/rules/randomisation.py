"""Is a pre-generated list one that this protocol allows?"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from events.outcomes import Reason
from trials.rules.protocol import Protocol


def list_problems(entries: Sequence[tuple[str, str]], protocol: Protocol) -> tuple[Reason, ...]:
    """Return every reason a list of (stratum, arm) entries does not fit the protocol.

    The arms and strata must be the protocol's, every stratum present, no list shorter than the
    planned accrual, and every whole permuted block must hold the protocol's ratio.
    """
    if not entries:
        return (Reason("list_empty", "The list has no entries."),)
    ratio = {arm.code: arm.ratio for arm in protocol.arms}
    strata = {stratum.code for stratum in protocol.strata}
    problems = [
        Reason("unknown_arm", f"{arm} is not an arm of the protocol.")
        for arm in sorted({arm for _, arm in entries} - set(ratio))
    ]
    problems += [
        Reason("unknown_stratum", f"{stratum} is not a stratum of the protocol.")
        for stratum in sorted({stratum for stratum, _ in entries} - strata)
    ]
    problems += [
        Reason("stratum_missing", f"The list has no entry for stratum {stratum}.")
        for stratum in sorted(strata - {stratum for stratum, _ in entries})
    ]
    planned = protocol.trial.planned_accrual.value
    if len(entries) < planned:
        problems.append(
            Reason("list_short", f"The list has {len(entries)} entries for {planned} planned.")
        )
    if not problems and len(protocol.randomisation.block_sizes) == 1:
        problems += _block_problems(entries, ratio, protocol.randomisation.block_sizes[0])
    return tuple(problems)


def _block_problems(
    entries: Sequence[tuple[str, str]], ratio: dict[str, int], size: int
) -> list[Reason]:
    """Check blocks of one fixed size; the open block at a stratum's end is not judged."""
    arms: dict[str, list[str]] = defaultdict(list)
    for stratum, arm in entries:
        arms[stratum].append(arm)
    times, whole = divmod(size, sum(ratio.values()))
    expected = Counter({arm: share * times for arm, share in ratio.items()})
    if whole or not times:
        return [Reason("block_size", f"Blocks of {size} cannot hold the ratio.")]
    return [
        Reason("block_ratio", f"Block {i // size + 1} of stratum {stratum} breaks the ratio.")
        for stratum, listed in sorted(arms.items())
        for i in range(0, len(listed) - size + 1, size)
        if Counter(listed[i : i + size]) != expected
    ]
