"""Where two reasons against a subject would have one code."""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from trials.rules.protocol.eligibility import Eligibility
from trials.rules.protocol.finding import Finding, Unsound, each
from trials.rules.toml_lines import KeyPath


class Named(NamedTuple):
    """The code of a reason, the key it is given by, and the table that key is in."""

    code: str
    key: KeyPath
    table: str


# The tables that name reasons, and what of a row is the code of one.
_AGAINST = (
    ("criteria", "code"),
    ("timing", "too_soon"),
    ("timing", "too_late"),
    ("exclusions", "reason"),
)
_NOT_KNOWN = (("criteria", "missing"), ("timing", "missing"))


def reason_findings(eligibility: Eligibility) -> Iterator[Finding]:
    """Yield each code that would be given for two reasons.

    Reasons that something is not known may share theirs, since they say what that is. A code that
    is there twice in one table is named with the table.
    """
    first: dict[str, Named] = {}
    for reason in _named(eligibility, _AGAINST):
        before = first.setdefault(reason.code.casefold(), reason)
        if before.table != reason.table:
            yield _shared(reason, before)
    for reason in _named(eligibility, _NOT_KNOWN):
        if against := first.get(reason.code.casefold()):
            yield _shared(reason, against)


def _named(eligibility: Eligibility, sources: tuple[tuple[str, str], ...]) -> Iterator[Named]:
    for table, attribute in sources:
        with suppress(Unsound):
            rows = getattr(eligibility, table)
            for index, code in each(rows, attribute):
                key = "missing" if attribute == "missing" and rows[index].named_missing else "code"
                yield Named(code, ("eligibility", table, index, key), table)


def _shared(reason: Named, before: Named) -> Finding:
    place = f"eligibility.{before.table}[{before.key[2]}]"
    message = f"{reason.code!r} is the code of a reason of {place} too"
    return Finding(reason.key, "reason_repeated", message)
