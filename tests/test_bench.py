"""A benchmark that no longer runs measures nothing, and nobody would see it."""

from io import StringIO

import pytest
from django.conf import settings as configured

from bench import allocations, row_level_security
from bench.adverse_events import prepare
from patients.models import AdverseEvent, Subject
from tests.factories import Study
from tests.marks import on_postgres
from tests.postgres import ask, column
from tests.stories.live import owner_url


pytestmark = on_postgres


@pytest.fixture
def _small(monkeypatch, settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    monkeypatch.setattr(row_level_security, "SUBJECTS", 3)
    monkeypatch.setattr(row_level_security, "EVENTS_EACH", 2)


@pytest.mark.usefixtures("_small")
def test_each_act_that_the_wall_is_measured_by_is_still_done(tmp_path):
    subjects, _, code = prepare(tmp_path)
    row_level_security._fill(subjects[0])
    before = AdverseEvent.objects.count()

    for act in row_level_security._acts(subjects[0], code).values():
        act()

    assert Subject.objects.count() == len(subjects) + 3
    assert before == 2 * Subject.objects.count()
    assert AdverseEvent.objects.count() == before + 1


# --- Randomisations at once -------------------------------------------------------------------


@pytest.fixture
def _few(monkeypatch, settings, tmp_path):
    """Six subjects and three clients, on this test's database."""
    settings.STATIC_ROOT = tmp_path
    for name, value in {"CLIENTS": 3, "ROWS": 6, "ROUNDS": 1}.items():
        monkeypatch.setattr(allocations, name, value)
    env = {"VIGIL_HOME": tmp_path, "VIGIL_SECRET_KEY": configured.SECRET_KEY}
    env |= {"DATABASE_URL": owner_url(), "REDIS_URL": configured.REDIS_URL}
    for name, value in env.items():
        monkeypatch.setenv(name, str(value))
    yield
    ask("DROP TABLE IF EXISTS bench_head, bench_slot, bench_taken")


@pytest.mark.servers
@pytest.mark.usefixtures("_few")
def test_randomisations_at_once_are_counted_from_the_database_without_a_gap_or_a_double(tmp_path):
    out = StringIO()

    allocations.measure(tmp_path, out=out)

    places = "SELECT s.stratum, s.position FROM trials_allocation a JOIN sealed.slot s"
    assert sorted(ask(f"{places} ON s.id = a.slot_id")) == [
        (stratum, position) for stratum in "HI" for position in (1, 2, 3)
    ]
    assert column("SELECT taken FROM sealed.head") == [3, 3]
    assert out.getvalue().splitlines()[-1].split("given")[1].strip() == (
        "6 of 6 asked for, 0 gaps, 0 doubles"
    )


def judged(asked_for):
    """Return what the benchmark says of the slots, and whether it goes on."""
    out = StringIO()
    try:
        allocations.judge_slots(asked_for=asked_for, out=out)
    except SystemExit as ended:
        return out.getvalue().split("given")[1].strip(), str(ended)
    return out.getvalue().split("given")[1].strip(), ""


ILL = "A slot was skipped or given twice."
SLOT = "(SELECT id FROM sealed.slot WHERE stratum = 'H' AND position = {})"
GIVEN = (
    "SELECT set_config('pghistory.context_metadata', '{{}}', true);"
    f"UPDATE trials_allocation SET slot_id = {SLOT} WHERE slot_id = {SLOT}"
)


def test_a_slot_that_was_skipped_is_reported():
    study = Study(kits=0)
    for _ in range(3):
        study.randomised()
    assert judged(3) == ("3 of 3 asked for, 0 gaps, 0 doubles", "")
    assert judged(4) == ("3 of 4 asked for, 0 gaps, 0 doubles", ILL)

    ask(GIVEN.format(5, 3))  # 1, 2 and 5 are given
    in_between = judged(3)
    ask(GIVEN.format(3, 5))
    ask("UPDATE sealed.head SET taken = 4 WHERE stratum = 'H'")  # the last one taken is nobody's
    at_the_end = judged(3)

    assert in_between == ("3 of 3 asked for, 2 gaps, 0 doubles", ILL)
    assert at_the_end == ("3 of 3 asked for, 1 gaps, 0 doubles", ILL)


def test_a_slot_that_was_given_twice_is_reported():
    study = Study(kits=0)
    for _ in range(3):
        study.randomised()
    name = column(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'trials_allocation'::regclass"
        " AND contype = 'u' AND pg_get_constraintdef(oid) = 'UNIQUE (slot_id)'"
    )[0]

    ask(f"ALTER TABLE trials_allocation DROP CONSTRAINT {name}")
    try:
        one = column("SELECT id FROM trials_allocation LIMIT 1")[0]
        own = column("SELECT slot_id FROM trials_allocation WHERE id = %s", one)[0]
        other = column("SELECT slot_id FROM trials_allocation WHERE id <> %s LIMIT 1", one)[0]
        give(other, one)
        found = judged(3)
        give(own, one)
    finally:
        ask(f"ALTER TABLE trials_allocation ADD CONSTRAINT {name} UNIQUE (slot_id)")

    assert found == ("3 of 3 asked for, 1 gaps, 1 doubles", ILL)
    assert judged(3) == ("3 of 3 asked for, 0 gaps, 0 doubles", "")


def give(slot, allocation):
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE trials_allocation SET slot_id = '{slot}' WHERE id = '{allocation}'"
    )
