"""A stored safety summary in words, as a page and as a tagged PDF. Arms pooled; no arm in sight.

Like ``printable`` for the report by arm, everything for the templates is a string or a list of
strings. The same stored summary gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any


TEMPLATES = Path(__file__).parents[1] / "templates"
TYPESET = Path(__file__).with_name("safety_summary.typ")
BANNER = "Blinded safety summary: both arms counted together. No figure here tells an arm."
SYNTHETIC = "Synthetic data made from published summary figures; not patient data."
SUBJECTS = {
    "screened": "Screened",
    "randomised": "Randomised",
    "treated": "Received study drug",
    "died": "Died, any cause",
}
CONTENT_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
}


@dataclass(frozen=True, slots=True)
class StoredSummary:
    """One edition as it was stored."""

    content: dict[str, Any]
    digest: str
    edition: int
    written_by: str
    written_at: datetime


def rendered_summary(summary: StoredSummary, kind: str) -> bytes:
    """Return an edition as ``json`` (the content its digest covers), ``html`` or ``pdf``."""
    return {"json": _json, "html": _html, "pdf": _pdf}[kind](summary)


def printable_summary(summary: StoredSummary) -> dict[str, Any]:
    """Return every text of the summary, ready to be escaped and set."""
    content = summary.content
    period = f"{_day(content['period_start'])} to {_day(content['period_end'])}"
    return {
        "banner": BANNER,
        "title": f"{content['trial']}: safety summary {content['period_name']}",
        "subtitle": content["title"],
        "facts": [
            {"name": "Period", "value": period},
            {"name": "Data up to", "value": _day(content["cutoff_on"])},
            {"name": "Data as known at", "value": _instant(content["as_known_at"])},
            {"name": "Protocol version", "value": content["protocol_version"]},
            {"name": "Edition", "value": f"{summary.edition}, by {summary.written_by}"},
            {"name": "Written", "value": _instant(summary.written_at.isoformat())},
        ],
        "tables": [
            _subjects_table(content),
            _events_table("Adverse events by class of interest", content["of_interest"], content),
            _classes_table(content),
            _exposure_table(content),
        ],
        "listings": [
            _listing("Serious adverse events", content["serious"], SERIOUS_HEAD, _serious_cells),
            _listing("Deaths", content["deaths"], ("Subject", "Day", "Cause"), _death_cells),
            _listing(
                "Pregnancy tests that were not negative",
                content["pregnancy_tests"],
                ("Subject", "Day", "Result"),
                _test_cells,
            ),
            _listing(
                "Cycles without a dose, by decision",
                content["holds"],
                ("Subject", "Day", "Cycle"),
                _hold_cells,
            ),
        ],
        "methods": _methods(content),
        "digest": summary.digest,
    }


SERIOUS_HEAD = ("Subject", "Began", "Term", "Grade", "Serious because of", "Related", "Outcome")


def _subjects_table(content: dict[str, Any]) -> dict[str, Any]:
    rows = [_row(label, _both(content["subjects"][code], str)) for code, label in SUBJECTS.items()]
    return _table("Subjects", ("Subjects", "This period", "Since the start"), rows)


def _events_table(
    title: str, classes: list[dict[str, Any]], content: dict[str, Any]
) -> dict[str, Any]:
    named = [(each["label"], each["counts"]) for each in classes]
    named.append(("Any adverse event", content["any_event"]))
    return _tallies(title, named)


def _classes_table(content: dict[str, Any]) -> dict[str, Any]:
    named = [(each["label"], each["counts"]) for each in content["classes"]]
    return _tallies("Adverse events by system organ class", named)


def _tallies(title: str, named: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    head = (
        "Class", "This period", "Since the start", "Grade 1–2", "Grade 3–4", "Grade 5", "Related",
    )  # fmt: skip
    rows = []
    for label, counts in named:
        total = counts["total"]
        worst = [str(total["worst"][band]) for band in ("1-2", "3-4", "5")]
        rows.append(_row(label, [*_both(counts, _people), *worst, str(total["related"])]))
    return _table(title, head, rows)


def _exposure_table(content: dict[str, Any]) -> dict[str, Any]:
    exposure = content["exposure"]
    now = {each["dose_mg"]: each for each in exposure["period"]["by_dose"]}
    nothing = {"subjects": 0, "cycles": 0, "days": 0}
    rows = [
        _row(
            f"{level['dose_mg']} mg a day",
            [_supplied(now.get(level["dose_mg"], nothing)), _supplied(level)],
        )
        for level in exposure["total"]["by_dose"]
    ]
    rows.append(_row("All doses", _both(exposure, _supplied)))
    head = ("Study drug or placebo", "This period", "Since the start")
    return _table("Exposure", head, rows)


def _table(title: str, head: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "head": list(head), "rows": rows}


def _listing(
    title: str, lines: list[dict[str, Any]], head: tuple[str, ...], cells: Any
) -> dict[str, Any]:
    """Return the lines of the period first, then the earlier ones."""
    ordered = sorted(lines, key=lambda line: not line["in_period"])
    return {
        "title": title,
        "head": ["Period", *head],
        "rows": [["this" if line["in_period"] else "earlier", *cells(line)] for line in ordered],
    }


def _serious_cells(line: dict[str, Any]) -> list[str]:
    facts = line["facts"]
    reasons = ", ".join(_words(reason) for reason in facts["seriousness"])
    related = "yes" if facts["related"] else "no"
    term = facts["term"] if facts["emergent"] else f"{facts['term']} (not treatment-emergent)"
    return [
        line["number"], line["on"], term, str(facts["grade"]), reasons, related,
        _words(facts["outcome"]),
    ]  # fmt: skip


def _death_cells(line: dict[str, Any]) -> list[str]:
    return [line["number"], line["on"], line["facts"]["cause"]]


def _test_cells(line: dict[str, Any]) -> list[str]:
    return [line["number"], line["on"], _words(line["facts"]["result"])]


def _hold_cells(line: dict[str, Any]) -> list[str]:
    return [line["number"], line["on"], str(line["facts"]["cycle"])]


def _methods(content: dict[str, Any]) -> list[str]:
    outside = content["not_emergent"]
    return [
        "Both arms are counted together in every figure; study drug means active drug or placebo.",
        (
            "Event tables count treatment-emergent events of treated subjects: begun from the "
            f"first dose to {content['teae_days']} days after the last. Cells show subjects with "
            "an event (events); grades and relation are since the start, each subject in the "
            "worst grade, relation by event."
        ),
        (
            f"Adverse events outside that window: {outside['period']} in this period, "
            f"{outside['total']} since the start."
        ),
        (
            "Records count by their clinical day in the site's calendar, a partial one by the "
            "earliest day it can mean. Outcomes are as known at the instant above."
        ),
        (
            "Exposure is what was handed over: subjects, cycles and days of supply. Listings "
            "show every record known, so what was reported late stands among the earlier lines."
        ),
        *(f"Assumed: {text}." for text in content["assumed"]),
        *([SYNTHETIC] if content["conduct"] == "replay" else []),
    ]


def _both(twice: dict[str, Any], shown: Any) -> list[str]:
    return [shown(twice["period"]), shown(twice["total"])]


def _row(label: str, cells: list[str]) -> dict[str, Any]:
    return {"label": label, "cells": cells}


def _people(tally: dict[str, Any]) -> str:
    return f"{tally['subjects']} ({tally['events']})"


def _supplied(amount: dict[str, Any]) -> str:
    return f"{amount['subjects']} / {amount['cycles']} / {amount['days']}"


def _words(code: str) -> str:
    return code.replace("_", " ")


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%B %Y}"


def _instant(text: str) -> str:
    utc = datetime.fromisoformat(text).astimezone(UTC)
    return f"{utc.day} {utc:%B %Y, %H:%M} UTC"


def _json(summary: StoredSummary) -> bytes:
    body = {
        "content": summary.content,
        "digest": summary.digest,
        "edition": summary.edition,
        "written_at": summary.written_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "written_by": summary.written_by,
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _html(summary: StoredSummary) -> bytes:
    from django.template import Context

    context = Context({"summary": printable_summary(summary)})
    return str(_template().render(context)).encode()


@cache
def _template() -> Any:
    from django.template import Engine

    engine = Engine(dirs=[str(TEMPLATES)], autoescape=True)
    return engine.get_template("reporting/safety_summary.html")


def _pdf(summary: StoredSummary) -> bytes:
    """Return the pages; a character the typesetter's fonts lack is shown as a question mark."""
    import typst

    text = json.dumps(printable_summary(summary), ensure_ascii=False)
    try:
        return _typeset(text)
    except typst.TypstError:
        return _typeset("".join(letter if letter in SURE else "?" for letter in text))


SURE = frozenset(map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x180), 0x2013, 0x2212)))


def _typeset(text: str) -> bytes:
    import typst

    pages: bytes = typst.compile(
        TYPESET,
        format="pdf",
        sys_inputs={"summary": text},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=0,
    )
    return pages
