"""What a statistic returns: plain frozen values, without the libraries that compute them.

Times are days. ``None`` stands where the data do not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Gap(StrEnum):
    """Why the data give no answer. Values are stable: reports and their JSON show them."""

    NO_SUBJECTS_TREATED = "no_subjects_treated"
    NO_SUBJECTS_CONTROL = "no_subjects_control"
    NO_EVENTS_TREATED = "no_events_treated"
    NO_EVENTS_CONTROL = "no_events_control"
    ARMS_NEVER_COMPARED = "arms_never_compared"
    MONOTONE_LIKELIHOOD = "monotone_likelihood"


@dataclass(frozen=True, slots=True)
class NotEstimable:
    """A statistic these data cannot give, with every reason."""

    reasons: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence limits; ``None`` where the data do not reach."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class LogRank:
    """A two-group log-rank test; the counts are those of the treated group."""

    chi2: float
    df: int
    p: float
    z: float
    observed: float
    expected: float
    variance: float


@dataclass(frozen=True, slots=True)
class HazardRatio:
    """Treated over control, with Wald limits on the logarithmic scale."""

    hr: float
    lower: float
    upper: float
    log_hr: float
    se: float
    z: float
    p: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Median and quartiles of a set of days; ``None`` when the set is empty."""

    q25: float | None
    median: float | None
    q75: float | None
