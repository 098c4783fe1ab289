"""Each delivery runs once, is tried again alone when it fails, and is never lost."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.utils import timezone

from events.models import Delivery, OutboxEvent
from events.relay import deliver_next, replay
from events.tasks import drain
from tests.events import ringing
from tests.events.ringing import Rang, heard, ring
from tests.marks import on_postgres
from tests.postgres import ask, at_once


pytestmark = on_postgres

SECOND = timedelta(seconds=1)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def now():
    return timezone.now() + SECOND


def deliver_all(at):
    while deliver_next(at=at):
        continue


def of(door):
    return Delivery.objects.get(subscriber=f"tests.events.ringing.{door}_door")


def fail_until_dead(at):
    ringing.broken.add("front door")
    for day in range(Delivery.MAX_ATTEMPTS):
        deliver_all(at + timedelta(days=day))


def deliver_and_die(at):
    with transaction.atomic():
        deliver_next(at=at)
        raise KeyboardInterrupt


def relay(at):
    """One relay, working until nothing is left."""
    count = 0
    while deliver_next(at=at):
        count += 1
    return count


# --- Delivering -------------------------------------------------------------------------------


def test_each_subscriber_hears_an_event_once(now):
    ring()

    deliver_all(now)
    deliver_all(now + timedelta(days=1))

    assert heard() == ["back door", "front door"]
    assert set(Delivery.objects.values_list("delivered_at", "attempts")) == {(now, 1)}


def test_nothing_due_is_said_so(now):
    assert deliver_next(at=now) is False


@pytest.mark.parametrize(("early", "expected"), [(MOMENT, False), (timedelta(0), True)])
def test_a_delivery_is_due_from_its_moment_on(early, expected):
    ring()
    due = Delivery.objects.earliest("due_at").due_at

    assert deliver_next(at=due - early) is expected


def test_the_drain_numbers_and_delivers_what_there_is():
    ring()

    assert drain() == 2
    assert heard() == ["back door", "front door"]
    assert not OutboxEvent.objects.filter(type=Rang.type, link=None).exists()


def test_the_relay_acts_as_vigil_itself(now):
    ring()
    deliver_all(now)

    assert set(OutboxEvent.objects.values_list("actor", flat=True)) == {"vigil"}


# --- Failing ----------------------------------------------------------------------------------


def test_a_failure_undoes_its_own_writes_and_nobody_elses(now):
    ring()
    ringing.broken.add("front door")

    deliver_all(now)

    assert heard() == ["back door"]
    assert of("back").delivered_at == now
    assert (of("front").delivered_at, of("front").attempts) == (None, 1)
    assert of("front").last_error == "OSError: the front door is stuck"


def test_a_failed_delivery_waits_twice_as_long_each_time(now):
    ring()
    ringing.broken.add("front door")

    waits, at = [], now
    for _ in range(4):
        deliver_all(at)
        waits.append(of("front").due_at - at)
        at = of("front").due_at

    assert waits == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]


def test_a_failed_delivery_is_left_alone_until_its_wait_is_over(now):
    ring()
    ringing.broken.add("front door")
    deliver_all(now)
    ringing.broken.clear()

    assert deliver_next(at=now + 2 * SECOND - MOMENT) is False
    assert deliver_next(at=now + 2 * SECOND) is True
    assert heard() == ["back door", "front door"]


def test_the_last_attempt_but_one_is_retried_and_the_last_is_not(now):
    ring()
    ringing.broken.add("front door")
    for day in range(Delivery.MAX_ATTEMPTS - 1):
        deliver_all(now + timedelta(days=day))
    assert of("front").dead_at is None

    deliver_all(now + timedelta(days=30))

    assert of("front").dead_at == now + timedelta(days=30)
    assert deliver_next(at=now + timedelta(days=3000)) is False


def test_a_subscriber_that_the_code_no_longer_has_fails_like_any_other(now):
    ring()
    ask("UPDATE events_delivery SET subscriber = 'gone.away' WHERE subscriber LIKE '%front_door'")

    deliver_all(now)

    assert "no subscriber is called gone.away" in Delivery.objects.get(delivered_at=None).last_error
    assert heard() == ["back door"]


# --- Replaying --------------------------------------------------------------------------------


def test_a_replayed_delivery_starts_afresh(now):
    ring()
    fail_until_dead(now)
    ringing.broken.clear()
    later = now + timedelta(days=60)

    count = replay([of("front"), of("back")], at=later)
    deliver_all(later)

    assert count == 1
    assert heard() == ["back door", "front door"]
    assert (of("front").attempts, of("front").delivered_at) == (1, later)


def test_what_is_delivered_or_still_waiting_is_not_replayed(now):
    ring()
    ringing.broken.add("front door")
    deliver_all(now)

    assert replay(list(Delivery.objects.all()), at=now) == 0
    assert of("front").attempts == 1
    assert of("back").delivered_at == now


# --- Several relays ---------------------------------------------------------------------------


def test_several_relays_at_once_run_each_delivery_once(now):
    for number in range(12):
        ring(number)

    counts = at_once(*[partial(relay, now + SECOND)] * 4)

    assert sum(counts) == 24
    assert heard() == ["back door"] * 12 + ["front door"] * 12
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}


def test_a_delivery_that_one_relay_holds_is_passed_over_by_the_next(now):
    ring()
    with transaction.atomic():
        held = Delivery.objects.select_for_update().order_by("due_at", "id").first()

        answers = at_once(partial(relay, now))

    assert answers == [1]
    assert Delivery.objects.get(delivered_at=None) == held


def test_a_relay_that_dies_in_the_middle_leaves_its_delivery_to_the_next(now):
    ring()
    with pytest.raises(KeyboardInterrupt):
        deliver_and_die(now)

    assert heard() == []
    deliver_all(now)
    assert heard() == ["back door", "front door"]
