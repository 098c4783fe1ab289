"""``/healthz`` says that the process lives, ``/readyz`` which of its parts does not answer."""

import socket

import pytest
from django.core.cache import caches
from django.db import connections

from tests.marks import on_postgres


pytestmark = on_postgres


@pytest.fixture(autouse=True)
def _static(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def closed_port():
    """A port of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def no_database(closed_port):
    link = connections["default"]
    link.close()
    port = link.settings_dict["PORT"]
    link.settings_dict["PORT"] = str(closed_port)
    yield
    link.close()
    link.settings_dict["PORT"] = port


@pytest.fixture
def no_valkey(settings, closed_port):
    used = settings.CACHES
    settings.CACHES = {
        "default": {**used["default"], "LOCATION": f"redis://127.0.0.1:{closed_port}/0"}
    }
    yield
    caches["default"].close()


def test_everything_answers(client):
    alive, ready = client.get("/healthz"), client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "database": "ok", "valkey": "ok"},
    )


def test_without_its_database_the_process_lives_and_is_not_ready(client, no_database):
    alive, ready = client.get("/healthz"), client.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "unavailable", "database": "unavailable", "valkey": "ok"}


def test_without_valkey_the_process_lives_and_is_not_ready(client, no_valkey):
    alive, ready = client.get("/healthz"), client.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "unavailable", "database": "ok", "valkey": "unavailable"}


def test_a_load_balancer_asks_under_any_host_name(client):
    assert client.get("/readyz", headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_it_is_ready_again_as_soon_as_its_database_is(client, closed_port):
    link = connections["default"]
    link.close()
    port, link.settings_dict["PORT"] = link.settings_dict["PORT"], str(closed_port)
    gone = client.get("/readyz").status_code
    link.settings_dict["PORT"] = port

    assert (gone, client.get("/readyz").status_code) == (503, 200)
