"""Reading our sources: the modules, functions and classes that pages speak of."""

import ast
import functools
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from django.conf import settings


ROOT = Path(settings.BASE_DIR)
APPS = ("events", "trials", "patients", "dosing", "reporting")
QUOTED = re.compile(r"``(\w+)``")
Functions = Iterator[tuple[str, ast.FunctionDef]]


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of our apps by its dotted name, parsed; ``folders`` narrows it."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" in parts or (folders and not set(folders) & set(parts)):
                continue
            yield ".".join(parts).removesuffix(".__init__"), _parsed(path)


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def public_functions(*folders: str) -> Functions:
    """Yield the functions at the top of modules in ``folders`` that others may call."""
    for module, tree in sources(*folders):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node


def named_in(opening: str) -> dict[str, list[str]]:
    """Return which functions name a class in the sentence of their docstring that opens so."""
    found: dict[str, list[str]] = {}
    for name, function in public_functions():
        for sentence in re.split(r"\.\s+|\.$", ast.get_docstring(function) or ""):
            if sentence.strip().startswith(opening):
                for quoted in QUOTED.findall(sentence):
                    found.setdefault(quoted, []).append(name)
    return found


def modules(name: str) -> Iterator[ModuleType]:
    for app in APPS:
        if (ROOT / app / f"{name}.py").exists():
            yield import_module(f"{app}.{name}")


def own_classes(module: ModuleType, base: type) -> list[type]:
    return [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
    ]


def choices(base: type) -> dict[str, type]:
    """Return every class of fixed words (``TextChoices``, ``StrEnum``) by its dotted name."""
    found: dict[str, type] = {}
    for module, tree in sources():
        for path in _class_paths(tree, base.__name__):
            thing: Any = import_module(module)
            for part in path.split("."):
                thing = getattr(thing, part)
            found[f"{module}.{path}"] = thing
    return found


def _class_paths(tree: ast.AST, base: str, inside: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            if any(ast.unparse(each).rpartition(".")[2] == base for each in node.bases):
                yield inside + node.name
            yield from _class_paths(node, base, f"{inside}{node.name}.")


def members(family: Any) -> list[Any]:
    return list(family)
