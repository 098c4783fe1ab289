"""The interim report on progression-free survival, as values.

``PfsDataset``, ``ReportHeader`` and ``AnalysisSettings`` go in; ``PfsReport`` comes out of
``pfs_analysis.build_pfs_report``. Everything is frozen and free of any framework, so the same input
is the same report and the same bytes.

Days count from randomisation (day 0). Months are days divided by the protocol's ``month_days``.
Survival probabilities are fractions between 0 and 1.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

from reporting.statistics.results import Estimate, HazardRatio, LogRank, NotEstimable, Quartiles


# Digits kept of a computed number: past these, two machines may differ.
SIGNIFICANT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class PfsSubject:
    """One randomised subject, as known at the data cut.

    ``pfs_days`` runs to progression or death (``pfs_event``) or to the last disease assessment;
    ``observed_days`` runs to the death (``died``) or to the last day known alive. ``treated`` means
    at least one dose; ``ae_categories`` are codes of the adverse events on record.
    """

    number: str
    arm: str
    stratum: str
    pfs_days: float
    pfs_event: bool
    observed_days: float
    died: bool
    treated: bool
    ae_categories: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PfsDataset:
    """Everybody randomised, in any order."""

    subjects: tuple[PfsSubject, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """A treatment arm: its code in the data and the name a reader sees."""

    code: str
    label: str


@dataclass(frozen=True, slots=True)
class Category:
    """A group of adverse events reported on one line."""

    code: str
    label: str


@dataclass(frozen=True, slots=True)
class Assumption:
    """A setting the report rests on and how well it is known, e.g. ``assumed``."""

    text: str
    flag: str


@dataclass(frozen=True, slots=True)
class InterimLook:
    """A monitoring boundary on the log-rank z: efficacy when -z reaches ``critical_z``.

    ``information_fraction`` is events so far over events planned. ``assumed`` marks a boundary that
    the protocol does not state; the report then compares, and claims nothing.
    """

    label: str
    boundary_name: str
    information_fraction: float
    critical_z: float
    assumed: bool


@dataclass(frozen=True, slots=True)
class Decimals:
    """Digits printed after the point; the JSON keeps more."""

    hazard_ratio: int = 3
    months: int = 1
    percent: int = 1


@dataclass(frozen=True, slots=True)
class ReportHeader:
    """What the report is about and what it rests on.

    ``cutoff_on`` is the last calendar day of the data that counts; ``as_known_at`` the instant the
    records were read as of, with its offset.
    """

    trial_code: str
    trial_title: str
    report_title: str
    endpoint_label: str
    protocol_version: str
    cutoff_on: date
    as_known_at: datetime
    notes: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How the protocol version analyses and prints; exactly two arms, the control among them.

    With ``stratum_label`` the stratified analyses are given as well and called by it, the
    factors' own words; without it they are left out.
    """

    arms: tuple[Arm, Arm]
    control: str
    landmark_months: tuple[float, ...]
    at_risk_months: tuple[float, ...]
    month_days: float
    confidence: float = 0.95
    stratum_label: str | None = None
    ae_categories: tuple[Category, ...] = ()
    interim_look: InterimLook | None = None
    decimals: Decimals = Decimals()


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm's steps in months, shape = (n_steps,), and where subjects were censored."""

    months: tuple[float, ...]
    survival: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    censored_months: tuple[float, ...]
    censored_survival: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LandmarkRate:
    """The probability of being free of progression at a landmark."""

    months: float
    rate: Estimate


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm: counts of subjects, median and its limits in months, rates, numbers at risk."""

    code: str
    label: str
    n: int
    treated: int
    events: int
    deaths: int
    median_months: Estimate
    rates: tuple[LandmarkRate, ...]
    at_risk: tuple[int, ...]
    curve: Curve


@dataclass(frozen=True, slots=True)
class Comparison:
    """Treated against control; the stratified pair is ``None`` when not asked for."""

    treated: str
    control: str
    hazard_ratio: HazardRatio | NotEstimable
    log_rank: LogRank | NotEstimable
    hazard_ratio_stratified: HazardRatio | NotEstimable | None
    log_rank_stratified: LogRank | NotEstimable | None

    @property
    def main_log_rank(self) -> LogRank | NotEstimable:
        """The stratified test where there is one."""
        return self.log_rank_stratified or self.log_rank


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Months observed: plain quartiles, and the median by reverse Kaplan-Meier."""

    quartiles_months: Quartiles
    reverse_median_months: Estimate


@dataclass(frozen=True, slots=True)
class SafetyCount:
    """Treated subjects with an event of a category; no percentage of nobody."""

    arm: str
    count: int
    n: int
    percent: int | None


@dataclass(frozen=True, slots=True)
class SafetyRow:
    """One category, counted in every arm in the order of the arms."""

    label: str
    counts: tuple[SafetyCount, ...]


@dataclass(frozen=True, slots=True)
class InterimResult:
    """The observed z beside the boundary; ``beyond`` is ``None`` when there is no z."""

    look: InterimLook
    events: int
    z: float | None
    beyond: bool | None


@dataclass(frozen=True, slots=True)
class PfsReport:
    """A finished report; ``remarks`` are what the data left open, in words."""

    header: ReportHeader
    settings: AnalysisSettings
    population: int
    arms: tuple[ArmResult, ...]
    comparison: Comparison
    follow_up: FollowUp
    safety: tuple[SafetyRow, ...]
    interim: InterimResult | None
    remarks: tuple[str, ...]
    digest: str = ""


def to_json(report: PfsReport) -> bytes:
    """Return the report as canonical JSON: sorted keys, no spaces, ten significant digits.

    The same report is the same bytes. ``digest`` is the SHA-256 of this text without ``digest``.
    """
    return _canonical(_plain(report))


def sealed_with_digest(report: PfsReport) -> PfsReport:
    """Return the report with the digest of its content."""
    return replace(report, digest=content_digest(report))


def content_digest(report: PfsReport) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON without its digest."""
    content = _plain(report)
    del content["digest"]
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _plain(value: Any) -> Any:
    """Return a value in the words of JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"estimable": False, **content} if isinstance(value, NotEstimable) else content
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0  # and no negative zero
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value
