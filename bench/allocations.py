"""Randomisations a second over HTTP with everything on, beside the bare locked SQL.

Both sides use sixteen clients at once, one allocation a transaction, on the same server with the
same durability, turn by turn. Over HTTP each has a log-in, the eligibility and consent gate, row
history, two events and row-level security; the bare side locks a counter, reads a slot and inserts
one row. Afterwards every slot is counted: none may be skipped, none given twice.
"""

import statistics
import uuid
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import psycopg
from django.conf import settings
from django.utils import timezone

from bench.adverse_events import prepare
from bench.clients import rate
from config.demo import site
from config.demo.client import Client
from config.processes import ProcessGroup
from patients.models import Subject
from patients.services.consent import record_consent
from patients.services.enrolment import enrol_subject, record_screening
from trials.models import Trial, User
from trials.services.lists import approve_list, dry_run, generate_list


CLIENTS = 16
ROWS = 192
ROUNDS = 3
SIGNED, RANDOMISED = date(2014, 1, 6), date(2014, 3, 3)
VALUES: dict[str, object] = {
    "first_line_regimen": "FCR",
    "first_line_cycles": 6,
    "last_cycle_on": "2013-12-02",
    "response": "PR",
    "mrd_level": "0.02",
    "ighv_unmutated": True,
    "tp53_mutated": False,
    "del17p": False,
    "ecog": 0,
    "anc_10e9_l": "2.5",
    "platelets_10e9_l": "150",
    "creatinine_clearance_ml_min": "90",
}
BODY = {"randomised_on": RANDOMISED.isoformat()}


def measure(home: Path, *, out: TextIO) -> None:
    """Print both rates and their ratio, each the median of three turns, and what was given."""
    logs = home / ".vigil" / "logs"
    logs.mkdir(parents=True)
    subjects, keys, code = prepare(home)
    trial = subjects[0].trial
    _lists(trial, needed=ROUNDS * ROWS)
    waiting = [_screened(subjects[0], number) for number in range(ROUNDS * ROWS)]
    _bare_tables()
    with ProcessGroup(home) as group:
        address = site.start_web(group, port=site.free_port(0), logs=logs)
        site.start_worker(group, logs=logs)
        with Client(address, *keys.credentials(code)) as client:
            turns = [
                (_over_http(client, waiting[turn * ROWS :][:ROWS]), _bare(turn))
                for turn in range(ROUNDS)
            ]
    http, bare = (statistics.median(rates) for rates in zip(*turns, strict=True))
    ratio = statistics.median(ours / theirs for ours, theirs in turns)
    out.write(
        f"Randomisations, {CLIENTS} clients, {ROWS} a turn, {ROUNDS} turns each\n"
        f"  over HTTP, everything on    {http:8.0f} a second\n"
        f"  bare locked SQL             {bare:8.0f} a second\n"
        f"  ratio                       {ratio:8.3f}  (1 : {1 / ratio:.1f})\n"
    )
    judge_slots(asked_for=ROUNDS * ROWS, out=out)


def judge_slots(*, asked_for: int, out: TextIO) -> None:
    """Print what the database says was given. Ends the benchmark if that is not right."""
    given, gaps, doubles = _counted()
    out.write(
        f"  slots given                 {given} of {asked_for} asked for, "
        f"{gaps} gaps, {doubles} doubles\n"
    )
    if (given, gaps, doubles) != (asked_for, 0, 0):
        raise SystemExit("A slot was skipped or given twice.")


def _lists(trial: Trial, *, needed: int) -> None:
    """Make the first list and its extensions live, as two statisticians do."""
    first, second = (
        User.objects.get(username=name) for name in ("statistician", "second-statistician")
    )
    places = 0
    while places < needed:
        draft = generate_list(trial_id=trial.pk, reason="bench", by=first, at=timezone.now())
        for person in (first, second):
            dry_run(list_id=draft.pk, by=person)
            approve_list(list_id=draft.pk, digest=draft.digest, by=person, at=timezone.now())
        places += draft.entries


def _screened(like: Subject, number: int) -> Subject:
    by, at = like.recorded_by, timezone.now()
    subject = enrol_subject(
        trial=like.trial.code, site=like.site.code, year_of_birth=1950, sex="male",
        screened_on=SIGNED, by=by, at=at,
    )  # fmt: skip
    record_consent(subject_id=subject.pk, version="1.0", signed_on=SIGNED, by=by, at=at)
    level = "0.02" if number % 2 else "0.002"
    record_screening(
        subject_id=subject.pk, assessed_on=SIGNED, values={**VALUES, "mrd_level": level},
        by=by, at=at,
    )  # fmt: skip
    return subject


def _over_http(client: Client, subjects: list[Subject]) -> float:
    def work(number: int) -> None:
        for subject in subjects[number::CLIENTS]:
            client.post(f"/subjects/{subject.pk}/randomisations", BODY, key=str(uuid.uuid4()))

    return rate(work, clients=CLIENTS, rows=ROWS)


def _link() -> dict[str, Any]:
    owner = settings.DATABASES["owner"]
    return {
        "host": owner["HOST"], "port": owner["PORT"], "dbname": owner["NAME"],
        "user": owner["USER"], "password": owner["PASSWORD"],
    }  # fmt: skip


def _bare_tables() -> None:
    with psycopg.connect(**_link(), autocommit=True) as setup:
        setup.execute(
            "CREATE TABLE bench_head (stratum text PRIMARY KEY, taken integer NOT NULL);"
            "INSERT INTO bench_head VALUES ('H', 0), ('I', 0);"
            "CREATE TABLE bench_slot (stratum text, position integer, id uuid NOT NULL,"
            " PRIMARY KEY (stratum, position));"
            "INSERT INTO bench_slot SELECT s, n, gen_random_uuid()"
            " FROM unnest(ARRAY['H', 'I']) AS s, generate_series(1, 10000) AS n;"
            "CREATE TABLE bench_taken (id uuid PRIMARY KEY, slot_id uuid UNIQUE NOT NULL,"
            " stratum text NOT NULL, taken_at timestamptz NOT NULL)"
        )


def _bare(turn: int) -> float:
    def work(number: int) -> None:
        with psycopg.connect(**_link()) as connection:
            for i in range(ROWS // CLIENTS):
                stratum = "HI"[(number + i + turn) % 2]
                row = connection.execute(
                    "SELECT taken FROM bench_head WHERE stratum = %s FOR UPDATE", [stratum]
                ).fetchone()
                position = (row or (0,))[0] + 1
                connection.execute(
                    "UPDATE bench_head SET taken = %s WHERE stratum = %s", [position, stratum]
                )
                connection.execute(
                    "INSERT INTO bench_taken SELECT gen_random_uuid(), id, stratum, now()"
                    " FROM bench_slot WHERE stratum = %s AND position = %s",
                    [stratum, position],
                )
                connection.commit()

    return rate(work, clients=CLIENTS, rows=ROWS)


def _counted() -> tuple[int, int, int]:
    """Return slots given, slots skipped, and slots given twice.

    Skipped is what nobody has before the last one given, and what is counted as taken besides.
    """
    with psycopg.connect(**_link()) as connection:
        rows = connection.execute(
            "SELECT s.list_id, s.stratum, s.position FROM trials_allocation a"
            " JOIN sealed.slot s ON s.id = a.slot_id"
        ).fetchall()
        heads = connection.execute("SELECT list_id, stratum, taken FROM sealed.head").fetchall()
    last: dict[tuple[Any, str], int] = {}
    for list_id, stratum, position in (*rows, *heads):
        last[list_id, stratum] = max(last.get((list_id, stratum), 0), position)
    different = len(set(rows))
    return len(rows), sum(last.values()) - different, len(rows) - different
