"""What can be read of a table of the file that is not sound: its sound keys, one by one.

So a check of what holds between keys judges all that does not depend on the ones that are wrong.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model

from trials.rules.protocol.finding import Unsound
from trials.rules.protocol.sourced import Part
from trials.rules.protocol.written import NEW


MEASURED = frozenset({"value", "min", "max"})


class Partial:
    """Stands for a table that is not sound, and raises ``Unsound`` for what cannot be judged.

    That is a key that is wrong or missing, a value whose unit is wrong, and an optional key that
    is not there while another one is not known: it may be the one that was meant.
    """

    def __init__(self, part: type[BaseModel], data: Mapping[str, Any]) -> None:
        self._part = part
        self._data = data
        fields = part.model_fields.items()
        self._has_unknown = not data.keys() <= {field.alias or name for name, field in fields}

    def __getattr__(self, name: str) -> Any:
        if name in self._part.model_fields:
            return self._read(name)
        return getattr(self._part, name).fget(self)  # a property, over keys

    def _read(self, name: str) -> Any:
        field = self._part.model_fields[name]
        key = field.alias or name
        if key in self._data:
            if name in MEASURED and "unit" in self._part.model_fields:
                self._read("unit")
            return key_of(self._part, name, self._data[key])
        if field.is_required() or self._has_unknown:
            raise Unsound(key)
        return field.default


def key_of(part: type[BaseModel], name: str, value: object) -> Any:
    """Return one key of a table as it is if it is sound, or what can be read of it.

    Raises ``Unsound`` if that is nothing.
    """
    try:
        return _alone(part, name).model_validate({"key": value}, context=NEW).key  # type: ignore[attr-defined]
    except ValidationError:
        return _inside(_bare(part.model_fields[name].annotation), value)


@cache
def _alone(part: type[BaseModel], name: str) -> type[BaseModel]:
    """Return a table with one key, of the kind of that name."""
    kind: Any = part.model_fields[name].rebuild_annotation()
    return create_model("Alone", __base__=Part, key=(kind, ...))


def _inside(kind: Any, value: object) -> Any:
    """Return what can be read of a table, or of the rows of a list of tables."""
    if _is_table(kind) and isinstance(value, dict):
        return Partial(kind, value)
    row = _bare(get_args(kind)[0]) if get_origin(kind) is tuple else None
    if not _is_table(row) or not isinstance(value, list):
        raise Unsound
    rows = [_row(row, one) for one in value]
    if not any(isinstance(one, Partial) for one in rows):
        raise Unsound  # too few of them, or too many
    return tuple(rows)


def _row(kind: Any, value: object) -> Any:
    try:
        return kind.model_validate(value, context=NEW)
    except ValidationError:
        return Partial(kind, value if isinstance(value, dict) else {"": value})


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _bare(kind: Any) -> Any:
    """Return a kind without what bounds it and without its ``None``."""
    while get_origin(kind) is not tuple and (inner := get_args(kind)):
        kind = inner[0]
    return kind
