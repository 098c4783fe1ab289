"""``DATABASE_URL`` and ``REDIS_URL`` switch to other servers, with nothing changed in the code."""

import pytest

from config import servers
from tests.stories.live import count, manage


pytestmark = pytest.mark.servers


def test_the_demo_runs_on_servers_named_in_the_environment(tmp_path):
    theirs = servers.start(tmp_path / "theirs")
    try:
        ran = manage(
            "demo", "--once", "--subjects", "2",
            home=tmp_path / "ours", DATABASE_URL=theirs.owner_url, REDIS_URL=theirs.redis_url,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "Second factor    off, for the demo alone" in ran.stdout
        assert "On: VIGIL_MFA_REQUIRED=true make demo" in ran.stdout
        assert "Passkeys work at http://localhost:" in ran.stdout
        assert count(theirs.owner_url, "SELECT count(*) FROM trials_allocation") == 2
    finally:
        servers.stop(tmp_path / "theirs")

    assert not (tmp_path / "ours" / ".vigil" / "postgres").exists()


def test_the_application_log_in_is_made_there_too_and_cannot_read_an_arm(tmp_path):
    theirs = servers.start(tmp_path / "theirs")
    try:
        env = {"DATABASE_URL": theirs.owner_url, "REDIS_URL": theirs.redis_url}
        migrated = manage("migrate", home=tmp_path / "ours", **env)
        asked = manage(
            "shell", "-c",
            "from django.db import connection; connection.cursor().execute('TABLE sealed.slot')",
            home=tmp_path / "ours", **env,
        )  # fmt: skip
    finally:
        servers.stop(tmp_path / "theirs")

    assert migrated.returncode == 0, migrated.stderr
    assert asked.returncode != 0
    assert "permission denied" in asked.stderr
