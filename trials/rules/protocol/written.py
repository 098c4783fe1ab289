"""How a new file may write its texts, numbers and days.

These bounds judge a file that is new. One that was stored is read as it was taken, so that a bound
drawn closer since never stops a trial that runs. The bounds are choices made here; those of length
are also as many characters as the database keeps.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from re import compile as pattern
from typing import Any
from unicodedata import bidirectional, category, decomposition, normalize

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from trials.rules.protocol.countries import COUNTRIES


NEW = "a new file"
"""The pydantic context in which a new file is judged."""

MOST_DIGITS = 12
"""How many a number may have before its point, and after it."""

FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2150, 12, 31)

_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")
_TURNS_ROUND = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_VERSION = pattern(r"[0-9]+(\.[0-9]+)*")

# Unicode's Default_Ignorable_Code_Point, of which the format characters (Cf) are known by their
# category, and the blank of Braille. DerivedCoreProperties.txt, Unicode 15.
_UNSEEN = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


def in_new_files(judge: Callable[[Any], None]) -> Callable[[Any, ValidationInfo], Any]:
    """Return a validator that judges the values of a new file, and leaves those of a stored one."""

    def judged(value: Any, info: ValidationInfo) -> Any:
        if info.context == NEW:
            judge(value)
        return value

    return judged


def told_apart_by(text: str) -> str:
    """Return what a reader sees of a text: no case, no width, nothing that is invisible.

    What stands above or below the line is seen: 10³ is not 103.
    """
    shown = "".join(c if _raised(c) else normalize("NFKC", c) for c in normalize("NFC", text))
    seen = "".join(c for c in shown.lower() if category(c) != "Cf" and c not in _UNSEEN)
    return " ".join(normalize("NFC", seen).split())


def _raised(character: str) -> bool:
    return decomposition(character).startswith(("<super>", "<sub>"))


def shows_as_written(text: str) -> None:
    """Refuse a text that no screen shows as it stands in the file, or of which nothing is seen."""
    for character in text:
        if category(character) in _UNSHOWN or bidirectional(character) in _TURNS_ROUND:
            code = f"U+{ord(character):04X}"
            raise PydanticCustomError(
                "character_not_shown",
                "a text is one line of what can be seen, without {code}",
                {"code": code},
            )
    if text and not told_apart_by(text):
        raise PydanticCustomError("text_invisible", "nothing of the text can be seen")


def no_longer_than(characters: int) -> Callable[[str], None]:
    def judge(text: str) -> None:
        if len(text) > characters:
            raise PydanticCustomError(
                "string_too_long",
                "it should have {most} characters at most, not {length}",
                {"most": characters, "length": len(text)},
            )

    return judge


def is_a_version(text: str) -> None:
    """Refuse what no address of the interface could name: it takes 0 to 9 and dots, 20 in all."""
    if not _VERSION.fullmatch(text):
        message = "a version is numbers of 0 to 9 with dots between them"
        raise PydanticCustomError("string_pattern_mismatch", message)
    no_longer_than(20)(text)


def is_a_day(value: object) -> None:
    """Refuse what only stands for a day: a number, a text, a moment with its time of day."""
    if type(value) is not date:
        message = "a day is written bare and without a time, as 2026-03-01"
        raise PydanticCustomError("day_type", message)


def is_near(day: date) -> None:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise PydanticCustomError(
            "day_out_of_range",
            "it should be a day from {first} to {last}",
            {"first": str(FIRST_DAY), "last": str(LAST_DAY)},
        )


def has_few_digits(number: Decimal) -> None:
    """Refuse digits that nothing is measured to, and that printing a number would write out."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DIGITS or number.adjusted() >= MOST_DIGITS:
        raise PydanticCustomError(
            "too_many_digits",
            "a number has {most} digits before its point and {most} after it, at most",
            {"most": MOST_DIGITS},
        )


def is_from(low: str, high: str) -> Callable[[Decimal | int], None]:
    """Refuse a number outside two bounds, both of which it may be."""

    def judge(number: Decimal | int) -> None:
        if not Decimal(low) <= number <= Decimal(high):
            raise PydanticCustomError(
                "not_sensible", "it should be from {low} to {high}", {"low": low, "high": high}
            )

    return judge


def is_a_country(code: str) -> None:
    if code not in COUNTRIES:
        message = "ISO 3166 has no such country: two capitals, as DE"
        raise PydanticCustomError("country_unknown", message)
