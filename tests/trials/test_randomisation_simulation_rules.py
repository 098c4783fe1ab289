"""The generator under test by simulation: 10^5 lists, every seed fixed before anybody looked.

A list's first places do not depend on its length, so 10^5 short lists of both strata (twelve places
each) say as much as long ones, and 10^5 trials are minimised too, of twelve subjects each. What is
expected is exact, or derived here by other means. Only the counting is done in arrays; each place
comes from ``generate`` and each minimised subject from ``minimised_arm``.

With fixed seeds a test always ends the same way. It is green above ``RARE``: a sound generator
would fail about one of a thousand such checks if its seeds were drawn anew. The second half
plants biases and shows that the same checks then fail.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from math import prod

import numpy as np
import pytest
from scipy import stats

from tests.factories import PROTOCOL
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import (
    BlockSize,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
    design_of,
    generate,
    generation,
    guess_rate,
    minimised_arm,
)


LISTS = 100_000
SUBJECTS, TIED = 12, 9
RARE = 0.001
FIXED = replace(design_of(load_protocol(PROTOCOL)), length=12)
SIMPLE = replace(FIXED, method="simple", blocks=())
VARYING = replace(FIXED, blocks=(BlockSize(3, 1), BlockSize(6, 2)))
THREE = Design(
    method="permuted_blocks",
    arms=(DesignArm("A", 1), DesignArm("B", 1), DesignArm("C", 1)),
    strata=("S",),
    length=6,
    blocks=(BlockSize(6, 1),),
)
MINIMISED = Design(
    method="minimisation",
    arms=(DesignArm("L", 2), DesignArm("P", 1)),
    strata=(),
    length=SUBJECTS,
    minimisation=Minimisation(
        (MinimisedFactor("MRD", 1, ("H", "I")), MinimisedFactor("site", 1, ())),
        "range",
        Fraction(4, 5),
    ),
)


def simulated(design, lists=LISTS):
    """Return the arms by number of so many lists, shape = (lists, strata, length).

    Blocks that reach beyond the length are cut there, so that all lists are as long.
    """
    codes = {arm.code: number for number, arm in enumerate(design.arms)}
    arms = bytearray()
    for number in range(lists):
        entries = generate(design, seed=f"simulated list {number}")
        for stratum in design.strata:
            listed = [codes[entry.arm] for entry in entries if entry.stratum == stratum]
            arms += bytes(listed[: design.length])
    return np.frombuffer(arms, dtype=np.uint8).reshape(lists, len(design.strata), -1)


@pytest.fixture(scope="module")
def fixed():
    return simulated(FIXED)


@pytest.fixture(scope="module")
def simple():
    return simulated(SIMPLE)


@pytest.fixture(scope="module")
def varying():
    return simulated(VARYING)


@pytest.fixture(scope="module")
def three():
    return simulated(THREE)


# --- The checks: each returns how rare such lists are ---------------------------------------------


def placebo_place(lists):
    """Return where the one P of each block of three stands, shape = (lists, strata, blocks)."""
    return lists.reshape(*lists.shape[:2], -1, 3).argmax(axis=-1)


def place_by_position(lists):
    """Chi-square of P's place over every block position of every stratum together."""
    where = placebo_place(lists).reshape(len(lists), -1)
    counts = np.stack([np.bincount(column, minlength=3) for column in where.T])
    expected = len(lists) / 3
    statistic = ((counts - expected) ** 2 / expected).sum()
    return stats.chi2.sf(statistic, df=2 * len(counts))


def blocks_in_a_row(lists):
    """Chi-square of independence between each block's order and the next one's."""
    where = placebo_place(lists)
    return _independence(where[..., :-1].ravel(), where[..., 1:].ravel())


def strata_together(lists):
    """Chi-square of independence between the two strata's blocks of the same number."""
    where = placebo_place(lists)
    return _independence(where[:, 0].ravel(), where[:, 1].ravel())


def beginnings_together(lists):
    """Chi-square of independence between the first three places of the two strata."""
    _, numbers = np.unique(lists[..., :3] @ np.array([4, 2, 1]), return_inverse=True)
    return _independence(*numbers.reshape(len(lists), 2).T)


def _independence(one, other):
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    return stats.chi2_contingency(table).pvalue


def runs(marks):
    """Wald-Wolfowitz: are there as many runs of equal marks as in a random order? Two-sided."""
    ones, places = int(marks.sum()), marks.size
    zeros = places - ones
    found = 1 + int((marks[1:] != marks[:-1]).sum())
    mean = 1 + 2 * ones * zeros / places
    variance = (mean - 1) * (mean - 2) / (places - 1)
    return 2 * stats.norm.sf(abs(found - mean) / variance**0.5)


def block_runs(lists):
    """Runs of blocks that begin with P, list after list: what the block's rule leaves to chance."""
    return min(runs((placebo_place(lists)[:, s] == 0).ravel()) for s in range(lists.shape[1]))


def run_numbers(lists, chances):
    """Chi-square of how many runs each list has in its first stratum, against the exact chances.

    A list of blocks is in no random order; its number of runs has the chances of its sequences.
    """
    exact = Counter()
    for sequence, chance in chances.items():
        exact[1 + sum(one != other for one, other in pairwise(sequence))] += chance
    found = np.bincount(1 + (lists[:, 0, 1:] != lists[:, 0, :-1]).sum(axis=1))
    rows = [(found[n] if n < len(found) else 0, float(c) * len(lists)) for n, c in exact.items()]
    often = [row for row in rows if row[1] >= 5]
    seldom = [sum(column) for column in zip(*(row for row in rows if row[1] < 5), strict=True)]
    counts, expected = zip(*often, *([seldom] if seldom else []), strict=True)
    assert sum(counts) == len(lists)  # no number of runs that cannot be
    return stats.chisquare(counts, expected).pvalue


def sequences(lists, chances):
    """Chi-square of whole sequences of arms against the chance of each."""
    base = int(lists.max()) + 1
    numbers = lists[:, 0, :] @ (base ** np.arange(lists.shape[2])[::-1])
    kinds = [sum(arm * base**i for i, arm in enumerate(reversed(kind))) for kind in chances]
    counts = np.bincount(numbers, minlength=base ** lists.shape[2])[kinds]
    assert counts.sum() == len(lists)  # nothing that cannot be
    return stats.chisquare(
        counts, len(lists) * np.array([float(c) for c in chances.values()])
    ).pvalue


def chance_of(sequence, design):
    """Return the exact chance that a list begins with this sequence, by all ways of blocks."""
    if not sequence:
        return Fraction(1)
    total = sum(block.weight for block in design.blocks)
    chance = Fraction(0)
    for block in design.blocks:
        left = [arm.ratio * block.size // design.unit for arm in design.arms]
        inside = Fraction(block.weight, total)
        for arm in sequence[: block.size]:
            inside *= Fraction(left[arm], sum(left))
            left[arm] -= 1
            if not inside:
                break
        chance += inside and inside * chance_of(sequence[block.size :], design)
    return chance


def chances_of(design, places):
    found = {
        sequence: chance_of(sequence, design)
        for sequence in product(range(len(design.arms)), repeat=places)
    }
    return {sequence: chance for sequence, chance in found.items() if chance}


def simple_chances(places):
    return {
        sequence: prod((Fraction(2, 3), Fraction(1, 3))[arm] for arm in sequence)
        for sequence in product(range(2), repeat=places)
    }


# --- Blocks ---------------------------------------------------------------------------------------


def test_every_block_and_stratum_of_every_list_holds_the_ratio_exactly(fixed):
    assert fixed.shape == (LISTS, 2, 12)
    assert (fixed.reshape(LISTS, 2, 4, 3).sum(axis=3) == 1).all()


def test_the_placebo_stands_anywhere_in_a_block_equally_often(fixed):
    assert place_by_position(fixed) > RARE


def test_a_block_says_nothing_of_the_next(fixed):
    assert blocks_in_a_row(fixed) > RARE


def test_a_stratum_says_nothing_of_the_other(fixed):
    assert strata_together(fixed) > RARE


def test_blocks_come_in_as_many_runs_as_chance_gives(fixed):
    assert block_runs(fixed) > RARE


def test_a_list_of_blocks_has_as_many_runs_as_its_blocks_give(fixed):
    assert run_numbers(fixed, chances_of(FIXED, 12)) > RARE


def test_all_ninety_orders_of_six_among_three_arms_are_equally_likely(three):
    chances = chances_of(THREE, 6)

    assert len(chances) == 90
    assert set(chances.values()) == {Fraction(1, 90)}
    assert sequences(three, chances) > RARE
    assert run_numbers(three, chances) > RARE


def test_sizes_are_drawn_by_their_weights(varying):
    # Sizes are not in a list; but every beginning of six places has a chance that depends on them.
    chances = chances_of(VARYING, 6)

    assert sum(chances.values()) == 1
    assert sequences(varying[..., :6], chances) > RARE


def test_blocks_of_varying_sizes_keep_the_ratio_in_every_stratum(varying):
    # No beginning that whole blocks of three and six cannot give, in one stratum or the other.
    possible = set(chances_of(VARYING, 12))

    assert varying.shape == (LISTS, 2, 12)
    assert {tuple(found) for found in np.unique(varying.reshape(-1, 12), axis=0)} <= possible
    assert places_in_ratio(varying[:, 0, :]) > RARE
    assert beginnings_together(varying) > RARE


def test_blocks_of_varying_sizes_come_in_as_many_runs_as_chance_gives(varying):
    assert run_numbers(varying, chances_of(VARYING, 12)) > RARE


# --- Simple randomisation -------------------------------------------------------------------------


def places_in_ratio(lists):
    """Chi-square of the arms at each place against the ratio 2:1: the rarest, times how many.

    Places of a block depend on each other, so their statistics are not added up (Bonferroni).
    """
    placebos = lists.sum(axis=0, dtype=int)
    expected = len(lists) / 3
    statistics = (placebos - expected) ** 2 / (expected * 2 / 3)
    return stats.chi2.sf(statistics.max(), df=1) * len(placebos)


def test_simple_lists_keep_the_ratio_at_every_place_and_no_order(simple):
    assert simple.shape == (LISTS, 2, 12)
    for stratum in range(2):
        assert places_in_ratio(simple[:, stratum, :]) > RARE
        assert runs(simple[:, stratum, :].ravel()) > RARE
    assert beginnings_together(simple) > RARE
    assert run_numbers(simple, simple_chances(12)) > RARE


# --- What can be guessed --------------------------------------------------------------------------


def guesses(lists):
    """Guess each place as the arm with most places left in its block of three, knowing all before.

    Return the share of right guesses and of certain places by block, shape = (2, blocks).
    """
    blocks = lists.reshape(-1, 3)
    left = np.tile([2, 1], (len(blocks), 1))
    right, certain = np.zeros(len(blocks)), np.zeros(len(blocks))
    for place in range(3):
        arm = blocks[:, place]
        right += left.argmax(axis=1) == arm
        certain += (left == 0).any(axis=1)
        left[np.arange(len(blocks)), arm] -= 1
    return np.stack([right, certain]) / 3


def standard_errors_away(shares, exact):
    return abs(shares.mean() - float(exact)) / (shares.std(ddof=1) / shares.size**0.5)


def test_an_observer_who_plays_guesses_at_the_exact_rate(fixed):
    right, certain = guesses(fixed)
    exact = guess_rate(FIXED).best

    assert standard_errors_away(right, exact.right) < 3
    assert standard_errors_away(certain, exact.certain) < 3
    assert standard_errors_away(right, exact.right + Fraction(1, 500)) > 3


def beginnings(chances):
    """Return the chance of every beginning, from those of the whole sequences of two arms."""
    found = defaultdict(Fraction)
    for sequence, chance in chances.items():
        for places in range(len(sequence) + 1):
            found[sequence[:places]] += chance
    return found


def exact_guesses(chances):
    """Return how often the likelier next arm is right and certain, for one who knows the design."""
    begun = beginnings(chances)
    places = len(next(iter(chances)))
    right = certain = Fraction(0)
    for beginning in [each for each in begun if len(each) < places]:
        likeliest = max(begun.get((*beginning, arm), Fraction(0)) for arm in range(2))
        right += likeliest
        certain += likeliest if likeliest == begun[beginning] else 0
    return right / places, certain / places


def played_guesses(lists, chances):
    """Guess each place as the likelier arm after the beginning; return as ``guesses`` does."""
    begun = beginnings(chances)
    places = lists.shape[1]
    right, certain = np.zeros(len(lists)), np.zeros(len(lists))
    for place in range(places):
        guess, sure = np.zeros(2**place, dtype=int), np.zeros(2**place, dtype=bool)
        for beginning in [each for each in begun if len(each) == place]:
            number = sum(arm * 2**i for i, arm in enumerate(beginning))
            after = [begun.get((*beginning, arm), Fraction(0)) for arm in range(2)]
            guess[number], sure[number] = after[1] > after[0], min(after) == 0
        numbers = lists[:, :place] @ (2 ** np.arange(place))
        right += guess[numbers] == lists[:, place]
        certain += sure[numbers]
    return np.stack([right, certain]) / places


def test_an_observer_of_varying_blocks_guesses_at_the_exact_rate(varying):
    chances = chances_of(VARYING, 12)
    exact_right, exact_certain = exact_guesses(chances)

    right, certain = played_guesses(varying[:, 0, :], chances)

    assert standard_errors_away(right, exact_right) < 3
    assert standard_errors_away(certain, exact_certain) < 3
    assert standard_errors_away(right, exact_right + Fraction(1, 500)) > 3


def test_an_observer_of_varying_blocks_guesses_no_better_than_is_said():
    # Blackwell and Hodges' observer, who guesses the arm that is furthest behind the ratio.
    ones = simulated(replace(VARYING, strata=("H",), length=36))[:, 0, :].astype(int)
    placebos_before = np.cumsum(ones, axis=1) - ones
    places = np.arange(36)
    guess = (places + 1) / 3 - placebos_before > 2 / 3  # one placebo of three, and two of them due
    right = (guess == ones).mean(axis=1)
    said = guess_rate(VARYING)

    error = right.std(ddof=1) / right.size**0.5
    assert float(said.blind) < right.mean() < float(said.unaware.right) + 3 * error
    assert right.mean() < float(said.best.right)


# --- Minimisation ---------------------------------------------------------------------------------


def minimised(design, choose=minimised_arm, trials=LISTS, sites=3):
    """Return the equal arm (from 0), whether the one preferred, and the levels of every subject.

    Shapes = (trials, subjects), and a last axis of two for the levels, which are drawn evenly: two
    of MRD, and the sites. Preferred is ``TIED`` where arms tie.
    """
    levels_of = np.random.default_rng(20121).integers((2, sites), size=(trials, SUBJECTS, 2))
    places, preferred = bytearray(), bytearray()
    for trial, each in enumerate(levels_of.tolist()):
        counts = {}
        draws = generate(design, seed=f"simulated trial {trial}")
        for (mrd, site), entry in zip(each, draws, strict=True):
            levels = {"MRD": "HI"[mrd], "site": str(site)}
            found = choose(design, counts=counts, levels=levels, draw=entry.draw)
            places.append(found.place - 1)
            lowest = min(found.imbalances)
            one = found.imbalances.count(lowest) == 1
            preferred.append(found.imbalances[found.place - 1] == lowest if one else TIED)
            for level in levels.items():
                counts.setdefault(level, [0, 0, 0])[found.place - 1] += 1
    shaped = [
        np.frombuffer(marks, dtype=np.uint8).reshape(trials, SUBJECTS).astype(int)
        for marks in (places, preferred)
    ]
    return *shaped, levels_of


@pytest.fixture(scope="module")
def trials():
    return minimised(MINIMISED)


def equal_arms_by_subject(places):
    """Chi-square of the three equal arms at each subject's number: the rarest, times how many.

    Subjects of a trial depend on each other, so their statistics are not added up (Bonferroni).
    """
    counts = [np.bincount(column, minlength=3) for column in places.T]
    return min(stats.chisquare(row).pvalue for row in counts) * len(counts)


def preferred_as_often(preferred, probability):
    """Chi-square of how often a single preferred arm was taken."""
    asked = preferred[preferred != TIED]
    taken = int(asked.sum())
    expected = np.array([probability, 1 - probability]) * asked.size
    return stats.chisquare([taken, asked.size - taken], expected).pvalue


def apart(places, levels_of):
    """Return each trial's distance from the ratio 2:1, added up over the levels of both factors."""
    placebo = places == 2
    total = np.zeros(len(places))
    for factor, known in enumerate((2, 3)):
        for level in range(known):
            inside = levels_of[:, :, factor] == level
            total += abs((inside & placebo).sum(axis=1) - inside.sum(axis=1) / 3)
    return total


def test_the_ratio_holds_at_every_subject_of_a_minimisation(trials):
    places, _, _ = trials

    assert equal_arms_by_subject(places) > RARE


def test_the_preferred_arm_is_taken_as_often_as_the_protocol_says(trials):
    _, preferred, _ = trials

    assert (preferred != TIED).sum() > 100_000
    assert preferred_as_often(preferred, 0.8) > RARE
    assert preferred_as_often(preferred, 0.795) < RARE


def test_the_preferred_arm_is_taken_in_as_many_runs_as_chance_gives(trials):
    # Whatever came before, it is one draw: what minimisation leaves to chance, subject by subject.
    _, preferred, _ = trials

    assert runs(preferred[preferred != TIED]) > RARE


def test_margins_are_nearer_the_ratio_than_by_simple_randomisation(trials):
    places, _, levels_of = trials
    plain = simulated(replace(SIMPLE, strata=("H",), length=SUBJECTS))[:, 0, :] * 2

    difference = apart(plain, levels_of) - apart(places, levels_of)

    assert difference.mean() / (difference.std(ddof=1) / len(difference) ** 0.5) > 20


KNOWN = 5
"""Of so many first subjects the exact rate is derived: over all their levels and arms."""


def chances_by_hand(rows):
    """Return each equal arm's chance from the counts of the subject's levels, by the definition.

    ``rows`` has the shape (cases, factors, arms). The preferred arm gets 0.8, the others share the
    rest equally, and arms that tie share what they would get in any order.
    """
    after = np.stack([rows + np.eye(3, dtype=int)[arm] for arm in range(3)], axis=1)
    imbalance = (after.max(axis=-1) - after.min(axis=-1)).sum(axis=-1)
    lowest = imbalance == imbalance.min(axis=1, keepdims=True)
    tied = lowest.sum(axis=1, keepdims=True)
    return np.where(lowest, (0.8 + (tied - 1) * 0.1) / tied, 0.1)


def exact_minimised_guesses(subjects):
    """Return how often the likelier arm is right, over all levels and arms of the first subjects.

    A state is what is counted so far by MRD (two rows), site (three rows) and equal arm.
    """
    states, likelihood, right = np.zeros((1, 5, 3), dtype=int), np.ones(1), 0.0
    for _ in range(subjects):
        later, weights = [], []
        for mrd, site in product((0, 1), (2, 3, 4)):
            chances = chances_by_hand(states[:, (mrd, site)])
            right += (likelihood * np.maximum(chances[:, 2], 1 - chances[:, 2])).sum() / 6
            for arm in range(3):
                moved = states.copy()
                moved[:, (mrd, site), arm] += 1
                later.append(moved)
                weights.append(likelihood * chances[:, arm] / 6)
        states, where = np.unique(np.concatenate(later), axis=0, return_inverse=True)
        likelihood = np.bincount(where.ravel(), np.concatenate(weights))
    return right / subjects


def played_minimised(places, levels_of):
    """Guess each subject's arm as the likelier one; return if right, and how likely that was.

    Shapes = (trials, subjects).
    """
    each = np.arange(len(places))
    counts = np.zeros((len(places), 2, levels_of.max() + 1, 3), dtype=int)
    right, said = np.zeros(places.shape), np.zeros(places.shape)
    for subject in range(SUBJECTS):
        mrd, site = levels_of[:, subject].T
        placebo = chances_by_hand(np.stack([counts[each, 0, mrd], counts[each, 1, site]], 1))[:, 2]
        right[:, subject] = (placebo > 0.5) == (places[:, subject] == 2)
        said[:, subject] = np.maximum(placebo, 1 - placebo)
        counts[each, 0, mrd, places[:, subject]] += 1
        counts[each, 1, site, places[:, subject]] += 1
    return right, said


def test_an_observer_of_a_minimisation_guesses_at_the_exact_rate(trials):
    places, _, levels_of = trials
    right, said = played_minimised(places, levels_of)
    exact = exact_minimised_guesses(KNOWN)

    assert standard_errors_away(right[:, :KNOWN].mean(axis=1), exact) < 3
    assert standard_errors_away(right[:, :KNOWN].mean(axis=1), exact + 0.005) > 3
    assert standard_errors_away((right - said).mean(axis=1), 0) < 3


def test_an_observer_of_a_minimisation_at_ten_sites_guesses_as_often_as_is_said():
    places, _, levels_of = minimised(MINIMISED, trials=20_000, sites=10)
    right, _ = played_minimised(places, levels_of)

    assert abs(right.mean() - float(guess_rate(MINIMISED).best.right)) < 0.005


# --- Planted biases: each check must see its own --------------------------------------------------

FEWER = 20_000
below = generation.below


def without_rejection(stream, bound):
    """A number from four bits only and nothing thrown away: 16 is no multiple of 3."""
    return 0 if bound == 1 else next(stream) % 16 % bound


def off_by_one(stream, bound):
    """Each place changes with one before it, never with itself (Sattolo's cycle, not a shuffle)."""
    return below(stream, bound - 1) if bound > 1 else 0


def naive_shuffle(stream, bound):
    """Each place of a block of six changes with any of the six."""
    return below(stream, 6) if bound > 1 else 0


def stuck_words(seed, label, words=generation.words):
    """A stream without its label: every stratum draws the same."""
    return words(seed, "")


def test_a_hasty_modulo_is_seen(monkeypatch):
    monkeypatch.setattr(generation, "below", without_rejection)

    assert place_by_position(simulated(FIXED, FEWER)) < RARE
    assert places_in_ratio(simulated(SIMPLE, FEWER)[:, 0, :]) < RARE


def test_a_shuffle_that_is_off_by_one_is_seen(monkeypatch):
    monkeypatch.setattr(generation, "below", off_by_one)

    lists = simulated(FIXED, FEWER)

    assert place_by_position(lists) < RARE
    assert run_numbers(lists, chances_of(FIXED, 12)) < RARE
    assert run_numbers(simulated(VARYING, FEWER), chances_of(VARYING, 12)) < RARE
    assert abs(guesses(lists)[0].mean() - 7 / 9) > 0.05


def test_a_naive_shuffle_is_seen(monkeypatch):
    monkeypatch.setattr(generation, "below", naive_shuffle)

    assert sequences(simulated(THREE, FEWER), chances_of(THREE, 6)) < RARE


def test_strata_that_share_a_stream_are_seen(monkeypatch):
    monkeypatch.setattr(generation, "words", stuck_words)

    assert strata_together(simulated(FIXED, FEWER)) < RARE
    assert beginnings_together(simulated(VARYING, FEWER)) < RARE
    assert beginnings_together(simulated(SIMPLE, FEWER)) < RARE


def test_a_list_that_repeats_its_blocks_is_seen():
    lists = simulated(FIXED, FEWER)
    repeated = np.concatenate([lists[..., :3]] * 5, axis=-1)

    assert place_by_position(lists) > RARE
    assert blocks_in_a_row(repeated) < RARE
    assert block_runs(repeated) < RARE


def test_sizes_drawn_evenly_against_their_weights_are_seen():
    evenly = replace(VARYING, blocks=(BlockSize(3, 1), BlockSize(6, 1)))

    lists = simulated(evenly, FEWER)

    assert sequences(lists[..., :6], chances_of(VARYING, 6)) < RARE
    right, _ = played_guesses(lists[:, 0, :], chances_of(VARYING, 12))
    assert standard_errors_away(right, exact_guesses(chances_of(VARYING, 12))[0]) > 3


def test_a_ratio_that_is_off_is_seen():
    three_to_two = replace(SIMPLE, arms=(DesignArm("L", 65), DesignArm("P", 35)))

    assert places_in_ratio(simulated(three_to_two, FEWER)[:, 0, :]) < RARE


def test_ties_that_go_to_the_first_arm_are_seen(monkeypatch):
    def first_of_ties(design, *, counts, levels, draw):
        found = minimised_arm(design, counts=counts, levels=levels, draw=draw)
        lowest = found.imbalances.index(min(found.imbalances))
        return replace(found, place=lowest + 1) if len(set(found.weights)) == 1 else found

    places, _, _ = minimised(MINIMISED, first_of_ties, trials=1_000)

    assert equal_arms_by_subject(places) < RARE


def test_a_minimisation_whose_draws_lean_is_seen():
    def lean(design, *, counts, levels, draw):
        return minimised_arm(design, counts=counts, levels=levels, draw=draw * 9 // 10)

    places, preferred, levels_of = minimised(MINIMISED, lean, trials=3_000)
    right, said = played_minimised(places, levels_of)

    assert equal_arms_by_subject(places) < RARE
    assert preferred_as_often(preferred, 0.8) < RARE
    assert standard_errors_away((right - said).mean(axis=1), 0) > 3


def test_a_minimisation_that_uses_each_draw_twice_is_seen():
    kept = [0]

    def twice(design, *, counts, levels, draw):
        used = kept.pop() if kept else draw
        if used == draw:
            kept.append(draw)
        return minimised_arm(design, counts=counts, levels=levels, draw=used)

    _, preferred, _ = minimised(MINIMISED, twice, trials=3_000)

    assert runs(preferred[preferred != TIED]) < RARE
