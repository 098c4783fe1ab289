"""What an amendment changes, told as a person would tell it.

Two versions are compared key by key, as they stand in their files. Some tables have words of
their own below; every other key, also one that is not known yet, is told in general words.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any

from trials.rules.protocol.sections import Protocol
from trials.rules.protocol.words import (
    SECTIONS,
    noun_of,
    phrase,
    shown,
    words_of,
)


Path = tuple[str, ...]
Row = Mapping[str, Any]

_CLAIM = ("source", "flag")
_BARE = {"value", "min", "max", "unit", *_CLAIM}


@dataclass(frozen=True, slots=True)
class Change:
    """One change in words; ``key`` is where it stands, ``source`` and ``flag`` are the new ones.

    ``before`` and ``after`` are the old and new value as text, empty where there was none;
    with ``source_only`` the value stays and where it comes from is another.
    """

    section: str
    key: str
    text: str
    before: str = ""
    after: str = ""
    unit: str = ""
    source: str = ""
    flag: str = ""
    source_only: bool = False

    def __str__(self) -> str:
        return f"{self.text} [{self.flag}: {self.source}]" if self.flag else self.text


def changes(before: Protocol, after: Protocol) -> tuple[Change, ...]:
    """Return every change from one version to another, in the order of the file.

    The version number itself is none of them. Empty means that nothing else differs: what has no
    words is told too.
    """
    if before is after:
        return ()
    old, new = (_as_written(protocol) for protocol in (before, after))
    names = dict.fromkeys([*Protocol.model_fields, *old, *new])
    return tuple(
        change
        for name in names
        if name != "version" and old.get(name) != new.get(name)
        for change in _in_words((name,), old.get(name), new.get(name))
    )


def _in_words(path: Path, old: Any, new: Any) -> list[Change]:
    wordless = _change(path, f"{words_of(path)}: differs; compare the two files", "", "", {})
    return list(_compared(path, old, new)) or [wordless]


WHO_MAY_TAKE_PART = ("eligibility", "screening", "strata", "factors")


def judges_otherwise(before: Protocol, after: Protocol) -> bool:
    """Return whether a screening judged by one version has to be judged anew by the other.

    The tables themselves are compared, not what is told of them.
    """
    old, new = (_without_claims(_as_written(protocol)) for protocol in (before, after))
    return any(old.get(name) != new.get(name) for name in WHO_MAY_TAKE_PART)


def _without_claims(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: _without_claims(value) for k, value in content.items() if k not in _CLAIM}
    if isinstance(content, list | tuple):
        return [_without_claims(item) for item in content]
    return content


def by_section(found: Iterable[Change]) -> tuple[tuple[str, tuple[Change, ...]], ...]:
    """Return changes under the titles of their sections."""
    return tuple(
        (title, tuple(rows)) for title, rows in groupby(found, key=lambda change: change.section)
    )


def _as_written(protocol: Protocol) -> dict[str, Any]:
    return protocol.model_dump(by_alias=True, exclude_none=True)


def _compared(path: Path, old: Any, new: Any) -> Iterator[Change]:
    """Yield the changes of one key, whatever it holds."""
    if old == new:
        return
    if path in _TOLD:
        yield from _TOLD[path](path, old, new)
    elif _is_value(old, new):
        yield from _value(path, old, new)
    elif _are_tables(old, new):
        yield from _table(path, old or {}, new or {})
    elif _are_lists(old, new):
        yield from _list(path, old or (), new or ())
    else:
        yield _told(path, old, new, {})


def _list(path: Path, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    if _are_tables(*old, *new):
        yield from _rows(path, old, new)
    else:
        yield from _items(path, old, new, {})


def _table(path: Path, old: Row, new: Row) -> Iterator[Change]:
    """Yield the changes of a table. One source and flag of its own cover what has none."""
    found = [
        change
        for key in dict.fromkeys([*old, *new])
        if key not in _CLAIM
        for change in _compared((*path, key), old.get(key), new.get(key))
    ]
    if not found:
        yield from _claim(path, old, new)
    claim = _claim_of(new or old)
    yield from (change if change.flag else replace(change, **claim) for change in found)


def _is_value(*sides: Any) -> bool:
    """Return whether a key holds one value or range with its unit, source and flag."""
    there = [side for side in sides if side is not None]
    return _are_tables(*sides) and all("flag" in side and set(side) <= _BARE for side in there)


def _are_tables(*sides: Any) -> bool:
    return all(side is None or isinstance(side, Mapping) for side in sides)


def _are_lists(*sides: Any) -> bool:
    return all(side is None or isinstance(side, tuple | list) for side in sides)


# --- A key in general words -------------------------------------------------------------------


def _value(path: Path, old: Row | None, new: Row | None) -> Iterator[Change]:
    was, now = (_content(side) for side in (old, new))
    claim = new or old or {}
    if was != now and _are_lists(was, now):
        yield from _items(path, was or (), now or (), claim)
    elif was != now:
        yield _told(path, was, now, claim)
    elif old and new:
        yield from _claim(path, old, new, value=f", still {_measured(new, now)}")


def _content(side: Row | None) -> Any:
    if side is None:
        return None
    return side["value"] if "value" in side else f"{shown(side['min'])}-{shown(side['max'])}"


def _measured(claim: Row, value: Any) -> str:
    return phrase(value, str(claim.get("unit", "")))


def _told(path: Path, old: Any, new: Any, claim: Row, *, of: str = "") -> Change:
    unit = str(claim.get("unit", ""))
    name = of or words_of(path)
    was, now = (phrase(side, unit) for side in (old, new))
    if old is None:
        text = f"{name}: new, {now}"
    elif new is None:
        text = f"{name}: no longer there, was {was}"
    elif _is_prose(old) or _is_prose(new):
        text = f"{name}: now “{now}”, was “{was}”"
    else:
        text = f"{name}: {_moves(old, new)} from {phrase(old, unit, short=True)} to {now}"
    before, after = "" if old is None else was, "" if new is None else now
    return _change(path, text, before, after, claim)


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and " " in value


def _moves(old: Any, new: Any) -> str:
    numbers = isinstance(old, int | Decimal) and isinstance(new, int | Decimal)
    if not numbers or isinstance(old, bool) or isinstance(new, bool):
        return "changes"
    return "rises" if old < new else "falls"


def _claim(path: Path, old: Row, new: Row, *, of: str = "", value: str = "") -> Iterator[Change]:
    """Yield what changed in where a value comes from, when the value itself did not."""
    if all(old.get(key) == new.get(key) for key in _CLAIM) or not (old and new):
        return
    name = (of or words_of(path)) + value
    if old.get("flag") != new.get("flag"):
        text = f"{name}: was {old.get('flag')}, is now {new.get('flag')}"
    else:
        text = f"{name}: another source, was: {old.get('source')}"
    change = _change(path, text, str(old.get("source", "")), str(new.get("source", "")), new)
    yield replace(change, source_only=True)


def _items(path: Path, old: Sequence[Any], new: Sequence[Any], claim: Row) -> Iterator[Change]:
    if len(old) == len(new) == 1:
        yield _told(path, old[0], new[0], claim)
        return
    unit, name = str(claim.get("unit", "")), words_of(path)
    for item in new:
        if item not in old:
            text = f"{name}: {phrase(item, unit)} is new"
            yield _change(path, text, "", phrase(item, unit), claim)
    for item in old:
        if item not in new:
            text = f"{name}: {phrase(item, unit)} is gone"
            yield _change(path, text, phrase(item, unit), "", claim)
    if all(item in old for item in new) and all(item in new for item in old):
        was, now = (", ".join(map(shown, side)) for side in (old, new))
        how = "another order" if len(old) == len(new) else "now"
        yield _change(path, f"{name}: {how}, {now} (was {was})", was, now, claim)


def _rows(path: Path, old: Sequence[Row], new: Sequence[Row]) -> Iterator[Change]:
    """Yield the changes of a repeated table: its rows are told apart by their code or variable.

    Where several rows have one name, as two limits of one variable, the second is "name 2".
    """
    was, now = (_by_name(side) for side in (old, new))
    noun = noun_of(path)
    for key, row in now.items():
        if key not in was:
            text = f"New {noun}: {_called(row)}{_details(row)}"
            yield _change((*path, key), text, "", _called(row), row)
    for key, row in was.items():
        if key not in now:
            text = f"{noun.capitalize()} removed: {_called(row)}"
            yield _change((*path, key), text, _called(row), "", row)
    for key, row in now.items():
        if key in was and was[key] != row:
            yield from _row((*path, key), f"{noun.capitalize()} {_called(row)}", was[key], row)
    common = [[key for key in side if key in was and key in now] for side in (was, now)]
    if common[0] != common[1]:
        shown_order = ", ".join(common[1])
        text = f"{words_of(path)}: another order, {shown_order}"
        yield _change(path, text, "", shown_order, {})


def _by_name(rows: Sequence[Row]) -> dict[str, Row]:
    named: dict[str, Row] = {}
    for index, row in enumerate(rows):
        name = str(row.get("code") or row.get("variable") or index + 1)
        times = sum(1 for known in rows[:index] if _same_name(known, row))
        named[f"{name} {times + 1}" if times else name] = row
    return named


def _same_name(one: Row, other: Row) -> bool:
    keys = ("code", "variable")
    return any(key in one for key in keys) and all(one.get(k) == other.get(k) for k in keys)


def _called(row: Row) -> str:
    name = row.get("label") or row.get("text") or row.get("event") or row.get("code")
    if not name and "variable" in row:
        return f"“{words_of((str(row['variable']),), inside=True)}”"
    if not name:
        return shown({key: value for key, value in row.items() if key not in _CLAIM})
    code = str(row.get("code", ""))
    return f"“{name}” ({code})" if code.isupper() and code != name else f"“{name}”"


_NAMES = {"code", "label", "text", "event", "variable", *_CLAIM}


def _details(row: Row) -> str:
    told = [f"{words_of((key,)).lower()} {shown(row[key])}" for key in row if key not in _NAMES]
    return f" ({'; '.join(told)})" if told else ""


def _row(path: Path, name: str, old: Row, new: Row) -> Iterator[Change]:
    """Yield the changes within one row, each beginning with the row's name."""
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in _CLAIM]
    if "window_before_days" in keys:
        yield from _window(path, name, old, new)
        keys = [key for key in keys if key not in _WINDOW]
    differing = [key for key in keys if old.get(key) != new.get(key)]
    for key in differing:
        here = f"{name}, {words_of((*path[:-1], key), inside=True)}"
        was, now = old.get(key), new.get(key)
        if _are_lists(was, now) or _are_tables(was, now):
            for change in _compared((*path, key), was, now):
                yield replace(change, text=f"{name}: {change.text}", **_claim_of(new))
        else:
            yield _told((*path, key), was, now, {**_claim_of(new), "unit": ""}, of=here)
    if old.keys() == new.keys() and all(old[key] == new[key] for key in old if key not in _CLAIM):
        yield from _claim(path, old, new, of=name)


def _claim_of(row: Row) -> Row:
    return {key: row[key] for key in _CLAIM if key in row}


def _change(path: Path, text: str, before: str, after: str, claim: Row) -> Change:
    return Change(
        section=SECTIONS.get(path[0], words_of(path[:1])),
        key=".".join(path),
        text=text,
        before=before,
        after=after,
        unit=str(claim.get("unit", "")),
        source=str(claim.get("source", "")),
        flag=str(claim.get("flag", "")),
    )


# --- Tables with words of their own -----------------------------------------------------------

_WINDOW = ("window_before_days", "window_after_days")


def _window(path: Path, name: str, old: Row, new: Row) -> Iterator[Change]:
    was, now = (tuple(side.get(key, 0) for key in _WINDOW) for side in (old, new))
    if was == now:
        return
    wider = all(a <= b for a, b in zip(was, now, strict=True))
    narrower = all(a >= b for a, b in zip(was, now, strict=True))
    how = "widened" if wider else "narrowed" if narrower else "moved"
    before, after = (f"-{side[0]}/+{side[1]}" for side in (was, now))
    text = f"{name}: window {how} from {before} to {after} days"
    claim = {**_claim_of(new), "unit": "days"}
    yield _change((*path, "window"), text, before, after, claim)


def _dose_plan(path: Path, old: Sequence[Row], new: Sequence[Row]) -> Iterator[Change]:
    """Yield, for each stretch of cycles, from which dose to which it goes."""
    ends = {row["from_cycle"] for row in (*old, *new)}
    ends |= {row["to_cycle"] + 1 for row in (*old, *new) if "to_cycle" in row}
    starts = sorted(ends)
    told: list[tuple[int, int | None, Row | None, Row | None]] = []
    for index, first in enumerate(starts):
        last = starts[index + 1] - 1 if index + 1 < len(starts) else None
        was, now = (_planned_in(side, first) for side in (old, new))
        if told and _same(told[-1][2], was) and _same(told[-1][3], now):
            told[-1] = (told[-1][0], last, was, now)
        else:
            told.append((first, last, was, now))
    for first, last, was, now in told:
        yield from _stretch(path, _cycles(first, last), was, now)


def _same(one: Row | None, other: Row | None) -> bool:
    content = [
        side and {key: value for key, value in side.items() if not key.endswith("_cycle")}
        for side in (one, other)
    ]
    return content[0] == content[1]


def _stretch(path: Path, cycles: str, old: Row | None, new: Row | None) -> Iterator[Change]:
    name, claim = f"Dose plan: {cycles}", {**_claim_of(new or old or {}), "unit": "mg"}
    if old is None and new is None:
        return
    was, now = (_dose_words(side) for side in (old, new))
    if new is None or old is None:
        text = f"{name} {'are new' if old is None else 'are no longer planned'}, {now or was}"
        yield _change(path, text, was, now, claim)
    elif old["dose_mg"] != new["dose_mg"] or old.get("condition") != new.get("condition"):
        how = _moves(old["dose_mg"], new["dose_mg"]) if old["dose_mg"] != new["dose_mg"] else ""
        verb = how or "changes"
        if cycles.startswith("cycles"):
            verb = verb.removesuffix("s")
        same_condition = old.get("condition") == new.get("condition")
        start = shown(old["dose_mg"]) if same_condition else was
        yield _change(path, f"{name} {verb} from {start} to {now}", was, now, claim)
    else:
        yield from _claim(path, old, new, of=name)


def _planned_in(rows: Sequence[Row], cycle: int) -> Row | None:
    for row in rows:
        if row["from_cycle"] <= cycle <= row.get("to_cycle", cycle):
            return row
    return None


def _dose_words(row: Row | None) -> str:
    if row is None:
        return ""
    condition = f" if {words_of((row['condition'],), inside=True)}" if row.get("condition") else ""
    return f"{shown(row['dose_mg'])} mg{condition}"


def _cycles(first: int, last: int | None) -> str:
    if last is None:
        return f"cycles from {first} on"
    return f"cycle {first}" if first == last else f"cycles {first} to {last}"


def _ladder(path: Path, old: Row, new: Row) -> Iterator[Change]:
    for level in new["value"]:
        if level not in old["value"]:
            yield _change(path, f"Dose ladder: {shown(level)} mg is new", "", shown(level), new)
    for level in old["value"]:
        if level not in new["value"]:
            yield _change(path, f"Dose ladder: {shown(level)} mg is gone", shown(level), "", new)
    if old["value"] == new["value"]:
        yield from _claim(path, old, new)


_TOLD: dict[Path, Callable[[Path, Any, Any], Iterator[Change]]] = {
    ("dosing", "planned"): _dose_plan,
    ("dosing", "ladder_mg"): _ladder,
}
