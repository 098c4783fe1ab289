"""The second wall, asked of PostgreSQL itself: every table that leads to a subject, by raw SQL."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test import Client

from config.database import rights
from config.row_security import ABOUT_NO_SUBJECT, policies, protect
from dosing.models import Kit
from events.models import IdempotencyRecord, OutboxEvent
from events.reading import read_as, reading_as_system
from events.tasks import drain
from patients.models import Subject
from patients.services.transfers import transfer_subject
from reporting.models import SafetySummary
from tests.factories import NOW, TODAY, user
from tests.interface import caller_for, drawn_kits, reasons_of
from tests.marks import on_postgres
from tests.planted import guarded, planted
from tests.postgres import ask, at_once, column, denied
from tests.stories.live import manage, owner_url
from tests.worlds import ELSEWHERE, HERE, OTHER_TRIAL, World, as_application
from trials.models import Allocation, Site
from trials.permissions import TABLE, Permission, Role


pytestmark = on_postgres

BY_OTHER_RULES = {
    IdempotencyRecord._meta.db_table,  # whoever sent the request
    SafetySummary._meta.db_table,  # whoever reads the trial's summaries
    "reporting_safetysummaryhistory",
    "dosing_kitnumberdraw",  # whoever supplies kits
    "dosing_kitnumberdrawhistory",
    "trials_sealedaccess",  # whoever looked, audits or keeps the sheets' passwords
    "trials_refusedlook",  # whoever audits
    "trials_unblindingrequest",  # whoever may ask, agree or audit
    "trials_unblindingrequesthistory",
    "trials_unblindinganswer",
    "trials_unblindinganswerhistory",
}


@pytest.fixture
def world():
    return World()


def everywhere(places, *, but=()):
    """Return what is seen when every table shows the rows of these places."""
    names = {model._meta.db_table for model in guarded()} - set(but)
    return dict.fromkeys(names, places)


def without(seen, names):
    return {table: places for table, places in seen.items() if table not in names}


@pytest.fixture
def no_reader(monkeypatch):
    """Connections opened from here on begin as the site's own do: with no reader."""
    monkeypatch.delitem(settings.DATABASES["default"]["OPTIONS"], "options")


# --- Every table ------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["", "0", "-1", "999999", "System", "1 OR true", "x"])
def test_without_a_reader_no_table_shows_a_row(world, reader):
    with planted(*world.places()) as garden:
        assert garden.seen(reader) == everywhere([])


def test_a_coordinator_sees_in_every_table_exactly_the_rows_of_their_site(world):
    with planted(*world.places()) as garden:
        here = without(garden.seen(world.coordinator.pk), BY_OTHER_RULES)
        elsewhere = without(garden.seen(world.colleague.pk), BY_OTHER_RULES)
        in_the_other_trial = without(garden.seen(world.stranger.pk), BY_OTHER_RULES)

    assert here == everywhere([HERE], but=BY_OTHER_RULES)
    assert elsewhere == everywhere([ELSEWHERE], but=BY_OTHER_RULES)
    assert in_the_other_trial == everywhere([OTHER_TRIAL], but=BY_OTHER_RULES)


def test_a_role_for_the_whole_trial_sees_all_its_sites_and_no_other_trials(world):
    monitor = world.study.people[Role.MONITOR]

    with planted(*world.places()) as garden:
        seen = without(garden.seen(monitor.pk), BY_OTHER_RULES)

    assert seen == everywhere([HERE, ELSEWHERE], but=BY_OTHER_RULES)


def test_vigils_own_work_sees_every_row(world):
    with planted(*world.places()) as garden:
        assert garden.seen("system") == everywhere([HERE, ELSEWHERE, OTHER_TRIAL])


def test_an_answer_kept_for_a_request_is_seen_by_whoever_sent_it(world):
    table = IdempotencyRecord._meta.db_table
    monitor = world.study.people[Role.MONITOR]

    with planted(*world.places()) as garden:
        assert garden.seen(world.coordinator.pk)[table] == [HERE]
        assert garden.seen(world.stranger.pk)[table] == [OTHER_TRIAL]
        assert garden.seen(monitor.pk)[table] == []


def test_each_role_sees_what_the_permission_table_says_and_nothing_else(world):
    people = world.study.people
    summaries, subjects, events = {}, {}, {}

    with planted(*world.places()) as garden:
        garden.cursor.execute(
            "UPDATE events_outboxevent SET stream = %s, payload = '{}'", [world.study.trial.code]
        )
        for role, reader in people.items():
            seen = garden.seen(reader.pk)
            summaries[role] = bool(seen["reporting_safetysummary"])
            subjects[role] = bool(seen["patients_subject"]), bool(seen["patients_deathhistory"])
            events[role] = len(seen["events_outboxevent"])

    reads_safety, reads_subjects = Permission.READ_SAFETY, Permission.READ_SUBJECTS
    assert set(people) == set(Role)
    assert summaries == {role: reads_safety in TABLE[role] for role in Role}
    assert subjects == {role: (reads_subjects in TABLE[role],) * 2 for role in Role}
    assert set(events.values()) == {3}


def test_who_reads_the_history_of_a_whole_trial_sees_its_events_and_no_subject(world):
    with planted(*world.places()) as garden:
        garden.cursor.execute(
            "UPDATE events_outboxevent SET stream = %s WHERE id = %s",
            [world.study.trial.code, garden.places[HERE].ids[OutboxEvent]],
        )
        seen = garden.seen(world.study.admin.pk)

    assert seen["events_outboxevent"] == seen["events_chainlink"] == [HERE]
    assert seen["patients_subject"] == seen["patients_subjecthistory"] == []


# --- From when until when ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "ends", "sees"),
    [
        pytest.param(timedelta(minutes=-5), None, True, id="begun"),
        pytest.param(timedelta(0), None, True, id="begins now"),
        pytest.param(timedelta(minutes=5), None, False, id="not begun"),
        pytest.param(timedelta(minutes=-5), timedelta(minutes=5), True, id="not ended"),
        pytest.param(timedelta(minutes=-5), timedelta(0), False, id="ends now"),
    ],
)
def test_a_role_reads_from_its_beginning_until_its_end(world, starts, ends, sees):
    reader = user("reader")
    role = world.role(reader, Role.COORDINATOR, world.here)

    with planted(*world.places()) as garden:
        garden.cursor.execute("ALTER TABLE trials_roleassignment DISABLE TRIGGER USER")
        garden.cursor.execute(
            "UPDATE trials_roleassignment SET starts_at = clock_timestamp() + %s,"
            " ends_at = clock_timestamp() + %s WHERE id = %s",
            [starts, ends, role.pk],
        )
        seen = without(garden.seen(reader.pk), BY_OTHER_RULES)

    assert seen == everywhere([HERE] if sees else [], but=BY_OTHER_RULES)


def test_whoever_is_switched_off_reads_nothing_at_once(world):
    with planted(*world.places()) as garden:
        garden.cursor.execute(
            "UPDATE trials_user SET is_active = false WHERE id = %s", [world.coordinator.pk]
        )

        assert garden.seen(world.coordinator.pk) == everywhere([])


# --- Writing ----------------------------------------------------------------------------------


def test_no_row_is_written_into_another_sites_records(world):
    own, foreign, _ = world.places()
    written = {}

    with planted(own, foreign) as garden:
        inserted = [model for model in garden.models if "INSERT" in rights(model)]
        for model in inserted:
            table = model._meta.db_table
            written[table] = not garden.refuses(model, foreign, reader=world.coordinator)

    assert len(written) > 20
    assert {table for table, done in written.items() if done} == set()


def test_a_row_is_written_into_the_records_of_ones_own_site(world):
    own, foreign, _ = world.places()
    others = BY_OTHER_RULES - {IdempotencyRecord._meta.db_table}

    with planted(own, foreign) as garden:
        inserted = [
            model
            for model in garden.models
            if "INSERT" in rights(model) and model._meta.db_table not in others
        ]
        stopped = {m for m in inserted if garden.refuses(m, own, reader=world.coordinator)}

    assert stopped == set()


def test_another_sites_rows_are_not_changed_nor_given_away(world):
    own, foreign, _ = world.places()

    with planted(own, foreign) as garden, not_handed_out(garden, world.coordinator):
        garden.cursor.execute("UPDATE patients_adverseevent SET grade = 2")
        changed = garden.cursor.rowcount
        garden.cursor.execute("SELECT id FROM patients_adverseevent FOR UPDATE")
        locked = garden.cursor.rowcount
        for statement, value in (
            ("UPDATE patients_subject SET site_id = %s", foreign.ids[Site]),
            ("UPDATE patients_adverseevent SET subject_id = %s", foreign.ids[Subject]),
            ("UPDATE dosing_kit SET site_id = %s", foreign.ids[Site]),
        ):
            savepoint = transaction.savepoint(using="owner")
            with pytest.raises(DatabaseError, match="row-level security"):
                garden.cursor.execute(statement, [value])
            transaction.savepoint_rollback(savepoint, using="owner")

    assert (changed, locked) == (1, 1)


@contextmanager
def not_handed_out(garden, reader):
    """Read as somebody, all kits in the cupboard: one that was given goes with its subject."""
    garden.cursor.execute("DELETE FROM dosing_dispensation")
    with garden.as_application(reader.pk):
        yield


# --- A subject that moves ---------------------------------------------------------------------


def test_everything_about_a_subject_goes_with_it_to_another_site(world):
    stays = {"dosing_kit", "dosing_kithistory", "reporting_siteactivity"}
    stays |= BY_OTHER_RULES
    own, foreign, _ = world.places()

    with planted(own, foreign) as garden:
        garden.cursor.execute(
            "UPDATE patients_subject SET site_id = %s WHERE id = %s",
            [foreign.ids[Site], own.ids[Subject]],
        )
        before = without(garden.seen(world.coordinator.pk), stays)
        after = without(garden.seen(world.colleague.pk), stays)
        kits = garden.seen(world.colleague.pk)["dosing_kit"]

    assert before == everywhere([], but=stays)
    assert after == everywhere([HERE, ELSEWHERE], but=stays)
    assert kits == [HERE, ELSEWHERE]


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        ({"subject_id": True}, []),
        ({"subject_id": True, "site_id": True, "allocation_id": True}, []),
        ({"site_id": True, "allocation_id": True}, []),
        ({"site_id": True}, [HERE]),
        ({}, [HERE]),
    ],
)
def test_of_what_one_wrote_oneself_what_is_about_a_subject_goes_with_it(world, payload, seen):
    """By somebody whose role has ended: the rest names no subject."""
    own = world.places()[HERE]

    with planted(own) as garden:
        ids = {"subject_id": Subject, "site_id": Site, "allocation_id": Allocation}
        facts = {name: str(own.ids[ids[name]]) for name in payload}
        garden.cursor.execute("UPDATE events_outboxevent SET payload = %s", [json.dumps(facts)])
        garden.cursor.execute("ALTER TABLE trials_roleassignment DISABLE TRIGGER USER")
        garden.cursor.execute(
            "UPDATE trials_roleassignment SET ends_at = clock_timestamp() WHERE user_id = %s",
            [world.coordinator.pk],
        )
        found = garden.seen(world.coordinator.pk)

    assert found["events_outboxevent"] == found["events_delivery"] == seen


def test_what_one_recorded_of_a_subject_that_moved_is_found_by_raw_sql_no_longer(world):
    subject = world.study.randomised(by=world.coordinator)
    about = (
        "SELECT type FROM events_outboxevent WHERE payload ->> 'subject_id' = "
        f"'{subject.pk}' AND actor = '{world.coordinator.username}'"
    )
    before = as_application(about, reader=world.coordinator.pk)

    transfer_subject(
        subject_id=subject.pk, to_site="FR-01", transferred_on=TODAY, reason="moved house",
        agreed_by="Dr Example", agreement="letter", by=world.study.people[Role.DATA_MANAGER],
        at=NOW,
    )  # fmt: skip

    assert len(before) == 4
    assert as_application(about, reader=world.coordinator.pk) == []
    assert as_application(about, reader=world.colleague.pk) == before


# --- No table is forgotten --------------------------------------------------------------------

LEADS_TO_A_SUBJECT = """
    WITH RECURSIVE leads AS (
        SELECT oid FROM pg_class
         WHERE oid IN ('patients_subject'::regclass, 'trials_site'::regclass)
        UNION
        SELECT c.oid FROM pg_class c
          JOIN leads l ON EXISTS (
               SELECT FROM pg_constraint k
                WHERE k.conrelid = c.oid AND k.confrelid = l.oid AND k.contype = 'f'
                  AND k.confrelid <> 'trials_protocolversion'::regclass)
            OR (c.relname = l.oid::regclass::text || 'history')
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    )
    SELECT oid::regclass::text FROM leads
    UNION
    SELECT attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm', 'v')
       AND NOT a.attisdropped
       AND (a.attname ~ '(^|_)(subject|site)_id$' OR a.attname IN ('payload', 'body'))
"""


def open_tables():
    """Return the tables that lead to a subject and that PostgreSQL guards by no policy."""
    return set(
        column(
            f"SELECT t.name FROM ({LEADS_TO_A_SUBJECT}) AS t(name)"
            " JOIN pg_class c ON c.oid = t.name::regclass"
            " WHERE NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policies p"
            "   WHERE p.tablename = t.name AND p.qual LIKE '%vigil.reader%' AND p.cmd = 'ALL')"
            "    OR EXISTS (SELECT FROM pg_policies p WHERE p.tablename = t.name"
            "   AND p.policyname <> 'reader')"
        )
    )


def named_as_about_no_subject():
    models = [apps.get_model(label) for label in ABOUT_NO_SUBJECT]
    return {model._meta.db_table for model in models} | {
        model.pgh_event_model._meta.db_table
        for model in models
        if hasattr(model, "pgh_event_model")
    }


def test_every_table_that_leads_to_a_subject_is_guarded_or_named_with_a_reason():
    assert open_tables() == named_as_about_no_subject()
    assert all(ABOUT_NO_SUBJECT.values())


@pytest.mark.parametrize(
    "columns",
    [
        "id int, subject_id uuid",
        "id int, of_site_id uuid",
        "id int, whose uuid REFERENCES patients_subject",
        "id int, event uuid REFERENCES patients_adverseevent",
    ],
)
def test_a_new_table_without_a_policy_is_found(columns):
    ask(f"CREATE TABLE public.weights ({columns})")
    try:
        assert open_tables() - named_as_about_no_subject() == {"weights"}
    finally:
        ask("DROP TABLE public.weights")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP POLICY reader ON patients_adverseevent",
        "ALTER TABLE patients_adverseevent DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY wide ON patients_adverseevent USING (true)",
        "ALTER POLICY reader ON patients_adverseevent USING (true)",
    ],
)
def test_a_wall_that_is_taken_down_is_found_and_put_up_again_by_migrating(statement):
    ask(statement)
    try:
        assert open_tables() - named_as_about_no_subject() == {"patients_adverseevent"}
    finally:
        ask("DROP POLICY IF EXISTS wide ON patients_adverseevent")
        protect()

    assert open_tables() == named_as_about_no_subject()


def test_protecting_again_changes_nothing():
    before = ask("SELECT * FROM pg_policies ORDER BY tablename")

    protect()

    assert ask("SELECT * FROM pg_policies ORDER BY tablename") == before
    assert len(before) == len(list(policies()))


@pytest.mark.parametrize("permission", list(Permission))
def test_the_database_knows_the_permission_table(permission):
    roles = ask("SELECT reader.roles(%s)", permission.name)[0][0]

    assert set(roles) == {role.value for role in Role if permission in TABLE[role]}


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE patients_subject DISABLE ROW LEVEL SECURITY",
        "DROP POLICY reader ON patients_subject",
        "CREATE POLICY mine ON patients_subject USING (true)",
        "CREATE OR REPLACE FUNCTION reader.sites(text) RETURNS SETOF uuid AS '' LANGUAGE sql",
        "SELECT reader.roles('READ_SUBJECTS')",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
    ],
)
def test_the_application_cannot_take_the_wall_down(statement):
    assert denied(statement)


# --- The application's own connections --------------------------------------------------------


def test_raw_sql_without_a_reader_finds_nothing_and_with_one_their_own_sites_rows(world):
    study = world.study
    own = study.randomised()
    foreign = study.consented(site=world.elsewhere, by=world.colleague)
    numbers = "SELECT number FROM patients_subject ORDER BY number"
    history = "SELECT DISTINCT number FROM patients_subjecthistory ORDER BY number"

    assert as_application(numbers) == as_application(history) == []
    assert as_application("SELECT id FROM events_outboxevent") == []
    assert as_application(numbers, reader=world.coordinator.pk) == [own.number]
    assert as_application(history, reader=world.coordinator.pk) == [own.number]
    assert as_application(numbers, reader=world.colleague.pk) == [foreign.number]
    assert as_application(numbers, reader=world.stranger.pk) == []
    assert as_application(numbers, reader="system") == [own.number, foreign.number]


def test_the_wall_and_the_code_agree_for_everybody(world):
    for person in [*world.study.people.values(), world.colleague, world.stranger]:
        sites = as_application("SELECT reader.sites('READ_SUBJECTS')", reader=person.pk)

        assert set(sites) == set(Site.objects.visible_to(person).values_list("pk", flat=True))


# --- Requests ---------------------------------------------------------------------------------


@pytest.fixture
def leaky(world, settings):
    """Subjects at two sites, and addresses that ask for every subject there is."""
    world.own = world.study.enrolled().number
    world.foreign = world.study.enrolled(site=world.elsewhere, by=world.colleague).number
    settings.ROOT_URLCONF = "tests.config.leaky_urls"
    return world


def browser_of(person):
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def reader_now():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('vigil.reader', true)")
        return cursor.fetchone()[0] or ""


def test_a_page_that_forgot_whose_subjects_it_shows_still_shows_only_the_readers(leaky):
    here, elsewhere = browser_of(leaky.coordinator), browser_of(leaky.colleague)

    assert here.get("/every-subject").json()["numbers"] == [leaky.own]
    assert elsewhere.get("/every-subject").json()["numbers"] == [leaky.foreign]


def test_an_address_of_the_interface_reads_as_the_system_whose_token_came(leaky):
    answer = caller_for(leaky.study.system).get("/every-subject")

    assert answer.json()["numbers"] == [leaky.own]


def test_every_request_of_a_session_is_asked_whose_it_is_and_one_of_nobody_sees_nothing(leaky):
    assert browser_of(leaky.coordinator).get("/unasked").json()["numbers"] == [leaky.own]
    assert Client().get("/unasked").json()["numbers"] == []
    assert Client().get("/every-subject").json()["numbers"] == []


@pytest.mark.parametrize("path", ["/every-subject", "/breaks", "/nowhere"])
def test_after_a_request_its_connection_has_no_reader_left(leaky, no_reader, path):
    def act():
        browser_of(leaky.coordinator).get(path)
        return reader_now(), Subject.objects.count()

    assert at_once(act) == [("", 0)]


def test_a_token_takes_the_place_of_a_session(leaky):
    client = browser_of(leaky.colleague)
    token = caller_for(leaky.study.system).headers["Authorization"]

    answer = client.get("/api/v1/every-subject", headers={"Authorization": token})

    assert answer.json()["numbers"] == [leaky.own]


def test_a_connection_carries_no_reader_from_one_request_to_the_next(leaky, no_reader):
    pages = {
        leaky.coordinator.username: [leaky.own],
        leaky.colleague.username: [leaky.foreign],
        leaky.stranger.username: [],
    }
    browsers = [browser_of(p) for p in (leaky.coordinator, leaky.colleague, leaky.stranger)]

    def act(first):
        found, stranger = [], Client(raise_request_exception=False)
        for turn in range(12):
            client = browsers[(first + turn) % 3]
            said = client.get("/every-subject").json()
            found.append(said["numbers"] == pages[said["who"]])
            client.get("/breaks")
            found.append(stranger.get("/every-subject").json()["numbers"] == [])
        return found, connection.connection is not None

    answers = at_once(*[lambda first=first: act(first) for first in range(6)])

    assert answers == [([True] * 24, True)] * 6


def test_a_connection_that_is_lost_in_a_request_takes_its_reader_with_it(leaky, no_reader):
    def act():
        answer = browser_of(leaky.coordinator).get("/loses-its-connection")
        return answer.status_code, reader_now()

    assert at_once(act) == [(200, "")]


# --- Vigil's own work -------------------------------------------------------------------------


def test_a_task_reads_every_row_and_leaves_no_reader_behind(world, no_reader):
    world.study.enrolled()

    assert at_once(lambda: (drain() > 0, reader_now())) == [(True, "")]


def test_a_block_that_reads_everything_ends_with_the_reader_before(world, no_reader):
    world.study.enrolled()
    world.study.enrolled(site=world.elsewhere, by=world.colleague)

    def act():
        read_as(world.coordinator.pk)
        counts = [Subject.objects.count()]
        with reading_as_system("a test"):
            counts.append(Subject.objects.count())
            with reading_as_system("within another"):
                counts.append(Subject.objects.count())
            counts.append(Subject.objects.count())
        return [*counts, Subject.objects.count()]

    assert at_once(act) == [[1, 2, 2, 2, 1]]


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT 1/0"])
def test_a_block_that_fails_ends_with_the_reader_before(world, no_reader, statement):
    def fail():
        with connection.cursor() as cursor:
            cursor.execute(statement)
        raise ValueError

    def act():
        read_as(world.coordinator.pk)
        failure = pytest.raises((ValueError, DatabaseError))
        with failure, reading_as_system("outside a transaction"), transaction.atomic():
            fail()
        outside = reader_now()
        with failure, transaction.atomic(), reading_as_system("inside one"):
            fail()
        return outside, reader_now()

    assert at_once(act) == [(str(world.coordinator.pk),) * 2]


def test_a_command_reads_every_row_and_the_web_server_is_not_told(world, tmp_path):
    world.study.enrolled()
    env = {"DATABASE_URL": owner_url(), "VIGIL_SECRET_KEY": settings.SECRET_KEY}
    env |= {"REDIS_URL": settings.REDIS_URL}
    count = "from patients.models import Subject; print('subjects', Subject.objects.count())"

    by_command = manage("shell", "-c", count, home=tmp_path, **env)
    by_itself = run_python(f"import django; django.setup(); {count}", **env)

    assert "subjects 1" in by_command.stdout
    assert "subjects 0" in by_itself


def run_python(code, **env):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


# --- Roles that read no subject, and still do their part --------------------------------------


def test_a_supplier_enters_kits_and_is_told_of_a_number_at_another_site(world):
    study = world.study
    study.supply(1, site=world.elsewhere)
    taken = Kit.objects.first().number
    supplier = caller_for(study.supplier)
    body = drawn_kits(supplier)
    kit = {**body["kits"][0], "number": taken}

    new = supplier.post("/kit-supplies", body)
    again = supplier.post("/kit-supplies", {**body, "kits": [kit]})

    assert new.status_code == 201
    assert (again.status_code, reasons_of(again)) == (409, {("", "kit_number_twice")})
