"""Deliveries over the interface: the dead ones are found and start afresh."""

import pytest
from django.utils import timezone

from events.acting import as_system
from events.models import Delivery
from tests.config.test_api_queries import statements
from tests.factories import NOW, TRAINED, Study, protocol_text, user
from tests.interface import Caller, caller_for, fields_of
from tests.marks import on_postgres
from tests.postgres import contents
from trials.permissions import Permission, Role, allows
from trials.services.setup import create_trial


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    made = Study(kits=0)
    made.enrolled()
    made.enrolled()
    return made


@pytest.fixture
def admin(study):
    return caller_for(study.admin)


def dead_one():
    row = Delivery.objects.filter(event__type="patients.SubjectEnrolled").earliest("pk")
    row.dead_at, row.attempts, row.last_error = timezone.now(), 8, "TimeoutError: it took too long"
    row.save()
    return row


def found(caller, query=""):
    return {row["id"] for row in caller.get(f"/deliveries{query}").json()["results"]}


def test_a_dead_delivery_is_found_with_its_error_and_starts_afresh(admin):
    dead = dead_one()

    (told,) = admin.get("/deliveries?state=dead").json()["results"]
    again = admin.post(f"/deliveries/{dead.pk}/replays", {})

    assert (told["id"], told["type"], told["attempts"], told["last_error"]) == (
        dead.pk, "patients.SubjectEnrolled", 8, "TimeoutError: it took too long",
    )  # fmt: skip
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (
        201, "waiting", 0,
    )  # fmt: skip
    dead.refresh_from_db()
    assert (dead.dead_at, dead.last_error) == (None, "")


def test_one_that_waits_or_was_delivered_is_left_alone(admin):
    waiting, delivered = Delivery.objects.order_by("pk")[:2]
    delivered.delivered_at = timezone.now()
    delivered.save()
    before = list(Delivery.objects.order_by("pk").values())

    states = [
        admin.post(f"/deliveries/{row.pk}/replays", {}).json()["state"]
        for row in (waiting, delivered)
    ]

    assert states == ["waiting", "delivered"]
    assert list(Delivery.objects.order_by("pk").values()) == before


def test_deliveries_are_found_by_trial_subscriber_and_state(admin):
    dead = dead_one()
    everything = found(admin, "?page_size=1000")

    assert found(admin, "?trial=CLLM1&page_size=1000") == everything
    assert found(admin, "?state=waiting&page_size=1000") == everything - {dead.pk}
    assert dead.pk in found(admin, f"?subscriber={dead.subscriber}&page_size=1000")
    assert found(admin, "?trial=OTHER") == found(admin, "?state=delivered") == set()
    assert fields_of(admin.get("/deliveries?state=x")) == {"state"}


@pytest.mark.parametrize("role", Role)
def test_they_are_for_those_who_may_replay_them(study, role):
    dead, caller = dead_one(), caller_for(study.people[role])
    may = allows(role, Permission.MANAGE_DELIVERIES)
    before = contents("public")["public.events_delivery"]

    listed = caller.get("/deliveries").json()["count"]
    sent = caller.post(f"/deliveries/{dead.pk}/replays", {})

    assert (listed > 0, sent.status_code) == ((True, 201) if may else (False, 404))
    assert (contents("public")["public.events_delivery"] == before) is not may


def test_another_trials_administrator_and_nobody_find_none(study):
    dead, other = dead_one(), user("administrator-elsewhere")
    nobody = caller_for(user("somebody-without-a-role"))
    with as_system():
        create_trial(
            protocol_text=protocol_text(code="OTHER"),
            training=TRAINED,
            conduct="live",
            administrator=other,
            at=NOW,
        )

    for caller in (caller_for(other), nobody):
        assert dead.pk not in found(caller, "?page_size=1000")
        assert caller.post(f"/deliveries/{dead.pk}/replays", {}).status_code == 404
    assert Caller().get("/deliveries").status_code == 401
    assert Caller().post(f"/deliveries/{dead.pk}/replays", {}).status_code == 401
    dead.refresh_from_db()
    assert dead.dead_at is not None


def test_a_replay_takes_nothing_and_odd_numbers_are_not_there(admin):
    dead = dead_one()

    assert fields_of(admin.post(f"/deliveries/{dead.pk}/replays", {"all": True})) == {"all"}
    for number in ("0", "9" * 30, "x"):
        assert admin.post(f"/deliveries/{number}/replays", {}).status_code == 404


def test_many_deliveries_cost_what_few_cost(study, admin):
    few = statements(lambda: admin.get("/deliveries?page_size=1000"))
    for _ in range(6):
        study.enrolled()

    assert statements(lambda: admin.get("/deliveries?page_size=1000")) == few
