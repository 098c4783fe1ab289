"""What a draft list would do if it went live, for the two people who must approve it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from events.outcomes import Reason
from trials.rules.protocol import Protocol
from trials.rules.randomisation import (
    Design,
    Entry,
    GuessRate,
    Structure,
    design_of,
    guess_rate,
    list_problems,
    sizes_alone,
    structure,
)


# An extension may be for one stratum alone and as short as is wanted.
NOT_ASKED_OF_AN_EXTENSION = {"list_short", "stratum_missing"}


@dataclass(frozen=True, slots=True)
class StratumRun:
    """One stratum of a draft: what it holds, and its arms in the order of allocation."""

    label: str
    holds: Structure
    longest_run: int
    arms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """The report two people approve. ``draws`` is filled for a minimisation, which has no arms.

    ``planned`` is the trial's accrual, ``places_before`` what its live lists hold: nothing for a
    first list.
    """

    digest: str
    planned: int
    places_before: int
    design: Design
    strata: tuple[StratumRun, ...]
    counts: dict[str, int]
    draws: tuple[int, ...]
    guesses: GuessRate
    problems: tuple[Reason, ...]

    @property
    def places(self) -> int:
        return sum(self.counts.values()) + len(self.draws)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say what fits the protocol and still asks for a second look."""
        return tuple(_one_size(self.strata, self.design))

    @property
    def room(self) -> str:
        """Say how many places there are for how many subjects, and why they are not the same."""
        if self.places_before:
            before, together = self.places_before, self.places_before + self.places
            return (
                f"An extension of {_places(self.places)}. With the {before} of the lists before it"
                f" there are {_places(together)} for {self.planned} planned subjects. What all"
                " lists hold together has no bound: approve it only if so many are meant."
            )
        told = f"{_places(self.places)} for {self.planned} planned subjects"
        if self.draws:
            return f"{told}, one for each subject who comes."
        return f"{told}{_by_stratum(self.strata)}. {_why(self.strata, self.planned)}".strip()


def dry_run_of(
    entries: Sequence[Entry],
    protocol: Protocol,
    *,
    number: int,
    digest: str,
    places_before: int = 0,
) -> DryRun:
    """Return the report on a draft's entries, which are in the order of allocation by stratum."""
    design = design_of(protocol)
    labels = {stratum.code: stratum.label for stratum in protocol.strata}
    found = Counter(entry.arm for entry in entries if entry.draw is None)
    return DryRun(
        digest=digest,
        planned=protocol.trial.planned_accrual.value,
        places_before=places_before,
        design=design,
        strata=tuple(
            _run(labels[holds.stratum], holds, entries)
            for holds in structure(entries, protocol)
            if holds.places
        ),
        counts={arm.code: found[arm.code] for arm in design.arms} if found else {},
        draws=tuple(entry.draw for entry in entries if entry.draw is not None),
        guesses=guess_rate(design),
        problems=problems_of(entries, protocol, number=number),
    )


def problems_of(entries: Iterable[Entry], protocol: Protocol, *, number: int) -> tuple[Reason, ...]:
    """Return every reason against a list, by its number: an extension need not hold the plan."""
    found = list_problems(entries, protocol)
    if number == 1:
        return found
    return tuple(reason for reason in found if reason.code not in NOT_ASKED_OF_AN_EXTENSION)


def _places(number: int) -> str:
    return f"{number} place{'s' if number != 1 else ''}"


def _by_stratum(strata: Sequence[StratumRun]) -> str:
    if len(strata) < 2:
        return ""
    held = ", ".join(f"{run.holds.places} in {run.holds.stratum}" for run in strata)
    return f", in {len(strata)} strata: {held}"


def _why(strata: Sequence[StratumRun], planned: int) -> str:
    """Say why a list of several strata holds more places than there will be subjects."""
    if len(strata) < 2:
        return ""
    short = [run.holds.stratum for run in strata if run.holds.places < planned]
    said = "Nobody knows how the strata fill, so each has places of its own; those left over are"
    said += " never used."
    if not short:
        return f"{said} Each could take the whole trial."
    return f"{said} Not for the whole trial: {', '.join(short)}, which could need an extension."


def _one_size(strata: Sequence[StratumRun], design: Design) -> Iterator[str]:
    """Say where a list has blocks of one size throughout, of several that the protocol has."""
    if len(design.blocks) < 2:
        return
    found: dict[int, list[Structure]] = defaultdict(list)
    for run in strata:
        found[min(sizes_alone(run.arms, design), default=0)].append(run.holds)
    sizes = " and ".join(str(block.size) for block in design.blocks)
    for size, held in found.items():
        if size:
            yield (
                f"{_all_blocks(held, everywhere=len(found) == 1)} of {size}, though the protocol"
                f" has {sizes}: where they end could be guessed."
            )


def _all_blocks(held: Sequence[Structure], *, everywhere: bool) -> str:
    """Say of which blocks, and how surely: some lists can be cut in more than one way."""
    sure = all(one.whole_blocks and len(set(one.whole_blocks)) == 1 for one in held)
    codes = " and ".join(one.stratum for one in held)
    where = "All blocks" if everywhere else f"In stratum {codes} all blocks"
    return f"{where} {'are' if sure else 'may be'}"


def _run(label: str, holds: Structure, entries: Sequence[Entry]) -> StratumRun:
    arms = tuple(entry.arm for entry in entries if entry.stratum == holds.stratum)
    return StratumRun(label=label, holds=holds, longest_run=_longest_run(arms), arms=arms)


def _longest_run(arms: Sequence[str]) -> int:
    longest = here = 0
    for i, arm in enumerate(arms):
        here = here + 1 if i and arm == arms[i - 1] else 1
        longest = max(longest, here)
    return longest
