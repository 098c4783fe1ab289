"""The sealed sheet of one subject: an encrypted PDF whose size and name tell nothing."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typst
from pypdf import PdfReader, PdfWriter


TEMPLATE = Path(__file__).with_name("contingency_sheet.typ")
BANNER = "Sealed. Open only when knowing the treatment changes what is done now, and Vigil is down."
STEPS = (
    "Write down below who opened this sheet, when and why.",
    "Treat the subject. Study drug is continued only if the protocol says so.",
    "Tell the medical monitor that the blind was broken. Do not say what you read.",
    "When the system is back, record the opening there, and keep this sheet locked away.",
)
BLANKS = ("Opened by", "Day and time", "Why", "Signature")
BLOCK = 256  # bytes; sizes are rounded up to it, and readers look for the end within 1,024


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed on one sheet."""

    trial: str
    title: str
    subject: str
    randomisation_number: str
    treatment: str
    made_at: str


def sealed_pdf(sheet: Sheet, *, password: str, treatments: tuple[str, ...]) -> bytes:
    """Return the sheet as a PDF encrypted with AES-256 under its own password.

    ``treatments`` are those of all arms: the file is filled up to the size of the largest sheet
    this subject could have had, so that it is equally long in every arm.
    """
    sizes = [len(_encrypted(_pdf(sheet, text), password)) for text in treatments]
    size = -(-max(sizes) // BLOCK) * BLOCK
    content = _encrypted(_pdf(sheet, sheet.treatment), password)
    return content + b"\n" * (size - len(content))


def _pdf(sheet: Sheet, treatment: str) -> bytes:
    content: bytes = typst.compile(
        TEMPLATE,
        format="pdf",
        sys_inputs={"sheet": json.dumps(_printable(sheet, treatment))},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=0,
    )
    return content


def _printable(sheet: Sheet, treatment: str) -> dict[str, Any]:
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
        "treatment": treatment,
        "steps": STEPS,
        "blanks": BLANKS,
    }


def _encrypted(content: bytes, password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(content)))
    writer.encrypt(user_password=password, algorithm="AES-256")
    found = io.BytesIO()
    writer.write(found)
    return found.getvalue()
