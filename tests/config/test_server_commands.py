"""``manage.py up`` and ``down`` as the shell sees them."""

import os

import pytest
from django.core.management import get_commands

from config import servers
from tests.stories.live import manage


pytestmark = pytest.mark.servers

UNSET = {"DATABASE_URL": "", "REDIS_URL": ""}


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    servers.stop(tmp_path)


def test_up_says_where_the_servers_are_and_down_stops_them_once(home):
    up, found = manage("up", home=home, **UNSET), servers.running(home)
    down, again = manage("down", home=home, **UNSET), manage("down", home=home, **UNSET)

    assert (up.returncode, down.returncode, again.returncode) == (0, 0, 0), up.stderr + down.stderr
    assert up.stdout == (
        f"PostgreSQL  {found.postgres_host}:{found.postgres_port}, database {found.database}\n"
        f"Valkey      {found.postgres_host}:{found.valkey_port}\n"
        f"Passwords   {home / '.vigil' / 'servers.json'}\n"
        f"Logs        {home / '.vigil' / 'logs'}\n"
        "Stop them with `make down`; the data stays.\n"
    )
    assert down.stdout == "Stopped. The data stays.\n"
    assert again.stdout == "No server was running.\n"
    assert servers.running(home) is None


def test_up_says_when_vigil_uses_another_server_and_that_these_are_ours_now(home):
    left = home / ".vigil" / "demo-started-servers"
    left.parent.mkdir()
    left.touch()

    up = manage("up", home=home, DATABASE_URL="", REDIS_URL="redis://127.0.0.1:1/0")

    assert up.stdout.endswith("REDIS_URL is set: Vigil uses that server instead of this one.\n")
    assert not left.exists()


def test_up_fails_in_a_sentence_on_data_that_it_cannot_use(tmp_path):
    data = tmp_path / ".vigil" / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)

    up = manage("up", home=tmp_path, **UNSET)

    assert (up.returncode, up.stdout) == (1, "")
    assert up.stderr.startswith("CommandError: ")
    assert "Traceback" not in up.stderr


def test_every_command_of_ours_is_run_by_a_test():
    """By name: a command that is added here wants its tests, and then its name in this list."""
    apps = {"config", "events", "trials", "patients", "dosing", "reporting"}

    ours = {name for name, app in get_commands().items() if app in apps}

    assert ours == {
        "demo", "down", "migrate", "pfs_report", "protocol", "randomisation", "reference_docs",
        "safety_summary", "up", "verify_events",
    }  # fmt: skip
