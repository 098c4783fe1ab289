"""The report as a tagged PDF (PDF/UA-1)."""

from __future__ import annotations

import json
from pathlib import Path

import typst

from reporting.documents.figure import km_figure
from reporting.documents.pfs_report import PfsReport
from reporting.documents.printable import printable


TEMPLATE = Path(__file__).with_name("pfs_report.typ")


def to_pdf(report: PfsReport) -> bytes:
    """Return the report on A4, two pages at most for a usual trial; same report, same bytes.

    Texts travel as data and are never part of the template's source. Only the fonts inside the
    typesetter are used, so the pages do not depend on the machine.

    Raises ``typst.TypstError`` if a text holds a character none of these fonts can show.
    """
    return typst.compile(
        TEMPLATE,
        format="pdf",
        sys_inputs={
            "report": json.dumps(printable(report)),
            "figure": km_figure(report),
        },
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=0,
    )
