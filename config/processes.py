"""Programs run side by side for as long as one command lasts: web, worker and beat of the demo.

Each leads its own process group, so that whatever it forks ends with it. Their numbers stand in
``.vigil/processes.json``: when the command itself is killed, the next one finds what it left.
Standard library only.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self


LINUX = sys.platform == "linux"  # elsewhere, `ps` is asked
CODE = Path(__file__).resolve().parent.parent  # programs find their modules and manage.py here
SHOWN_LINES = 15
POLL_SECONDS = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessProblem(Exception):
    """A program did not start, or another command runs the same ones; the message says which."""


# --- Looking at processes, on Linux and macOS --------------------------------------------------


def command_of(pid: int) -> str:
    """Return the command line of a living process, words joined by spaces; empty when it is gone.

    A zombie counts as gone.
    """
    if LINUX:
        return _command_on_linux(pid)
    shown = _ps("-ww", "-p", str(pid), "-o", "stat=,command=").strip()
    state, _, command = shown.partition(" ")
    return "" if state.startswith("Z") else command.strip()


def _command_on_linux(pid: int) -> str:
    """Read ``/proc``; a process in the middle of ``exec`` has no words for an instant."""
    for _ in range(20):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if words:
                return words.replace(b"\0", b" ").decode(errors="replace").strip()
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            return ""
        if rest.split()[0] in "ZX":
            return ""
        time.sleep(0.002)
    return name.partition("(")[2]  # a thread of the kernel


def group_members(group: int) -> list[int]:
    """Return the ids of all processes in a process group."""
    if LINUX:
        return [pid for pid, own in _groups_of_linux() if own == group]
    rows = (row.split() for row in _ps("-axo", "pid=,pgid=").splitlines())
    return [int(pid) for pid, own in rows if int(own) == group]


def _groups_of_linux() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(after_name[2])


def _ps(*options: str) -> str:
    shown = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return shown.stdout


def last_lines(log: Path, count: int = SHOWN_LINES) -> str:
    """Return the end of a log, indented, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (the log is empty)"


# --- What a killed command left behind ----------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """A program as ``processes.json`` remembers it; its id is also its group's."""

    name: str
    pid: int
    command: str


def end_leftovers(root: Path) -> list[str]:
    """End the programs of a command that was killed; return their names.

    A process group is touched only when a member still has the recorded command line, so an id
    that was given to another program since is left alone. Raises ``ProcessProblem`` while the
    command is still running.
    """
    with _only_runner(root):
        return _end_leftovers(root)


def _end_leftovers(root: Path) -> list[str]:
    left = [one for one in _recorded(root) if _still_there(one)]
    for one in left:
        _signal_group(one.pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while any(map(_still_there, left)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for one in left:
        if _still_there(one):
            _signal_group(one.pid, signal.SIGKILL)
    _record(root, [])
    return [one.name for one in left]


def _still_there(one: Recorded) -> bool:
    return any(command_of(pid) == one.command for pid in group_members(one.pid))


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _recorded(root: Path) -> list[Recorded]:
    try:
        rows = json.loads((root / ".vigil" / "processes.json").read_text())
        return [Recorded(str(row["name"]), int(row["pid"]), str(row["command"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _record(root: Path, programs: Sequence[Recorded]) -> None:
    path = root / ".vigil" / "processes.json"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([asdict(one) for one in programs]))
    draft.replace(path)


@contextlib.contextmanager
def _only_runner(root: Path) -> Iterator[None]:
    """Hold this checkout's runner lock; the kernel gives it back however the holder ends."""
    (root / ".vigil").mkdir(exist_ok=True)
    with (root / ".vigil" / "processes.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessProblem(
                "The demo of this checkout is already running: stop it first (Ctrl-C there)."
            ) from None
        yield


# --- Running programs ---------------------------------------------------------------------------


@dataclass
class _Program:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    log_path: Path
    ready: Callable[[], bool] | None
    timeout_seconds: float
    process: "subprocess.Popen[bytes]" = field(init=False)
    command: str = field(init=False, default="")

    @property
    def record(self) -> Recorded:
        return Recorded(self.name, self.process.pid, self.command)


def _remains(program: _Program) -> bool:
    """Tell whether a dead leader's group lives on. Its id is not given anew while that is so,
    hence a living process of that id is somebody else's."""
    members = group_members(program.process.pid)
    return bool(members) and program.process.pid not in members


class ProcessGroup:
    """A context in which programs run; leaving it, however, ends them all.

    Ctrl-C, SIGTERM and SIGHUP leave the context; a second one while programs are being ended
    kills the rest at once. Raises ``ProcessProblem`` when another one runs in this checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ended_leftovers: list[str] = []
        self._programs: dict[str, _Program] = {}
        self._context = contextlib.ExitStack()
        self._holding = False
        self._held: int | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as context:
            context.enter_context(_only_runner(self.root))
            self.ended_leftovers = _end_leftovers(self.root)
            if threading.current_thread() is threading.main_thread():
                for number in SIGNALS:
                    context.callback(signal.signal, number, signal.signal(number, self._leave))
            context.callback(self.stop_all)
            self._context = context.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        timeout_seconds: float = 60.0,
    ) -> int:
        """Start a program and return its id once ``ready()`` holds.

        ``env`` is added to this process's environment. Raises ``ProcessProblem`` with the log's
        last lines when the program ends first or is not ready in time; it is then ended.
        """
        if name in self._programs and self.alive(name):
            raise ProcessProblem(f"{name} is already running (process {self.pid(name)})")
        program = _Program(name, argv, env, log_path, ready, timeout_seconds)
        self._launch(program)
        self._await_ready(program)
        return program.process.pid

    def restart(self, name: str) -> int:
        """End what is left of a program, start it again the same way, and return its new id."""
        program = self._programs[name]
        with self._signals_held():
            self._end([program], patience_seconds=10)
        self._launch(program)
        self._await_ready(program)
        return program.process.pid

    def pid(self, name: str) -> int:
        return self._programs[name].process.pid

    def alive(self, name: str) -> bool:
        return self._programs[name].process.poll() is None

    def ended(self) -> list[str]:
        """Return the names of programs that ended by themselves."""
        return [name for name in self._programs if not self.alive(name)]

    def stop(self, name: str) -> None:
        """End one program and forget it."""
        with self._signals_held():
            self._end([self._programs.pop(name)], patience_seconds=10)
            self._write_down()

    def stop_all(self, patience_seconds: float = 10.0) -> None:
        """End all programs: SIGTERM to each leader, then SIGKILL to what is left of the groups."""
        with self._signals_held():
            self._end(list(self._programs.values()), patience_seconds=patience_seconds)
            self._programs.clear()
            self._write_down()

    def _launch(self, program: _Program) -> None:
        program.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._signals_held(), program.log_path.open("ab") as log:
            program.process = self._popen(program, log)
            program.command = command_of(program.process.pid)
            self._programs[program.name] = program
            self._write_down()

    def _popen(self, program: _Program, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(  # noqa: S603  # our own programs
                list(program.argv),
                cwd=CODE,
                env={**os.environ, **(program.env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessProblem(f"{program.name} could not be started: {error}") from error

    def _await_ready(self, program: _Program) -> None:
        deadline = time.monotonic() + program.timeout_seconds
        while program.ready is not None and not program.ready():
            if program.process.poll() is not None:
                self._give_up(program, f"ended (status {program.process.returncode})")
            if time.monotonic() > deadline:
                self._give_up(program, f"was not ready in {program.timeout_seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def _give_up(self, program: _Program, what: str) -> None:
        self.stop(program.name)
        raise ProcessProblem(
            f"{program.name} {what}. The end of {program.log_path}:\n{last_lines(program.log_path)}"
        )

    def _end(self, programs: Sequence[_Program], *, patience_seconds: float) -> None:
        groups = [one for one in programs if one.process.poll() is None or _remains(one)]
        for program in groups:
            program.process.terminate()
        deadline = time.monotonic() + patience_seconds
        while self._any_alive(groups) and time.monotonic() < deadline and self._held is None:
            time.sleep(POLL_SECONDS)
        for program in groups:
            _signal_group(program.process.pid, signal.SIGKILL)
            program.process.wait()

    @staticmethod
    def _any_alive(programs: Sequence[_Program]) -> bool:
        return any(program.process.poll() is None for program in programs)

    def _write_down(self) -> None:
        _record(self.root, [one.record for one in self._programs.values() if one.command])

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Leave the context by an exception, or note the signal while that would lose a program."""
        if self._holding:
            self._held = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    @contextlib.contextmanager
    def _signals_held(self) -> Iterator[None]:
        self._holding, self._held = True, None
        try:
            yield
        finally:
            self._deliver_held()

    def _deliver_held(self) -> None:
        self._holding = False
        if self._held is not None:
            self._leave(self._held, None)
