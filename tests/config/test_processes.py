"""Programs run side by side: ready, restarted, ended, and found again after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config import processes
from config.processes import ProcessGroup, ProcessProblem, command_of


pytestmark = pytest.mark.servers

CHECKOUT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
WITH_CHILD = ["/bin/sh", "-c", "sleep 61 & echo $!; wait"]
STUBBORN = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
RUNNER = """
import sys, time
from pathlib import Path
from config.processes import ProcessGroup
root = Path(sys.argv[1])
with ProcessGroup(root) as group:
    print(group.start("sleep", sys.argv[2:], log_path=root / "sleep.log"), flush=True)
    time.sleep(60)
"""


def runner(root):
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(root), *SLEEP],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_until(true, seconds=10):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "program.log"


def says(log, text):
    return lambda: log.exists() and text in log.read_text()


def test_a_program_is_started_when_it_is_ready_and_ended_with_the_context(tmp_path, log):
    argv = ["/bin/sh", "-c", "sleep 0.2; echo here I am; sleep 60"]

    with ProcessGroup(tmp_path) as group:
        pid = group.start("one", argv, log_path=log, ready=says(log, "here I am"))
        assert group.pid("one") == pid
        assert group.alive("one")

    assert command_of(pid) == ""


def test_what_a_program_started_ends_with_it(tmp_path, log):
    with ProcessGroup(tmp_path) as group:
        group.start("one", WITH_CHILD, log_path=log, ready=lambda: bool(log.read_text()))
        child = int(log.read_text())
        assert wait_until(lambda: command_of(child) == "sleep 61")

    assert wait_until(lambda: command_of(child) == "")


def test_a_program_that_ends_before_it_is_ready_shows_its_last_words(tmp_path, log):
    argv = ["/bin/sh", "-c", "echo no such table; exit 3"]

    with ProcessGroup(tmp_path) as group, pytest.raises(ProcessProblem) as problem:
        group.start("one", argv, log_path=log, ready=lambda: False)

    assert "one ended (status 3)" in str(problem.value)
    assert "no such table" in str(problem.value)


def test_a_program_that_is_never_ready_is_ended_and_named(tmp_path, log):
    with ProcessGroup(tmp_path) as group:
        with pytest.raises(ProcessProblem, match=r"was not ready in 0 s"):
            group.start("one", SLEEP, log_path=log, ready=lambda: False, timeout_seconds=0.2)

        assert group.ended() == []


def test_a_program_that_does_not_exist_is_a_problem_and_no_traceback(tmp_path, log):
    with ProcessGroup(tmp_path) as group, pytest.raises(ProcessProblem, match="one could not be"):
        group.start("one", ["/no/such/program"], log_path=log)


def test_a_killed_program_is_noticed_and_started_again_the_same_way(tmp_path, log):
    with ProcessGroup(tmp_path) as group:
        before = group.start("one", WITH_CHILD, log_path=log, ready=lambda: bool(log.read_text()))
        child = int(log.read_text())

        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: group.ended() == ["one"])
        after = group.restart("one")

        assert after == group.pid("one") != before
        assert group.alive("one")
        assert wait_until(lambda: command_of(child) == "")


def test_a_program_that_ignores_the_request_is_killed(tmp_path, log):
    with ProcessGroup(tmp_path) as group:
        pid = group.start("one", STUBBORN, log_path=log, ready=says(log, "ready"))
        group.stop_all(patience_seconds=0.3)

    assert command_of(pid) == ""


def test_variables_are_added_to_those_of_the_command(tmp_path, log, monkeypatch):
    monkeypatch.setenv("FROM_OUTSIDE", "kept")
    argv = ["/bin/sh", "-c", "echo $FROM_OUTSIDE $ADDED; sleep 60"]

    with ProcessGroup(tmp_path) as group:
        group.start("one", argv, log_path=log, env={"ADDED": "too"}, ready=says(log, "kept too"))


def test_a_second_command_in_the_same_checkout_is_refused(tmp_path):
    with (
        ProcessGroup(tmp_path),
        pytest.raises(ProcessProblem, match="already running"),
        ProcessGroup(tmp_path),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_ends_its_programs(tmp_path, number):
    with runner(tmp_path) as command:
        pid = int(command.stdout.readline())
        command.send_signal(number)
        command.wait(timeout=15)

    assert command_of(pid) == ""


def test_what_a_killed_command_left_behind_is_ended_by_the_next(tmp_path):
    with runner(tmp_path) as command:
        pid = int(command.stdout.readline())
        command.kill()
    assert command_of(pid) != ""

    with ProcessGroup(tmp_path) as group:
        assert group.ended_leftovers == ["sleep"]

    assert wait_until(lambda: command_of(pid) == "")


def test_an_id_that_another_program_was_given_since_is_left_alone(tmp_path):
    stranger = subprocess.Popen(["sleep", "62"], start_new_session=True)
    record = [{"name": "one", "pid": stranger.pid, "command": "python web.py"}]
    (tmp_path / ".vigil").mkdir()
    (tmp_path / ".vigil" / "processes.json").write_text(json.dumps(record))

    left = processes.end_leftovers(tmp_path)
    untouched = stranger.poll() is None
    stranger.kill()
    stranger.wait()

    assert left == []
    assert untouched
