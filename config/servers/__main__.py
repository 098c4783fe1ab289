"""``python -m config.servers``: what the Makefile asks of the servers.

``during COMMAND ...`` runs a command with the servers up, ``reset`` deletes all local data.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from config import servers
from config.processes import ProcessProblem, end_leftovers


ROOT = Path(__file__).resolve().parents[2]
USAGE = "usage: python -m config.servers reset | during COMMAND [ARGUMENT ...]\n"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    try:
        match list(arguments):
            case ["reset"]:
                end_leftovers(root)
                servers.reset(root)
                return 0
            case ["during", *command] if command:
                with _up(root):
                    return _run(command)
            case _:
                sys.stderr.write(USAGE)
                return 2
    except (ProcessProblem, servers.ServerProblem) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


@contextlib.contextmanager
def _up(root: Path) -> Iterator[None]:
    """Have the servers running; stop them at the end if they were started here and are unused."""
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        yield  # servers of one's own
        return
    (root / ".vigil").mkdir(exist_ok=True)
    with (root / ".vigil" / "servers.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        ran_before = servers.running(root) is not None
        servers.start(root)
        try:
            yield
        finally:
            if not ran_before and _only_user(users.fileno()):
                servers.stop(root)


def _only_user(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(command: Sequence[str]) -> int:
    """Run a command and return its status; Ctrl-C is the command's to answer."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.run(command, check=False).returncode  # noqa: S603  # the Makefile's own
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error}\n")
        return 127
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
