"""One row in every table that row-level security guards, for each of several sites.

Written by the owner in one transaction that is rolled back, without the tables' own checks and
triggers: what is tried is who sees a row, not whether it makes sense. Tables come from the policies
themselves, so a new one is planted and tried without a word here.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from graphlib import TopologicalSorter
from random import Random
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections, models, transaction
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from psycopg.types.json import Jsonb

from config.row_security import policies
from events.models import OutboxEvent
from patients.models import Subject
from trials.models import Site, Trial, User


APP = settings.DATABASES["default"]["USER"]
_random = Random(7)


def guarded() -> list[type[models.Model]]:
    """Return the models of all tables with a policy, each after those its keys lead to."""
    by_table = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
    found = {by_table[policy.table] for policy in policies()}
    graph = {
        model: {key.related_model for key in _keys(model)} & found - {model} for model in found
    }
    graph[OutboxEvent] |= {Subject}
    return list(TopologicalSorter(graph).static_order())


def _keys(model: type[models.Model]) -> "list[Any]":
    return [field for field in model._meta.concrete_fields if isinstance(field, models.ForeignKey)]


class Place:
    """A site, the person whose own rows stand there, and the id of the row in each table."""

    def __init__(self, site: Site, person: User) -> None:
        self.person = person
        self.ids: dict[type[models.Model], Any] = {
            Trial: site.trial_id,
            Site: site.pk,
            User: person.pk,
        }

    def row(self, model: type[models.Model], **given: Any) -> dict[str, Any]:
        """Return column values of a new row of this place."""
        fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
        row = {field.column: self._value(model, field) for field in fields}
        return row | given

    def _value(self, model: type[models.Model], field: Any) -> Any:
        if isinstance(field, models.ForeignKey):
            known = self.ids.get(field.related_model)
            return known if known is not None else _any(field.target_field)
        if model is OutboxEvent and field.name == "payload":
            return Jsonb({"subject_id": str(self.ids[Subject]), "site_id": str(self.ids[Site])})
        if model is OutboxEvent and field.name == "actor":
            return self.person.username
        return _any(field)


def _any(field: Any) -> Any:
    match field:
        case models.UUIDField():
            return uuid.uuid4()
        case models.DateTimeField():
            return datetime(2026, 3, 10, tzinfo=UTC)
        case models.DateField():
            return date(2026, 3, 10)
        case models.BooleanField():
            return False
        case models.JSONField():
            return Jsonb({})
        case models.CharField() | models.TextField():
            return uuid.UUID(int=_random.getrandbits(128)).hex[: field.max_length or 32]
        case models.DecimalField():
            return _random.randrange(1, 9)
        case _:
            return _random.randrange(1, 30_000)


class Garden:
    """The planted rows, and what somebody sees of them over the application's rights."""

    def __init__(self, cursor: Any, places: Sequence[Place]) -> None:
        self.cursor, self.places, self.models = cursor, places, guarded()

    def plant(self) -> None:
        for model in self.models:
            for place in self.places:
                key = sql.Identifier(model._meta.pk.column)
                self.cursor.execute(
                    self.insertion(model) + sql.SQL(" RETURNING {}").format(key), place.row(model)
                )
                place.ids[model] = self.cursor.fetchone()[0]

    def insertion(self, model: type[models.Model]) -> sql.Composed:
        columns = list(self.places[0].row(model))
        return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(model._meta.db_table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(map(sql.Placeholder, columns)),
        )

    def seen(self, reader: object) -> dict[str, list[int]]:
        """Return which places' rows (by their number) a reader sees in each table."""
        with self.as_application(reader):
            return {model._meta.db_table: self._places(model) for model in self.models}

    def _places(self, model: type[models.Model]) -> list[int]:
        self.cursor.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.Identifier(model._meta.pk.column), sql.Identifier(model._meta.db_table)
            )
        )
        found = {row[0] for row in self.cursor.fetchall()}
        return [n for n, place in enumerate(self.places) if place.ids[model] in found]

    def refuses(self, model: type[models.Model], place: Place, *, reader: User) -> bool:
        """Return whether the policy refuses a new row of a place; nothing is kept of it."""
        row = place.row(model)
        savepoint = transaction.savepoint(using="owner")
        try:
            with self.as_application(reader.pk):
                self.cursor.execute(self.insertion(model), row)
        except DatabaseError as error:
            if "row-level security policy" not in str(error):
                raise
            return isinstance(error.__cause__, InsufficientPrivilege)
        finally:
            transaction.savepoint_rollback(savepoint, using="owner")
        return False

    @contextmanager
    def as_application(self, reader: object) -> Iterator[None]:
        """Hold the application's rights, and no other, for a while."""
        self.cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(APP)))
        self.cursor.execute("SELECT set_config('vigil.reader', %s, true)", [str(reader)])
        yield
        self.cursor.execute("RESET ROLE")


@contextmanager
def planted(*places: Place) -> Iterator[Garden]:
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(
            sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE").format(sql.Identifier(APP))
        )
        garden = Garden(cursor, places)
        for model in garden.models:
            _loosen(cursor, model._meta.db_table)
        garden.plant()
        yield garden
        transaction.set_rollback(True, using="owner")


def _loosen(cursor: Any, table: str) -> None:
    name = sql.Identifier(table)
    cursor.execute(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('c', 'f', 'p', 'u', 'x')",
        [table],
    )
    for (constraint,) in cursor.fetchall():
        statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {} CASCADE")
        cursor.execute(statement.format(name, sql.Identifier(constraint)))
    cursor.execute(
        "SELECT indexrelid::regclass::text FROM pg_index"
        " WHERE indrelid = %s::regclass AND indisunique AND NOT indisprimary",
        [table],
    )
    for (index,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP INDEX {}").format(sql.SQL(index)))
    cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
