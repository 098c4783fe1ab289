"""Setting up ``.venv``: who is refused, what is made anew and what is left alone."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from config import bootstrap


def with_locks(root):
    (root / "requirements.lock").write_text("one==1\n")
    (root / "requirements-dev.lock").write_text("one==1\ntwo==2\n")
    return root


def with_environment(root, *, dev=False):
    """Make an empty environment and stamp it as a finished set-up does."""
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    stamp = {
        "python": bootstrap.this_python(),
        "folder": str(venv),
        "locks": bootstrap.digests(root, dev),
    }
    (venv / bootstrap.STAMP).write_text(json.dumps(stamp))
    return root


@pytest.fixture
def finished(tmp_path):
    return with_environment(with_locks(tmp_path))


def is_installed(root, *, dev=False):
    return bootstrap.installed(root, bootstrap.digests(root, dev))


def test_the_last_old_python_is_refused_and_the_first_new_one_is_not():
    assert "3.11 or newer and this is Python 3.10" in bootstrap.unsupported((3, 10, 99))
    assert bootstrap.unsupported((3, 11, 0)) == ""


def test_a_refusal_is_one_sentence_that_names_the_way_out():
    sentence = bootstrap.unsupported((3, 6, 15))

    assert sentence.count("\n") == 0
    assert "make setup PYTHON=" in sentence


def test_windows_is_told_of_wsl():
    assert "WSL" in bootstrap.unsupported((3, 13, 0), "nt")


def test_an_old_python_can_read_the_file_that_refuses_it():
    source = Path(bootstrap.__file__).read_text()

    ast.parse(source, feature_version=(3, 6))


def test_a_finished_set_up_has_nothing_to_do(finished, capsys):
    bootstrap.set_up(finished, dev=False)

    assert capsys.readouterr().out == ""


def test_a_changed_lock_is_installed_again_into_the_same_environment(finished):
    (finished / "requirements.lock").write_text("one==2\n")

    assert not is_installed(finished)
    assert bootstrap.usable(finished)


def test_the_development_lock_serves_running_but_not_the_other_way_round(finished):
    assert is_installed(finished)
    assert not is_installed(finished, dev=True)

    with_environment(finished, dev=True)

    assert is_installed(finished)
    assert is_installed(finished, dev=True)


def test_a_set_up_that_broke_off_is_not_taken_for_finished(finished):
    (finished / ".venv" / bootstrap.UNFINISHED).touch()

    assert not is_installed(finished)
    assert not bootstrap.usable(finished)


def test_an_environment_whose_python_is_gone_is_not_usable(finished):
    for python in (finished / ".venv" / "bin").glob("python*"):
        python.unlink()

    assert not bootstrap.usable(finished)


def test_an_environment_of_another_python_serves_until_one_is_named(finished, monkeypatch):
    monkeypatch.setattr(bootstrap, "this_python", lambda: "3.99")

    assert bootstrap.usable(finished)
    assert not bootstrap.usable(finished, exactly=True)


def test_an_environment_that_runs_another_python_than_it_was_made_with_is_not_usable(finished):
    stamp = finished / ".venv" / bootstrap.STAMP
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "python": "3.99"}))

    assert not bootstrap.usable(finished)


def test_a_moved_checkout_is_set_up_again(finished):
    moved = finished.rename(finished.with_name("moved"))

    assert not is_installed(moved)


def test_a_damaged_stamp_is_no_stamp(finished):
    (finished / ".venv" / bootstrap.STAMP).write_text('{"python"')

    assert not is_installed(finished)


def test_clearing_removes_an_environment_but_no_folder_of_another_kind(finished, tmp_path):
    venv = finished / ".venv"

    bootstrap.clear(venv)
    assert not venv.exists()

    venv.mkdir()
    (venv / "notes.txt").write_text("mine")
    with pytest.raises(bootstrap.SetupProblem, match="move it away"):
        bootstrap.clear(venv)
    assert (venv / "notes.txt").read_text() == "mine"


def test_clearing_a_link_leaves_what_it_points_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pyvenv.cfg").touch()
    (tmp_path / ".venv").symlink_to(elsewhere)

    bootstrap.clear(tmp_path / ".venv")

    assert not (tmp_path / ".venv").exists()
    assert (elsewhere / "pyvenv.cfg").exists()


def test_a_python_without_ensurepip_is_told_which_package_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    with pytest.raises(bootstrap.SetupProblem) as problem:
        bootstrap.interpreter()

    assert f"apt install python{bootstrap.this_python()}-venv" in str(problem.value)


def test_a_failure_shows_its_cause_and_the_end_of_the_log(tmp_path):
    log = tmp_path / "setup.log"
    log.write_text("".join(f"line {n}\n" for n in range(40)))
    with log.open("a") as lines:
        lines.write("Failed to establish a new connection\nERROR: No matching distribution\n")

    message = bootstrap.explained(log, "It failed.")

    assert message.startswith("It failed. The package index was not reached.")
    assert "line 39" in message
    assert "line 1\n" not in message
    assert str(log) in message


def test_a_missing_lock_is_named(tmp_path):
    with pytest.raises(bootstrap.SetupProblem, match=r"requirements\.lock is missing"):
        bootstrap.digests(tmp_path, dev=False)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_one_version_hashes_and_no_address(lock):
    text = (bootstrap.ROOT / lock).read_text()
    entries = text.replace("\\\n", " ").splitlines()
    names = [entry.split("==")[0] for entry in entries]

    assert all("--hash=sha256:" in entry for entry in entries)
    assert len(names) == len(set(names))
    assert "://" not in text
    assert "index" not in text.replace("index-", "")


def test_the_development_lock_holds_every_version_of_the_runtime_lock():
    runtime = (bootstrap.ROOT / "requirements.lock").read_text().splitlines()
    dev = (bootstrap.ROOT / "requirements-dev.lock").read_text().splitlines()

    pins = [line for line in runtime if "==" in line]

    assert set(pins) <= set(dev)
