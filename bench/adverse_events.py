"""Adverse events a second over HTTP with everything on, beside the same rows by bare psycopg.

Both sides use the same number of clients at once, one row a transaction, on the same server with
the same durability, turn by turn. The bare side writes to a copy of the table with its checks and
indexes and without triggers: no log-in, no validation, no gate, no history, no event.
"""

import statistics
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TextIO

import psycopg
from django.conf import settings
from django.utils import timezone

from bench.clients import rate
from config.demo import site, study
from config.demo.client import Client
from config.demo.plan import plan_for
from config.processes import ProcessGroup
from patients.models import AdverseEvent, Subject
from patients.services.consent import record_consent
from patients.services.enrolment import enrol_subject
from trials.models import User
from trials.rules.protocol import load_protocol


CLIENTS = 8
ROWS = 800
ROUNDS = 3
ROOT = Path(__file__).resolve().parent.parent
BODY = {
    "term": "Rash maculo-papular",
    "soc": "Skin and subcutaneous tissue disorders",
    "grade": 2,
    "started_on": "2014-03",
    "ended_on": None,
    "outcome": "recovering",
    "related": True,
    "serious": False,
}


def measure(home: Path, *, out: TextIO) -> None:
    """Print both rates and their ratio, each the median of three turns."""
    (home / ".vigil" / "logs").mkdir(parents=True)
    subjects, keys, code = prepare(home)
    with ProcessGroup(home) as group:
        logs = home / ".vigil" / "logs"
        address = site.start_web(group, port=site.free_port(0), logs=logs)
        site.start_worker(group, logs=logs)
        with Client(address, *keys.credentials(code)) as client:
            turns = [(_over_http(client, subjects), _bare(subjects[0])) for _ in range(ROUNDS)]
    http, bare = (statistics.median(rates) for rates in zip(*turns, strict=True))
    ratio = statistics.median(ours / theirs for ours, theirs in turns)
    out.write(
        f"Adverse events, {CLIENTS} clients, {ROWS} rows a turn, {ROUNDS} turns each\n"
        f"  over HTTP, everything on    {http:8.0f} a second\n"
        f"  bare psycopg, one row a transaction {bare:8.0f} a second\n"
        f"  ratio                       {ratio:8.3f}  (1 : {1 / ratio:.1f})\n"
        f"  rows stored                 {AdverseEvent.objects.count()}, "
        f"{ROUNDS * ROWS} asked for\n"
    )


def prepare(home: Path) -> tuple[list[Subject], study.Keys, str]:
    text = (ROOT / "protocols/cllm1.toml").read_text()
    data = (ROOT / "protocols/data/cllm1_synth.csv").read_text()
    plan = plan_for(load_protocol(text), data)
    keys = study.set_up(
        plan,
        protocol_text=text,
        digest="bench",
        keys_path=home / ".vigil" / "demo.json",
        at=timezone.now(),
    )
    code = plan.sites[0].code
    by, day = User.objects.get(username=f"system-{plan.trial}-{code}"), date(2014, 1, 6)
    subjects = [
        enrol_subject(
            trial=plan.trial, site=code, year_of_birth=1950, sex="male",
            screened_on=day + timedelta(i), by=by, at=timezone.now(),
        )
        for i in range(CLIENTS)
    ]  # fmt: skip
    for subject in subjects:
        record_consent(
            subject_id=subject.pk, version="1.0", signed_on=day, by=by, at=timezone.now()
        )
    return subjects, keys, code


def _over_http(client: Client, subjects: list[Subject]) -> float:
    def work(number: int) -> None:
        path = f"/subjects/{subjects[number].pk}/adverse-events"
        for _ in range(ROWS // CLIENTS):
            client.post(path, BODY, key=str(uuid.uuid4()))

    return rate(work, clients=CLIENTS, rows=ROWS)


def _bare(subject: Subject) -> float:
    owner = settings.DATABASES["owner"]
    link: dict[str, Any] = {
        "host": owner["HOST"], "port": owner["PORT"], "dbname": owner["NAME"],
        "user": owner["USER"], "password": owner["PASSWORD"],
    }  # fmt: skip
    with psycopg.connect(**link, autocommit=True) as setup:
        setup.execute(
            "CREATE TABLE IF NOT EXISTS bench_bare (LIKE patients_adverseevent INCLUDING ALL)"
        )
    insert = (
        "INSERT INTO bench_bare (id, subject_id, protocol_version_id, recorded_by_id, recorded_at,"
        " term, soc, grade, ctcae_version, started_on, ended_on, outcome, related, serious,"
        " seriousness, narrative, revision) VALUES"
        " (%s, %s, %s, %s, now(), %s, %s, %s, '4.0', %s, '', %s, %s, %s, '[]', '', 1)"
    )

    def work(number: int) -> None:
        with psycopg.connect(**link) as connection:
            for _ in range(ROWS // CLIENTS):
                connection.execute(
                    insert,
                    [
                        uuid.uuid4(), subject.pk, subject.protocol_version_id,
                        subject.recorded_by_id, BODY["term"], BODY["soc"], BODY["grade"],
                        BODY["started_on"], BODY["outcome"], BODY["related"], BODY["serious"],
                    ],
                )  # fmt: skip
                connection.commit()

    return rate(work, clients=CLIENTS, rows=ROWS)
