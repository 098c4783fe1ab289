"""Whether numbers tell the arm: compared with what they tell of arms that were dealt by chance.

The arms are dealt to the same subjects again, some thousand times, and the same two questions are
asked each time. How well does the best number alone part the arms? How well does a classifier that
uses all numbers predict the arm of a subject it has not seen? Only the real arms may not do better
than nearly all of the dealt ones. So the limit counts for all numbers together, however many they
are and however alike: a number more costs almost nothing, and one that only says the same again
costs nothing.

A judgement raises a false alarm with probability ``LIMIT``, half of it for either question. Among
4,600 numbers of 61 subjects, as measured in ``test_what_the_leak_test_finds``, found with a
probability of 0.9 or more are a mark that is right for 90 % of the subjects, a value that is 2.5
standard deviations higher in one arm, and sixty marks of which each is right for 70 %. A mark that
is right for 85 % is found two times of three, one that is right for 75 % hardly ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


LIMIT = 1e-3  # how often a judgement may raise a false alarm
DEALS, SEED = 9999, 20260310
WIDTH = 500  # columns compared at a time
SAME = 1e-5  # single precision: nearer than this is as good


@dataclass(frozen=True, slots=True)
class Verdict:
    """How often arms dealt by chance are told as well: by the best number, and by all together."""

    alone: float
    feature: str
    together: float
    features: int

    @property
    def tells(self) -> bool:
        return 2 * min(self.alone, self.together) <= LIMIT


def verdict_on(names: Sequence[str], ranks: np.ndarray, truth: np.ndarray) -> Verdict:
    """Return what columns of ranks tell of the truth, which has one yes or no for each line."""
    if not names:
        return Verdict(1.0, "", 1.0, 0)
    columns, deals = _of_one_length(ranks), _deals(truth)
    return Verdict(
        alone=_share(_best(columns, deals)),
        feature=names[int(np.argmax(np.abs(deals[0] @ columns)))],
        together=_share(_foretold(columns, deals)),
        features=len(names),
    )


def _of_one_length(columns: np.ndarray) -> np.ndarray:
    """Return columns with mean 0 and length 1: their products are correlations."""
    about_mean = columns - columns.mean(axis=0)
    return (about_mean / np.linalg.norm(about_mean, axis=0)).astype(np.float32)


def _deals(truth: np.ndarray) -> np.ndarray:
    """Return the truth and, after it, as many arms of each kind dealt by chance, line by line."""
    dealt = np.random.default_rng(SEED).permuted(np.tile(truth, (DEALS, 1)), axis=1)
    return _of_one_length(np.vstack([truth, dealt]).T.astype(float)).T


def _share(found: np.ndarray) -> float:
    """Return in which share of the deals, the truth included, the arms are told as well."""
    return float(np.mean(found >= found[0] - SAME))


def _best(columns: np.ndarray, deals: np.ndarray) -> np.ndarray:
    """Return for each deal how well its best column parts the arms, either way round."""
    best = np.zeros(len(deals), np.float32)
    for start in range(0, columns.shape[1], WIDTH):
        part = np.abs(deals @ columns[:, start : start + WIDTH])
        np.maximum(best, part.max(axis=1), out=best)
    return best


def _foretold(columns: np.ndarray, deals: np.ndarray) -> np.ndarray:
    """Return for each deal how well a ridge regression on all columns foretells the one left out.

    Without fitting it again for each subject: what is foretold of one left out follows from the
    fit to all (Golub, Heath and Wahba 1979).
    """
    alike = columns.astype(float) @ columns.T
    alike *= len(alike) / np.trace(alike)
    fit = alike @ np.linalg.inv(alike + np.eye(len(alike)))
    missed = (deals - deals @ fit) / (1 - np.diag(fit))
    return np.sum(deals * (deals - missed), axis=1)
