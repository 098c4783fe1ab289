"""The page of refusals, and of every reason for one that stands in the code."""

import ast
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

from config.reference.code import choices, members, modules, named_in, own_classes, sources
from config.reference.markdown import code, codes, doc, page, table
from events.outcomes import Refused


@dataclasses.dataclass(frozen=True, slots=True)
class SaidReason:
    """A reason as it stands in the code: ``kind`` is its enumeration, empty for a plain code."""

    kind: str
    code: str
    says: str
    module: str


def refusals_page() -> str:
    raisers = named_in("Raises")
    reasons = list(said_reasons())
    intro = (
        "A rule said no, and nothing was changed. The API answers 409 with a problem document: its "
        "`code` is the refusal's, and its `reasons` hold every reason at once, each with a stable "
        "code and a sentence for the person who reads it. In the sentences below, braces mark what "
        "is filled in."
    )
    refusals = table(
        ("code", "title", "raised by"),
        [
            (code(each.code), each.title, codes(raisers.get(each.__name__, ())))
            for each in refusal_classes()
        ],
    )
    return page(
        "Refusals and their reasons",
        intro,
        "## Refusals",
        refusals,
        "## Reasons that services give",
        _plain_reasons(reasons),
        *_reason_families(reasons),
    )


def refusal_classes() -> list[type[Refused]]:
    """Return every refusal, by app and code."""
    return [each for module in modules("errors") for each in own_classes(module, Refused)]


def said_reasons() -> Iterator[SaidReason]:
    """Yield every ``Reason(code, detail)`` that stands in our apps."""
    for module, tree in sources():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for call in ast.walk(function):
                    if _is_reason(call):
                        yield from _said(call, function, module)


def _is_reason(node: ast.AST) -> bool:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return named and node.func.id == "Reason" and len(node.args) == 2  # type: ignore[attr-defined]  # named


def _said(call: Any, function: ast.FunctionDef, module: str) -> Iterator[SaidReason]:
    word, detail = call.args
    says = _template(detail, function, call.lineno)
    if isinstance(word, ast.Attribute):
        yield SaidReason(ast.unparse(word.value), word.attr, says, module)
    elif isinstance(word, ast.Name):
        for kind, member in _members_in_turn(function):
            yield SaidReason(kind, member, says, module)
    elif plain := _template(word, function, call.lineno):
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
    rows = [(code(each.code), code(each.says), code(each.module)) for each in plain]
    return table(("code", "says", "in"), rows)


def _reason_families(reasons: Sequence[SaidReason]) -> Iterator[str]:
    """Yield a section for each enumeration of reason codes that a rule gives."""
    for name, family in choices(StrEnum).items():
        kind = name.rpartition(".")[2]
        said = {each.code: each.says for each in reasons if each.kind == kind}
        if said:
            rows = [(code(each.value), code(said.get(each.name, ""))) for each in members(family)]
            yield f"## `{name}`\n\n{doc(family)}\n\n{table(('code', 'says'), rows)}"


def reason_families() -> dict[str, type]:
    """Return the enumerations of reason codes by dotted name."""
    kinds = {each.kind for each in said_reasons()}
    return {n: each for n, each in choices(StrEnum).items() if n.rpartition(".")[2] in kinds}
