"""The little Markdown the pages are made of."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any


NOTE = "<!-- Printed from the code by `make docs`. Do not edit. -->"
Row = Sequence[str]


def page(title: str, *parts: str) -> str:
    return "\n\n".join([NOTE, f"# {title}", *(part for part in parts if part)]) + "\n"


def table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def codes(names: Iterable[str]) -> str:
    return ", ".join(code(name) for name in names)


def doc(thing: Any) -> str:
    """Return a thing's own docstring on one line, without its markup; dataclass texts are none."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if isinstance(thing, type) else ""
    if not text or text.startswith(f"{thing.__name__}("):
        return ""
    return plain(text)


def plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def first_paragraph(text: str) -> str:
    return plain(inspect.cleandoc(text).partition("\n\n")[0])
