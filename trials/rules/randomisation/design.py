"""The design of a randomisation: what the generator, the checks and the digest need of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from math import gcd
from typing import Literal

from trials.rules.protocol import Protocol


Method = Literal["permuted_blocks", "simple", "minimisation"]
Imbalance = Literal["range", "variance"]

SITE = "site"
"""The reserved factor code whose level is the code of the subject's site."""


@dataclass(frozen=True, slots=True)
class DesignArm:
    code: str
    ratio: int


@dataclass(frozen=True, slots=True)
class BlockSize:
    """A size that a block may have, and its share of the draws of a size."""

    size: int
    weight: int


@dataclass(frozen=True, slots=True)
class MinimisedFactor:
    """A factor to balance. ``levels`` is empty for the site, whose levels are not known ahead."""

    code: str
    weight: int
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Minimisation:
    factors: tuple[MinimisedFactor, ...]
    imbalance: Imbalance
    probability: Fraction


@dataclass(frozen=True, slots=True)
class Design:
    """How subjects come to arms. Made by ``design_of``, from a protocol that has been checked.

    Ratios and weights are in lowest terms. ``length`` is the planned number of places of each
    stratum's list, or of draws in a minimisation. ``strata`` is empty in a minimisation, which
    balances over factors.
    """

    method: Method
    arms: tuple[DesignArm, ...]
    strata: tuple[str, ...]
    length: int
    blocks: tuple[BlockSize, ...] = ()
    minimisation: Minimisation | None = None

    @property
    def unit(self) -> int:
        """The smallest number of places that holds the ratio exactly."""
        return sum(arm.ratio for arm in self.arms)

    @property
    def equal_arms(self) -> tuple[str, ...]:
        """Each arm as often as its ratio says, in the order of the protocol: L, L, P for 2:1.

        In a minimisation these are the fictitious arms, numbered from 1.
        """
        return tuple(chain.from_iterable(repeat(arm.code, arm.ratio) for arm in self.arms))


def design_of(protocol: Protocol) -> Design:
    """Return the design a protocol describes.

    Without ``list_length`` each stratum's list is as long as the planned accrual: no stratum can
    then run out before the trial is full.
    """
    randomisation = protocol.randomisation
    shares = _lowest_terms([arm.ratio for arm in protocol.arms])
    minimised = randomisation.method == "minimisation"
    return Design(
        method=randomisation.method,
        arms=tuple(
            DesignArm(arm.code, share) for arm, share in zip(protocol.arms, shares, strict=True)
        ),
        strata=() if minimised else tuple(stratum.code for stratum in protocol.strata),
        length=(randomisation.list_length or protocol.trial.planned_accrual).value,
        blocks=_blocks(protocol),
        minimisation=_minimisation(protocol),
    )


def _blocks(protocol: Protocol) -> tuple[BlockSize, ...]:
    sizes = protocol.randomisation.block_sizes
    weights = _lowest_terms(protocol.randomisation.block_weights)
    return tuple(BlockSize(size, weight) for size, weight in zip(sizes, weights, strict=True))


def _minimisation(protocol: Protocol) -> Minimisation | None:
    stated = protocol.randomisation.minimisation
    if stated is None:
        return None
    known = {
        factor.code: tuple(level.code for level in factor.levels) for factor in protocol.factors
    }
    weights = _lowest_terms([factor.weight for factor in stated.factors])
    return Minimisation(
        factors=tuple(
            MinimisedFactor(factor.code, weight, known.get(factor.code, ()))
            for factor, weight in zip(stated.factors, weights, strict=True)
        ),
        imbalance=stated.imbalance,
        probability=Fraction(stated.probability.value),
    )


def _lowest_terms(values: Sequence[int]) -> list[int]:
    common = gcd(*values)
    return [value // common for value in values]
