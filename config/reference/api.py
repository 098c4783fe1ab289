"""The page of the REST interface, from its OpenAPI schema."""

from collections.abc import Iterator, Mapping
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from config import openapi
from config.reference.markdown import Row, code, codes, first_paragraph, page, table


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
        (method, code(path), _summary(view, operation)) for method, path, view, operation in found
    ]
    components = schema["components"]["schemas"]
    bodies = [
        _body(path, operation, components)
        for method, path, _, operation in found
        if "requestBody" in operation
    ]
    return page(
        "REST interface",
        intro,
        "## Addresses",
        table(("method", "path", "what it does"), rows),
        "## What to ask for",
        table(
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
    what = first_paragraph(view.__doc__ or "")
    does = first_paragraph(operation.get("description", ""))
    return what if does == what else f"{what} {does}".strip()


def _queries(path: str, operation: Mapping[str, Any]) -> Iterator[Row]:
    for each in operation.get("parameters", ()):
        if each["in"] == "query" and each["name"] not in ("page", "page_size"):
            kind = _holds(each["schema"], {})
            meaning = "; ".join(text for text in (each.get("description", ""), kind) if text)
            yield code(path), code(each["name"]), "yes" if each.get("required") else "no", meaning


def _problems() -> str:
    known = {**openapi.READING, **openapi.RECORDING, **openapi.CORRECTING}
    return table(
        ("status", "meaning"), [(str(status), text) for status, text in sorted(known.items())]
    )


def _body(path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    fields = table(
        ("field", "holds", "needed", "note"), list(_field_rows(content, components, prefix=""))
    )
    return f"### `POST {path}`\n\n{fields}\n\n{_answer(operation, components)}"


def _answer(operation: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    """Say what a POST answers with: fields, a file, or nothing."""
    kinds = operation["responses"].get("201", {}).get("content", {})
    if "application/json" in kinds:
        schema = kinds["application/json"]["schema"]
        returned = _properties(schema.get("items", schema), components)
        return f"Answers with {codes(returned)}."
    return f"Answers with a file: {codes(kinds)}." if kinds else "Answers without a body."


def _field_rows(schema: Mapping[str, Any], components: Any, *, prefix: str) -> Iterator[Row]:
    named = _resolved(schema, components)
    for name, field in named.get("properties", {}).items():
        full = _resolved(field, components)
        needed = "yes" if name in named.get("required", ()) else "no"
        if "default" in full:
            needed = f"no: {full['default']}".lower() if full["default"] else "no"
        yield (
            code(prefix + name),
            _holds(full, components),
            needed,
            first_paragraph(full.get("description", "")),
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
        said = "one of " + codes(str(each) for each in field["enum"] if each)
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
