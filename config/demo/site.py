"""The running site: web, worker and beat, as an operator would start them."""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from config.processes import ProcessGroup


WEB_THREADS = 8
WORKER_PROCESSES = 2


def free_port(preferred: int) -> int:
    """Return the preferred port, or another one when it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free on this machine")


def start_web(
    group: ProcessGroup, *, port: int, logs: Path, env: Mapping[str, str] | None = None
) -> str:
    """Start the web server; return its address once it is ready."""
    address = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    argv += ["--workers", str(max(2, os.cpu_count() or 2)), "--threads", str(WEB_THREADS)]
    argv += ["--worker-class", "gthread", "--log-level", "warning", "--keep-alive", "30"]
    argv += ["--graceful-timeout", "5", "--no-control-socket"]
    group.start(
        "web",
        argv,
        env=_env(env),
        log_path=logs / "web.log",
        ready=lambda: answers(f"{address}/readyz"),
    )
    return address


def start_worker(group: ProcessGroup, *, logs: Path, env: Mapping[str, str] | None = None) -> None:
    """Start the Celery worker; it is ready when it says so in its log."""
    argv = [sys.executable, "-m", "celery", "-A", "config", "worker", "--loglevel", "info"]
    argv += ["--concurrency", str(WORKER_PROCESSES), "--without-gossip", "--without-mingle"]
    log = logs / "worker.log"
    group.start("worker", argv, env=_env(env), log_path=log, ready=says(log, " ready."))


def start_beat(group: ProcessGroup, *, logs: Path, env: Mapping[str, str] | None = None) -> None:
    """Start the scheduler, whose schedule is in the database."""
    argv = [sys.executable, "-m", "celery", "-A", "config", "beat", "--loglevel", "info"]
    argv += ["--max-interval", "1", "--pidfile", ""]
    log = logs / "beat.log"
    group.start("beat", argv, env=_env(env), log_path=log, ready=says(log, "beat: Starting"))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def says(log: Path, words: str) -> Callable[[], bool]:
    """Return a check that a log, from where it ends now, has come to hold some words."""
    before = log.stat().st_size if log.exists() else 0

    def said() -> bool:
        if not log.exists():
            return False
        size = log.stat().st_size
        with log.open("rb") as file:
            file.seek(before if size >= before else 0)
            return words.encode() in file.read()

    return said


def wait_until(true: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for a condition. Raises ``TimeoutError`` naming what did not come about."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {seconds:.0f} s: see the logs in .vigil/logs")
        time.sleep(0.1)


def _env(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", **(more or {})}
