"""From the analysis data set to the finished report on progression-free survival."""

from __future__ import annotations

from reporting.documents.pfs_report import (
    AnalysisSettings,
    Arm,
    ArmResult,
    Comparison,
    Curve,
    FollowUp,
    InterimResult,
    LandmarkRate,
    PfsDataset,
    PfsReport,
    PfsSubject,
    ReportHeader,
    SafetyCount,
    SafetyRow,
    sealed_with_digest,
)
from reporting.statistics.proportions import percent_half_up
from reporting.statistics.results import Estimate, LogRank, Quartiles
from reporting.statistics.survival import (
    KaplanMeier,
    at_risk,
    cox_hazard_ratio,
    kaplan_meier,
    log_rank,
    median_follow_up,
    months,
    observation_quartiles,
)


def build_pfs_report(
    dataset: PfsDataset, *, header: ReportHeader, settings: AnalysisSettings
) -> PfsReport:
    """Return the report, sealed with the digest of its content.

    The order of the subjects changes nothing. What the data cannot give, because an arm is empty or
    has no event, is left open and named in ``remarks``. Adverse events count among the treated.

    Raises ``ValueError`` if the settings do not name two arms with the control among them, if a
    subject stands in neither arm or twice in the data, or if ``as_known_at`` has no offset.
    """
    _check(dataset, header, settings)
    subjects = tuple(sorted(dataset.subjects, key=lambda subject: subject.number))
    arms = tuple(_arm_result(arm, _of_arm(subjects, arm), settings) for arm in settings.arms)
    comparison = _comparison(subjects, settings)
    return sealed_with_digest(
        PfsReport(
            header=header,
            settings=settings,
            population=len(subjects),
            arms=arms,
            comparison=comparison,
            follow_up=_follow_up(subjects, settings),
            safety=_safety(subjects, settings),
            interim=_interim(arms, comparison, settings),
            remarks=_remarks(subjects, settings),
        )
    )


def _check(dataset: PfsDataset, header: ReportHeader, settings: AnalysisSettings) -> None:
    codes = [arm.code for arm in settings.arms]
    if len(set(codes)) != 2 or settings.control not in codes:
        raise ValueError(f"two arms with the control among them, not {codes}, {settings.control}")
    if header.as_known_at.tzinfo is None:
        raise ValueError("as_known_at is an instant and needs its offset")
    numbers = [subject.number for subject in dataset.subjects]
    if len(set(numbers)) != len(numbers):
        raise ValueError("a subject stands twice in the data")
    if strangers := sorted({s.arm for s in dataset.subjects} - set(codes)):
        raise ValueError(f"arms the settings do not know: {strangers}")


def _of_arm(subjects: tuple[PfsSubject, ...], arm: Arm) -> tuple[PfsSubject, ...]:
    return tuple(subject for subject in subjects if subject.arm == arm.code)


def _arm_result(
    arm: Arm, subjects: tuple[PfsSubject, ...], settings: AnalysisSettings
) -> ArmResult:
    days = [subject.pfs_days for subject in subjects]
    curve = kaplan_meier(
        days, [subject.pfs_event for subject in subjects], confidence=settings.confidence
    )
    return ArmResult(
        code=arm.code,
        label=arm.label,
        n=len(subjects),
        treated=sum(subject.treated for subject in subjects),
        events=curve.events,
        deaths=sum(subject.died for subject in subjects),
        median_months=_in_months(curve.median, settings),
        rates=tuple(
            LandmarkRate(landmark, curve.at(landmark * settings.month_days))
            for landmark in settings.landmark_months
        ),
        at_risk=at_risk(days, [mark * settings.month_days for mark in settings.at_risk_months]),
        curve=_curve(curve, settings),
    )


def _curve(curve: KaplanMeier, settings: AnalysisSettings) -> Curve:
    in_months = tuple(months(day, month_days=settings.month_days) for day in curve.times)
    censored = [index for index, count in enumerate(curve.censored_counts) if count]
    return Curve(
        months=in_months,
        survival=curve.survival,
        lower=curve.lower,
        upper=curve.upper,
        censored_months=tuple(in_months[index] for index in censored),
        censored_survival=tuple(curve.survival[index] for index in censored),
    )


def _comparison(subjects: tuple[PfsSubject, ...], settings: AnalysisSettings) -> Comparison:
    days = [subject.pfs_days for subject in subjects]
    events = [subject.pfs_event for subject in subjects]
    treated = [subject.arm != settings.control for subject in subjects]
    strata = [subject.stratum for subject in subjects]
    by_stratum = settings.stratum_label is not None
    level = settings.confidence
    return Comparison(
        treated=next(arm.code for arm in settings.arms if arm.code != settings.control),
        control=settings.control,
        hazard_ratio=cox_hazard_ratio(days, events, treated, confidence=level),
        log_rank=log_rank(days, events, treated),
        hazard_ratio_stratified=(
            cox_hazard_ratio(days, events, treated, strata, confidence=level)
            if by_stratum
            else None
        ),
        log_rank_stratified=log_rank(days, events, treated, strata) if by_stratum else None,
    )


def _follow_up(subjects: tuple[PfsSubject, ...], settings: AnalysisSettings) -> FollowUp:
    days = [subject.observed_days for subject in subjects]
    plain = observation_quartiles(days)
    median = median_follow_up(
        days, [subject.died for subject in subjects], confidence=settings.confidence
    )
    return FollowUp(
        quartiles_months=Quartiles(
            q25=_month(plain.q25, settings),
            median=_month(plain.median, settings),
            q75=_month(plain.q75, settings),
        ),
        reverse_median_months=_in_months(median, settings),
    )


def _safety(subjects: tuple[PfsSubject, ...], settings: AnalysisSettings) -> tuple[SafetyRow, ...]:
    rows = []
    for category in settings.ae_categories:
        counts = []
        for arm in settings.arms:
            treated = [subject for subject in _of_arm(subjects, arm) if subject.treated]
            count = sum(category.code in subject.ae_categories for subject in treated)
            percent = percent_half_up(count, len(treated)) if treated else None
            counts.append(SafetyCount(arm.code, count, len(treated), percent))
        rows.append(SafetyRow(category.label, tuple(counts)))
    return tuple(rows)


def _interim(
    arms: tuple[ArmResult, ...], comparison: Comparison, settings: AnalysisSettings
) -> InterimResult | None:
    look = settings.interim_look
    if look is None:
        return None
    events = sum(arm.events for arm in arms)
    test = comparison.main_log_rank
    if not isinstance(test, LogRank):
        return InterimResult(look, events, None, None)
    return InterimResult(look, events, test.z, -test.z >= look.critical_z)


def _remarks(subjects: tuple[PfsSubject, ...], settings: AnalysisSettings) -> tuple[str, ...]:
    if not subjects:
        return ("Nobody had been randomised at this cut-off; nothing can be estimated.",)
    remarks = []
    for arm in settings.arms:
        here = _of_arm(subjects, arm)
        if not here:
            remarks.append(f"{arm.label}: no subject had been randomised to this arm.")
        elif not any(subject.pfs_event for subject in here):
            remarks.append(f"{arm.label}: no event yet, so neither median nor ratio is estimable.")
        elif len({s.pfs_days for s in here if s.pfs_event}) < sum(s.pfs_event for s in here):
            remarks.append(f"{arm.label}: some events share a day; ties are handled by Efron.")
    untreated = sum(bool(s.ae_categories) and not s.treated for s in subjects)
    if untreated:
        remarks.append(
            f"Adverse events of {untreated} subject(s) without a dose are not counted in the "
            "safety table."
        )
    return tuple(remarks)


def _in_months(days: Estimate, settings: AnalysisSettings) -> Estimate:
    return Estimate(
        value=_month(days.value, settings),
        lower=_month(days.lower, settings),
        upper=_month(days.upper, settings),
    )


def _month(days: float | None, settings: AnalysisSettings) -> float | None:
    return None if days is None else months(days, month_days=settings.month_days)
