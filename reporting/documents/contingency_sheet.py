"""The sealed sheet of one subject: an encrypted PDF that tells nothing from outside."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typst
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject


TEMPLATE = Path(__file__).with_name("contingency_sheet.typ")
BANNER = "Sealed. Open only when knowing the treatment changes what is done now, and Vigil is down."
STEPS = (
    "Write down below who opened this sheet, when and why.",
    "Treat the subject. Study drug is continued only if the protocol says so.",
    "Tell the medical monitor that the blind was broken. Do not say what you read.",
    "When the system is back, record the opening there, and keep this sheet locked away.",
)
BLANKS = ("Opened by", "Day and time", "Why", "Signature")
PLACE = (82, 560)  # points from the bottom left: where the template leaves room
WIDTH, LARGEST = 430, 24  # points: the room's width, and the size of a short name
EM = 0.62  # of the size: the mean width of a letter of the bold face, rather more than less


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed on one sheet."""

    trial: str
    title: str
    subject: str
    randomisation_number: str
    treatment: str
    made_at: str


def sealed_pdf(sheet: Sheet, *, password: str, treatments: Sequence[str]) -> bytes:
    """Return the sheet as a PDF encrypted with AES-256 under a password of its own.

    An encrypted PDF still shows to anybody how long each of its parts is, and how wide the letters
    of a font are. So the page is set without the treatment, and the treatment is written on it in a
    font that no file carries, as one part that is equally long for each of ``treatments``.
    """
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(_page_without_treatment(sheet))))
    page: Any = writer.pages[0]
    page["/Resources"]["/Font"][NameObject("/Treatment")] = writer._add_object(_FONT)
    before, after = StreamObject(), StreamObject()
    before.set_data(b"q\n")
    after.set_data(_written(sheet.treatment).ljust(max(map(len, map(_written, treatments)))))
    whole = [writer._add_object(before), page.raw_get("/Contents"), writer._add_object(after)]
    page[NameObject("/Contents")] = ArrayObject(whole)
    writer.encrypt(user_password=password, algorithm="AES-256")
    found = io.BytesIO()
    writer.write(found)
    return found.getvalue()


_FONT = DictionaryObject(
    {
        NameObject("/Type"): NameObject("/Font"),
        NameObject("/Subtype"): NameObject("/Type1"),
        NameObject("/BaseFont"): NameObject("/Helvetica-Bold"),
        NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
    }
)


def _written(treatment: str) -> bytes:
    """Return the drawing of a treatment; a letter the font does not have is a question mark."""
    size = min(LARGEST, WIDTH / (EM * len(treatment)))
    letters = treatment.encode("cp1252", "replace").hex()
    return b"Q\nBT /Treatment %.1f Tf %d %d Td <%s> Tj ET\n" % (size, *PLACE, letters.encode())


def _page_without_treatment(sheet: Sheet) -> bytes:
    content: bytes = typst.compile(
        TEMPLATE,
        format="pdf",
        sys_inputs={"sheet": json.dumps(_printable(sheet))},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=0,
    )
    return content


def _printable(sheet: Sheet) -> dict[str, Any]:
    facts = (
        ("Trial", sheet.trial),
        ("Subject", sheet.subject),
        ("Randomisation number", sheet.randomisation_number),
        ("Made at", sheet.made_at),
    )
    return {
        "banner": BANNER,
        "title": "Contingency sheet",
        "facts": [{"name": name, "value": value} for name, value in facts],
        "steps": STEPS,
        "blanks": BLANKS,
    }
