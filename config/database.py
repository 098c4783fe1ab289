"""The three log-ins and what each may touch.

The owner migrates. The application log-in reads and writes rows, but cannot change or delete what
is insert-only, cannot delete anything clinical, cannot write history, and cannot read the sealed
schema. Of the rows that remain it sees those of its session's reader (``config.row_security``).
The sealed log-in can only call the sealed schema's own functions.
"""

from collections.abc import Iterator

import pghistory.models
from django.apps import apps
from django.conf import settings
from django.db import connections, models
from psycopg import sql

from config import row_security


OWNER = "owner"


def ensure_logins() -> None:
    """Create the application and sealed log-ins, or set their passwords to the configured ones.

    A server where someone else made them already is left as it is, if the owner may not alter them.
    """
    with connections[OWNER].cursor() as cursor:
        for alias in ("default", "sealed"):
            login, password = (settings.DATABASES[alias][k] for k in ("USER", "PASSWORD"))
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login])
            exists = cursor.fetchone() is not None
            cursor.execute(
                "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
            )
            if exists and not cursor.fetchone()[0]:
                continue
            statement = sql.SQL(
                "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
            )
            cursor.execute(statement.format(sql.Identifier(login), sql.Literal(password)))


def grant() -> None:
    """Give each log-in exactly what it needs, whatever it had before. Safe to repeat."""
    app = sql.Identifier(settings.DATABASES["default"]["USER"])
    sealed = sql.Identifier(settings.DATABASES["sealed"]["USER"])
    with connections[OWNER].cursor() as cursor:
        for statement in (*_table_grants(), *SEALED_GRANTS):
            cursor.execute(sql.SQL(statement).format(app=app, sealed=sealed))
        cursor.execute(_TRIGGERS_RUN_AS_OWNER)
    row_security.protect()


def _table_grants() -> Iterator[str]:
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    yield "GRANT USAGE ON SCHEMA public TO {app}, {sealed}"
    yield "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {app}, {sealed}"
    yield "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app}"
    yield "GRANT SELECT ON django_migrations TO {app}"
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            yield f'GRANT {rights(model)} ON "{model._meta.db_table}" TO {{app}}'


def rights(model: type[models.Model]) -> str:
    """Return what the application log-in may do with a model's table."""
    if issubclass(model, pghistory.models.Event) or getattr(model, "read_only_for_app", False):
        return "SELECT"
    if getattr(model, "insert_only", False):
        return "SELECT, INSERT"
    tracked = hasattr(model, "pgh_event_model") or hasattr(model, "pgh_event_models")
    if tracked or getattr(model, "never_deleted", False):
        return "SELECT, INSERT, UPDATE"
    return "SELECT, INSERT, UPDATE, DELETE"


SEALED_GRANTS = (
    "REVOKE ALL ON SCHEMA sealed FROM PUBLIC",
    "REVOKE ALL ON ALL TABLES IN SCHEMA sealed FROM PUBLIC, {app}, {sealed}",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sealed FROM PUBLIC, {app}, {sealed}",
    "GRANT USAGE ON SCHEMA sealed TO {app}, {sealed}",
    "GRANT EXECUTE ON FUNCTION sealed.take_slot, sealed.go_live, sealed.first_sheet_at TO {app}",
    (
        "GRANT EXECUTE ON FUNCTION sealed.open_access, sealed.arms, sealed.store_list,"
        " sealed.draft_entries, sealed.lists_to_verify, sealed.deal_kits, sealed.kits_dealt"
        " TO {sealed}"
    ),
    (
        "GRANT EXECUTE ON FUNCTION sealed.choose_kit, sealed.open_unblinding, sealed.subject_arms,"
        " sealed.make_sheets, sealed.sheet_passwords, sealed.note_refused TO {sealed}"
    ),
)

# A history trigger writes with the owner's rights, so that the application cannot write history
# by any other way; its search path is fixed, as for every function that runs as its owner. Nobody
# else may put such a function behind a trigger on a table of their own (firing one asks no right).
_TRIGGERS_RUN_AS_OWNER = """
DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
           JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE n.nspname = 'public' AND p.proname LIKE 'pgtrigger_%'
  LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = public, pg_temp', f.name);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.name);
  END LOOP;
END $$
"""
