"""``manage.py demo``: the whole trial, on real servers, from one command."""

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config import servers
from config.demo import outcome, site, study
from config.demo.client import ApiRefused, Client, Unreachable
from config.demo.figures import compare, render
from config.demo.plan import plan_for
from config.demo.replay import PlanContradicted, run
from config.demo.steps import Plan
from config.processes import ProcessGroup, ProcessProblem, end_leftovers
from events.models import Delivery, OutboxEvent
from trials.models import Trial
from trials.rules.protocol import Protocol, load_protocol


PROTOCOL = settings.BASE_DIR / "protocols" / "cllm1.toml"
DATA = settings.BASE_DIR / "protocols" / "data" / "cllm1_synth.csv"
STATE: Path = settings.HOME / ".vigil"
STARTED_BY_A_DEMO: Path = STATE / "demo-started-servers"
PREFERRED_PORT = 8000
TROUBLE = (
    servers.ServerProblem,
    ProcessProblem,
    ApiRefused,
    Unreachable,
    PlanContradicted,
    study.OtherReplay,
    TimeoutError,
)

Result = TypeVar("Result")


class Command(BaseCommand):
    help = (
        "Replay the CLLM1 trial through the API on real servers and compare with its publication."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="replay, compare, stop, exit")
        parser.add_argument(
            "--subjects",
            type=int,
            help="replay only the first N randomised and a few others; nothing to compare then",
        )
        parser.add_argument("--data", type=Path, default=DATA, help="another file of this shape")
        parser.add_argument("--port", type=int, default=PREFERRED_PORT, help="the web server's")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with self._servers():
                end_leftovers(settings.HOME)
                with ProcessGroup(settings.HOME) as group:
                    met = self._show(group, options)
        except KeyboardInterrupt:
            self.stdout.write("\nStopped; the data stays for the next time.")
            return
        except TROUBLE as trouble:
            notes = "".join(f"\n({note})" for note in getattr(trouble, "__notes__", ()))
            raise CommandError(f"{trouble}{notes}") from trouble
        if not met:
            raise CommandError("At least one figure differs from the published one.")

    # --- The servers ------------------------------------------------------------------------

    @contextmanager
    def _servers(self) -> Iterator[None]:
        """Have PostgreSQL and Valkey running, and stop them at the end if they were started here.

        Settings are read when Python starts, so after starting the embedded servers the command
        begins anew, knowing where they are. Servers of one's own are used as they are.
        """
        if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
            self._step("Using the servers in DATABASE_URL and REDIS_URL")
            yield
            return
        were_running = servers.running(settings.HOME) is not None
        if not were_running:
            STATE.mkdir(parents=True, exist_ok=True)
            STARTED_BY_A_DEMO.touch()  # kept by a demo that is killed, for the next one to stop
        found = self._timed(
            "PostgreSQL and Valkey", lambda: servers.start(settings.HOME), quiet=were_running
        )
        if found.redis_url != settings.REDIS_URL or "owner" not in settings.DATABASES:
            self.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606
        try:
            yield
        finally:
            if STARTED_BY_A_DEMO.exists():
                servers.stop(settings.HOME)
                STARTED_BY_A_DEMO.unlink()

    # --- The story --------------------------------------------------------------------------

    def _show(self, group: ProcessGroup, options: Mapping[str, Any]) -> bool:
        """Run the trial and print what came of it; return whether every figure is met."""
        protocol_text, data = PROTOCOL.read_text(), options["data"].read_text()
        protocol = load_protocol(protocol_text)
        plan = _plan(protocol, data, subjects=options["subjects"])
        self._timed("Database", lambda: call_command("migrate", verbosity=0))
        keys = self._timed(
            "Sites, people and clients",
            lambda: study.set_up(
                plan,
                protocol_text=protocol_text,
                digest=study.input_digest(protocol_text, data, str(len(plan.subjects))),
                keys_path=STATE / "demo.json",
                at=timezone.now(),
            ),
        )
        address = self._start(group, preferred_port=options["port"])
        self._replay(plan, address, keys)
        self._timed(
            "Events numbered and delivered",
            lambda: site.wait_until(_all_delivered, seconds=120, what="Not every event arrived"),
        )
        met = self._figures(protocol, address, keys, whole=options["subjects"] is None)
        self._log_ins(protocol, address, keys)
        if not options["once"]:
            self._stay(group)
        return met

    def _start(self, group: ProcessGroup, *, preferred_port: int) -> str:
        """Start web, worker and beat; return the web server's address."""
        port, logs = site.free_port(preferred_port), STATE / "logs"
        if port != preferred_port:
            self._step(f"Port {preferred_port} is taken by another program: using {port}")
        address = self._timed("Web server", lambda: site.start_web(group, port=port, logs=logs))
        self._timed("Worker", lambda: site.start_worker(group, logs=logs))
        self._timed("Scheduler", lambda: site.start_beat(group, logs=logs))
        return address

    def _replay(self, plan: Plan, address: str, keys: study.Keys) -> None:
        if (STATE / "demo-replayed").exists() and _is_complete(plan):
            self._step("The trial is in the database already")
            return
        self._step(f"Replaying {plan.trial} through {address}/api/v1 as {len(plan.sites)} sites")
        done = run(
            plan,
            base_url=address,
            credentials={place.code: keys.credentials(place.code) for place in plan.sites},
            statisticians=(
                keys.credentials("statistician"),
                keys.credentials("second-statistician"),
            ),
            supplier=keys.credentials("supplier"),
            progress=sys.stdout,
        )
        (STATE / "demo-replayed").touch()
        self._step(
            f"{done.total:,} requests in {done.seconds:.0f} s, {done.per_second:.0f} a second"
        )

    def _figures(self, protocol: Protocol, address: str, keys: study.Keys, *, whole: bool) -> bool:
        """Print what the reports say beside the publication; return whether all of it agrees."""
        trial, cutoff = protocol.trial.code, protocol.analysis.data_cutoff.isoformat()
        folder = STATE / "reports"
        with (
            Client(address, *keys.credentials("statistician")) as statistician,
            Client(address, *keys.credentials("safety-officer")) as officer,
        ):
            report = self._timed(
                "Interim report by arm",
                lambda: outcome.report(
                    statistician,
                    trial=trial,
                    cutoff=cutoff,
                    as_known_at=timezone.now().isoformat(),
                    folder=folder,
                ),
            )
            accrual = statistician.get(f"/trials/{trial}/accrual")
            _bring_forward_the_summary()
            summary = self._timed(
                "Scheduled safety summary",
                lambda: outcome.first_summary(officer, trial=trial, seconds=90),
            )
            path = f"/trials/{trial}/safety-summaries/{summary['id']}"
            pooled = officer.get(path, **{"as": "json"})["content"]
            pdf = officer.download(path, **{"as": "pdf"})
            (folder / f"safety-{trial}-{summary['period_start']}.pdf").write_bytes(pdf)
        comparisons = compare(outcome.obtained(report, accrual) | outcome.pooled(pooled))
        if whole:
            self.stdout.write(f"\n{trial}, data cut {cutoff}: published and obtained\n\n")
            self.stdout.write(render(comparisons))
        else:
            self.stdout.write("\nA part of the trial has no published figures to compare with.")
        self.stdout.write(f"\nReport digest    {report['digest']}")
        self.stdout.write(f"Safety summary   {summary['period_start']} to {summary['period_end']}")
        self.stdout.write(f"Files            {folder}")
        return all(one.agrees for one in comparisons) or not whole

    def _log_ins(self, protocol: Protocol, address: str, keys: study.Keys) -> None:
        trial, cutoff = protocol.trial.code, protocol.analysis.data_cutoff
        self.stdout.write(
            f"\nWeb admin        {address}/admin/\n"
            f"Report by arm    {address}/reports/{trial}/pfs?cutoff={cutoff}\n"
            f"API and docs     {address}/api/docs/\n"
            f"Password of all  {keys.password}\n"
            f"Second factor    {second_factor(address)}\n"
        )
        for name, role, what in study.PEOPLE:
            self.stdout.write(f"  {name:<20} {role.label}: {what}")

    def _stay(self, group: ProcessGroup) -> None:
        self.stdout.write("\nRunning until Ctrl-C.")
        while not (ended := group.ended()):
            time.sleep(0.5)
        raise CommandError(f"{', '.join(ended)} ended by itself: see {STATE / 'logs'}")

    # --- Telling ----------------------------------------------------------------------------

    def _step(self, text: str) -> None:
        self.stdout.write(f"· {text}")
        self.stdout.flush()

    def _timed(self, name: str, work: Callable[[], Result], *, quiet: bool = False) -> Result:
        """Do a piece of work, naming it before and giving its time after."""
        began = time.monotonic()
        if not quiet:
            self.stdout.write(f"· {name} ... ", ending="")
            self.stdout.flush()
        result = work()
        if not quiet:
            self.stdout.write(f"ready in {time.monotonic() - began:.1f} s")
        return result


def second_factor(address: str) -> str:
    """Return whether a log-in here asks for a second factor, and how to have it otherwise."""
    by_name = address.replace("127.0.0.1", "localhost")  # a passkey is bound to a name
    if settings.VIGIL_MFA_REQUIRED:
        said = "on: the first log-in asks for an authenticator application or a passkey."
        turn = "Off again: make demo, without VIGIL_MFA_REQUIRED."
    else:
        said = "off, for the demo alone. In production everybody needs one."
        turn = "On: VIGIL_MFA_REQUIRED=true make demo. One's own: under Security, at any time."
    indent = " " * 17
    return f"{said}\n{indent}{turn}\n{indent}Passkeys work at {by_name}/admin/ only."


def _plan(protocol: Protocol, data: str, *, subjects: int | None) -> Plan:
    whole = plan_for(protocol, data)
    return whole if subjects is None else whole.truncated(subjects)


def _is_complete(plan: Plan) -> bool:
    """Return whether the database holds as many subjects as the plan screens."""
    trial = Trial.objects.get(code=plan.trial)
    return trial.subjects.count() == len(plan.subjects)


def _all_delivered() -> bool:
    return not (
        OutboxEvent.objects.filter(link=None).exists() or Delivery.objects.waiting().exists()
    )


def _bring_forward_the_summary() -> None:
    """Let the scheduler find the summary due now, instead of in up to an hour."""
    from django_celery_beat.models import PeriodicTask, PeriodicTasks

    task = PeriodicTask.objects.filter(name="write due safety summaries")
    task.update(last_run_at=timezone.now() - timedelta(days=1))
    PeriodicTasks.update_changed()
