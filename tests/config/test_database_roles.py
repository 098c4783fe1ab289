"""What each log-in may touch, asked of PostgreSQL itself."""

import pghistory.models
import pgtrigger
import pytest
from django.apps import apps
from django.conf import settings

from config.database import ensure_logins, grant, rights
from tests.marks import on_postgres
from tests.postgres import ask, column, denied, tables


pytestmark = on_postgres

OURS = ("trials", "patients", "dosing", "reporting")
APP, SEALED = (settings.DATABASES[alias]["USER"] for alias in ("default", "sealed"))
STATEMENTS = [
    "SELECT count(*) FROM {}",
    "INSERT INTO {} DEFAULT VALUES",
    "DELETE FROM {}",
    "TRUNCATE {} CASCADE",
    "LOCK TABLE {} IN ROW EXCLUSIVE MODE",
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "ALTER TABLE {} RENAME TO elsewhere",
    "COPY {} TO STDOUT",
]


def managed_models():
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def history_tables():
    return sorted(
        model._meta.db_table
        for model in managed_models()
        if issubclass(model, pghistory.models.Event)
    )


def denied_on(names, statement, login):
    return {name for name in names if denied(statement.format(name), login=login)}


def rights_held(login):
    rows = ask(
        "SELECT table_name, string_agg(privilege_type, ', ' ORDER BY privilege_type)"
        " FROM information_schema.role_table_grants WHERE grantee = %s GROUP BY 1",
        login,
    )
    return dict(rows)


def rights_decided():
    decided = {
        model._meta.db_table: ", ".join(sorted(rights(model).split(", ")))
        for model in managed_models()
    }
    return decided | {"django_migrations": "SELECT"}


# --- The sealed schema ------------------------------------------------------------------------


def test_the_sealed_schema_holds_what_it_is_for():
    assert set(tables("sealed")) >= {"sealed.slot", "sealed.kit_content", "sealed.list"}


@pytest.mark.parametrize("login", ["default", "sealed"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_log_in_touches_any_sealed_table(statement, login):
    names = tables("sealed")

    assert denied_on(names, statement, login) == set(names)


@pytest.mark.parametrize(
    ("login", "callable_"),
    [
        pytest.param(APP, {"take_slot", "go_live", "first_sheet_at"}, id="application"),
        pytest.param(
            SEALED,
            {
                "open_access",
                "arms",
                "store_list",
                "draft_entries",
                "lists_to_verify",
                "deal_kits",
                "kits_dealt",
                "choose_kit",
                "open_unblinding",
                "subject_arms",
                "make_sheets",
                "sheet_passwords",
                "note_refused",
            },
            id="sealed",
        ),
    ],
)
def test_each_log_in_calls_its_own_sealed_functions_and_no_other(login, callable_):
    found = column(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'sealed' AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        login,
    )

    assert set(found) == callable_


@pytest.mark.parametrize(
    "call",
    [
        "sealed.arms(gen_random_uuid())",
        "sealed.open_access(gen_random_uuid(), 1, 'report by arm', '')",
        "sealed.store_list(gen_random_uuid(), NULL, 1, '', '', '', '', '{}', '{}', '{}')",
        "sealed.draft_entries(gen_random_uuid(), gen_random_uuid())",
        "sealed.lists_to_verify(gen_random_uuid())",
        "sealed.canonical_text(gen_random_uuid())",
        "sealed.deal_kits(gen_random_uuid(), gen_random_uuid(), '{1}', '{5}', '{L}')",
        "sealed.kits_dealt(gen_random_uuid(), gen_random_uuid())",
        "sealed.use_access(gen_random_uuid(), 'report by arm')",
    ],
)
def test_the_application_is_denied_what_opens_the_blind(call):
    assert denied(f"SELECT {call}")


def test_what_the_application_may_call_answers_with_an_id_or_an_instant():
    results = column(
        "SELECT DISTINCT pg_get_function_result(p.oid) FROM pg_proc p"
        " WHERE p.oid IN ('sealed.take_slot'::regproc, 'sealed.go_live'::regproc,"
        " 'sealed.choose_kit'::regproc)"
    )
    instants = column("SELECT pg_get_function_result('sealed.first_sheet_at'::regproc::oid)")

    assert (results, instants) == (["uuid"], ["timestamp with time zone"])


def test_every_function_with_its_owners_rights_has_a_fixed_search_path():
    open_ = column(
        "SELECT p.oid::regprocedure::text FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE p.prosecdef AND n.nspname IN ('public', 'sealed', 'reader')"
        " AND NOT coalesce(array_to_string(p.proconfig, ' '), '') LIKE '%search_path%pg_temp'"
    )

    assert open_ == []


# --- Rights on rows ---------------------------------------------------------------------------


def test_the_application_has_the_rights_that_were_decided_and_no_others():
    assert rights_held(APP) == rights_decided()


def test_the_sealed_log_in_has_no_table_at_all():
    assert rights_held(SEALED) == {}


def test_every_model_of_a_clinical_app_keeps_its_history():
    untracked = {
        model.__name__
        for model in managed_models()
        if model._meta.app_label in OURS
        and not issubclass(model, pghistory.models.Event)
        and not hasattr(model, "pgh_event_model")
    }

    # People come and go by roles, which are tracked; a log of looks has one writer, a function;
    # notices and counts are made from events and can be made again; a mail is never deleted.
    assert untracked - {"User_groups", "User_user_permissions"} == {
        "User",
        "SealedAccess",
        "LogInRecord",
        "UsedPassword",
        "RefusedLook",
        "Notice",
        "NoticeMail",
        "SiteActivity",
    }


def test_the_triggers_that_write_and_guard_history_are_installed_as_the_code_has_them():
    named = pgtrigger.registered()
    standing = {
        f"{t.name} of {m.__name__}": t.get_installation_status(m, database="owner")
        for m, t in named
    }

    assert len(standing) > 160
    assert {name: how for name, how in standing.items() if how != ("INSTALLED", True)} == {}
    assert column("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgtrigger_%%'") == [
        len(standing)
    ]


def test_nothing_clinical_can_be_deleted():
    clinical = [
        model for model in managed_models() if model._meta.app_label in ("patients", "dosing")
    ]

    assert {model.__name__ for model in clinical if "DELETE" in rights(model)} == set()


@pytest.mark.parametrize("statement", STATEMENTS[1:-1])
def test_the_application_cannot_write_history(statement):
    names = history_tables()

    assert len(names) > 20
    assert denied_on(names, statement, "default") == set(names)


def test_the_application_cannot_borrow_a_history_trigger_to_write_history():
    writer = column(
        "SELECT tgfoid::regproc::text FROM pg_trigger"
        " WHERE tgrelid = 'patients_contact'::regclass AND tgname LIKE 'pgtrigger_insert_%'"
    )[0]

    assert denied(
        "CREATE TEMP TABLE mine (LIKE patients_contact);"
        f" CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {writer}()"
    )


@pytest.mark.parametrize("login", [APP, SEALED])
def test_no_log_in_may_call_a_trigger_function_of_the_owner(login):
    functions = column(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'public' AND p.prosecdef"
        " AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        login,
    )

    assert functions == []


def test_insert_only_rows_are_neither_changed_nor_deleted():
    names = {m._meta.db_table for m in managed_models() if getattr(m, "insert_only", False)}

    assert names >= {"trials_allocation", "events_outboxevent", "dosing_dispensation"}
    assert denied_on(names, "UPDATE {} SET id = id", "default") >= names - {"events_chainlink"}
    assert denied_on(names, "DELETE FROM {}", "default") == names


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "ALTER TABLE patients_subject ADD COLUMN arm text",
        "ALTER TABLE patients_subject DISABLE TRIGGER USER",
        "DROP TABLE patients_subject CASCADE",
        (
            "CREATE TRIGGER mine BEFORE INSERT ON patients_subject FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        "SET session_replication_role = 'replica'",
        "SET ROLE vigil_owner",
        "SET ROLE vigil_sealed",
        "COPY patients_subject TO PROGRAM 'cat'",
    ],
)
@pytest.mark.parametrize("login", ["default", "sealed"])
def test_neither_log_in_changes_what_holds_the_promises(statement, login):
    statement = statement.replace("vigil_sealed", APP) if login == "sealed" else statement

    assert denied(statement, login=login)


@pytest.mark.parametrize("login", [APP, SEALED])
def test_neither_log_in_has_a_power_of_its_own(login):
    powers = ask(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,"
        " EXISTS (SELECT 1 FROM pg_auth_members WHERE member = pg_roles.oid)"
        " FROM pg_roles WHERE rolname = %s",
        login,
    )

    assert powers == [(False,) * 6]


# --- Giving rights ----------------------------------------------------------------------------


def test_rights_can_be_given_again_and_stay_the_same():
    before = rights_held(APP)

    ensure_logins()
    grant()
    grant()

    assert rights_held(APP) == before
    assert denied("SELECT * FROM sealed.slot")


def test_giving_rights_takes_back_what_somebody_gave_beside_them():
    ask(f"GRANT SELECT ON sealed.slot TO {APP}")
    ask(f"GRANT DELETE ON patients_subject TO {APP}")
    ask(f"GRANT EXECUTE ON FUNCTION sealed.arms TO {APP}")

    grant()

    assert denied("SELECT * FROM sealed.slot")
    assert denied("DELETE FROM patients_subject")
    assert denied("SELECT sealed.arms(gen_random_uuid())")
