"""Row history: complete, by name, and only ever added to."""

import threading

import pytest
from django.apps import apps
from django.db import Error, connections, transaction
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from events.acting import as_system, attribute
from events.history import as_known_at, history_model, wait_for_writers
from events.models import Delivery
from patients.models import Subject
from tests.factories import Study, user
from tests.marks import on_postgres
from tests.postgres import ask, contents
from trials.models import Site


pytestmark = on_postgres

TRACKED = sorted(
    (model for model in apps.get_models() if hasattr(model, "pgh_event_model")),
    key=lambda model: model._meta.label,
)


def triggers(table):
    """Return what an enabled row trigger of a table does, by the name given to it."""
    rows = ask(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
        " AND tgenabled = 'O'",
        table,
    )
    return {"_".join(name.split("_")[1:3]) for (name,) in rows}


def rename(site, name, **who):
    with transaction.atomic():
        if who:
            attribute(**{"role": "", **who})
        Site.objects.filter(pk=site.pk).update(name=name)


def rename_and_fail(site):
    with as_system():
        Site.objects.filter(pk=site.pk).update(name="Renamed")
        raise RuntimeError("after the write")


def as_somebody(actor, act, rows):
    with transaction.atomic():
        attribute(actor=actor.username, role="superuser")
        act(rows)


def names(site):
    rows = history_model(Site).objects.filter(pgh_obj_id=site.pk).order_by("pgh_id")
    return list(rows.values_list("pgh_label", "name"))


def now_in_the_database():
    return ask("SELECT clock_timestamp()", login="default")[0][0]


class Holding:
    """A transaction of the application's that another connection keeps open."""

    def __init__(self, statement):
        self.statement, self.begun, self.end = statement, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold)

    def _hold(self):
        try:
            with transaction.atomic(), connections["default"].cursor() as cursor:
                cursor.execute(self.statement)
                self.begun.set()
                self.end.wait(timeout=30)
        finally:
            connections.close_all()

    def __enter__(self):
        self.thread.start()
        assert self.begun.wait(timeout=30)

    def __exit__(self, *exc):
        self.end.set()
        self.thread.join()


# --- Triggers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", TRACKED, ids=lambda model: model._meta.label)
def test_every_insert_update_and_delete_of_a_tracked_table_is_kept(model):
    assert triggers(model._meta.db_table) >= {"insert_insert", "update_update", "delete_delete"}
    assert triggers(history_model(model)._meta.db_table) == {"append_only"}


def test_what_is_not_tracked_has_no_history():
    with pytest.raises(LookupError):
        history_model(Delivery)


# --- Who --------------------------------------------------------------------------------------


def test_a_write_that_names_nobody_fails_and_changes_nothing():
    study = Study(kits=0)
    before = contents()

    with pytest.raises(Error, match="pgh_context"):
        rename(study.site, "Renamed")

    assert contents() == before


def test_a_write_that_names_nobody_fails_in_raw_sql_too():
    study = Study(kits=0)

    for statement in ("UPDATE trials_site SET name = 'Renamed'", "DELETE FROM trials_site"):
        with pytest.raises(Error):
            ask(statement)

    study.site.refresh_from_db()
    assert study.site.name == "Site DE-01"


def test_history_carries_actor_role_request_and_reason():
    study = Study(kits=0)

    with bound_contextvars(request_id="req-7"):
        rename(study.site, "Renamed", actor="anna", role="coordinator", reason="a typing error")

    row = history_model(Site).objects.filter(pgh_obj_id=study.site.pk).latest("pgh_id")
    assert row.pgh_context == {
        "actor": "anna",
        "role": "coordinator",
        "request_id": "req-7",
        "reason": "a typing error",
    }


def test_history_keeps_the_old_value_beside_the_new_one():
    study = Study(kits=0)

    rename(study.site, "Renamed", actor="anna")
    rename(study.site, "Renamed", actor="anna")

    first, *_, last = kept = names(study.site)
    assert (first, last) == (("insert", "Site DE-01"), ("update", "Renamed"))
    assert kept.count(last) == 1


def test_a_rolled_back_write_leaves_no_history():
    study = Study(kits=0)
    before = contents()

    with pytest.raises(RuntimeError):
        rename_and_fail(study.site)

    assert contents() == before


# --- Only added to ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda rows: rows.update(number="X"),
        lambda rows: rows.all().delete(),
        lambda rows: rows.create(pgh_label="insert", pgh_context={}, year_of_birth=1),
    ],
    ids=["update", "delete", "insert"],
)
def test_not_even_a_superusers_session_changes_history(act):
    study = Study(kits=0)
    study.enrolled()
    root = user("root", is_staff=True, is_superuser=True)
    before = contents()

    with pytest.raises(Error, match="permission denied"):
        as_somebody(root, act, history_model(Subject).objects)

    assert contents() == before


@pytest.mark.parametrize("statement", ["UPDATE {} SET number = 'X'", "DELETE FROM {}"])
def test_not_even_the_owner_changes_history_by_an_ordinary_statement(statement):
    Study(kits=0).enrolled()

    with pytest.raises(Error, match="Cannot update or delete"):
        ask(statement.format("patients_subjecthistory"))


# --- The past ---------------------------------------------------------------------------------


def test_a_row_is_read_as_it_stood_at_any_moment():
    before = now_in_the_database()
    study = Study(kits=0)
    named = now_in_the_database()
    rename(study.site, "Renamed", actor="anna")
    renamed = now_in_the_database()

    assert not as_known_at(Site, before).exists()
    assert as_known_at(Site, named).get().name == "Site DE-01"
    assert as_known_at(Site, renamed).get().name == "Renamed"


def test_a_deleted_row_is_gone_from_its_deletion_on_and_there_before():
    study = Study(kits=0)
    subject = study.consented()
    there = now_in_the_database()
    ask("SELECT set_config('pghistory.context_metadata', '{}', true); DELETE FROM patients_consent")
    consents = subject.consents.model

    assert as_known_at(consents, there).count() == 1
    assert as_known_at(consents, now_in_the_database()).count() == 0


def test_with_no_writer_at_work_the_past_is_settled():
    assert wait_for_writers(timezone.now())


def test_a_writer_that_began_before_could_still_change_the_past():
    with Holding("SELECT pg_current_xact_id()"):
        assert not wait_for_writers(now_in_the_database())

    assert wait_for_writers(now_in_the_database())


def test_a_writer_that_has_begun_and_not_written_yet_counts():
    """Its rows will be stamped with its beginning, which lies before the cut."""
    with Holding("SELECT 1"):
        assert not wait_for_writers(now_in_the_database())


def test_a_writer_that_began_afterwards_does_not_count():
    until = now_in_the_database()

    with Holding("SELECT pg_current_xact_id()"):
        assert wait_for_writers(until)
