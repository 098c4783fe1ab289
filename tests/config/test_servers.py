"""The embedded servers, really started, each time in a folder of their own."""

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import servers
from config.processes import command_of
from config.servers import __main__ as commands
from config.servers import unprivileged


pytestmark = pytest.mark.servers

ONCE = Retry(NoBackoff(), 0)
CHECKOUT = Path(__file__).resolve().parents[2]
STARTING = (
    "import sys; from pathlib import Path; from config import servers; "
    "found = servers.start(Path(sys.argv[1])); print(found.postgres_pid, found.valkey_pid)"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One folder with running servers, for the tests that leave them running."""
    root = tmp_path_factory.mktemp("shared")
    servers.start(root)
    yield root
    servers.stop(root)


@pytest.fixture
def root(tmp_path):
    yield tmp_path
    servers.stop(tmp_path)


@pytest.fixture
def sleeper():
    """A program that has nothing to do with us."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def query(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement)
        return found.fetchone() if found.description else None


def starting_command(root):
    command = [sys.executable, "-c", STARTING, str(root)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def gone(pid):
    deadline = time.monotonic() + 10
    while command_of(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not command_of(pid)


def test_both_servers_answer_on_this_machine_only(shared):
    found = servers.start(shared)

    addresses = query(found.superuser_url, "SHOW listen_addresses")
    sockets = query(found.superuser_url, "SHOW unix_socket_directories")
    with redis.Redis.from_url(found.redis_url) as valkey:
        assert valkey.ping()
        assert valkey.config_get("bind") == {"bind": "127.0.0.1"}
    assert addresses == ("127.0.0.1",)
    assert sockets == ("",)


def test_what_is_committed_is_on_disk_and_pages_are_checked(shared):
    found = servers.start(shared)

    for setting in ("fsync", "synchronous_commit", "data_checksums"):
        assert query(found.owner_url, f"SHOW {setting}") == ("on",)


def test_the_owner_makes_roles_and_databases_and_is_no_superuser(shared):
    found = servers.start(shared)

    rights = (
        "SELECT rolcreaterole, rolcreatedb, rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"

    assert query(found.owner_url, rights) == (True, True, False)
    assert query(found.owner_url, owner) == ("vigil_owner",)


def test_a_wrong_password_is_refused_by_both(shared):
    found = servers.start(shared)

    with pytest.raises(psycopg.OperationalError):
        query(found.owner_url.replace(found.owner_password, "guess"), "SELECT 1")
    with (
        redis.Redis(port=found.valkey_port, password="guess", retry=ONCE) as valkey,
        pytest.raises(redis.AuthenticationError),
    ):
        valkey.ping()


def test_a_second_start_reuses_what_runs(shared):
    first = servers.start(shared)

    assert servers.start(shared) == first
    assert servers.running(shared) == first


def test_passwords_are_for_the_owner_of_the_file_and_on_no_command_line(shared):
    found = servers.start(shared)
    file = shared / ".vigil" / "servers.json"
    kept = json.loads(file.read_text())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (kept["owner_url"], kept["redis_url"]) == (found.owner_url, found.redis_url)
    assert found.owner_password not in repr(found)
    for pid in (found.postgres_pid, found.valkey_pid):
        for name in ("superuser_password", "owner_password", "valkey_password"):
            assert kept[name] not in command_of(pid)


def test_the_servers_never_run_as_root(shared):
    found = servers.start(shared)

    for pid in (found.postgres_pid, found.valkey_pid):
        assert os.stat(f"/proc/{pid}").st_uid == os.stat(shared / ".vigil/postgres/data").st_uid
        assert os.stat(f"/proc/{pid}").st_uid != 0


def test_stopping_keeps_the_data_and_says_whether_anything_ran(root):
    found = servers.start(root)
    query(found.owner_url, "CREATE TABLE kept (n int)")

    assert servers.stop(root) is True
    assert servers.running(root) is None
    assert servers.stop(root) is False

    again = servers.start(root)
    assert query(again.owner_url, "SELECT count(*) FROM kept") == (0,)
    assert (again.postgres_port, again.owner_url) == (found.postgres_port, found.owner_url)


def test_stopping_where_nothing_was_ever_started_makes_nothing(tmp_path):
    assert servers.stop(tmp_path) is False
    assert servers.running(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_both_come_back_with_their_data_after_kill_9(root):
    found = servers.start(root)
    query(found.owner_url, "CREATE TABLE kept (n int)")
    with redis.Redis.from_url(found.redis_url) as valkey:
        valkey.set("kept", "yes")

    os.kill(found.postgres_pid, signal.SIGKILL)
    os.kill(found.valkey_pid, signal.SIGKILL)
    again = servers.start(root)

    assert query(again.owner_url, "SELECT count(*) FROM kept") == (0,)
    with redis.Redis.from_url(again.redis_url) as valkey:
        assert valkey.get("kept") == b"yes"


def test_only_the_server_that_died_is_started_again(root):
    found = servers.start(root)

    os.kill(found.valkey_pid, signal.SIGKILL)
    assert gone(found.valkey_pid)
    again = servers.start(root)

    assert again.postgres_pid == found.postgres_pid
    assert again.valkey_pid != found.valkey_pid


def test_a_taken_port_makes_each_choose_another(root):
    found = servers.start(root)
    servers.stop(root)

    with socket.socket() as first, socket.socket() as second:
        for taken, port in ((first, found.postgres_port), (second, found.valkey_port)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
        again = servers.start(root)

    assert again.postgres_port != found.postgres_port
    assert again.valkey_port != found.valkey_port
    assert query(again.owner_url, "SELECT 1") == (1,)


def test_data_of_another_postgresql_is_refused_and_left_alone(tmp_path):
    data = tmp_path / ".vigil" / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    passwords = dict.fromkeys(("superuser_password", "owner_password", "valkey_password"), "x")
    state = {"postgres_port": 1, "valkey_port": 1, "postgres_pid": 0, "valkey_pid": 0, **passwords}
    (tmp_path / ".vigil" / "servers.json").write_text(json.dumps(state))
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)

    with pytest.raises(servers.ServerProblem) as problem:
        servers.start(tmp_path)

    assert str(data) in str(problem.value)
    assert "PostgreSQL 17" in str(problem.value)
    assert "make reset" in str(problem.value)
    assert (data / "PG_VERSION").read_text() == "17\n"


def test_lost_passwords_are_said_before_anything_is_touched(root):
    servers.start(root)
    servers.stop(root)
    (root / ".vigil" / "servers.json").write_text('{"postgres_port"')

    with pytest.raises(servers.ServerProblem, match="make reset"):
        servers.start(root)

    assert (root / ".vigil" / "postgres" / "data" / "PG_VERSION").exists()


def test_ids_that_another_program_was_given_since_are_left_alone(root, sleeper):
    servers.start(root)
    servers.stop(root)
    data = root / ".vigil" / "postgres" / "data"
    stale = f"{sleeper.pid}\n{data}\n1700000000\n55432\n\n127.0.0.1\n 1 1\nready   \n"
    (data / "postmaster.pid").write_text(stale)
    (root / ".vigil" / "valkey" / "pid").write_text(str(sleeper.pid))

    assert servers.running(root) is None
    assert servers.stop(root) is False
    found = servers.start(root)

    assert sleeper.poll() is None
    assert sleeper.pid not in (found.postgres_pid, found.valkey_pid)


def test_a_half_made_data_folder_is_made_again(root):
    postgres = root / ".vigil" / "postgres"
    (postgres / "data.unfinished" / "global").mkdir(parents=True)
    (postgres / "data").mkdir()

    found = servers.start(root)

    assert query(found.owner_url, "SELECT 1") == (1,)
    assert not (postgres / "data.unfinished").exists()


def test_a_missing_owner_and_database_are_made_at_the_next_start(root):
    found = servers.start(root)
    query(found.superuser_url, "DROP DATABASE vigil")
    query(found.superuser_url, "DROP ROLE vigil_owner")

    servers.start(root)

    assert query(found.owner_url, "SELECT 1") == (1,)


def test_the_servers_outlive_the_command_that_started_them(root):
    with starting_command(root) as command:
        printed = command.communicate(timeout=60)[0]

    found = servers.running(root)

    assert found is not None
    assert printed.split() == [str(found.postgres_pid), str(found.valkey_pid)]


def test_two_starts_at_once_end_in_one_pair_of_servers(root):
    with starting_command(root) as first, starting_command(root) as second:
        printed = [command.communicate(timeout=60)[0] for command in (first, second)]

    assert printed[0] == printed[1] != ""


def test_a_checkout_with_a_space_in_its_name_works(tmp_path):
    root = tmp_path / 'a "quoted" folder'
    root.mkdir()

    found = servers.start(root)

    assert query(found.owner_url, "SELECT 1") == (1,)
    servers.reset(root)
    assert list(root.iterdir()) == []


def test_a_checkout_moved_while_its_servers_run_finds_them(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    started = servers.start(before)

    before.rename(after)
    found = servers.running(after)
    stopped = servers.stop(after)

    assert found == started
    assert stopped is True
    assert gone(started.postgres_pid)


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_gets_running_servers_and_keeps_its_status(root, status):
    look = "import sys; from pathlib import Path; from config import servers; "
    look += f"sys.exit({status} if servers.running(Path({str(root)!r})) else 99)"

    found = commands.main(["during", sys.executable, "-c", look], root)

    assert found == status
    assert servers.running(root) is None


def test_a_command_leaves_servers_running_that_ran_before(root):
    servers.start(root)

    assert commands.main(["during", "true"], root) == 0

    assert servers.running(root) is not None


def test_a_command_leaves_servers_running_that_another_one_still_uses(root):
    (root / ".vigil").mkdir()

    with (root / ".vigil" / "servers.users").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert commands.main(["during", "true"], root) == 0

    assert servers.running(root) is not None


def test_servers_of_ones_own_are_used_and_none_is_started(root, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://owner@db.example/vigil")
    monkeypatch.setenv("REDIS_URL", "redis://db.example/0")

    assert commands.main(["during", "true"], root) == 0

    assert not (root / ".vigil").exists()


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="root on Linux only")
def test_root_hands_on_the_passing_of_permissions_and_nothing_else(tmp_path):
    program = tmp_path / "program"
    program.touch(mode=0o700)
    tmp_path.chmod(0o700)
    look = (
        "import os, sys; print(os.getuid(), os.getgroups(), os.access(sys.argv[1], os.X_OK)); "
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')])"
    )
    script = Path(unprivileged.__file__)
    command = [sys.executable, "-I", script, "65534", "65534", sys.executable, "-c", look, program]

    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")

    assert shown.stdout.splitlines() == ["65534 [] True", "['0000000000000002']"]
