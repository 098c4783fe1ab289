"""What is found of a protocol file before anything of it is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from events.outcomes import Reason
from trials.rules.protocol import Problem, Protocol
from trials.rules.protocol.amendment import Change, changes
from trials.rules.randomisation import GuessRate, Rate, design_of, guess_rate, longest


@dataclass(frozen=True, slots=True)
class Predictability:
    """What of a design's next arm can be guessed, and why that was accepted."""

    method: str
    guesses: GuessRate
    accepted_because: str

    def lines(self) -> Iterator[str]:
        """Say what somebody would guess right who saw every earlier arm, and how that is known."""
        found, method = self.guesses, self.method.replace("_", " ")
        yield (
            f"Randomisation: {method}. An observer of every earlier arm guesses"
            f" {_told(found.best)}; without looking, {_percent(found.blind)}."
        )
        if found.unaware:
            yield f"That is if each block's size is known; if not: {_told(found.unaware)}."
        if self.accepted_because:
            yield f"Accepted because: {self.accepted_because}"


def predictability_of(protocol: Protocol) -> Predictability:
    """Return what of the next arm can be guessed under a protocol's design, and why it stands."""
    design = design_of(protocol)
    reason = protocol.randomisation.predictability_reason
    return Predictability(design.method, guess_rate(design), reason or "")


def places_of(protocol: Protocol) -> str:
    """Say how many places a list of a protocol may have, beside the planned accrual."""
    design, planned = design_of(protocol), protocol.trial.planned_accrual.value
    if not design.strata:
        return f"List: {design.length} draws at most for {planned} planned subjects."
    most, strata = longest(design), len(design.strata)
    if strata == 1:
        return f"List: {most} places at most for {planned} planned subjects."
    return (
        f"List: {most} places at most in each of {strata} strata, {most * strata} together, for"
        f" {planned} planned subjects. Nobody knows how the strata fill; places left over are"
        " never used."
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """All a file would be refused for, and what it brings as far as it can be read.

    ``problems`` are of the file by itself, ``reasons`` those against the trial it is for; ``since``
    is the version the trial's sites begin with now.
    """

    problems: tuple[Problem, ...] = ()
    reasons: tuple[Reason, ...] = ()
    protocol: Protocol | None = None
    since: Protocol | None = None

    @property
    def refused_for(self) -> tuple[Reason, ...]:
        return (*(Reason(one.rule, str(one)) for one in self.problems), *self.reasons)

    @property
    def changes(self) -> list[Change]:
        if self.protocol is None or self.since is None:
            return []
        return list(changes(self.since, self.protocol))

    @property
    def predictability(self) -> Predictability | None:
        return predictability_of(self.protocol) if self.protocol else None


def _told(rate: Rate) -> str:
    if rate.exact:
        how = f"exact: {rate.right}, certain {rate.certain}"
    else:
        how = f"simulated, {rate.simulated_places} places"
    return f"{_percent(rate.right)} right, {_percent(rate.certain)} for certain ({how})"


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"
