"""Row-level security: which rows of each table a reader sees, made from the models.

The second wall behind ``visible_to``. A table that leads to a subject or to a site is closed to the
application's log-in, but for the rows of its session's reader (``events.reading``). What a role may
read comes from ``trials.permissions.TABLE`` and nowhere else. Why so: docs/decisions/0010.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.conf import settings
from django.db import connections, models, transaction
from psycopg import sql

from events.reading import SETTING, SYSTEM
from trials.permissions import TABLE, Permission


OWNER = "owner"
POLICY = "reader"

# Tables that name a site and tell nothing of a subject: who set the site up, and who works there.
# They are read to find out what somebody may do, before and beyond the reading of subjects.
ABOUT_NO_SUBJECT: dict[str, str] = {
    "trials.Site": "the places of a trial; what happened there is in other tables",
    "trials.RoleAssignment": "read to learn who the reader is",
    "trials.SiteApproval": "what the site was allowed to do from when",
    "trials.SiteCorrection": "the site's name and time zone that were wrong, and why",
    "trials.SiteStatusChange": "when the site was opened, held and closed, and why",
    "trials.SiteVersion": "which protocol the site runs from when: hidden, an old one would hold",
}

_READER = f"(SELECT current_setting('{SETTING}', true))"
_SITES = "(SELECT reader.sites('READ_SUBJECTS'))"


def _in_trials(permission: str) -> str:
    """Return the condition of a row in a trial where the reader may do this at all sites."""
    return f"trial_id IN (SELECT reader.trials('{permission}', true))"


# Tables whose rows lead to a subject otherwise than by a key of their own.
# An event about a subject is seen with it, and by nobody because they wrote it. One about a site or
# a trial is seen by its author too: a supplier, who reads no subject, and somebody who ends their
# own role must write such a one, and PostgreSQL hands back only rows that may be seen. What names
# an allocation and no subject is about one all the same.
_EVENT = """
    stream IN (
        SELECT code FROM trials_trial WHERE id IN (SELECT reader.trials('READ_HISTORY', true)))
    OR CASE WHEN payload ? 'subject_id' THEN EXISTS (
                SELECT FROM patients_subject seen WHERE seen.id::text = payload ->> 'subject_id')
            WHEN payload ? 'site_id' AND payload ->> 'site_id' IN (
                SELECT site::text FROM reader.sites('READ_SUBJECTS') site) THEN true
            WHEN payload ? 'allocation_id' THEN false
            WHEN actor = (SELECT reader.name()) THEN true
            WHEN payload ? 'site_id' THEN false
            ELSE stream IN (SELECT code FROM trials_trial WHERE id IN (SELECT reader.trials()))
       END"""
_OTHERWISE: dict[str, str] = {
    "events.OutboxEvent": _EVENT,
    "events.IdempotencyRecord": "user_id = (SELECT reader.person())",
    "reporting.SafetySummary": "trial_id IN (SELECT reader.trials('READ_SAFETY'))",
    # One that was handed out is seen with its subject too, wherever that is now.
    "dosing.Kit": (
        f"site_id IN {_SITES} OR EXISTS"
        " (SELECT FROM dosing_dispensation seen WHERE seen.kit_id = dosing_kit.id)"
    ),
    "dosing.KitNumberDraw": _in_trials("SUPPLY_KITS"),
    # It follows its subject to another site. It is written before the subject points to it.
    "trials.Allocation": (
        "EXISTS (SELECT FROM patients_subject seen WHERE seen.allocation_id = trials_allocation.id)"
    ),
    # Told where the subject is now; that one was unblinded, also to whoever oversees the trial.
    # What is of no site is told to everybody who works in its trial.
    "reporting.Notice": (
        "CASE WHEN subject_id IS NOT NULL THEN EXISTS"
        " (SELECT FROM patients_subject seen WHERE seen.id = reporting_notice.subject_id)"
        f" WHEN site_id IS NOT NULL THEN site_id IN {_SITES}"
        " ELSE trial_id IN (SELECT reader.trials()) END"
        f" OR (kind = 'subject_unblinded' AND {_in_trials('READ_ACCESS_LOG')})"
    ),
    "trials.SealedAccess": (
        f"person_id = (SELECT reader.person()) OR {_in_trials('READ_ACCESS_LOG')}"
        f" OR {_in_trials('CONFIRM_UNBLINDING')}"
        " OR site_id IN (SELECT reader.sites('READ_ACCESS_LOG'))"
    ),
    "trials.RefusedLook": _in_trials("READ_ACCESS_LOG"),
    "trials.UnblindingRequest": " OR ".join(
        _in_trials(name)
        for name in ("SAFETY_UNBLIND", "UNBLIND_TRIAL", "CONFIRM_UNBLINDING", "READ_ACCESS_LOG")
    ),
}
_WRITTEN: dict[str, str] = {"trials.Allocation": f"site_id IN {_SITES}"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a reader sees of a table, and what rows may be written in their name."""

    table: str
    seen: str
    written: str


def protect() -> None:
    """Put every policy in place as decided here, whatever was there before. Safe to repeat."""
    app = sql.Identifier(settings.DATABASES["default"]["USER"])
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        for statement in (*_FUNCTIONS, _roles_function(), *_GRANTS):
            cursor.execute(sql.SQL(statement).format(app=app))
    for policy in policies():
        with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
            for statement in _statements(policy):
                cursor.execute(sql.SQL(statement).format(app=app))


def policies() -> Iterator[Policy]:
    """Yield the policy of every table that has one."""
    for model in _tables():
        if seen := _seen(model):
            written = _WRITTEN.get(model._meta.label, seen)
            yield Policy(model._meta.db_table, _or_system(seen), _or_system(written))


def _or_system(condition: str) -> str:
    return f"{_READER} = '{SYSTEM}' OR ({condition})"


def _statements(policy: Policy) -> Iterator[str]:
    table = f'"{policy.table}"'
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"DROP POLICY IF EXISTS {POLICY} ON {table}"
    yield (
        f"CREATE POLICY {POLICY} ON {table} TO {{app}}"
        f" USING ({policy.seen}) WITH CHECK ({policy.written})"
    )


def _tables() -> list[type[models.Model]]:
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def _seen(model: type[models.Model], come_from: frozenset[type[models.Model]] = frozenset()) -> str:
    """Return the condition under which a reader sees a row, or nothing for a table without one."""
    label = model._meta.label
    if label in ABOUT_NO_SUBJECT or label.removesuffix("History") in ABOUT_NO_SUBJECT:
        return ""
    if label in _OTHERWISE:
        return _OTHERWISE[label]
    if label == "patients.Subject":
        return f"site_id IN {_SITES}"
    return _by_keys(_keys(model, come_from | {model}))


def _keys(
    model: type[models.Model], come_from: frozenset[type[models.Model]]
) -> "list[models.ForeignKey[models.Model]]":
    """Return the keys that lead to a subject, the surest first.

    A subject's rows go with it to another site. A row of the history goes with the row it tells of.
    """
    found = [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey)
        and field.related_model not in come_from
        and (_label(field) == "trials.Site" or _seen(field.related_model, come_from))
    ]
    return sorted(found, key=_sureness)


def _sureness(key: "models.ForeignKey[models.Model]") -> int:
    if _label(key) == "patients.Subject":
        return 0
    if key.name == "pgh_obj":
        return 1
    return 2 if _label(key) == "trials.Site" else 3


def _label(key: "models.ForeignKey[models.Model]") -> str:
    return str(key.related_model._meta.label)


def _by_keys(keys: "list[models.ForeignKey[models.Model]]") -> str:
    """Return the condition of the first key; where that can be null, of the next one."""
    if not keys:
        return ""
    first, *others = keys
    here = _by_key(first)
    if not first.null:
        return here
    column = f'"{first.model._meta.db_table}"."{first.column}"'
    return f"CASE WHEN {column} IS NOT NULL THEN {here} ELSE {_by_keys(others) or 'false'} END"


def _by_key(key: "models.ForeignKey[models.Model]") -> str:
    column = f'"{key.model._meta.db_table}"."{key.column}"'
    if _label(key) == "trials.Site":
        return f"{column} IN {_SITES}"
    there = key.related_model._meta
    target = key.target_field.column
    return f'EXISTS (SELECT FROM "{there.db_table}" seen WHERE seen."{target}" = {column})'


# --- What PostgreSQL knows of the reader ------------------------------------------------------

_FUNCTIONS = (
    "CREATE SCHEMA IF NOT EXISTS reader",
    # The user the session reads as, if that is somebody who may log in.
    """CREATE OR REPLACE FUNCTION reader.person() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        v_reader text := current_setting('vigil.reader', true);
    BEGIN
        IF coalesce(v_reader, '') !~ '^[1-9][0-9]{{0,17}}$' THEN
            RETURN NULL;
        END IF;
        RETURN (SELECT id FROM public.trials_user WHERE id = v_reader::bigint AND is_active);
    END $$""",
    """CREATE OR REPLACE FUNCTION reader.name() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        RETURN (SELECT username FROM public.trials_user WHERE id = reader.person());
    END $$""",
    # Sites where a role of the reader in force now holds a permission; as ``Site.visible_to``.
    """CREATE OR REPLACE FUNCTION reader.sites(p_permission text) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 20 AS $$
    DECLARE
        v_person bigint := reader.person();
        v_roles text[] := reader.roles(p_permission);
    BEGIN
        RETURN QUERY
        SELECT DISTINCT s.id FROM public.trials_roleassignment r
          JOIN public.trials_site s
            ON s.trial_id = r.trial_id AND (r.site_id IS NULL OR r.site_id = s.id)
         WHERE r.user_id = v_person AND r.role = ANY (v_roles)
           AND r.starts_at <= statement_timestamp()
           AND (r.ends_at IS NULL OR r.ends_at > statement_timestamp());
    END $$""",
    # Trials where the reader holds a permission, or any role; everywhere in them, if that is asked.
    """CREATE OR REPLACE FUNCTION
    reader.trials(p_permission text DEFAULT NULL, p_whole boolean DEFAULT false)
    RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 5 AS $$
    DECLARE
        v_person bigint := reader.person();
        v_roles text[] := reader.roles(p_permission);
    BEGIN
        RETURN QUERY
        SELECT DISTINCT r.trial_id FROM public.trials_roleassignment r
         WHERE r.user_id = v_person AND (p_permission IS NULL OR r.role = ANY (v_roles))
           AND (r.site_id IS NULL OR NOT p_whole)
           AND r.starts_at <= statement_timestamp()
           AND (r.ends_at IS NULL OR r.ends_at > statement_timestamp());
    END $$""",
)


_GRANTS = (
    "REVOKE ALL ON SCHEMA reader FROM PUBLIC",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA reader FROM PUBLIC, {app}",
    "GRANT USAGE ON SCHEMA reader TO {app}",
    "GRANT EXECUTE ON FUNCTION reader.person, reader.name, reader.sites, reader.trials TO {app}",
)


def _roles_function() -> str:
    """Return the function that knows, as the permission table does, which roles may do what."""
    cases = " ".join(
        f"WHEN '{permission.name}' THEN ARRAY[{_holding(permission)}]::text[]"
        for permission in Permission
    )
    return (
        "CREATE OR REPLACE FUNCTION reader.roles(p_permission text) RETURNS text[]"
        " LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp"
        f" RETURN CASE p_permission {cases} END"
    )


def _holding(permission: Permission) -> str:
    return ", ".join(f"'{role.value}'" for role, held in TABLE.items() if permission in held)
