"""The report as one self-contained HTML page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from reporting.documents.pfs_report import PfsReport
from reporting.documents.printable import printable


TEMPLATES = Path(__file__).parents[1] / "templates"


def html_context(report: PfsReport) -> dict[str, Any]:
    """Return what the template needs: plain strings, and the figure as markup made here."""
    from django.utils.safestring import mark_safe

    from reporting.documents.figure import km_figure

    figure = mark_safe(km_figure(report))  # noqa: S308  drawn here, its texts escaped there
    return {"report": printable(report), "figure": figure}


def to_html(report: PfsReport) -> str:
    """Return the page: inline figure and style, nothing loaded from elsewhere, text escaped."""
    from django.template import Context

    return str(_template().render(Context(html_context(report))))


@cache
def _template() -> Any:
    """The page needs no settings of a site: only this folder, and escaping on."""
    from django.template import Engine

    return Engine(dirs=[str(TEMPLATES)], autoescape=True).get_template("reporting/pfs_report.html")
