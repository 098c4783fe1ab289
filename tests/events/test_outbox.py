"""State and event commit together; losing the wake-up call loses nothing."""

import os
import subprocess
import sys
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from events.acting import as_system, attribute, current_actor
from events.models import Delivery, OutboxEvent
from events.outbox import publish
from events.registry import subscriber, subscribers_of, subscribes_to
from events.relay import deliver_next
from events.wake import coalescing_key, own_connection, wake_the_relay
from tests.events.ringing import Heard, Rang, front_door, heard, ring
from tests.marks import on_postgres


pytestmark = on_postgres

NOBODY = "redis://127.0.0.1:1/0"
RING = "from tests.events.ringing import ring; ring(); print('rang')"
WITHOUT_CACHE = (
    "settings.CACHES = {'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}}"
)


def ring_and_fail():
    with as_system():
        publish(Rang(stream="bell"))
        raise RuntimeError("after the event")


def url(alias):
    found = settings.DATABASES[alias]
    login = f"{found['USER']}:{quote(found['PASSWORD'], safe='')}"
    return f"postgres://{login}@{found['HOST']}:{found['PORT']}/{found['NAME']}"


def elsewhere(*lines):
    """Run lines of Python in a process of its own, on this test's database, without a Valkey."""
    return subprocess.run(
        [sys.executable, "-c", "\n".join(["from django.conf import settings", *lines])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_APP_URL": url("default"),
            "DATABASE_SEALED_URL": url("sealed"),
            "REDIS_URL": NOBODY,
        },
    )


def deliver_all():
    while deliver_next(at=timezone.now()):
        continue


# --- Publishing -------------------------------------------------------------------------------


def test_an_event_has_one_delivery_for_each_subscriber():
    event = ring(7)

    assert sorted(event.deliveries.values_list("subscriber", flat=True)) == [
        "tests.events.ringing.back_door",
        "tests.events.ringing.front_door",
    ]
    assert (event.type, event.version, event.payload) == ("tests.Rang", 1, {"number": 7})


def test_an_event_that_nobody_hears_is_stored_all_the_same():
    with as_system():
        event = publish(Heard(stream="bell", by="nobody"))

    assert not event.deliveries.exists()
    assert OutboxEvent.objects.get() == event


def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(RuntimeError, match="inside the transaction"):
        publish(Rang(stream="bell"))

    assert not OutboxEvent.objects.exists()


def test_a_roll_back_leaves_neither_event_nor_delivery():
    with pytest.raises(RuntimeError):
        ring_and_fail()

    assert not OutboxEvent.objects.exists()
    assert not Delivery.objects.exists()


def test_an_event_says_who_by_which_request_and_what_caused_it():
    first = ring()
    with bound_contextvars(request_id="req-1"), transaction.atomic():
        attribute(actor="anna", role="coordinator")
        second = publish(Rang(stream="bell"), caused_by=first)

    assert (second.actor, second.request_id, second.caused_by) == ("anna", "req-1", first)
    assert first.actor == "vigil"


def test_an_event_keeps_when_it_happened_beside_when_it_was_recorded():
    long_ago = timezone.now() - timedelta(days=3000)
    with as_system():
        event = publish(Rang(stream="bell"), at=long_ago)

    assert event.occurred_at == long_ago
    assert event.recorded_at > timezone.now() - timedelta(minutes=1)


# --- Acting -----------------------------------------------------------------------------------


def test_an_actor_is_named_inside_a_transaction():
    with pytest.raises(RuntimeError, match="inside the transaction"):
        attribute(actor="anna", role="coordinator")


def test_an_actor_is_forgotten_with_the_transaction():
    with as_system():
        assert current_actor() == "vigil"

    assert current_actor() == ""


# --- Subscribing ------------------------------------------------------------------------------


def test_a_subscriber_is_found_by_its_dotted_name():
    assert subscriber("tests.events.ringing.front_door") is front_door
    assert subscribers_of("tests.Unheard") == ()


def test_a_subscriber_is_registered_once():
    with pytest.raises(RuntimeError, match="registered twice"):
        subscribes_to(Rang)(front_door)


# --- Waking the relay -------------------------------------------------------------------------


def test_without_a_valkey_the_event_is_stored_and_found_by_the_next_sweep():
    ran = elsewhere("import django; django.setup()", RING)
    deliver_all()

    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "rang")
    assert "relay.not_woken" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert heard() == ["back door", "front door"]


def test_a_broker_that_is_gone_alone_is_borne_too():
    ran = elsewhere(WITHOUT_CACHE, "import django; django.setup()", RING)

    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "rang")
    assert "relay.not_woken" in ran.stdout + ran.stderr
    assert OutboxEvent.objects.count() == 1


def test_waking_outside_any_request_raises_nothing_when_nobody_answers(settings):
    settings.REDIS_URL = NOBODY
    own_connection.cache_clear()

    wake_the_relay()

    own_connection.cache_clear()


def test_wakings_within_a_moment_are_one_and_the_next_moment_has_its_own():
    wake_the_relay()

    left = own_connection().pttl(coalescing_key())

    assert 0 < left <= 200
