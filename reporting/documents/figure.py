"""The survival figure as SVG: curves, numbers at risk, and the comparison in one picture."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from reporting.documents.pfs_report import ArmResult, PfsReport
from reporting.documents.printable import comparison_lines, figure_alternative


# Blue and vermilion stay apart for colour-blind readers (Okabe M, Ito K, 2008) and in grey; the
# line style says the same again.
STYLES = (("#0072B2", "solid"), ("#C44E00", (0, (5, 1.6))))
INK = "#1a1a1a"
QUIET = "#5c5c5c"
INCHES = (6.9, 4.6)
EDGE = 0.008  # where names begin, as a share of the figure's width
LOWEST_NAME = 0.12  # beneath a curve this low a name would touch the axis
BOLD_LETTER = 0.0132  # a usual letter's width, as a share of the figure's width
# Glyphs become outlines, so the figure looks the same anywhere. The salt fixes the ids.
DRAWING: dict[Any, Any] = {
    "svg.hashsalt": "vigil",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.unicode_minus": True,
    "path.simplify": False,
}


def km_figure(report: PfsReport) -> str:
    """Return the figure as SVG text with a title and a description; same report, same bytes."""
    with mpl.rc_context(DRAWING):
        figure = Figure(figsize=INCHES)
        FigureCanvasSVG(figure)
        plot, table = figure.subplots(
            2, 1, sharex=True, height_ratios=(1, 0.07 * (1 + len(report.arms)))
        )
        figure.subplots_adjust(
            left=_left_margin(report), right=0.985, top=0.93, bottom=0.03, hspace=0.24
        )
        _draw_axes(plot, report)
        for arm, (colour, line) in zip(report.arms, STYLES, strict=True):
            _draw_arm(plot, arm, colour, line)
        _draw_names(plot, report)
        _draw_comparison(plot, report)
        _draw_numbers_at_risk(table, report)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _described(buffer.getvalue().decode(), report)


def _draw_axes(plot: Axes, report: PfsReport) -> None:
    marks = report.settings.at_risk_months
    plot.set_xlim(0, _last_month(report))
    plot.set_ylim(0, 1.02)
    plot.set_xticks(marks, [f"{mark:g}" for mark in marks])
    plot.set_yticks(np.linspace(0, 1, 6), [f"{percent}" for percent in range(0, 101, 20)])
    plot.tick_params(labelbottom=True, colors=INK, length=3.5, width=0.7)
    plot.set_xlabel("Months from randomisation", color=INK, labelpad=3)
    plot.set_ylabel(f"{report.header.endpoint_label} (%)", color=INK, parse_math=False, wrap=True)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_linewidth(0.7)
    plot.axhline(0.5, color="#c8c8c8", linewidth=0.6, linestyle=(0, (1, 2.5)), zorder=0)


def _draw_arm(plot: Axes, arm: ArmResult, colour: str, line: Any) -> None:
    curve = arm.curve
    if not arm.n:
        return
    plot.fill_between(
        curve.months,
        np.array(curve.lower, dtype=float),
        np.array(curve.upper, dtype=float),
        step="post",
        color=colour,
        alpha=0.13,
        linewidth=0,
    )
    plot.step(
        curve.months, curve.survival, where="post", color=colour, linestyle=line, linewidth=1.5
    )
    plot.plot(
        curve.censored_months,
        curve.censored_survival,
        linestyle="none",
        marker="|",
        markersize=6,
        markeredgewidth=0.8,
        color=colour,
    )


def _draw_names(plot: Axes, report: PfsReport) -> None:
    """Write each arm's name beside the end of its curve, or clear of it where there is no room."""
    drawn = [(arm, colour) for arm, (colour, _) in zip(report.arms, STYLES, strict=True) if arm.n]
    last_month = _last_month(report)
    heights = sorted((arm.curve.survival[-1] for arm, _ in drawn), reverse=True)
    for arm, colour in drawn:
        month, height = arm.curve.months[-1], arm.curve.survival[-1]
        beside = month < 0.75 * last_month
        upper = height == heights[0] or height < LOWEST_NAME
        if upper and not beside:
            height = _height_at(arm, month - 1.4 * BOLD_LETTER * len(arm.label) * last_month)
        plot.annotate(
            arm.label,
            (month, height),
            xytext=(6 if beside else -2, 0 if beside else 6 if upper else -6),
            textcoords="offset points",
            ha="left" if beside else "right",
            va="center" if beside else "bottom" if upper else "top",
            color=colour,
            weight="bold",
            parse_math=False,
        )


def _draw_comparison(plot: Axes, report: PfsReport) -> None:
    """Write the comparison above the plot, where no curve can run into it."""
    if not report.population:
        plot.text(
            0.5, 0.55, "No subjects", transform=plot.transAxes, ha="center", color=QUIET, size=11
        )
        return
    plot.set_title(
        "; ".join(comparison_lines(report)),
        loc="right",
        size=8,
        color=INK,
        pad=8,
        parse_math=False,
    )


def _draw_numbers_at_risk(table: Axes, report: PfsReport) -> None:
    table.axis("off")
    table.set_ylim(len(report.arms) + 0.5, -0.5)
    margin = blended_transform_factory(table.figure.transFigure, table.transData)
    table.text(EDGE, 0, "Number at risk", transform=margin, va="center", color=QUIET, size=8)
    for row, (arm, (colour, _)) in enumerate(zip(report.arms, STYLES, strict=True), start=1):
        table.text(
            EDGE,
            row,
            arm.label,
            transform=margin,
            va="center",
            color=colour,
            weight="bold",
            size=8,
            parse_math=False,
        )
        for month, count in zip(report.settings.at_risk_months, arm.at_risk, strict=True):
            table.text(month, row, str(count), ha="center", va="center", color=INK, size=8)


def _height_at(arm: ArmResult, month: float) -> float:
    passed = [s for m, s in zip(arm.curve.months, arm.curve.survival, strict=True) if m <= month]
    return passed[-1] if passed else 1.0


def _left_margin(report: PfsReport) -> float:
    """Room for the longest name and the first number beneath the axis."""
    longest = max(len(arm.label) for arm in report.arms)
    return min(0.4, max(0.11, EDGE + BOLD_LETTER * longest + 0.025))


def _last_month(report: PfsReport) -> float:
    ends = [arm.curve.months[-1] for arm in report.arms if arm.n]
    return max((*report.settings.at_risk_months, *ends, 1.0))


def _described(svg: str, report: PfsReport) -> str:
    """Return the drawing from its root element on, with a title and a description."""
    drawing = svg[svg.index("<svg") :]
    opening, rest = drawing.split(">", 1)
    title = f"{report.header.endpoint_label}, {report.header.trial_code}"
    return (
        f'{opening} role="img" aria-labelledby="figure-title figure-description">\n'
        f'<title id="figure-title">{escape(title)}</title>\n'
        f'<desc id="figure-description">{escape(figure_alternative(report))}</desc>{rest}'
    )
