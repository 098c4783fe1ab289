"""Time-to-event statistics for two arms.

Times are days from randomisation, whole or fractional; an event flag of ``True`` means the event
happened on that day and ``False`` that observation stopped there. Where an event and a censoring
share a day, the event comes first, so the censored subject is still at risk of it.

Every function takes plain sequences and returns a frozen dataclass. A result that the data cannot
give is ``None`` or ``NotEstimable``, never a number that only looks like an answer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceWarning
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm

from reporting.statistics.results import (
    Estimate,
    Gap,
    HazardRatio,
    LogRank,
    NotEstimable,
    Quartiles,
)


# Two survival probabilities closer than this are the same step of the curve.
SAME_PROBABILITY = math.sqrt(np.finfo(float).eps)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """A product-limit curve.

    The tuples have shape = (n_steps,): one entry for every distinct day in the data, preceded by
    day 0 when nobody was observed for 0 days. ``survival`` is the probability just after the day,
    ``at_risk`` the number still observed as the day begins.
    """

    n: int
    events: int
    confidence: float
    times: tuple[float, ...]
    survival: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    at_risk: tuple[int, ...]
    event_counts: tuple[int, ...]
    censored_counts: tuple[int, ...]

    @property
    def median(self) -> Estimate:
        """The day by which half the subjects have had the event."""
        return self.quantile(0.5)

    def at(self, days: float) -> Estimate:
        """Return the probability of no event up to and including a day.

        Past the last observation nothing is known, and every part is ``None``, unless the curve has
        already come down to 0 and must stay there.

        Raises
        ------
        ValueError
            If ``days`` is negative.
        """
        if days < 0:
            raise ValueError(f"survival is not defined at {days} days")
        if not self.times:
            return Estimate(None, None, None)
        if days > self.times[-1] and self.survival[-1] > 0:
            return Estimate(None, None, None)
        step = int(np.searchsorted(self.times, days, side="right")) - 1
        return Estimate(self.survival[step], self.lower[step], self.upper[step])

    def quantile(self, fraction: float) -> Estimate:
        """Return the day by which a fraction of the subjects has had the event.

        The day comes first; its limits are the days on which the confidence band crosses the same
        height. A curve that runs level at exactly that height gives the middle of the level part.

        References
        ----------
        Brookmeyer R, Crowley J. Biometrics 1982;38:29-41.
        """
        return Estimate(
            value=_first_day_at_or_below(1 - fraction, self.times, self.survival),
            lower=_first_day_at_or_below(1 - fraction, self.times, self.lower),
            upper=_first_day_at_or_below(1 - fraction, self.times, self.upper),
        )


@dataclass(frozen=True, slots=True)
class _RiskSet:
    """Who was at risk and who had the event on one event day of one stratum."""

    treated_at_risk: int
    control_at_risk: int
    treated_events: int
    control_events: int


def kaplan_meier(
    time_days: Sequence[float], event: Sequence[bool], *, confidence: float = 0.95
) -> KaplanMeier:
    """Return the product-limit estimate with log-log confidence limits.

    The transform is undefined where the curve is 1 or 0: there the limits are ``None``, except that
    they are both 1 from randomisation up to the first day in the data, as in R.

    Parameters
    ----------
    time_days : sequence of float, shape = (n_subjects,)
    event : sequence of bool, shape = (n_subjects,)
    confidence : float
        Two-sided level of the pointwise limits.

    Raises
    ------
    ValueError
        If the shapes differ, or a time is negative or not finite.

    References
    ----------
    Kaplan EL, Meier P. J Am Stat Assoc 1958;53:457-481.
    Kalbfleisch JD, Prentice RL. The Statistical Analysis of Failure Time Data. Wiley 1980.
    """
    time, happened = _checked(time_days, event)
    if not time.size:
        return KaplanMeier(0, 0, confidence, (), (), (), (), (), (), ())

    fit = KaplanMeierFitter(alpha=1 - confidence).fit(time, happened)
    table = fit.event_table
    survival = fit.survival_function_.iloc[:, 0].to_numpy()
    band = fit.confidence_interval_.to_numpy()
    times = tuple(float(day) for day in table.index)
    known = (survival > 0) & ((survival < 1) | (np.asarray(times) == 0))
    return KaplanMeier(
        n=int(time.size),
        events=int(happened.sum()),
        confidence=confidence,
        times=times,
        survival=tuple(float(value) for value in survival),
        lower=_where(known, band[:, 0]),
        upper=_where(known, band[:, 1]),
        at_risk=tuple(int(np.count_nonzero(time >= day)) for day in times),
        event_counts=tuple(int(count) for count in table["observed"]),
        censored_counts=tuple(int(count) for count in table["censored"]),
    )


def log_rank(
    time_days: Sequence[float],
    event: Sequence[bool],
    treated: Sequence[bool],
    strata: Sequence[Hashable] | None = None,
) -> LogRank | NotEstimable:
    """Return the log-rank test of treated against control.

    With ``strata``, observed minus expected and its variance are summed over the strata, so
    subjects are only ever compared within one. A negative ``z`` means fewer events among the
    treated than expected.

    Parameters
    ----------
    time_days : sequence of float, shape = (n_subjects,)
    event : sequence of bool, shape = (n_subjects,)
    treated : sequence of bool, shape = (n_subjects,)
    strata : sequence of hashable, shape = (n_subjects,), optional

    Raises
    ------
    ValueError
        If the shapes differ, or a time is negative or not finite.

    References
    ----------
    Mantel N. Cancer Chemother Rep 1966;50:163-170.
    Kalbfleisch JD, Prentice RL. The Statistical Analysis of Failure Time Data. Wiley 1980.
    """
    time, happened, is_treated, labels = _checked_groups(time_days, event, treated, strata)
    sets = _risk_sets(time, happened, is_treated, labels)
    observed = float(sum(each.treated_events for each in sets))
    expected = math.fsum(_expected(each) for each in sets)
    variance = math.fsum(_variance(each) for each in sets)
    if variance <= 0:
        return NotEstimable((*_plain_gaps(happened, is_treated), Gap.ARMS_NEVER_COMPARED))
    z = (observed - expected) / math.sqrt(variance)
    p = float(chi2_distribution.sf(z * z, 1))
    return LogRank(z * z, 1, p, z, observed, expected, variance)


def cox_hazard_ratio(
    time_days: Sequence[float],
    event: Sequence[bool],
    treated: Sequence[bool],
    strata: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
) -> HazardRatio | NotEstimable:
    """Return the proportional-hazards ratio of treated over control, ties by Efron.

    The estimate is finite only if somebody treated had the event while a control was at risk in the
    same stratum, and the other way round. That is checked on the risk sets before fitting, because
    an optimiser asked for an infinite value stops somewhere and returns it.

    Parameters
    ----------
    time_days : sequence of float, shape = (n_subjects,)
    event : sequence of bool, shape = (n_subjects,)
    treated : sequence of bool, shape = (n_subjects,)
    strata : sequence of hashable, shape = (n_subjects,), optional
        Each stratum has its own baseline hazard.

    Raises
    ------
    ValueError
        If the shapes differ, or a time is negative or not finite.

    References
    ----------
    Cox DR. J R Stat Soc B 1972;34:187-220.
    Efron B. J Am Stat Assoc 1977;72:557-565.
    """
    time, happened, is_treated, labels = _checked_groups(time_days, event, treated, strata)
    if gaps := _cox_gaps(_risk_sets(time, happened, is_treated, labels), happened, is_treated):
        return NotEstimable(gaps)

    frame = pd.DataFrame(
        {"time": time, "event": happened, "treated": is_treated.astype(float), "stratum": labels}
    )
    with warnings.catch_warnings():
        # Its warnings guess at separation; the risk sets above have already decided it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = CoxPHFitter(alpha=1 - confidence).fit(
            frame,
            duration_col="time",
            event_col="event",
            strata=["stratum"],
            fit_options={"step_size": 1.0, "precision": 1e-14, "r_precision": 1e-16},
        )
    log_hr = float(fit.params_["treated"])
    se = float(fit.standard_errors_["treated"])
    z = log_hr / se
    reach = float(norm.ppf(0.5 + confidence / 2)) * se
    return HazardRatio(
        hr=math.exp(log_hr),
        lower=math.exp(log_hr - reach),
        upper=math.exp(log_hr + reach),
        log_hr=log_hr,
        se=se,
        z=z,
        p=float(2 * norm.sf(abs(z))),
        confidence=confidence,
    )


def at_risk(time_days: Sequence[float], grid_days: Sequence[float]) -> tuple[int, ...]:
    """Return how many are still observed as each day of the grid begins.

    A subject whose last day is the day of the grid is counted on it and gone the day after.

    Parameters
    ----------
    time_days : sequence of float, shape = (n_subjects,)
    grid_days : sequence of float, shape = (n_days,)
    """
    return tuple(sum(1 for time in time_days if time >= day) for day in grid_days)


def median_follow_up(
    observed_days: Sequence[float], died: Sequence[bool], *, confidence: float = 0.95
) -> Estimate:
    """Return the median follow-up in days by the reverse Kaplan-Meier method.

    The end of observation is the event and a death censors it: the answer is how long subjects
    would have been followed had nobody died.

    Parameters
    ----------
    observed_days : sequence of float, shape = (n_subjects,)
    died : sequence of bool, shape = (n_subjects,)

    References
    ----------
    Schemper M, Smith TL. Control Clin Trials 1996;17:343-346.
    """
    return kaplan_meier(observed_days, [not flag for flag in died], confidence=confidence).median


def observation_quartiles(observed_days: Sequence[float]) -> Quartiles:
    """Return plain quartiles of the days observed, interpolated as R's type 7.

    Parameters
    ----------
    observed_days : sequence of float, shape = (n_subjects,)

    References
    ----------
    Hyndman RJ, Fan Y. Am Stat 1996;50:361-365.
    """
    if not len(observed_days):
        return Quartiles(None, None, None)
    values = np.quantile(np.asarray(observed_days, dtype=float), (0.25, 0.5, 0.75))
    return Quartiles(*(float(value) for value in values))


def months(days: float, *, month_days: float) -> float:
    """Return a number of days in the months the protocol counts in."""
    return days / month_days


def _first_day_at_or_below(
    height: float, times: Sequence[float], curve: Sequence[float | None]
) -> float | None:
    """Return where a falling step curve crosses a height, or the middle of a level part on it."""
    known = [(day, value) for day, value in zip(times, curve, strict=True) if value is not None]
    touching = [day for day, value in known if value <= height + SAME_PROBABILITY]
    below = [day for day, value in known if value < height - SAME_PROBABILITY]
    if not touching:
        return None
    if touching[0] == (below[0] if below else None):
        return touching[0]
    return (touching[0] + (below[0] if below else times[-1])) / 2


def _plain_gaps(happened: Flags, is_treated: Flags) -> tuple[Gap, ...]:
    """Return what is missing before any subject is compared: people, then events."""
    checks = (
        (is_treated.any(), Gap.NO_SUBJECTS_TREATED),
        ((~is_treated).any(), Gap.NO_SUBJECTS_CONTROL),
        ((happened & is_treated).any(), Gap.NO_EVENTS_TREATED),
        ((happened & ~is_treated).any(), Gap.NO_EVENTS_CONTROL),
    )
    return tuple(gap for present, gap in checks if not present)


def _cox_gaps(sets: Sequence[_RiskSet], happened: Flags, is_treated: Flags) -> tuple[Gap, ...]:
    if gaps := _plain_gaps(happened, is_treated):
        return gaps
    bounded_above = any(each.control_events and each.treated_at_risk for each in sets)
    bounded_below = any(each.treated_events and each.control_at_risk for each in sets)
    return () if bounded_above and bounded_below else (Gap.MONOTONE_LIKELIHOOD,)


def _risk_sets(
    time: Floats, happened: Flags, is_treated: Flags, labels: npt.NDArray[np.int64]
) -> tuple[_RiskSet, ...]:
    sets = []
    for label in np.unique(labels):
        here = labels == label
        for day in np.unique(time[here & happened]):
            waiting = here & (time >= day)
            falling = here & happened & (time == day)
            sets.append(
                _RiskSet(
                    treated_at_risk=int((waiting & is_treated).sum()),
                    control_at_risk=int((waiting & ~is_treated).sum()),
                    treated_events=int((falling & is_treated).sum()),
                    control_events=int((falling & ~is_treated).sum()),
                )
            )
    return tuple(sets)


def _expected(each: _RiskSet) -> float:
    waiting = each.treated_at_risk + each.control_at_risk
    return (each.treated_events + each.control_events) * each.treated_at_risk / waiting


def _variance(each: _RiskSet) -> float:
    """Hypergeometric variance of the treated events in one risk set."""
    waiting = each.treated_at_risk + each.control_at_risk
    falling = each.treated_events + each.control_events
    if waiting < 2:
        return 0.0
    shares = each.treated_at_risk * each.control_at_risk / waiting**2
    return falling * shares * (waiting - falling) / (waiting - 1)


def _checked(time_days: Sequence[float], event: Sequence[bool]) -> tuple[Floats, Flags]:
    time = np.asarray(time_days, dtype=float)
    happened = np.asarray(event, dtype=bool)
    if time.shape != happened.shape or time.ndim != 1:
        raise ValueError(f"times of shape {time.shape} with events of shape {happened.shape}")
    if not np.isfinite(time).all() or (time < 0).any():
        raise ValueError("a time before randomisation, or no time at all: the record is wrong")
    return time, happened


def _checked_groups(
    time_days: Sequence[float],
    event: Sequence[bool],
    treated: Sequence[bool],
    strata: Sequence[Hashable] | None,
) -> tuple[Floats, Flags, Flags, npt.NDArray[np.int64]]:
    time, happened = _checked(time_days, event)
    is_treated = np.asarray(treated, dtype=bool)
    names = [None] * time.size if strata is None else list(strata)
    if is_treated.shape != time.shape or len(names) != time.size:
        raise ValueError("times, groups and strata must describe the same subjects")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return time, happened, is_treated, np.array([numbers[name] for name in names], dtype=np.int64)


def _where(known: Flags, values: Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if ok else None for ok, v in zip(known, values, strict=True))
