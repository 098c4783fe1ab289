"""A whole site on real servers for one test: its own home, database or servers, and processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import psycopg
from django.conf import settings
from django.utils import timezone

from config.demo import site, study
from config.demo.plan import plan_for
from config.demo.replay import Replayed, run
from config.demo.steps import Plan
from config.processes import ProcessGroup
from trials.rules.protocol import load_protocol


ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "protocols/cllm1.toml").read_text()
DATA = (ROOT / "protocols/data/cllm1_synth.csv").read_text()
VALKEY_DATABASE = 7  # beside the one a developer's own site uses


def plan_of(data: str = DATA, *, subjects: int) -> Plan:
    return plan_for(load_protocol(PROTOCOL), data).truncated(subjects)


@contextmanager
def live_site(home: Path) -> Iterator[tuple[ProcessGroup, str]]:
    """Web, worker and beat on this test's database; yields their group and the web address."""
    env = {
        "VIGIL_HOME": str(home),
        "VIGIL_SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": owner_url(),
        "REDIS_URL": f"{settings.REDIS_URL.rpartition('/')[0]}/{VALKEY_DATABASE}",
    }
    (home / ".vigil" / "logs").mkdir(parents=True)
    logs = home / ".vigil" / "logs"
    with ProcessGroup(home) as group:
        address = site.start_web(group, port=site.free_port(0), logs=logs, env=env)
        site.start_worker(group, logs=logs, env=env)
        site.start_beat(group, logs=logs, env=env)
        yield group, address


def owner_url() -> str:
    owner = settings.DATABASES["owner"]
    log_in = f"{owner['USER']}:{quote(owner['PASSWORD'])}"
    return f"postgres://{log_in}@{owner['HOST']}:{owner['PORT']}/{owner['NAME']}"


def set_up(plan: Plan, home: Path) -> study.Keys:
    return study.set_up(
        plan,
        protocol_text=PROTOCOL,
        digest=study.input_digest(PROTOCOL),
        keys_path=home / ".vigil" / "demo.json",
        at=timezone.now(),
    )


def replay(plan: Plan, address: str, keys: study.Keys) -> Replayed:
    return run(
        plan,
        base_url=address,
        credentials={place.code: keys.credentials(place.code) for place in plan.sites},
        statisticians=(keys.credentials("statistician"), keys.credentials("second-statistician")),
        supplier=keys.credentials("supplier"),
        progress=StringIO(),
    )


def manage(*arguments: str, home: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "VIGIL_HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def count(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        return int(connection.execute(query).fetchone()[0])


def report_at(path: Path) -> dict:
    return json.loads(path.read_text())
