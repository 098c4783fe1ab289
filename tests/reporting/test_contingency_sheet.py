"""The sealed sheet, as somebody sees it who has the file and not the password."""

import io
import re

import pytest
from pypdf import PdfReader

from reporting.documents.contingency_sheet import Sheet, sealed_pdf


TREATMENTS = (
    "Lenalidomide (L)",
    "Placebo (P)",
    "Examplinib 400 mg twice a day beside what the site gives anyway (X)",
)
STREAM = re.compile(rb"(?<=\nstream\n).*?(?=\nendstream)", re.DOTALL)
STRING = re.compile(rb"(?<=[ [])<[0-9a-f]*>(?!>)")


def sealed(treatment, password="a word of its own"):
    sheet = Sheet(
        trial="CLLM1", title="A trial", subject="DE-01-0001", randomisation_number="R14899129",
        treatment=treatment, made_at="2026-03-02 08:00 UTC",
    )  # fmt: skip
    return sealed_pdf(sheet, password=password, treatments=TREATMENTS)


def from_outside(content):
    """Everything of an encrypted PDF that is not encrypted: its parts and how long each is."""
    lengths = STREAM.sub(lambda found: b"%d" % len(found[0]), content)
    return STRING.sub(lambda found: b"<%d>" % len(found[0]), lengths)


def text_of(content, password="a word of its own"):
    reader = PdfReader(io.BytesIO(content))
    assert reader.decrypt(password)
    return reader.pages[0].extract_text()


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_a_sheet_says_the_treatment_to_whoever_has_the_password(treatment):
    text = text_of(sealed(treatment))

    assert treatment in text
    assert not any(other in text for other in TREATMENTS if other != treatment)
    assert "DE-01-0001" in text


def test_without_the_password_a_sheet_is_the_same_in_every_arm():
    first, *others = [from_outside(sealed(treatment)) for treatment in TREATMENTS]

    assert len(first) > 5_000
    assert others == [first, first]
    assert not PdfReader(io.BytesIO(sealed(TREATMENTS[0]))).decrypt("another word")


def test_letters_the_font_does_not_have_leave_the_code_to_read():
    assert text_of(sealed("Плацебо (P)")).count("(P)") == 1
