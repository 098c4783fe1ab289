"""PostgreSQL and Valkey from wheels, for one checkout: development, the demo and the tests.

Everything they write stands in ``.vigil``; they listen on this machine only, with passwords made
here and kept in ``.vigil/servers.json``. They outlive the command that starts them. Importing
this package needs nothing but the standard library.
"""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

from config.servers import launching, postgres, valkey
from config.servers.state import (
    DATABASE,
    OWNER,
    Place,
    ServerProblem,
    Servers,
    State,
    alone,
    explained,
    read_state,
    write_state,
)


__all__ = ["ServerProblem", "Servers", "reset", "running", "start", "stop"]


def start(root: Path) -> Servers:
    """Return both servers running, starting what does not. Raises ``ServerProblem``."""
    place = Place.of(root)
    with explained(place), alone(place):
        state = read_state(place) or State.fresh(place)
        programs = (*postgres.programs(), valkey.binary())
        account = launching.account_for(place, programs)
        state = postgres.start(place, state, account)
        postgres.ensure_database(place, state)
        state = valkey.start(place, state, account)
        write_state(place, state)
        return state.servers()


def stop(root: Path) -> bool:
    """Stop both servers, keeping their data; return whether one was running."""
    place = Place.of(root)
    if not place.state.is_dir():
        return False
    with explained(place), alone(place):
        stopped = [valkey.stop(place), postgres.stop(place)]
        if state := read_state(place):
            write_state(place, replace(state, postgres_pid=0, valkey_pid=0))
        return any(stopped)


def running(root: Path) -> Servers | None:
    """Return both servers if they run and answer; changes nothing."""
    place = Place.of(root)
    with explained(place):
        state, found, valkey_pid = read_state(place), postgres.postmaster(place), valkey.pid(place)
        if state is None or found is None or not valkey_pid:
            return None
        state = replace(
            state, postgres_port=found.port, postgres_pid=found.pid, valkey_pid=valkey_pid
        )
        if postgres.refusal(state, OWNER, DATABASE) or not valkey.answers(state):
            return None
        return state.servers()


def reset(root: Path) -> None:
    """Stop both servers and delete ``.vigil`` with all data."""
    stop(root)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(root / ".vigil")
