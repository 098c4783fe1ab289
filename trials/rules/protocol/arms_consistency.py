"""What must hold between the arms of a protocol file and how subjects come to them."""

from collections.abc import Iterator, Sequence
from math import gcd
from typing import Any

from trials.rules.protocol.finding import (
    Finding,
    as_far_as_sound,
    each,
    repeated,
    rising,
    same_labels,
)
from trials.rules.protocol.sections import Arm, Randomisation, Trial
from trials.rules.protocol.written import told_apart_by


LARGEST_BLOCK = 200
LARGEST_RATIO = 100
"""Bounds of what is sensible; they also keep the arithmetic of a minimisation below 2^63."""


def arm_findings(arms: Sequence[Arm]) -> Iterator[Finding]:
    yield from repeated(arms, ("arms",))
    yield from same_labels(arms, ("arms",))
    yield from _code_label_findings(arms)
    yield from _control_findings(arms)
    yield from _drug_findings(arms)


@as_far_as_sound
def _code_label_findings(arms: Sequence[Arm]) -> Iterator[Finding]:
    """Check that no arm is called as another one's code: an emergency shows both."""
    codes = [arm.code.casefold() for arm in arms]
    for index, label in each(arms, "label"):
        if told_apart_by(label) in codes[:index] + codes[index + 1 :]:
            message = f"the label {label!r} is the code of another arm"
            yield Finding(("arms", index, "label"), "label_is_another_code", message)


@as_far_as_sound
def _control_findings(arms: Sequence[Arm]) -> Iterator[Finding]:
    if sum(arm.control for arm in arms) != 1:
        yield Finding(("arms",), "one_control_arm", "exactly one arm is the control")


@as_far_as_sound
def _drug_findings(arms: Sequence[Arm]) -> Iterator[Finding]:
    if not any(arm.active_drug for arm in arms):
        yield Finding(("arms",), "no_active_arm", "no arm receives the study drug")


# What belongs to one method: the attribute of the section, the method, and whether it needs it.
_OF_A_METHOD = {
    "block_sizes": ("sourced_block_sizes", "permuted_blocks", True),
    "block_weights": ("sourced_block_weights", "permuted_blocks", False),
    "minimisation": ("minimisation", "minimisation", True),
}


def randomisation_findings(randomisation: Randomisation) -> Iterator[Finding]:
    for name in _OF_A_METHOD:
        yield from _method_findings(randomisation, name)
    yield from _block_findings(randomisation)
    yield from _weight_findings(randomisation)
    yield from _minimised_findings(randomisation)


@as_far_as_sound
def _method_findings(randomisation: Randomisation, name: str) -> Iterator[Finding]:
    """Check that a key of the method is there, and one of another method is not."""
    attribute, method, needed = _OF_A_METHOD[name]
    value = getattr(randomisation, attribute)
    if value is None and needed and randomisation.method == method:
        yield Finding(("randomisation", name), "missing", f"the method {method} needs it")
    if value is not None and randomisation.method != method:
        message = f"the method {randomisation.method} does not use it"
        yield Finding(("randomisation", name), "not_of_this_method", message)


@as_far_as_sound
def _block_findings(randomisation: Randomisation) -> Iterator[Finding]:
    key = ("randomisation", "block_sizes")
    for size in randomisation.block_sizes:
        if size > LARGEST_BLOCK:
            message = f"a block of {size} is larger than {LARGEST_BLOCK}: it balances too late"
            yield Finding(key, "block_too_large", message)
    yield from rising(randomisation.block_sizes, key)


@as_far_as_sound
def _weight_findings(randomisation: Randomisation) -> Iterator[Finding]:
    if len(randomisation.block_weights) != len(randomisation.block_sizes):
        message = "each block size needs one weight"
        yield Finding(("randomisation", "block_weights"), "weights_do_not_match", message)


@as_far_as_sound
def _minimised_findings(randomisation: Randomisation) -> Iterator[Finding]:
    if randomisation.minimisation:
        table = ("randomisation", "minimisation", "factors")
        yield from repeated(randomisation.minimisation.factors, table)


@as_far_as_sound
def ratio_findings(randomisation: Randomisation, arms: Sequence[Arm]) -> Iterator[Finding]:
    shares = [arm.ratio for arm in arms]
    smallest = sum(shares) // gcd(*shares)
    yield from _fit_findings(randomisation, smallest)
    yield from _preference_findings(randomisation, smallest)


@as_far_as_sound
def _fit_findings(randomisation: Randomisation, smallest: int) -> Iterator[Finding]:
    for size in randomisation.block_sizes:
        if size % smallest:
            message = (
                f"a block of {size} cannot hold the ratio, which needs multiples of {smallest}"
            )
            key = ("randomisation", "block_sizes")
            yield Finding(key, "block_does_not_fit_ratio", message)


@as_far_as_sound
def _preference_findings(randomisation: Randomisation, arms: int) -> Iterator[Finding]:
    if not randomisation.minimisation:
        return
    if arms > LARGEST_RATIO:
        message = f"a minimisation counts {LARGEST_RATIO} equal arms at most; the ratio has {arms}"
        yield Finding(("arms",), "ratio_too_large", message)
    if randomisation.minimisation.probability.value * arms <= 1:
        key = ("randomisation", "minimisation", "probability")
        message = f"must be more than 1/{arms}, which prefers no arm, and 1 at most"
        yield Finding(key, "probability_out_of_range", message)


@as_far_as_sound
def list_length_findings(randomisation: Randomisation, trial: Trial) -> Iterator[Finding]:
    """Check the length of one stratum's list, and not of all together.

    Nobody knows how strata fill: each may come to hold the whole trial, and none more.
    """
    planned, stated = trial.planned_accrual.value, randomisation.list_length
    if stated is None:
        return
    key = ("randomisation", "list_length")
    if stated.value > planned:
        message = f"no list needs more places than the trial has subjects, {planned}"
        yield Finding(key, "list_longer_than_plan", message)
    if randomisation.method == "minimisation" and stated.value < planned:
        message = f"a minimisation needs a draw for each of {planned} subjects"
        yield Finding(key, "list_shorter_than_plan", message)


@as_far_as_sound
def minimised_factor_findings(
    randomisation: Randomisation, factors: Sequence[Any]
) -> Iterator[Finding]:
    known = {"site", *(factor.code for factor in factors)}
    rows = randomisation.minimisation.factors if randomisation.minimisation else ()
    for index, code in each(rows, "code"):
        if code not in known:
            key = ("randomisation", "minimisation", "factors", index, "code")
            message = f"{code!r} is neither a factor of the protocol nor the site"
            yield Finding(key, "factor_unknown", message)
