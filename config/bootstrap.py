"""Makes ``.venv`` in this checkout and installs the locked packages into it.

Run by ``make setup`` as ``python3 config/bootstrap.py [--dev]``. Standard library only, and in
syntax that Python 3.6 can read: an interpreter that is too old gets a sentence, not a traceback.
"""

import argparse
import collections.abc
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
RUNTIME_LOCK, DEV_LOCK = "requirements.lock", "requirements-dev.lock"
STAMP, UNFINISHED = ".vigil-stamp", ".vigil-unfinished"
SHOWN_LINES = 12

CAUSES = {
    "No space left on device": "The disk is full.",
    "DO NOT MATCH THE HASHES": (
        "A downloaded file is not the one in the lock: a proxy or mirror changed it, or the "
        "download broke off. It was not installed."
    ),
    "onnection": (
        "The package index was not reached. Check the network or proxy, then run it again; "
        "finished downloads are kept."
    ),
    "No matching distribution": (
        "A package has no build for this Python and system. Name another Python: "
        "make setup PYTHON=python3.12"
    ),
}


class SetupProblem(Exception):
    """Setting up failed; the message says what to do."""


def unsupported(version: "tuple[int, ...]", system: str = os.name) -> str:
    """Return one sentence on why this interpreter cannot run Vigil; empty when it can."""
    if system == "nt":
        return "Vigil runs on Linux and macOS; on Windows, use it inside WSL."
    if tuple(version[:2]) < OLDEST:
        return (
            f"Vigil needs Python {OLDEST[0]}.{OLDEST[1]} or newer and this is Python "
            f"{version[0]}.{version[1]}: install a newer one, or name it with "
            "make setup PYTHON=/path/to/python3"
        )
    return ""


def digests(root: Path, dev: bool) -> "dict[str, str]":
    """Return the SHA-256 of every lock to be installed; the development lock holds both."""
    names = (RUNTIME_LOCK, DEV_LOCK) if dev else (RUNTIME_LOCK,)
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise SetupProblem(f"{missing[0]} is missing from {root}: restore it with git checkout.")
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}


def read_stamp(root: Path) -> "dict[str, object]":
    try:
        found = json.loads((root / ".venv" / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def usable(root: Path, exactly: bool = False) -> bool:
    """Tell whether ``.venv`` was finished here and still runs; ``exactly``: with this Python."""
    venv, stamp = root / ".venv", read_stamp(root)
    python = stamp.get("python")
    if stamp.get("folder") != str(venv) or venv.is_symlink() or (venv / UNFINISHED).exists():
        return False
    if exactly and python != this_python():
        return False
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = [str(venv / "bin" / "python"), "-I", "-S", "-c", probe]
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.decode().strip() == python


def installed(root: Path, wanted: "dict[str, str]", exactly: bool = False) -> bool:
    """Tell whether ``.venv`` is usable and holds every wanted lock."""
    locks = read_stamp(root).get("locks")
    if not isinstance(locks, dict) or not wanted.items() <= locks.items():
        return False
    return usable(root, exactly)


def interpreter() -> str:
    """Return the Python to make ``.venv`` with: never one inside an environment."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    absent = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if absent:
        raise SetupProblem(
            f"Python {this_python()} at {base} has no `{absent[0]}` module. On Debian or Ubuntu: "
            f"sudo apt install python{this_python()}-venv. Or name another Python: "
            "make setup PYTHON=/path/to/python3"
        )
    return base


def clear(venv: Path) -> None:
    """Remove what stands where ``.venv`` goes, unless it is somebody's ordinary folder."""
    if venv.is_symlink() or venv.is_file():
        venv.unlink()
    elif venv.exists():
        ours = (venv / UNFINISHED).exists() or (venv / "pyvenv.cfg").exists()
        if not ours and any(venv.iterdir()):
            raise SetupProblem(f"{venv} is not a Python environment: move it away, then run again.")
        say("Replacing .venv: it is unfinished, broken, moved, or was not made by make setup")
        shutil.rmtree(venv)


def run(command: "list[str]", log: Path, failure: str) -> None:
    """Run a command into the log. Raises ``SetupProblem`` with the log's last lines."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")
    }
    environment["PIP_USER"] = "0"
    with log.open("a") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            close_fds=False,
        )
    if done.returncode:
        raise SetupProblem(explained(log, failure))


def explained(log: Path, failure: str) -> str:
    """Return the failure with its likely cause and the last lines of the log."""
    text = log.read_text(errors="replace")
    cause = next((meaning for sign, meaning in CAUSES.items() if sign in text), "")
    lines = "\n".join("    " + line for line in text.splitlines()[-SHOWN_LINES:])
    return f"{failure} {cause}\n{lines}\nThe whole log: {log}"


def make_environment(root: Path, log: Path) -> None:
    base = interpreter()
    clear(root / ".venv")
    say(f"Making .venv with Python {this_python()}")
    (root / ".venv").mkdir()
    (root / ".venv" / UNFINISHED).touch()
    run([base, "-I", "-m", "venv", str(root / ".venv")], log, "Python could not make .venv.")


def install(root: Path, lock: str, log: Path) -> None:
    """Install exactly what the lock names; every file is checked against its hash."""
    packages = sum(1 for line in (root / lock).open() if line[:1].isalnum())
    say(f"Installing {packages} packages; the first time takes a minute or two ...")
    pip = [str(root / ".venv" / "bin" / "python"), "-I", "-m", "pip", "install"]
    options = ["--require-hashes", "--no-deps", "--no-input", "--progress-bar", "off"]
    options += ["--disable-pip-version-check", "--requirement", str(root / lock)]
    run(pip + options, log, "The packages could not be installed.")


@contextlib.contextmanager
def alone(root: Path) -> "collections.abc.Iterator[None]":
    """Hold the set-up lock of this checkout; a second set-up waits and then finds it done.

    Commands run meanwhile hold it too, so that pip, left alone by a kill, is waited for.
    """
    import fcntl

    (root / ".vigil" / "logs").mkdir(parents=True, exist_ok=True)
    with (root / ".vigil" / "setup.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this checkout is running; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(root: Path, dev: bool, exactly: bool = False) -> None:
    """Bring ``.venv`` to the lock. Returns at once when it is there already."""
    wanted = digests(root, dev)
    if installed(root, wanted, exactly):
        return
    with alone(root):
        if installed(root, wanted, exactly):
            return
        started, log = time.monotonic(), root / ".vigil" / "logs" / "setup.log"
        log.write_text("")
        if usable(root, exactly):
            python = str(read_stamp(root)["python"])
        else:
            python = this_python()
            make_environment(root, log)
        (root / ".venv" / UNFINISHED).touch()
        install(root, DEV_LOCK if dev else RUNTIME_LOCK, log)
        write_stamp(root, python, wanted)
        say(f"Set up in {time.monotonic() - started:.0f} s")


def write_stamp(root: Path, python: str, locks: "dict[str, str]") -> None:
    """Declare ``.venv`` finished."""
    stamp = {"python": python, "folder": str(root / ".venv"), "locks": locks}
    (root / ".venv" / STAMP).write_text(json.dumps(stamp))
    (root / ".venv" / UNFINISHED).unlink()


def say(line: str) -> None:
    print(line, flush=True)


def main(arguments: "list[str]") -> int:
    refusal = unsupported(sys.version_info[:2])
    if refusal:
        print(refusal, file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(description="Make .venv and install the locked packages.")
    parser.add_argument("--dev", action="store_true", help="with the tools for tests and checks")
    parser.add_argument("--this-python", action="store_true", help="replace one of another Python")
    options = parser.parse_args(arguments)
    try:
        set_up(ROOT, options.dev, options.this_python)
    except KeyboardInterrupt:
        print("Stopped. Run it again to go on.", file=sys.stderr)
        return 130
    except SetupProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Setting up failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
