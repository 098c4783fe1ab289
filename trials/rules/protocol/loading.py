"""From the text of a protocol file to a ``Protocol``, or to everything that is wrong with it."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from trials.rules.protocol.consistency import findings
from trials.rules.protocol.finding import Finding, Unsound
from trials.rules.protocol.partial import key_of
from trials.rules.protocol.sections import Protocol
from trials.rules.protocol.sourced import Beyond
from trials.rules.protocol.written import NEW
from trials.rules.toml_lines import KeyPath, key_lines, line_of_nesting, nearest_line


LONGEST_SHOWN = 80
BYTE_ORDER_MARK = "\ufeff"
_LONG_NUMBER = re.compile(r"\d[\d_]{4300,}")

_SECTIONS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(hint)
    for name, hint in get_type_hints(Protocol, include_extras=True).items()
    if name in Protocol.model_fields
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: the line (from 1), the dotted key, the rule it breaks, in words."""

    line: int
    key: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.message} [{self.rule}]"


class ProtocolInvalid(Exception):
    """The file cannot be used; ``problems`` names all of it, in the order of the lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def digest(text: str) -> str:
    """Return the SHA-256 of the text in UTF-8, as 64 hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def text_of(content: bytes) -> str:
    """Return the text of a file as it is stored: its UTF-8, with the ends of its lines as they are.

    So the digest of the text is that of the file. Raises ``ProtocolInvalid`` if it is no UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"the byte 0x{content[error.start]:02x} is no UTF-8: {error.reason}"
        raise ProtocolInvalid((Problem(line, "", "not_utf8", message),)) from error


@lru_cache(maxsize=32)  # a page checks a file, shows what it changes, and takes it
def load_protocol(text: str) -> Protocol:
    """Return the protocol a TOML text describes. Numbers keep their decimals as written.

    Raises ``ProtocolInvalid`` with every problem of shape, bounds, unit and consistency, or
    with the one place where the text stops being TOML.
    """
    sections, found = _shaped(text, context=NEW)
    return _made(sections, [*found, *findings(sections)], text)


def read_protocol(text: str) -> Protocol:
    """Return the protocol of a text that was judged before, when it was stored.

    Its consistency is not judged again: a rule that became stricter since must not stop a trial
    that runs. Raises ``ProtocolInvalid`` if the text has not the shape of a protocol file.
    """
    sections, found = _shaped(text)
    return _made(sections, found, text)


def _made(sections: Mapping[str, Any], found: list[Finding], text: str) -> Protocol:
    if found:
        raise ProtocolInvalid(_located(found, text))
    return Protocol(**sections)


def _shaped(text: str, *, context: str | None = None) -> tuple[dict[str, Any], list[Finding]]:
    """Return the sections, as far as they can be read, and what is wrong with them."""
    data = _parsed(text)
    sections: dict[str, Any] = {}
    found = [
        Finding((name,), "extra_forbidden", _unknown(name))
        for name in data
        if name not in Protocol.model_fields
    ]
    for name in Protocol.model_fields:
        found.extend(_read_section(name, data, sections, context))
    return sections, found


def _parsed(text: str) -> dict[str, Any]:
    if text.startswith(BYTE_ORDER_MARK):
        message = "the file begins with a byte order mark: save it as UTF-8 without one"
        raise ProtocolInvalid((Problem(1, "", "byte_order_mark", message),))
    try:
        text.encode()  # half of a surrogate pair has no UTF-8, and so no digest
        return tomllib.loads(text, parse_float=_decimal)
    except RecursionError as error:
        message = "lists and tables lie in each other too deep to be read"
        line = line_of_nesting(text) or _last_line(text)
        raise ProtocolInvalid((Problem(line, "", "toml_syntax", message),)) from error
    except ValueError as error:
        raise ProtocolInvalid((_syntax_problem(error, text),)) from error


def _decimal(written: str) -> Decimal | Beyond:
    try:
        return Decimal(written)
    except ArithmeticError:
        return Beyond(written)


def _syntax_problem(error: ValueError, text: str) -> Problem:
    """Return where the text stops being TOML, or the number whose digits are not even counted."""
    if place := re.search(r"at line (\d+)", str(error)):
        return Problem(int(place[1]), "", "toml_syntax", str(error))
    if number := _LONG_NUMBER.search(text):
        line = text.count("\n", 0, number.start()) + 1
        return Problem(line, "", "toml_syntax", "a number has more digits than are read")
    return Problem(_last_line(text), "", "toml_syntax", str(error))


def _last_line(text: str) -> int:
    return text.count("\n") + 1


def _read_section(
    name: str, data: Mapping[str, Any], sections: dict[str, Any], context: str | None
) -> Iterator[Finding]:
    if name not in data:
        if not Protocol.model_fields[name].is_required():
            return
        yield Finding((name,), "missing", "this table or key is required")
        return
    try:
        sections[name] = _SECTIONS[name].validate_python(data[name], context=context)
    except ValidationError as error:
        with suppress(Unsound):
            sections[name] = key_of(Protocol, name, data[name])
        found = [
            Finding((name, *detail["loc"]), detail["type"], _in_words(detail))
            for detail in error.errors(include_url=False)
        ]
        yield from (finding for finding in found if not _follows_from_an_item(finding, found))


def _in_words(detail: ErrorDetails) -> str:
    """Return what is wrong with one key, with what stands there where that is one value."""
    match detail["type"]:
        case "extra_forbidden":
            return _unknown(str(detail["loc"][-1]))
        case "missing":
            return "this key is required"
    said = detail["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    given = detail["input"]
    return said if isinstance(given, dict | list) else f"{said}; it is {_as_written(given)}"


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > LONGEST_SHOWN:
        return f"a whole number of {value.bit_length()} binary digits"
    said = repr(value) if isinstance(value, str) else str(value)
    return said if len(said) <= LONGEST_SHOWN else f"{said[:LONGEST_SHOWN]}…"


def _unknown(name: str) -> str:
    close = get_close_matches(name, _names(Protocol), n=1)
    return "there is no such key here" + (f"; did you mean {close[0]!r}?" if close else "")


@cache
def _names(part: type[BaseModel]) -> frozenset[str]:
    """Return the names of all keys of a table and of the tables inside it."""
    names = {field.alias or name for name, field in part.model_fields.items()}
    hints = get_type_hints(part).values()
    inside = (kind for hint in hints for kind in _kinds(hint) if issubclass(kind, BaseModel))
    return frozenset(names.union(*map(_names, inside)))


def _kinds(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for inner in get_args(hint):
        yield from _kinds(inner)


def _follows_from_an_item(finding: Finding, found: list[Finding]) -> bool:
    """Return whether a list is called too short only because one of its items is wrong."""
    inside = [other for other in found if other.key[: len(finding.key)] == finding.key]
    return finding.rule == "too_short" and len(inside) > 1


def _located(found: list[Finding], text: str) -> tuple[Problem, ...]:
    lines = key_lines(text)
    problems = (
        Problem(nearest_line(lines, key), _dotted(key), rule, message)
        for key, rule, message in found
    )
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.key)))


def _dotted(key: KeyPath) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return "".join(parts).removeprefix(".")
