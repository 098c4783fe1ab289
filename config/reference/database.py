"""The page of tables: what the application may do with each, and its history."""

import re
from collections.abc import Iterator

import pghistory.models
from django.apps import apps
from django.db.models import Model

from config.database import SEALED_GRANTS, rights
from config.reference.code import APPS
from config.reference.markdown import Row, code, doc, page, table


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
    return page(
        "Database",
        intro,
        "## Tables",
        table(
            ("table", "application may", "history", "holds"),
            [(_table_name(m), _lower(rights(m)), _history(m), _what(m)) for m in ours],
        ),
        "## Tables of the libraries",
        table(("table", "application may"), [(_table_name(m), _lower(rights(m))) for m in others]),
        "## Functions of the sealed schema",
        table(("function", "who may call it"), list(_sealed_functions())),
    )


def managed_models() -> Iterator[type[Model]]:
    """Yield the model of every table, ours first in the order of the layers."""
    order = {name: place for place, name in enumerate(APPS)}
    found = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed]
    found = [m for m in found if not m._meta.proxy]
    yield from sorted(found, key=lambda m: (order.get(m._meta.app_label, 9), m._meta.db_table))


def _table_name(model: type[Model]) -> str:
    return code(model._meta.db_table)


def _what(model: type[Model]) -> str:
    name = str(model._meta.verbose_name_plural)
    return doc(model) or f"{name[:1].upper()}{name[1:]}."


def _lower(granted: str) -> str:
    return granted.lower()


def _history(model: type[Model]) -> str:
    name = f"{model.__name__}History"
    label = model._meta.app_label
    if name.lower() not in apps.all_models[label]:
        return ""
    return code(apps.get_model(label, name)._meta.db_table)


def _sealed_functions() -> Iterator[Row]:
    who = {"app": "the application", "sealed": "the sealed log-in"}
    for statement in SEALED_GRANTS:
        if found := re.fullmatch(r"GRANT EXECUTE ON FUNCTION (.+) TO \{(\w+)\}", statement):
            for name in found[1].split(","):
                yield code(name.strip()), who[found[2]]
