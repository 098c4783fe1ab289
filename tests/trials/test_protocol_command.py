from hashlib import sha256

import pytest
from django.core.management import CommandError, call_command

from tests.factories import PROTOCOL, user
from tests.marks import on_postgres
from tests.postgres import contents
from trials.models import Trial, User
from trials.permissions import Role


def test_every_problem_is_named_with_its_line_key_and_rule(tmp_path, capsys):
    path = tmp_path / "broken.toml"
    path.write_text(PROTOCOL.replace("ratio = 2", "ratio = 0").replace('phase = "3"', "phase = 3"))

    with pytest.raises(CommandError, match="2 problems"):
        call_command("protocol", "check", str(path))

    lines = capsys.readouterr().out.splitlines()
    ratio_line = PROTOCOL.splitlines().index("ratio = 2") + 1
    assert [line for line in lines if f":{ratio_line}: arms" in line and "ratio" in line]
    assert [line for line in lines if "trial.phase" in line]


def test_a_good_file_is_described(tmp_path, capsys):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)

    call_command("protocol", "check", str(path))

    assert "CLLM1 1.0, Lenalidomide (2), Placebo (1), 2 strata" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_said_in_one_sentence(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("protocol", "check", str(tmp_path / "none.toml"))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path, capsys, ends):
    path = tmp_path / "good.toml"
    path.write_bytes(PROTOCOL.replace("\n", ends).encode())

    call_command("protocol", "check", str(path))

    assert f"sha256 {sha256(path.read_bytes()).hexdigest()}." in capsys.readouterr().out


@on_postgres
def test_a_file_is_stored_with_its_ends_of_lines(tmp_path):
    path = tmp_path / "good.toml"
    path.write_bytes(PROTOCOL.replace("\n", "\r\n").encode())

    start(path, "a.first")

    stored = Trial.objects.get().current_version
    assert stored.text.encode() == path.read_bytes()
    assert stored.digest == sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "line", "rule"),
    [
        (b"\xef\xbb\xbf" + PROTOCOL.encode(), 1, "byte_order_mark"),
        (PROTOCOL.encode("utf-16"), 1, "not_utf8"),
        (b"# one\n# two\n# M\xfcnchen\n", 3, "not_utf8"),
        (b"# one\n# \xed\xa0\x80\n", 2, "not_utf8"),
    ],
    ids=["mark", "UTF-16", "Latin-1", "half a pair"],
)
def test_bytes_that_are_no_text_are_a_problem_with_a_line(tmp_path, capsys, content, line, rule):
    path = tmp_path / "bytes.toml"
    path.write_bytes(content)

    with pytest.raises(CommandError, match="1 problems"):
        call_command("protocol", "check", str(path))

    said = capsys.readouterr().out
    assert said.startswith(f"{path}:{line}: file: ")
    assert said.strip().endswith(f"[{rule}]")


def start(path, administrator, *, trained_on="2026-03-09", **options):
    call_command(
        "protocol", "start", str(path), administrator=administrator, trained_on=trained_on,
        document="Protocol", document_version="1.0", **options,
    )  # fmt: skip


@on_postgres
def test_a_trial_starts_from_its_file_with_an_administrator_who_can_log_in(tmp_path, capsys):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)

    start(path, "a.first")

    password = capsys.readouterr().out.split("shown once: ")[1].split()[0]
    found = User.objects.get(username="a.first")
    trial = Trial.objects.get()
    assert (trial.code, trial.conduct, trial.current_version.version) == ("CLLM1", "live", "1.0")
    assert found.check_password(password)
    assert found.must_change_password
    assert [held.role for held in found.role_assignments.all()] == [Role.SPONSOR_ADMINISTRATOR]
    assert [str(one.completed_on) for one in found.trainings.all()] == ["2026-03-09"]


@on_postgres
def test_somebody_with_a_log_in_keeps_their_password_and_administers_the_new_trial(
    tmp_path, capsys
):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)
    user("a.first", password="a word of their own")

    start(path, "a.first", replay=True)

    assert "shown once" not in capsys.readouterr().out
    assert User.objects.get().check_password("a word of their own")
    assert Trial.objects.get().conduct == "replay"


@on_postgres
@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (PROTOCOL.replace("ratio = 2", "ratio = 0"), "a.first", "1 problems"),
        (PROTOCOL, "no such name!", "Not done|not possible|nothing was stored"),
        (PROTOCOL, "machine", "no person who may log in"),
    ],
)
def test_a_trial_that_cannot_start_leaves_nothing(tmp_path, text, name, message):
    path = tmp_path / "file.toml"
    path.write_text(text)
    user("machine", is_machine=True)
    before = contents()

    with pytest.raises(CommandError, match=message):
        start(path, name)

    assert contents() == before


@on_postgres
@pytest.mark.parametrize(
    ("trained_on", "message"),
    [("2999-01-01", "nothing was stored"), ("soon", "soon")],
)
def test_nobody_administers_a_trial_without_a_training_that_was(tmp_path, trained_on, message):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)
    before = contents()

    with pytest.raises(CommandError, match=message):
        start(path, "a.first", trained_on=trained_on)
    with pytest.raises(CommandError, match="trained-on"):
        call_command("protocol", "start", str(path), "--administrator", "a.first")

    assert contents() == before


@on_postgres
def test_a_trial_starts_once(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)
    start(path, "a.first")
    before = contents()

    with pytest.raises(CommandError, match="nothing was stored"):
        start(path, "a.second")

    assert contents() == before
