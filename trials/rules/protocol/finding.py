"""One thing that is wrong between the keys of a protocol file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from itertools import pairwise
from typing import Any, NamedTuple, ParamSpec

from trials.rules.protocol.written import told_apart_by
from trials.rules.toml_lines import KeyPath


class Finding(NamedTuple):
    key: KeyPath
    rule: str
    message: str


class Unsound(Exception):
    """A key was read that is wrong by itself: what depends on it cannot be judged."""


P = ParamSpec("P")
Check = Callable[..., Iterator[Finding]]


def as_far_as_sound(check: Callable[P, Iterator[Finding]]) -> Callable[P, Iterator[Finding]]:
    """Return the check so that it ends where it reads a key that is wrong by itself.

    What is wrong with that key is named already. A check of which one part may be judged without
    another is made of smaller checks.
    """

    @wraps(check)
    def judged(*args: P.args, **kwargs: P.kwargs) -> Iterator[Finding]:
        with suppress(Unsound):
            yield from check(*args, **kwargs)

    return judged


def each(rows: Iterable[Any], name: str) -> Iterator[tuple[int, Any]]:
    """Yield the place of each row and its value of one key, but for those that are wrong."""
    for index, row in enumerate(rows):
        with suppress(Unsound):
            yield index, getattr(row, name)


def repeated(rows: Iterable[Any], table: KeyPath) -> Iterator[Finding]:
    """Yield a finding for each row whose code came before, small or capital."""
    for index, code, before in _again(rows, "code", str.casefold):
        message = f"the code {code!r} is used twice"
        if code != before:
            message = f"only small and capital letters tell {code!r} from {before!r}"
        yield Finding((*table, index, "code"), "code_repeated", message)


def same_labels(rows: Iterable[Any], table: KeyPath) -> Iterator[Finding]:
    """Yield a finding for each row whose label shows as one that came before."""
    for index, label, before in _again(rows, "label", told_apart_by):
        message = f"the label {label!r} shows as {before!r} does: nobody could tell which is meant"
        yield Finding((*table, index, "label"), "label_repeated", message)


def _again(
    rows: Iterable[Any], name: str, shown: Callable[[str], str]
) -> Iterator[tuple[int, str, str]]:
    """Yield the place of each value that is shown as one before it, with both values."""
    seen: dict[str, tuple[int, str]] = {}
    for index, value in each(rows, name):
        first, before = seen.setdefault(shown(value), (index, value))
        if first != index:
            yield index, value, before


def rising(values: Sequence[Any], key: KeyPath) -> Iterator[Finding]:
    """Yield a finding if a value is not larger than the one before it."""
    if any(low >= high for low, high in pairwise(values)):
        yield Finding(key, "not_rising", "each value must be larger than the one before it")
