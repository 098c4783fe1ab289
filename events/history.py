"""Row history: what a clinical table looked like at any past moment, and who changed what."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import pghistory
from django.db import connection, models


Tracked = TypeVar("Tracked", bound=type[models.Model])


def tracked(model: Tracked) -> Tracked:
    """Keep every insert, update and delete of a model in ``<Model>History``, by trigger.

    The rows carry actor, role, request and reason as JSON; a write that names no actor fails.
    """
    decorate: Callable[[Tracked], Tracked] = pghistory.track(model_name=f"{model.__name__}History")
    return decorate(model)


def history_model(model: type[models.Model]) -> type[models.Model]:
    """Return the history model of a tracked one. Raises ``LookupError`` if it is not tracked."""
    return model._meta.apps.get_model(model._meta.app_label, f"{model.__name__}History")


def as_known_at(model: type[models.Model], at: datetime) -> "models.QuerySet[Any]":
    """Return the rows of ``model`` as they stood at an instant, from its history.

    Each is the last version recorded at or before ``at``; rows deleted by then are absent.
    """
    history = history_model(model)
    latest = (
        history._default_manager.filter(pgh_created_at__lte=at)
        .order_by("pgh_obj_id", "-pgh_id")
        .distinct("pgh_obj_id")
        .values("pgh_id")
    )
    return history._default_manager.filter(pgh_id__in=latest).exclude(pgh_label="delete")


def wait_for_writers(until: datetime) -> bool:
    """Return whether every transaction begun by ``until`` has ended: its cut can be repeated.

    A row's history is stamped with its transaction's start: as long as one that started by then
    is open, the past could still gain a row, whether it has written anything yet or not.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND xact_start <= %s)",
            [until],
        )
        return bool(cursor.fetchone()[0])
