import pytest
from django.core.management import CommandError, call_command

from tests.factories import PROTOCOL


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
