"""What the process is told from outside: parsed strictly, and missed by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment as env


ROOT = Path(__file__).resolve().parents[2]
NOBODY = "postgres://nobody:none@127.0.0.1:1/nothing"
VARIABLES = ("VIGIL_", "DATABASE_", "REDIS_")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
PRODUCTION = {
    "VIGIL_ENV": "production",
    "VIGIL_SECRET_KEY": "only-for-a-test-0123456789-abcdefghijklmnopqrstuvwxyz",
    "VIGIL_HOSTS": "vigil.example",
    "DATABASE_APP_URL": "postgres://vigil_app:a@db.example/vigil",
    "DATABASE_SEALED_URL": "postgres://vigil_sealed:s@db.example/vigil",
    "REDIS_URL": "redis://valkey.example/0",
}
SHOW = (
    "import config.settings as s;"
    "print(sorted(s.DATABASES), s.DATABASES['default']['HOST'], s.SESSION_COOKIE_SECURE)"
)


def python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**CLEAN, **variables},
    )


def without(name):
    return {key: value for key, value in PRODUCTION.items() if key != name}


# --- Parsing ----------------------------------------------------------------------------------


def test_a_missing_text_is_named():
    with pytest.raises(ImproperlyConfigured, match="VIGIL_NOWHERE is not set"):
        env.text("VIGIL_NOWHERE")

    assert env.text("VIGIL_NOWHERE", "default") == "default"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("TRUE", True), (" yes ", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_flag_is_yes_or_no(monkeypatch, value, expected):
    monkeypatch.setenv("VIGIL_FLAG", value)

    assert env.flag("VIGIL_FLAG", default=not expected) is expected


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_flag_is_its_default(monkeypatch, value, default):
    monkeypatch.setenv("VIGIL_FLAG", value)

    assert env.flag("VIGIL_FLAG", default=default) is default


@pytest.mark.parametrize("value", ["2", "on", "ja", "truee"])
def test_anything_else_is_no_flag(monkeypatch, value):
    monkeypatch.setenv("VIGIL_FLAG", value)

    with pytest.raises(ImproperlyConfigured, match=f"VIGIL_FLAG must be true or false, .*{value}"):
        env.flag("VIGIL_FLAG", default=False)


@pytest.mark.parametrize(("value", "expected"), [("", 7), ("0", 0), ("42", 42), ("-1", -1)])
def test_a_number_is_whole(monkeypatch, value, expected):
    monkeypatch.setenv("VIGIL_NUMBER", value)

    assert env.number("VIGIL_NUMBER", 7) == expected


@pytest.mark.parametrize("value", ["1.5", "ten", "1h", " "])
def test_anything_else_is_no_number(monkeypatch, value):
    monkeypatch.setenv("VIGIL_NUMBER", value)

    with pytest.raises(ImproperlyConfigured, match="VIGIL_NUMBER must be a whole number"):
        env.number("VIGIL_NUMBER", 7)


def test_words_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("VIGIL_WORDS", " a.example, b.example ,,")

    assert env.words("VIGIL_WORDS") == ["a.example", "b.example"]
    assert env.words("VIGIL_NOWHERE", "c.example") == ["c.example"]


# --- Databases --------------------------------------------------------------------------------


def test_a_database_url_is_taken_apart():
    found = env.database(
        "postgresql://anna:p%40ss%3A@db.example:6000/my%20base?sslmode=require", variable="V"
    )

    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "6000", "my base")
    assert (found["USER"], found["PASSWORD"]) == ("anna", "p@ss:")
    assert found["OPTIONS"]["sslmode"] == "require"


def test_the_port_of_a_database_is_5432_unless_said():
    assert env.database("postgres://db.example/vigil", variable="V")["PORT"] == "5432"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://u:p@db.example/vigil",
        "postgres://u:p@db.example",
        "postgres://u:p@db.example/",
        "postgres:///vigil",
        "postgres://u:p@db.example:port/vigil",
        "postgres://u:p@db.example:99999/vigil",
        "postgres://u:p@[db.example/vigil",
    ],
)
def test_a_url_that_is_none_is_refused_by_the_variables_name(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must look like postgres://"):
        env.database(url, variable="DATABASE_URL")


def test_a_refused_url_is_not_repeated_with_its_password():
    with pytest.raises(ImproperlyConfigured) as refusal:
        env.database("mysql://u:hunter2@db.example/vigil", variable="DATABASE_URL")

    assert "hunter2" not in str(refusal.value)


def test_each_log_in_has_a_password_of_its_own_that_follows_from_the_key():
    assert env.derived_password("key", "a") == env.derived_password("key", "a")
    assert len({env.derived_password(k, i) for k in ("key", "other") for i in "ab"}) == 4


# --- This checkout's own files ----------------------------------------------------------------


def test_the_development_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "STATE", tmp_path / "state")

    key = env.development_key()

    assert (len(key) >= 50, env.development_key()) == (True, key)
    assert (tmp_path / "state/secret-key").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret-key"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_file_of_the_embedded_servers_tells_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setattr(env, "STATE", tmp_path)
    (tmp_path / "servers.json").write_text(text)

    assert env.embedded() == {}


def test_without_embedded_servers_nothing_is_known_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "STATE", tmp_path)

    assert env.embedded() == {}


# --- Production -------------------------------------------------------------------------------


def test_a_production_site_starts_without_the_owner_and_over_https():
    ran = python("-c", SHOW, **PRODUCTION)

    assert ran.stdout == "['default', 'sealed'] db.example True\n"


@pytest.mark.parametrize("name", sorted(set(PRODUCTION) - {"VIGIL_ENV"}))
def test_what_a_production_site_lacks_is_named_and_nothing_is_put_in_its_place(name):
    ran = python("-c", SHOW, **without(name))

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(
        f"django.core.exceptions.ImproperlyConfigured: {name} is not set"
    )


def test_a_production_site_does_not_show_its_errors():
    ran = python("-c", SHOW, **PRODUCTION, VIGIL_DEBUG="1")

    assert "VIGIL_DEBUG must be off in production" in ran.stderr


def test_a_wrong_owner_url_is_named_as_such():
    ran = python("-c", SHOW, DATABASE_URL="mysql://u:p@db.example/vigil")

    assert "ImproperlyConfigured: DATABASE_URL must look like" in ran.stderr


# --- Nobody answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["migrate", "verify_events"])
def test_without_a_server_a_command_says_make_up_in_one_line(command):
    ran = python("manage.py", command, DATABASE_URL=NOBODY)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("No PostgreSQL server answers. Start the embedded servers with")
    assert "`make up`" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_incomplete_settings_are_said_in_one_line_too():
    ran = python("manage.py", "verify_events", **without("VIGIL_SECRET_KEY"))

    assert ran.returncode == 1
    assert ran.stderr == "The settings are incomplete: VIGIL_SECRET_KEY is not set\n"
