"""The pages of ``docs/reference``, printed from the code they describe. Asks no database.

What the code cannot say for itself (the meaning of an environment variable) stands here, and a
variable without a meaning stops the printing.
"""

import ast
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pghistory.models
from django.apps import apps
from django.conf import settings
from django.db.models import Model, TextChoices
from drf_spectacular.generators import SchemaGenerator

from config import openapi
from config.database import _SEALED_GRANTS, rights
from events.outcomes import Event, Refused
from events.registry import subscribers_of
from trials.permissions import TABLE, Permission, Role


ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "docs" / "reference"
APPS = ("events", "trials", "patients", "dosing", "reporting")
NOTE = "<!-- Printed from the code by `make docs`. Do not edit. -->"
VARIABLE = re.compile(r"VIGIL_[A-Z_]+|DATABASE(_APP|_SEALED)?_URL|REDIS_URL")
QUOTED = re.compile(r"``(\w+)``")
Row = Sequence[str]
Functions = Iterator[tuple[str, ast.FunctionDef]]


# --- Writing and checking ---------------------------------------------------------------------


def pages() -> dict[str, str]:
    """Return every page by its file name. Raises ``LookupError`` naming what is missing."""
    printers: dict[str, Callable[[], str]] = {
        "events.md": events_page,
        "refusals.md": refusals_page,
        "permissions.md": permissions_page,
        "settings.md": settings_page,
        "states.md": states_page,
        "api.md": api_page,
        "database.md": database_page,
    }
    return {name: printer() for name, printer in printers.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of pages that are missing, differ from the code, or belong to nothing."""
    wanted = pages()
    there = {path.name: path.read_text() for path in folder.glob("*.md")}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is stale, remove what belongs to nothing; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted, changed = pages(), stale(folder)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return changed


# --- Markdown ---------------------------------------------------------------------------------


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([NOTE, f"# {title}", *(part for part in parts if part)]) + "\n"


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _codes(names: Iterable[str]) -> str:
    return ", ".join(_code(name) for name in names)


def _doc(thing: Any) -> str:
    """Return a thing's own docstring on one line, without its markup; dataclass texts are none."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if isinstance(thing, type) else ""
    if not text or text.startswith(f"{thing.__name__}("):
        return ""
    return _plain(text)


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _first_paragraph(text: str) -> str:
    return _plain(inspect.cleandoc(text).partition("\n\n")[0])


# --- Reading the code -------------------------------------------------------------------------


def _sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
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
    for module, tree in _sources(*folders):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node


def _named_in(opening: str) -> dict[str, list[str]]:
    """Return which functions name a class in the sentence of their docstring that opens so."""
    found: dict[str, list[str]] = {}
    for name, function in public_functions():
        for sentence in re.split(r"\.\s+|\.$", ast.get_docstring(function) or ""):
            if sentence.strip().startswith(opening):
                for quoted in QUOTED.findall(sentence):
                    found.setdefault(quoted, []).append(name)
    return found


def _modules(name: str) -> Iterator[ModuleType]:
    for app in APPS:
        if (ROOT / app / f"{name}.py").exists():
            yield import_module(f"{app}.{name}")


def _own_classes(module: ModuleType, base: type) -> list[type]:
    return [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
    ]


def event_classes() -> list[type[Event]]:
    """Return every event that can be published, by its type."""
    found = [each for module in _modules("events") for each in _own_classes(module, Event)]
    return sorted((each for each in found if "type" in vars(each)), key=lambda each: each.type)


def refusal_classes() -> list[type[Refused]]:
    """Return every refusal, by app and code."""
    return [each for module in _modules("errors") for each in _own_classes(module, Refused)]


def choices(base: type) -> dict[str, type]:
    """Return every class of fixed words (``TextChoices``, ``StrEnum``) by its dotted name."""
    found: dict[str, type] = {}
    for module, tree in _sources():
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


# --- Events -----------------------------------------------------------------------------------


def events_page() -> str:
    publishers = _named_in("Publishes")
    intro = (
        "What Vigil says has happened. Each is stored in the transaction that made it true, is "
        "numbered after commit, and can be read at `GET /api/v1/events`. The stream is the trial's "
        "code. No event holds an arm, the contents of a kit, or a name."
    )
    return _page("Events", intro, *(_event(each, publishers) for each in event_classes()))


def _event(event: type[Event], publishers: Mapping[str, Sequence[str]]) -> str:
    rows = [
        (_code(field.name), _type_in_words(field.type))
        for field in dataclasses.fields(event)
        if field.name != "stream"
    ]
    heard = _codes(subscribers_of(event.type)) or "nobody in Vigil; the feed alone"
    published = _codes(publishers.get(event.__name__, ())) or "nobody"
    return "\n\n".join(
        [
            f"## `{event.type}`",
            f"{_doc(event)} Version {event.version}.",
            _table(("field", "holds"), rows),
            f"Published by {published}.\n\nHeard by {heard}.",
        ]
    )


def _type_in_words(kind: Any) -> str:
    words: dict[Any, str] = {
        UUID: "identifier (UUID)",
        date: "day",
        str: "text",
        int: "whole number",
        bool: "true or false",
    }
    if kind == tuple[str, ...]:
        return "list of texts"
    return words[kind]


# --- Refusals ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class SaidReason:
    """A reason as it stands in the code: ``kind`` is its enumeration, empty for a plain code."""

    kind: str
    code: str
    says: str
    module: str


def refusals_page() -> str:
    raisers = _named_in("Raises")
    reasons = list(said_reasons())
    intro = (
        "A rule said no, and nothing was changed. The API answers 409 with a problem document: its "
        "`code` is the refusal's, and its `reasons` hold every reason at once, each with a stable "
        "code and a sentence for the person who reads it. In the sentences below, braces mark what "
        "is filled in."
    )
    refusals = _table(
        ("code", "title", "raised by"),
        [
            (_code(each.code), each.title, _codes(raisers.get(each.__name__, ())))
            for each in refusal_classes()
        ],
    )
    return _page(
        "Refusals and their reasons",
        intro,
        "## Refusals",
        refusals,
        "## Reasons that services give",
        _plain_reasons(reasons),
        *_reason_families(reasons),
    )


def said_reasons() -> Iterator[SaidReason]:
    """Yield every ``Reason(code, detail)`` that stands in our apps."""
    for module, tree in _sources():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for call in ast.walk(function):
                    if _is_reason(call):
                        yield from _said(call, function, module)


def _is_reason(node: ast.AST) -> bool:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return named and node.func.id == "Reason" and len(node.args) == 2  # type: ignore[attr-defined]  # named


def _said(call: Any, function: ast.FunctionDef, module: str) -> Iterator[SaidReason]:
    code, detail = call.args
    says = _template(detail, function, call.lineno)
    if isinstance(code, ast.Attribute):
        yield SaidReason(ast.unparse(code.value), code.attr, says, module)
    elif isinstance(code, ast.Name):
        for kind, member in _members_in_turn(function):
            yield SaidReason(kind, member, says, module)
    elif plain := _template(code, function, call.lineno):
        yield SaidReason("", plain, says, module)


def _members_in_turn(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield the codes a function goes through by a variable: those no call of it names."""
    named = {ast.unparse(call.args[0]) for call in ast.walk(function) if _is_reason(call)}  # type: ignore[attr-defined]  # a call
    for node in ast.walk(function):
        in_turn = isinstance(node, ast.Attribute) and node.attr.isupper()
        if in_turn and ast.unparse(node) not in named:
            yield ast.unparse(node.value), node.attr  # type: ignore[attr-defined]  # an attribute


def _template(node: ast.expr, function: ast.FunctionDef, line: int) -> str:
    """Return a text with its holes in braces; a variable stands for its last value before."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_template(each, function, line) for each in node.values)
        case ast.FormattedValue():
            return "{" + ast.unparse(node.value) + "}"
        case ast.BinOp():
            return _template(node.left, function, line) + _template(node.right, function, line)
        case ast.Name():
            return _assigned(node.id, function, line)
    return "{" + ast.unparse(node) + "}"


def _assigned(name: str, function: ast.FunctionDef, line: int) -> str:
    values = [
        each.value
        for each in ast.walk(function)
        if isinstance(each, ast.Assign)
        and each.lineno < line
        and ast.unparse(each.targets[0]) == name
    ]
    return _template(max(values, key=lambda value: value.lineno), function, line) if values else ""


def _plain_reasons(reasons: Iterable[SaidReason]) -> str:
    plain = sorted({each for each in reasons if not each.kind}, key=dataclasses.astuple)
    rows = [(_code(each.code), _code(each.says), _code(each.module)) for each in plain]
    return _table(("code", "says", "in"), rows)


def _reason_families(reasons: Sequence[SaidReason]) -> Iterator[str]:
    """Yield a section for each enumeration of reason codes that a rule gives."""
    for name, family in choices(StrEnum).items():
        kind = name.rpartition(".")[2]
        said = {each.code: each.says for each in reasons if each.kind == kind}
        if said:
            rows = [
                (_code(each.value), _code(said.get(each.name, ""))) for each in _members(family)
            ]
            yield f"## `{name}`\n\n{_doc(family)}\n\n{_table(('code', 'says'), rows)}"


def reason_families() -> dict[str, type]:
    """Return the enumerations of reason codes by dotted name."""
    kinds = {each.kind for each in said_reasons()}
    return {n: each for n, each in choices(StrEnum).items() if n.rpartition(".")[2] in kinds}


def _members(family: Any) -> list[Any]:
    return list(family)


# --- Permissions ------------------------------------------------------------------------------


def permissions_page() -> str:
    intro = (
        "A role is given to a person or a site's system, at one site or (without a site) at all "
        "sites of a trial. It holds from its start to its end. What is not in this table cannot be "
        "done. A look behind the blind asks for a role at all sites, and PostgreSQL checks that by "
        "itself."
    )
    matrix = _table(
        ("may", *(role.label for role in Role)),
        [
            (each.value, *("yes" if each in TABLE[role] else "" for role in Role))
            for each in Permission
        ],
    )
    roles = _table(
        ("role", "code", "may"),
        [
            (
                role.label,
                _code(role.value),
                "; ".join(p.value for p in Permission if p in TABLE[role]),
            )
            for role in Role
        ],
    )
    return _page("Roles and permissions", intro, "## By role", roles, "## As a matrix", matrix)


# --- Settings ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Meaning:
    """What a variable means; ``default`` in words where the code's own says too little."""

    text: str
    default: str = ""


MEANINGS = {
    "VIGIL_ENV": Meaning(
        "`production` asks for a key and host names, sends everybody to HTTPS, and guards cookies. "
        "Anything else is development."
    ),
    "VIGIL_DEBUG": Meaning("Django's error pages, which quote data. Refused in production."),
    "VIGIL_SECRET_KEY": Meaning(
        "Signs sessions and tokens. The passwords of log-ins without a URL of their own follow "
        "from it.",
        default="none in production; otherwise made once in `.vigil/secret-key`",
    ),
    "VIGIL_HOSTS": Meaning(
        "Host names the site answers to, with commas between.",
        default="none in production; otherwise `127.0.0.1,localhost,testserver`",
    ),
    "DATABASE_URL": Meaning(
        "The owner's log-in, `postgres://user:password@host:5432/database`; options of libpq may "
        "follow as `?sslmode=require`. For `migrate` only: leave it away from web and worker.",
        default="the embedded server's owner",
    ),
    "DATABASE_APP_URL": Meaning(
        "The application's log-in, for web and worker. Needed in production without "
        "`DATABASE_URL`.",
        default="the owner's URL with the log-in `vigil_app` and a derived password",
    ),
    "DATABASE_SEALED_URL": Meaning(
        "The log-in of looks behind the blind, for web and worker. Needed in production without "
        "`DATABASE_URL`.",
        default="the owner's URL with the log-in `vigil_sealed` and a derived password",
    ),
    "REDIS_URL": Meaning(
        "Valkey or Redis: the queue between web, scheduler and workers, and a cache. Holds nothing "
        "that PostgreSQL does not.",
        default="the embedded server's, or `redis://127.0.0.1:56379/0`",
    ),
    "VIGIL_STATIC_ROOT": Meaning(
        "Where `collectstatic` puts files.", default="`staticfiles` in the checkout"
    ),
    "VIGIL_SESSION_SECONDS": Meaning("How long a log-in to the web admin lasts."),
    "VIGIL_TOKEN_SECONDS": Meaning("How long an access token lasts."),
    "VIGIL_BEHIND_PROXY": Meaning(
        "Set it only if a proxy in front overwrites `X-Forwarded-Proto`: it is then believed."
    ),
    "VIGIL_ORIGINS": Meaning("Origins trusted for forms, as `https://vigil.example`.", "none"),
    "VIGIL_MAX_BODY_BYTES": Meaning("The largest API request; a larger one is answered 413."),
    "VIGIL_SUMMARY_SWEEP_SECONDS": Meaning("How often missing safety summaries are looked for."),
    "VIGIL_HOME": Meaning(
        "The folder whose `.vigil` holds the embedded servers' data, the development key, logs and "
        "reports. Not needed where the servers are yours.",
        default="the checkout",
    ),
    "VIGIL_LOG_LEVEL": Meaning("Python's log level."),
}


def settings_page() -> str:
    intro = (
        "Everything that is told from outside, as environment variables. A variable that is needed "
        "and missing stops the start with its name."
    )
    defaults = variables()
    rows = []
    for name, meaning in MEANINGS.items():
        if name in defaults:
            default = meaning.default or _code(defaults[name])
            rows.append((_code(name), default, meaning.text))
    missing = sorted(set(defaults) - set(MEANINGS))
    if missing:
        raise LookupError(f"{', '.join(missing)}: say in config/reference.py what it means")
    return _page("Settings", intro, _table(("variable", "default", "meaning"), rows))


def variables() -> dict[str, str]:
    """Return every environment variable the settings read, with its default as the code has it."""
    found: dict[str, str] = {}
    for name in ("settings.py", "environment.py"):
        for node in ast.walk(ast.parse((ROOT / "config" / name).read_text())):
            if isinstance(node, ast.Constant) and VARIABLE.fullmatch(str(node.value)):
                found.setdefault(str(node.value), "")
            if isinstance(node, ast.Call):
                found.update(_default(node))
    return found


def _default(call: ast.Call) -> dict[str, str]:
    """Return the variable a helper of ``config.environment`` is asked for, with its default."""
    if not ast.unparse(call.func).startswith("env.") or not call.args:
        return {}
    name = getattr(call.args[0], "value", None)
    if not isinstance(name, str) or not VARIABLE.fullmatch(name):
        return {}
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    shown = ast.unparse(given[0]).strip("'\"") if given else ""
    return {name: shown.replace("False", "false").replace("True", "true")}


# --- States -----------------------------------------------------------------------------------


def states_page() -> str:
    intro = (
        "The fixed words of records and reports. The first column is what is stored and sent; it "
        "does not change."
    )
    stored, reasons = choices(TextChoices), reason_families()
    known = {tuple(each.value for each in _members(family)) for family in stored.values()}
    said = {
        name: family
        for name, family in choices(StrEnum).items()
        if name not in reasons
        and not name.startswith("trials.permissions.")
        and tuple(each.value for each in _members(family)) not in known
    }
    sections = [_words(name, family) for name, family in {**stored, **said}.items()]
    return _page("States and other fixed words", intro, *sections)


def _words(name: str, family: type) -> str:
    rows = [
        (_code(each.value), str(getattr(each, "label", each.value.replace("_", " ").capitalize())))
        for each in _members(family)
    ]
    doc = _doc(family)
    return "\n\n".join([f"## `{name}`", *([doc] if doc else []), _table(("word", "label"), rows)])


# --- API --------------------------------------------------------------------------------------


def api_page() -> str:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]  # no annotations
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)
    views = {(path, method): view.cls for path, _, method, view in generator.endpoints}
    intro = (
        "Every address of the REST interface. A running site shows the same, to try out, at "
        "`/api/docs/`, and as OpenAPI at `/api/schema/`. Lists come in pages "
        "(`?page=2&page_size=200`): `count`, `next`, `previous`, `results`. A site's system gets "
        "its token at `POST /oauth/token`: see [Connect a site system]"
        "(../how-to/connect-a-site-system.md)."
    )
    found = [
        (method.upper(), path, views[path, method.upper()], operation)
        for path, methods in sorted(schema["paths"].items())
        for method, operation in methods.items()
    ]
    rows = [
        (method, _code(path), _summary(view, operation)) for method, path, view, operation in found
    ]
    components = schema["components"]["schemas"]
    bodies = [
        _body(path, operation, components)
        for method, path, _, operation in found
        if "requestBody" in operation
    ]
    return _page(
        "REST interface",
        intro,
        "## Addresses",
        _table(("method", "path", "what it does"), rows),
        "## What to ask for",
        _table(
            ("path", "parameter", "needed", "meaning"),
            [row for _, path, _, operation in found for row in _queries(path, operation)],
        ),
        "## Answers that are not a success",
        _problems(),
        "## What to send",
        *bodies,
    )


def _summary(view: type, operation: Mapping[str, Any]) -> str:
    """Return what an address holds and what the method does there."""
    what = _first_paragraph(view.__doc__ or "")
    does = _first_paragraph(operation.get("description", ""))
    return what if does == what else f"{what} {does}".strip()


def _queries(path: str, operation: Mapping[str, Any]) -> Iterator[Row]:
    for each in operation.get("parameters", ()):
        if each["in"] == "query" and each["name"] not in ("page", "page_size"):
            kind = _holds(each["schema"], {})
            meaning = "; ".join(text for text in (each.get("description", ""), kind) if text)
            yield _code(path), _code(each["name"]), "yes" if each.get("required") else "no", meaning


def _problems() -> str:
    known = {**openapi.READING, **openapi.RECORDING, **openapi.CORRECTING}
    return _table(
        ("status", "meaning"), [(str(code), text) for code, text in sorted(known.items())]
    )


def _body(path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = operation["responses"]["201"]["content"]["application/json"]["schema"]
    returned = _properties(answer.get("items", answer), components)
    fields = _table(
        ("field", "holds", "needed", "note"), list(_field_rows(content, components, prefix=""))
    )
    return f"### `POST {path}`\n\n{fields}\n\nAnswers with {_codes(returned)}."


def _field_rows(schema: Mapping[str, Any], components: Any, *, prefix: str) -> Iterator[Row]:
    named = _resolved(schema, components)
    for name, field in named.get("properties", {}).items():
        full = _resolved(field, components)
        needed = "yes" if name in named.get("required", ()) else "no"
        if "default" in full:
            needed = f"no: {full['default']}".lower() if full["default"] else "no"
        yield (
            _code(prefix + name),
            _holds(full, components),
            needed,
            _first_paragraph(full.get("description", "")),
        )
        items = _resolved(full.get("items", {}), components)
        if "properties" in items:
            yield from _field_rows(items, components, prefix=f"{prefix}{name}[].")


def _properties(schema: Mapping[str, Any], components: Any) -> list[str]:
    return list(_resolved(schema, components).get("properties", {}))


def _resolved(schema: Mapping[str, Any], components: Any) -> dict[str, Any]:
    """Return a schema with its references followed; what stands beside a reference wins."""
    parts = [schema, *schema.get("allOf", ())]
    merged: dict[str, Any] = {}
    for part in parts:
        if "$ref" in part:
            merged.update(_resolved(components[part["$ref"].rpartition("/")[2]], components))
    for part in parts:
        merged.update({key: value for key, value in part.items() if key not in ("$ref", "allOf")})
    return merged


KINDS: dict[tuple[Any, Any], str] = {
    ("string", "date"): "day",
    ("string", "date-time"): "instant with offset",
    ("string", "uuid"): "identifier (UUID)",
    ("string", "decimal"): "decimal, as text",
    ("string", None): "text",
    ("integer", None): "whole number",
    ("boolean", None): "true or false",
    ("array", None): "list",
}


def _holds(field: Mapping[str, Any], components: Any) -> str:
    if "enum" in field:
        said = "one of " + _codes(str(each) for each in field["enum"] if each)
    elif field.get("pattern", "").startswith(r"^\d{4}("):
        said = "partial date: a year, a month or a day"
    else:
        said = KINDS.get((field.get("type"), field.get("format")), str(field.get("type", "any")))
        said += _items(field, components) + _bounds(field)
    return f"{said}, or null" if field.get("nullable") else said


def _items(field: Mapping[str, Any], components: Any) -> str:
    if "items" not in field:
        return ""
    items = _resolved(field["items"], components)
    return " of objects" if "properties" in items else f" of: {_holds(items, components)}"


def _bounds(field: Mapping[str, Any]) -> str:
    least, most = field.get("minimum"), field.get("maximum")
    if least is not None and most is not None:
        return f", {least:g} to {most:g}"
    return f", at most {field['maxLength']} characters" if "maxLength" in field else ""


# --- Database ---------------------------------------------------------------------------------


def database_page() -> str:
    intro = (
        "What the application's log-in (`vigil_app`) may do with each table. The owner of the "
        "tables migrates and does nothing else. A tracked table has a history beside it, written "
        "by triggers at every insert, update and delete, which the application can only read. "
        "Nobody but the owner can touch the sealed schema's tables."
    )
    found = list(managed_models())
    tables = [each for each in found if not issubclass(each, pghistory.models.Event)]
    ours = [each for each in tables if each._meta.app_label in APPS]
    others = [each for each in tables if each._meta.app_label not in APPS]
    return _page(
        "Database",
        intro,
        "## Tables",
        _table(
            ("table", "application may", "history", "holds"),
            [(_table_name(m), _lower(rights(m)), _history(m), _what(m)) for m in ours],
        ),
        "## Tables of the libraries",
        _table(("table", "application may"), [(_table_name(m), _lower(rights(m))) for m in others]),
        "## Functions of the sealed schema",
        _table(("function", "who may call it"), list(_sealed_functions())),
    )


def managed_models() -> Iterator[type[Model]]:
    """Yield the model of every table, ours first in the order of the layers."""
    order = {name: place for place, name in enumerate(APPS)}
    found = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed]
    found = [m for m in found if not m._meta.proxy]
    yield from sorted(found, key=lambda m: (order.get(m._meta.app_label, 9), m._meta.db_table))


def _table_name(model: type[Model]) -> str:
    return _code(model._meta.db_table)


def _what(model: type[Model]) -> str:
    name = str(model._meta.verbose_name_plural)
    return _doc(model) or f"{name[:1].upper()}{name[1:]}."


def _lower(granted: str) -> str:
    return granted.lower()


def _history(model: type[Model]) -> str:
    name = f"{model.__name__}History"
    label = model._meta.app_label
    if name.lower() not in apps.all_models[label]:
        return ""
    return _code(apps.get_model(label, name)._meta.db_table)


def _sealed_functions() -> Iterator[Row]:
    who = {"app": "the application", "sealed": "the sealed log-in"}
    for statement in _SEALED_GRANTS:
        if found := re.fullmatch(r"GRANT EXECUTE ON FUNCTION (.+) TO \{(\w+)\}", statement):
            for name in found[1].split(","):
                yield _code(name.strip()), who[found[2]]
