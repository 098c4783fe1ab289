"""What the second wall costs: the same requests with the policies on and off, turn by turn.

One process, one client, the whole stack from the middleware to PostgreSQL, in a trial with a few
thousand subjects. Off means that the owner has switched row-level security off on every table.
"""

import json
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from django.db import connections
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application

from bench.adverse_events import BODY, prepare
from config.row_security import policies
from dosing.models import Dispensation
from patients.models import AdverseEvent, Subject
from reporting.cuts import take_cut
from trials.identity import Proof
from trials.models import Trial, User
from trials.services.clients import give_client


SUBJECTS = 1500
EVENTS_EACH = 10
ROUNDS = 3
TIMES = 20
SECONDS = 2.0
CONTEXT = json.dumps({"actor": "bench", "role": "bench", "request_id": "", "reason": ""})


def measure(home: Path, *, out: TextIO) -> None:
    """Print the time of each request with and without policies, and the ratio of the two."""
    (home / ".vigil" / "logs").mkdir(parents=True)
    subjects, _, code = prepare(home)
    _fill(subjects[0])
    acts = _acts(subjects[0], code)
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            turns[name].append((_timed(act, walls=True), _timed(act, walls=False)))
    _switch(on=True)
    out.write(
        f"Row-level security, {Subject.objects.count()} subjects,"
        f" {AdverseEvent.objects.count()} adverse events, {ROUNDS} turns each\n"
    )
    for name, rates in turns.items():
        with_, without = (statistics.median(times) * 1000 for times in zip(*rates, strict=True))
        ratio = statistics.median(on / off for on, off in rates)
        out.write(
            f"  {name:34} {with_:8.2f} ms with, {without:8.2f} ms without, ratio {ratio:5.2f}\n"
        )


def _acts(subject: Subject, code: str) -> dict[str, Callable[[], None]]:
    now, trial = timezone.now(), Trial.objects.get()
    system = User.objects.get(username=f"system-{trial.code}-{code}")
    monitor = User.objects.get(username="monitor")
    give_client(
        trial=trial, user=monitor, name="bench", scopes=["read"],
        expires_on=now.date() + timedelta(1), proof=Proof(monitor.pk), by=monitor, at=now,
    )  # fmt: skip
    browser, records = Client(), f"/api/v1/subjects/{subject.pk}/adverse-events"
    browser.force_login(monitor)
    site, trial_wide = _caller(system), _caller(monitor)

    def record() -> None:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answer = site.post(records, BODY, content_type="application/json", headers=key)
        assert answer.status_code == 201, answer.content

    def reads(client: Client, path: str) -> Callable[[], None]:
        def read() -> None:
            answer = client.get(path)
            assert answer.status_code == 200, answer.content[:500]

        return read

    def cut() -> None:
        found = take_cut(trial=trial, cutoff_on=now.date(), now=timezone.now())
        for model in (Subject, AdverseEvent, Dispensation):
            found.records(model)

    return {
        "record an adverse event": record,
        "read a subject's adverse events": reads(site, records),
        "list a site's subjects": reads(site, "/api/v1/subjects"),
        "list all sites' subjects": reads(trial_wide, "/api/v1/subjects"),
        "the admin's page of subjects": reads(browser, "/admin/patients/subject/"),
        "the admin's page of events": reads(browser, "/admin/events/outboxevent/"),
        "the admin's overview": reads(browser, "/admin/"),
        "a data cut": cut,
    }


def _caller(user: User) -> Client:
    token = str(uuid.uuid4())
    AccessToken.objects.create(
        user=user,
        application=Application.objects.filter(user=user).first(),
        token=token,
        expires=timezone.now() + timedelta(hours=1),
        scope="read submit",
    )
    return Client(headers={"Authorization": f"Bearer {token}"})


def _fill(model_subject: Subject) -> None:
    """Copy one subject over all sites, each with adverse events, as the triggers keep them."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_metadata', %s, false)", [CONTEXT])
        cursor.execute(
            """
            INSERT INTO patients_subject (id, trial_id, site_id, number, year_of_birth, sex,
                   screened_on, protocol_version_id, recorded_by_id, recorded_at, revision)
            SELECT gen_random_uuid(), s.trial_id, p.id, p.code || '-B' || n, s.year_of_birth,
                   s.sex, s.screened_on, s.protocol_version_id, s.recorded_by_id, s.recorded_at,
                   s.revision
              FROM patients_subject s, generate_series(1, %s) n,
                   LATERAL (SELECT id, code FROM trials_site
                             ORDER BY code OFFSET n %% (SELECT count(*) FROM trials_site)
                             LIMIT 1) p
             WHERE s.id = %s
            """,
            [SUBJECTS, model_subject.pk],
        )
        cursor.execute(
            """
            INSERT INTO patients_adverseevent (id, subject_id, protocol_version_id,
                   recorded_by_id, recorded_at, term, soc, grade, ctcae_version, started_on,
                   ended_on, outcome, related, serious, seriousness, narrative, revision)
            SELECT gen_random_uuid(), s.id, s.protocol_version_id, s.recorded_by_id, now(),
                   'Rash', 'Skin', 2, '4.0', '2014-03', '', 'recovering', true, false, '[]', '', 1
              FROM patients_subject s, generate_series(1, %s)
            """,
            [EVENTS_EACH],
        )
        cursor.execute("SELECT set_config('pghistory.context_metadata', '', false)")
        cursor.execute("ANALYZE")


def _timed(act: Callable[[], None], *, walls: bool) -> float:
    """Return the seconds one act takes, on the mean of several after a first one unmeasured."""
    _switch(on=walls)
    act()
    began = time.perf_counter()
    done = 0
    while done < TIMES and time.perf_counter() - began < SECONDS:
        act()
        done += 1
    return (time.perf_counter() - began) / done


def _switch(*, on: bool) -> None:
    what = "ENABLE" if on else "DISABLE"
    with connections["owner"].cursor() as cursor:
        for policy in policies():
            cursor.execute(f'ALTER TABLE "{policy.table}" {what} ROW LEVEL SECURITY')
