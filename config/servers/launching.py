"""Starting servers that outlive this command, as a user who is not root, and ending them."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from config.processes import command_of, last_lines
from config.servers.state import HOST, Place, ServerProblem


STOP_SECONDS = 30.0
POLL_SECONDS = 0.02
LOG_BYTES = 5_000_000
SERVER_USERS = ("postgres", "nobody")


# --- The user the servers run as ----------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """The unprivileged user that root starts the servers as."""

    uid: int
    gid: int
    passes_permissions: bool = False

    def wrapped(self, argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Return the command and the ``subprocess`` options that run it as this user."""
        if not self.passes_permissions:
            return list(argv), {"user": self.uid, "group": self.gid, "extra_groups": []}
        script = Path(__file__).with_name("unprivileged.py")
        return [sys.executable, "-I", str(script), str(self.uid), str(self.gid), *argv], {}


def account_for(place: Place, programs: Sequence[Path]) -> Account | None:
    """Return the user to start these programs as: None for an ordinary user, who is just that."""
    owner = place.data.stat().st_uid if place.data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise PermissionError(13, "belongs to another user", str(place.data))
        return None
    user = _user(owner)
    plain = Account(user.pw_uid, user.pw_gid)
    for folder in (place.postgres, place.valkey):
        own_folder(folder, plain)
    if _reaches(plain, place, programs):
        return plain
    passing = replace(plain, passes_permissions=True)
    if sys.platform == "linux" and _reaches(passing, place, programs):
        return passing
    raise ServerProblem(
        f"PostgreSQL does not run as root, and the user {user.pw_name} may not enter "
        f"{place.state} or run {programs[0]}. Use a checkout outside root's home, or an "
        "ordinary user, or point DATABASE_URL and REDIS_URL at servers of yours."
    )


def _user(owner: int | None) -> pwd.struct_passwd:
    """Return the data's owner, or an unprivileged user that this system has."""
    for candidate in (owner, *SERVER_USERS):
        with contextlib.suppress(KeyError):
            if isinstance(candidate, int) and candidate != 0:
                return pwd.getpwuid(candidate)
            if isinstance(candidate, str):
                return pwd.getpwnam(candidate)
    raise ServerProblem(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it "
        "as. Run make as an ordinary user."
    )


def _reaches(account: Account, place: Place, programs: Sequence[Path]) -> bool:
    """Tell whether the user can run every program and write into the servers' folders."""
    writable = '[ -w "$1" ] && [ -w "$2" ] && shift 2'
    runnable = 'for file; do [ -x "$file" ] && [ -r "$file" ] || exit; done'
    paths = map(str, (place.postgres, place.valkey, *programs))
    argv, options = account.wrapped(["/bin/sh", "-c", f"{writable} && {runnable}", "sh", *paths])
    try:
        done = subprocess.run(  # noqa: S603
            argv, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, **options
        )
    except (PermissionError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def own_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None and folder.stat().st_uid != account.uid:
        os.chown(folder, account.uid, account.gid)


# --- Starting and stopping processes --------------------------------------------------------------


def launch(argv: Sequence[str], *, folder: Path, log: Path, account: Account | None) -> int:
    """Start a server in its own session and return its id, which also stands in ``folder/pid``.

    A shell starts it in the background and ends, so that it is nobody's child: it outlives this
    process and leaves no zombie behind.
    """
    shell = 'umask 077; "$@" </dev/null & echo $! >"$0"'
    pid_file = folder / "pid"
    command = ["/bin/sh", "-c", shell, str(pid_file), *argv]
    if run(command, folder=folder, log=log, account=account):
        raise ServerProblem(f"{argv[0]} could not be started:\n{last_lines(log)}")
    return pid_in(pid_file)


def run(argv: Sequence[str], *, folder: Path, log: Path, account: Account | None) -> int:
    """Run a command in its own session, its words into the log, and return its status."""
    command, options = account.wrapped(argv) if account else (list(argv), {})
    with _opened(log) as output:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=folder,
            env=_clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=False,
            **options,
        )
    return done.returncode


def _opened(log: Path) -> IO[bytes]:
    """Open a log for appending, private to its owner; a long one is put aside first."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    return open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _clean_environment() -> dict[str, str]:
    """Return this environment without PostgreSQL's own variables and with plain messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "LANG": "C"}


def pid_in(path: Path) -> int:
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return 0


def serves(pid: int, opening: str, folder: Path) -> bool:
    """Tell whether the process is this program on this folder, not another with a reused id."""
    command = command_of(pid) if pid else ""
    if opening not in command:
        return False
    return f"{opening}{folder}" in command or works_in(pid, folder) is True


def works_in(pid: int, folder: Path) -> bool | None:
    """Tell whether it is the process's working folder, under any name; None when unknowable."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", folder)
    except OSError:
        return None


def end(pid: int, name: str, signals: Sequence[signal.Signals]) -> bool:
    """End a server by the first signal it obeys; return False when there is none."""
    if not pid:
        return False
    command = command_of(pid)
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if within(STOP_SECONDS, lambda: command_of(pid) != command):
            return True
    raise ServerProblem(f"{name} (process {pid}) does not end; look at it with: ps -p {pid}")


def within(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def free_port(preferred: int) -> int:
    """Return the preferred port, or the next free one, or any."""
    for port in (*range(preferred, preferred + 20), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, OverflowError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise ServerProblem(f"No free port on {HOST}")
