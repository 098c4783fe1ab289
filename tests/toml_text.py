"""Any tables as the text of a TOML file, one top-level key in a line."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def toml_text(data: dict[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_written(value)}\n" for key, value in data.items())


def _key(key: str) -> str:
    return _written(key)


def _written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(_character(each) for each in value) + '"'
        case int() if value.bit_length() > 64:
            return hex(value)
        case datetime() | time():
            return value.isoformat()
        case int() | Decimal() | date():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case dict():
            inside = ", ".join(f"{_key(key)} = {_written(each)}" for key, each in value.items())
            return f"{{ {inside} }}"
    raise TypeError(value)


def _character(one: str) -> str:
    return one if one.isalnum() or one in " .,:;-_()/" else f"\\U{ord(one):08x}"
