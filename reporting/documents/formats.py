"""The kinds of file a report on progression-free survival is given as."""

from __future__ import annotations

from reporting.documents.pfs_report import PfsReport, to_json


CONTENT_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
}
PFS_FORMATS = tuple(CONTENT_TYPES)


def rendered(report: PfsReport, kind: str) -> bytes:
    """Return the report as one kind of file; ``svg`` is the figure alone.

    Raises ``KeyError`` for a kind that is not in ``CONTENT_TYPES``.
    """
    return {"json": to_json, "html": _html, "pdf": _pdf, "svg": _svg}[kind](report)


def _html(report: PfsReport) -> bytes:
    from reporting.documents.page import to_html

    return to_html(report).encode()


def _pdf(report: PfsReport) -> bytes:
    from reporting.documents.pdf import to_pdf

    return to_pdf(report)


def _svg(report: PfsReport) -> bytes:
    from reporting.documents.figure import km_figure

    return km_figure(report).encode()
