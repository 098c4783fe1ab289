"""A referee for the blind: can anything a person fetched be made to tell the arm?

What was fetched is taken apart without knowing what it means. Whatever stands with one subject
(JSON objects, table rows, whole pages) becomes numbers: lengths, places in lists, digits, rests of
divisions, instants and the time between them, how long an answer took by its log line, texts. All
that all blinded people were told is judged at once, by ``chance``.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
from scipy.stats import rankdata

from tests.stories.chance import Verdict, verdict_on


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CODE = re.compile(r"(?=.*\d)[A-Za-z]{0,4}[-\d]{5,20}")
NAME = re.compile(rf"{UUID.pattern}|[A-Za-z]{{0,4}}[-\d]{{4,20}}")
PART = re.compile(r"[?&](after|page_size|p)=\d+")  # of a long answer
ROWS, PLACES = 12, 9  # of one kind of row, and of one number, how many are looked at one by one
GAPS = 40  # between the moments of one subject, how many are looked at one by one


@dataclass(frozen=True, slots=True)
class Row:
    """One thing found in what was fetched: where, at which place among its like, and its values."""

    kind: str
    place: int
    size: int
    values: Mapping[str, Any]
    page_of: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The numbers somebody was told: their names, and one line of ranks for each subject."""

    names: list[str]
    ranks: np.ndarray


# --- Taking apart -----------------------------------------------------------------------------


@cache  # noqa: B019, RUF100 - most of what one role is given another is given too
def rows_of(path: str, text: str) -> tuple[Row, ...]:
    """Return all that a page or an answer consists of; ``page_of`` names who its address names."""
    kind = NAME.sub("*", PART.sub("", path))
    named = NAME.search(path)
    owner = named.group() if named else ""
    try:
        content = json.loads(text)
    except ValueError:
        return tuple(_of_page(kind, _Page(text), len(text), owner))
    answer = Row(f"{kind} answer", 0, len(text), {}, owner)
    return (answer, *_objects(kind, content, 0, owner))


def _of_page(kind: str, page: "_Page", size: int, owner: str) -> Iterator[Row]:
    said_in = sum(map(len, page.words))
    counts = {
        "tags": page.tags,
        "words": len(page.words),
        "said in": said_in,
        "around": size - said_in,
    }
    said = [word for word in page.words if any(letter.isdigit() for letter in word)]
    words = {f"word {i}": word for i, word in enumerate(said)} if owner else {}
    yield Row(f"{kind} page", 0, size, {**counts, **words}, owner)
    for place, cells in enumerate(page.rows):
        values = {f"{i}": cell for i, cell in enumerate(cells)}
        yield Row(f"{kind} table {len(cells)}", place, sum(map(len, cells)), values, owner)


def _objects(kind: str, value: Any, place: int, owner: str) -> Iterator[Row]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _objects(f"{kind}[]", item, i, owner)
    elif isinstance(value, dict):
        of_type = f"{kind} {value['type']}" if isinstance(value.get("type"), str) else kind
        yield Row(of_type, place, len(json.dumps(value)), dict(_plain(value)), owner)
        for key, inner in value.items():
            if isinstance(inner, list):
                yield from _objects(f"{kind}.{key}", inner, 0, owner)


def _plain(value: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _plain(inner, f"{within}{key}.")
        elif not isinstance(inner, list):
            yield f"{within}{key}", inner


class _Page(HTMLParser):
    """A page's words, how many tags it has, and the cells of its tables and lists by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words, self.rows = 0, [], []
        self._cells: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags += 1
        if tag in {"tr", "li"}:
            self._cells = []
        address = dict(attrs).get("href") or ""
        if self._cells is not None:
            self._cells.extend(m.group() for m in NAME.finditer(address))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"tr", "li"} and self._cells is not None:
            self.rows.append(self._cells)
            self._cells = None

    def handle_data(self, data: str) -> None:
        if word := data.strip():
            self.words.append(word)
            if self._cells is not None:
                self._cells.append(word)


# --- Whose is it? -----------------------------------------------------------------------------


def belonging(rows: Sequence[Row], subjects: Mapping[str, str]) -> dict[str, list[Row]]:
    """Return the rows of each subject: those that name it, or name what belongs to it alone.

    ``subjects`` maps each known name (its id, its number) to a subject. An id or code that stands
    with one subject only, such as a kit's number, names that subject from then on.
    """
    names = dict(subjects)
    while fresh := _names_of_one(rows, names):
        names |= fresh
    owned: dict[str, list[Row]] = {subject: [] for subject in subjects.values()}
    for row in rows:
        if len(found := _named(row, names)) == 1:
            owned[next(iter(found))].append(row)
    return owned


def _names_of_one(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, str]:
    """Return the ids and codes not known yet that stand in one subject's rows and no other's."""
    standing: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if len(found := _named(row, names)) == 1:
            for value in row.values.values():
                if isinstance(value, str) and (UUID.fullmatch(value) or CODE.fullmatch(value)):
                    standing[value] |= found
    return {v: next(iter(s)) for v, s in standing.items() if len(s) == 1 and v not in names}


def _named(row: Row, names: Mapping[str, str]) -> set[str]:
    found = {names[v] for v in row.values.values() if isinstance(v, str) and v in names}
    return found or ({names[row.page_of]} if row.page_of in names else set())


# --- Numbers ----------------------------------------------------------------------------------


def numbers(owned: Mapping[str, Sequence[Row]]) -> Told:
    """Return the numbers by name, with one line of ranks for each subject, in its order."""
    lines: dict[tuple[float, ...], str] = {}
    for name, column in _columns(owned).items():
        lines.setdefault(tuple(column.get(subject, -1.0) for subject in owned), name)
    if not lines:
        return Told([], np.empty((len(owned), 0)))
    return _different([*lines.values()], rankdata(np.array([*lines]), axis=1))


def _different(names: Sequence[str], lines: np.ndarray) -> Told:
    """Keep of the numbers that rank the subjects alike, up or down, the first one.

    What is shown in ten places is tested once.
    """
    falling = lines[:, :1] > lines.mean(axis=1, keepdims=True)
    rising = np.where(falling, lines.shape[1] + 1 - lines, lines)
    kept: dict[bytes, int] = {}
    for i in np.flatnonzero(np.ptp(lines, axis=1)):
        kept.setdefault(rising[i].tobytes(), int(i))
    return Told([names[i] for i in kept.values()], rising[[*kept.values()]].T)


def _columns(owned: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, float]]:
    """Return every number by its name and the subject it is about."""
    columns: dict[str, dict[str, float]] = defaultdict(dict)
    for subject, rows in owned.items():
        kinds: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            kinds[row.kind].append(row)
        for kind, of_kind in kinds.items():
            columns[f"{kind} count"][subject] = len(of_kind)
            for i, row in enumerate(of_kind[:ROWS]):
                for name, number in _of_row(row):
                    columns[f"{kind} {i} {name}"][subject] = number
        for i, gap in enumerate(_gaps(rows)):
            columns[f"time between moments {i} and {i + 1}"][subject] = gap
    return columns


def _gaps(rows: Sequence[Row]) -> list[float]:
    """Return the seconds between the moments that stand with one subject, one after the other."""
    told = {value for row in rows for value in row.values.values() if isinstance(value, str)}
    moments = sorted({m.timestamp() for value in told if (m := _instant(value)) is not None})
    return [later - earlier for earlier, later in pairwise(moments)][:GAPS]


def _of_row(row: Row) -> Iterator[tuple[str, float]]:
    yield "place", row.place
    yield "place parity", row.place % 2
    yield "size", row.size
    for key, value in row.values.items():
        for name, number in _of_value(value):
            yield f"{key} {name}", number


@cache  # noqa: B019, RUF100 - the same few words, on every page
def _of_value(value: Any) -> tuple[tuple[str, float], ...]:
    return tuple(_numbers_in(value))


def _numbers_in(value: Any) -> Iterator[tuple[str, float]]:
    if value is None or isinstance(value, bool | int | float):
        yield "value", -1 if value is None else float(value)
        return
    text = str(value)
    yield "length", len(text)
    yield "text", crc32(text.encode()) % 997
    if UUID.fullmatch(text):
        yield "first", int(text[:6], 16)
        yield "last parity", int(text[-1], 16) % 2
        yield "version", int(text[14], 16)
    elif (instant := _instant(text)) is not None:
        yield "instant", instant.timestamp()
        yield "microseconds", instant.microsecond
        yield "microseconds parity", instant.microsecond % 2
    elif digits := re.sub(r"[^0-9]", "", text)[:15]:
        yield "number", int(digits)
        yield "parity", int(digits) % 2
        for rest in range(3):
            yield f"modulo 3 is {rest}", int(digits) % 3 == rest
        yield "last digit", int(digits[-1])
        for i, digit in enumerate(digits[:PLACES]):
            yield f"digit {i}", int(digit)


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if "T" in text else None
    except ValueError:
        return None


# --- Judging ----------------------------------------------------------------------------------


def told_by(pages: Mapping[str, str], subjects: Mapping[str, str], judged: Collection[str]) -> Told:
    """Return the numbers that stand in pages by path with each of the subjects that are judged."""
    rows = [row for path, text in sorted(pages.items()) for row in rows_of(path, text)]
    return numbers(belonging(rows, {name: s for name, s in subjects.items() if s in judged}))


def judge(told: Mapping[str, Told], arms: Sequence[str]) -> Verdict:
    """Return how well the arms can be told from all that everybody was told, by who it was.

    ``arms`` are the true ones, in the order of the subjects' lines.
    """
    names = [f"{who}: {name}" for who, one in told.items() for name in one.names]
    all_of_it = _different(names, np.hstack([one.ranks for one in told.values()]).T)
    truth = np.array([arm == min(arms) for arm in arms])
    return verdict_on(all_of_it.names, all_of_it.ranks, truth)
