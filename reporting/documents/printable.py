"""A finished report in words and printed numbers, the same for the page and the PDF.

Everything returned is a string or a list of strings, so that no template formats a number. ``NR``
is a median not reached, ``NE`` a value the data do not give.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from reporting.documents.pfs_report import (
    ArmResult,
    InterimResult,
    PfsReport,
    SafetyCount,
)
from reporting.statistics.proportions import percent_half_up
from reporting.statistics.results import Estimate, Gap, HazardRatio, LogRank, NotEstimable


NOT_REACHED = "NR"
NOT_ESTIMABLE = "NE"
BANNER = "Confidential: unblinded results by arm. For the data and safety monitoring board only."
SMALLEST_P = 0.0001
NOBODY = (Gap.NO_SUBJECTS_TREATED, Gap.NO_SUBJECTS_CONTROL)
GAP_WORDS = {
    Gap.NO_SUBJECTS_TREATED: "nobody in the treated arm",
    Gap.NO_SUBJECTS_CONTROL: "nobody in the control arm",
    Gap.NO_EVENTS_TREATED: "no event in the treated arm",
    Gap.NO_EVENTS_CONTROL: "no event in the control arm",
    Gap.ARMS_NEVER_COMPARED: "no event while both arms were at risk",
    Gap.MONOTONE_LIKELIHOOD: "the arms' events do not overlap in time",
}


def printable(report: PfsReport) -> dict[str, Any]:
    """Return every text of the report, ready to be escaped and set."""
    header = report.header
    return {
        "banner": BANNER,
        "trial_code": header.trial_code,
        "trial_title": header.trial_title,
        "report_title": header.report_title,
        "endpoint": header.endpoint_label,
        "facts": _facts(report),
        "arms": [f"{arm.label} (n = {arm.n})" for arm in report.arms],
        "figure_alt": figure_alternative(report),
        "figure_caption": _figure_caption(report),
        "efficacy": _efficacy(report),
        "comparison": _comparison_rows(report),
        "follow_up": _follow_up(report),
        "interim": interim_sentence(report.interim) if report.interim else "",
        "safety_arms": [f"{arm.label} (n = {arm.treated})" for arm in report.arms],
        "safety": [
            {"label": row.label, "cells": [_safety_cell(count) for count in row.counts]}
            for row in report.safety
        ],
        "methods": _methods(report),
        "remarks": list(report.remarks),
        "notes": list(header.notes),
        "assumptions": [{"text": each.text, "flag": each.flag} for each in header.assumptions],
        "abbreviations": (
            f"CI, confidence interval; {NOT_REACHED}, not reached; {NOT_ESTIMABLE}, not estimable. "
            "A hazard ratio below 1 favours "
            f"{_label(report, report.comparison.treated)}."
        ),
        "digest": report.digest,
    }


def figure_alternative(report: PfsReport) -> str:
    """Return the figure in words, for those who cannot see it."""
    arms = "; ".join(_arm_in_words(arm, report) for arm in report.arms)
    return (
        f"Kaplan-Meier curves of {_lower_first(report.header.endpoint_label)} in months by arm. "
        f"{arms}. {comparison_lines(report)[0]}."
    )


def comparison_lines(report: PfsReport) -> tuple[str, ...]:
    """Return the hazard ratio and the log-rank test, stratified where asked for, line by line."""
    comparison = report.comparison
    ratio = comparison.hazard_ratio_stratified or comparison.hazard_ratio
    stratum = report.settings.stratum_label
    return (
        f"Hazard ratio {hazard_ratio(ratio, report)}",
        f"log-rank {p_value(comparison.main_log_rank)}",
        *((f"both stratified by {stratum}",) if stratum else ()),
    )


def hazard_ratio(ratio: HazardRatio | NotEstimable, report: PfsReport) -> str:
    """Return e.g. ``0.168 (95% CI 0.074–0.379)``, or that it cannot be estimated."""
    if isinstance(ratio, NotEstimable):
        return "not estimable"
    digits = report.settings.decimals.hazard_ratio
    low, high = f"{ratio.lower:.{digits}f}", f"{ratio.upper:.{digits}f}"
    return f"{ratio.hr:.{digits}f} ({_level(report)} CI {low}–{high})"


def p_value(test: LogRank | NotEstimable) -> str:
    """Return e.g. ``p = 0.032`` or ``p < 0.0001``, two significant digits."""
    if isinstance(test, NotEstimable):
        return "not estimable"
    if test.p < SMALLEST_P:
        return f"p < {SMALLEST_P}"
    places = 2 if test.p >= 0.1 else 3 if test.p >= 0.01 else 4
    return f"p = {test.p:.{places}f}"


def interim_sentence(interim: InterimResult) -> str:
    """Return what the boundary says, and no claim where the boundary is only assumed."""
    look = interim.look
    known = "assumed " if look.assumed else ""
    place = (
        f"{look.label}: {interim.events} events, information fraction "
        f"{look.information_fraction:.2f}; {known}{look.boundary_name} boundary "
        f"z = {_minus(-look.critical_z)}."
    )
    if interim.z is None:
        return f"{place} The log-rank z is not estimable, so it is not compared."
    verdict = "reaches" if interim.beyond else "does not reach"
    caution = (
        " The boundary is an assumption of this report, so no crossing is claimed for the trial."
        if look.assumed
        else ""
    )
    return f"{place} The log-rank z of {_minus(interim.z)} {verdict} it.{caution}"


def _facts(report: PfsReport) -> list[dict[str, str]]:
    header = report.header
    dosed = sum(arm.treated for arm in report.arms)
    return [
        {"name": "Protocol version", "value": header.protocol_version},
        {"name": "Clinical cut-off", "value": _day(header.cutoff_on)},
        {"name": "Data as known at", "value": _instant(header.as_known_at)},
        {"name": "Efficacy population", "value": f"{report.population} randomised"},
        {"name": "Safety population", "value": f"{dosed} treated"},
        {"name": "Endpoint", "value": header.endpoint_label},
    ]


def _efficacy(report: PfsReport) -> list[dict[str, Any]]:
    digits = report.settings.decimals
    rows = [
        ("Randomised", [str(arm.n) for arm in report.arms]),
        ("Progression or death", [_share(arm.events, arm.n) for arm in report.arms]),
        ("Censored", [_share(arm.n - arm.events, arm.n) for arm in report.arms]),
        ("Deaths, any cause", [str(arm.deaths) for arm in report.arms]),
        (
            f"Median, months ({_level(report)} CI)",
            [_median(arm, digits.months) for arm in report.arms],
        ),
    ]
    for index, landmark in enumerate(report.settings.landmark_months):
        name = f"Free of progression at {landmark:g} months ({_level(report)} CI)"
        rows.append((name, [_rate(arm.rates[index].rate, digits.percent) for arm in report.arms]))
    return [{"label": label, "cells": cells} for label, cells in rows]


def _comparison_rows(report: PfsReport) -> list[dict[str, str]]:
    comparison = report.comparison
    rows = [_comparison_row("Unstratified", comparison.hazard_ratio, comparison.log_rank, report)]
    if comparison.hazard_ratio_stratified and comparison.log_rank_stratified:
        rows.append(
            _comparison_row(
                f"Stratified by {report.settings.stratum_label}",
                comparison.hazard_ratio_stratified,
                comparison.log_rank_stratified,
                report,
            )
        )
    return rows


def _comparison_row(
    label: str, ratio: HazardRatio | NotEstimable, test: LogRank | NotEstimable, report: PfsReport
) -> dict[str, str]:
    if isinstance(ratio, NotEstimable):
        shown = f"not estimable: {_reasons(ratio)}"
    else:
        shown = hazard_ratio(ratio, report)
    if isinstance(test, NotEstimable):
        return {"label": label, "ratio": shown, "chi2": NOT_ESTIMABLE, "p": NOT_ESTIMABLE}
    return {
        "label": label,
        "ratio": shown,
        "chi2": f"{test.chi2:.2f}",
        "p": p_value(test).removeprefix("p = ").removeprefix("p "),
    }


def _follow_up(report: PfsReport) -> str:
    digits = report.settings.decimals.months
    plain = report.follow_up.quartiles_months
    reverse = report.follow_up.reverse_median_months
    if plain.median is None:
        return "Nobody has been observed."
    return (
        f"Median observation {plain.median:.{digits}f} months (quartiles "
        f"{_number(plain.q25, digits)}–{_number(plain.q75, digits)}); median follow-up by reverse "
        f"Kaplan-Meier {_estimate(reverse, digits, NOT_REACHED)} months."
    )


def _methods(report: PfsReport) -> list[str]:
    settings = report.settings
    stratified = (
        f" Stratified analyses compare subjects only within their {settings.stratum_label}."
        if settings.stratum_label
        else ""
    )
    return [
        (
            "Efficacy counts everybody randomised, in the arm they were randomised to; safety "
            "counts everybody who took at least one dose."
        ),
        (
            "Curves, rates and medians: Kaplan-Meier with log-log confidence limits, pointwise "
            "and not adjusted for interim looks."
        ),
        (
            "Hazard ratio: proportional hazards, ties by Efron, Wald limits. Test: two-sided "
            f"log-rank.{stratified}"
        ),
        f"Months are days divided by {settings.month_days:g}. Day 0 is the day of randomisation.",
        (
            "The same data cut gives the same numbers and the same bytes; the digest below "
            "identifies them."
        ),
    ]


def _figure_caption(report: PfsReport) -> str:
    return (
        f"{report.header.endpoint_label}, by arm as randomised. Ticks are censored subjects; bands "
        f"are pointwise {_level(report)} confidence intervals."
    )


def _arm_in_words(arm: ArmResult, report: PfsReport) -> str:
    if not arm.n:
        return f"{arm.label}: no subjects"
    median = _estimate(arm.median_months, report.settings.decimals.months, "not reached")
    return f"{arm.label}: {arm.events} events in {arm.n} subjects, median {median} months"


def _rate(rate: Estimate, digits: int) -> str:
    if rate.value is None:
        return NOT_ESTIMABLE
    percent = f"{100 * rate.value:.{digits}f}%"
    if rate.lower is None or rate.upper is None:
        return f"{percent} ({NOT_ESTIMABLE})"
    return f"{percent} ({100 * rate.lower:.{digits}f}–{100 * rate.upper:.{digits}f})"


def _median(arm: ArmResult, digits: int) -> str:
    return _estimate(arm.median_months, digits, NOT_REACHED) if arm.n else NOT_ESTIMABLE


def _estimate(estimate: Estimate, digits: int, missing: str) -> str:
    value = missing if estimate.value is None else f"{estimate.value:.{digits}f}"
    return f"{value} ({_number(estimate.lower, digits)}–{_number(estimate.upper, digits)})"


def _number(value: float | None, digits: int) -> str:
    return NOT_ESTIMABLE if value is None else f"{value:.{digits}f}"


def _share(count: int, n: int) -> str:
    return f"{count} ({percent_half_up(count, n)}%)" if n else str(count)


def _safety_cell(count: SafetyCount) -> str:
    return "–" if count.percent is None else f"{count.count} ({count.percent}%)"


def _reasons(gaps: NotEstimable) -> str:
    """Return the reasons in words; where people are missing, missing events go without saying."""
    people = [gap for gap in gaps.reasons if gap in NOBODY]
    return ", ".join(GAP_WORDS[gap] for gap in people or gaps.reasons)


def _label(report: PfsReport, code: str) -> str:
    return next(arm.label for arm in report.arms if arm.code == code)


def _level(report: PfsReport) -> str:
    return f"{100 * report.settings.confidence:g}%"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _minus(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _instant(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%B %Y, %H:%M} UTC"
