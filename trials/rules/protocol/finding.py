"""One thing that is wrong between the keys of a protocol file."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from trials.rules.toml_lines import KeyPath


class Finding(NamedTuple):
    key: KeyPath
    rule: str
    message: str


Check = Callable[..., Iterator[Finding]]


def repeated(rows: Iterable[Any], table: KeyPath) -> Iterator[Finding]:
    """Yield a finding for each row whose code came before."""
    seen: set[str] = set()
    for index, row in enumerate(rows):
        if row.code in seen:
            key = (*table, index, "code")
            yield Finding(key, "code_repeated", f"the code {row.code!r} is used twice")
        seen.add(row.code)
