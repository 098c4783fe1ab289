"""Where each key of a TOML text stands, so that a problem can name its line."""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import suppress


KeyPath = tuple[str | int, ...]

DEEPEST = 50
"""How far lists and tables in one value are followed; their own keys are what lies above that."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_BETWEEN_BRACKETS = re.compile(r"""[^\[\]{}"'#]+""")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every table, array element and key of a valid TOML text.

    A path is the keys from the root, with numbers for the elements of arrays, from 0:
    ``("arms", 1, "ratio")``. The text must have passed ``tomllib``: what it refuses may be
    misread here, or raise ``ValueError``.
    """
    return _Scanner(text).scan()


def line_of_nesting(text: str) -> int | None:
    """Return the line where lists and tables first lie too deep in each other, of any text."""
    scanner = _Scanner(text)
    with suppress(ValueError, IndexError):
        scanner.scan()
    return scanner.nested


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a path, or of the closest table above it that is written; else 1."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.nested: int | None = None
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.elements: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self.skip_blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.key_value(table)
            self.skip_blank()
        return self.lines

    def header(self) -> KeyPath:
        line = self.line()
        is_element = self.text.startswith("[[", self.at)
        self.at += 2 if is_element else 1
        table = self.inside_elements(self.key(), last=not is_element)
        if is_element:
            self.elements[table] = self.elements.get(table, -1) + 1
            table = (*table, self.elements[table])
        self.note(table, line)
        self.at += 2 if is_element else 1
        return table

    def inside_elements(self, key: tuple[str, ...], *, last: bool) -> KeyPath:
        """Return the path of a header, with the current element of each array it lies in."""
        path: KeyPath = ()
        for depth, part in enumerate(key, start=1):
            path = (*path, part)
            self.note(path, self.line())
            if path in self.elements and (last or depth < len(key)):
                path = (*path, self.elements[path])
        return path

    def key_value(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for part in self.key():
            path = (*path, part)
            self.note(path, line)
        self.at += 1  # the equals sign
        self.value(path)

    def key(self) -> tuple[str, ...]:
        parts = [self.key_part()]
        while self.peek() == ".":
            self.at += 1
            parts.append(self.key_part())
        return tuple(parts)

    def key_part(self) -> str:
        self.skip_blank()
        if self.text[self.at] in "\"'":
            return self.string()[1:-1]
        return self.take(_BARE_KEY)

    def value(self, path: KeyPath) -> None:
        opening = self.peek()
        if opening in "[{" and self.depth == DEEPEST:
            self.skip_nested()
        elif opening == "[":
            self.items("]", lambda index: self.element((*path, index)))
        elif opening == "{":
            self.items("}", lambda _: self.key_value(path))
        elif opening in ('"', "'"):
            self.string()
        else:
            self.take(_SCALAR)

    def items(self, closing: str, read: Callable[[int], None]) -> None:
        self.at += 1
        self.depth += 1
        index = 0
        while self.peek() != closing:
            read(index)
            index += 1
            if self.peek() == ",":
                self.at += 1
        self.at += 1
        self.depth -= 1

    def skip_nested(self) -> None:
        """Pass over a list or table without looking into it, however deep it is."""
        self.nested = self.nested or self.line()
        depth = 0
        while True:
            found = self.peek()
            if found in "[]{}":
                depth += 1 if found in "[{" else -1
                self.at += 1
            elif found in "\"'":
                self.string()
            else:
                self.take(_BETWEEN_BRACKETS)
            if not depth:
                return

    def element(self, path: KeyPath) -> None:
        self.note(path, self.line())
        self.value(path)

    def string(self) -> str:
        for pattern in _STRINGS:
            if pattern.match(self.text, self.at):
                return self.take(pattern)
        raise ValueError(f"line {self.line()}: a string is not closed")

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise ValueError(f"line {self.line()}: not TOML")
        self.at = found.end()
        return found.group()

    def peek(self) -> str:
        self.skip_blank()
        if self.at >= len(self.text):
            raise ValueError(f"line {self.line()}: the text ends too soon")
        return self.text[self.at]

    def skip_blank(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def line(self) -> int:
        return bisect_left(self.breaks, self.at) + 1

    def note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)
