import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction

from events.acting import as_system
from events.models import OutboxEvent
from patients.services.enrolment import randomise_subject
from tests.factories import NOW, TODAY, TRAINED, Study, protocol_text
from tests.marks import on_postgres
from tests.postgres import ask, at_once, column, contents, waiting_for_me
from trials import sealed
from trials.errors import DayRefused, ListExhausted, SiteNotRecruiting, StratumRefused
from trials.models import Allocation, Site, SiteVersion
from trials.permissions import Role
from trials.rules.commitment import slot_digest
from trials.services.people import give_role, record_training
from trials.services.randomisation import allocate
from trials.services.setup import create_trial


pytestmark = on_postgres


def place(study, *, stratum="H", site=None, on=TODAY, by=None, at=NOW):
    return allocate(
        site=site or study.site,
        stratum=stratum,
        levels={"mrd": stratum},
        inputs={"mrd_level": "0.02"},
        randomised_on=on,
        by=by or study.system,
        at=at,
    )


def place_and_fail(study):
    with transaction.atomic():
        place(study)
        raise RuntimeError("the caller fails after the place was taken")


def positions(stratum="H"):
    return column(
        "SELECT s.position FROM trials_allocation a JOIN sealed.slot s ON s.id = a.slot_id"
        " WHERE s.stratum = %s ORDER BY s.position",
        stratum,
    )


def taken(stratum="H"):
    return column("SELECT taken FROM sealed.head WHERE stratum = %s", stratum)[0]


def set_taken(count):
    ask("UPDATE sealed.head SET taken = %s WHERE stratum = 'H'", count)


def put_on_hold(site, status):
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE trials_site SET status = '{status}' WHERE id = '{site.pk}'"
    )
    site.refresh_from_db()


def other_trial(study, code="CLLM2"):
    trial = create_trial(
        protocol_text=protocol_text(code=code),
        training=TRAINED,
        conduct="live",
        administrator=study.admin,
        at=NOW - timedelta(1),
    )
    study.admin.forget_assignments()
    record_training(
        user=study.statistician, trial_id=trial.pk, document="Protocol", version="1.0",
        completed_on=TODAY, by=study.admin, at=NOW,
    )  # fmt: skip
    give_role(
        user=study.statistician, trial_id=trial.pk, site=None, role="unblinded_statistician",
        by=study.admin, at=NOW,
    )  # fmt: skip
    study.statistician.forget_assignments()
    return trial


# --- Taking a place ---------------------------------------------------------------------------


def test_a_place_comes_with_a_number_and_an_event_that_tell_no_position():
    study = Study()

    allocation = place(study)

    event = OutboxEvent.objects.get(type="trials.SlotAllocated")
    assert event.payload == {
        "allocation_id": str(allocation.pk),
        "site_id": str(study.site.pk),
        "stratum": "H",
        "randomised_on": str(TODAY),
        "slot_digest": slot_digest(str(allocation.pk), str(allocation.slot_id)),
    }
    assert len(allocation.number) == 9
    assert positions() == [1]


def test_a_rolled_back_place_is_given_to_the_next():
    study = Study()

    with pytest.raises(RuntimeError):
        place_and_fail(study)
    place(study)

    assert positions() == [1]
    assert taken() == 1


def test_eight_at_once_neither_skip_nor_double_a_place():
    study = Study()
    turns = [partial(place, study)] * 8

    for _ in range(3):
        at_once(*turns)

    assert positions() == list(range(1, 25))
    assert taken() == 24


def overlapping(monkeypatch):
    """Let two requests read before either takes a place, and the one that takes it wait.

    It goes on once the other waits for its lock. Returns how many were seen to wait. Where the two
    do not meet, both fail.
    """
    both_have_read, waiting, take = threading.Barrier(2), [], sealed.take_slot

    def take_when_both_have_read(*facts):
        both_have_read.wait(timeout=30)
        slot = take(*facts)
        if not waiting:
            waiting.append(waiting_for_me())
        return slot

    monkeypatch.setattr(sealed, "take_slot", take_when_both_have_read)
    return waiting


def reached_one_by_one(monkeypatch):
    """Let a request that may take a place wait before it does until another waits for its lock.

    Returns how many each request that came so far has seen wait.
    """
    waiting, take = [], sealed.take_slot

    def take_when_another_waits(*facts):
        waiting.append(waiting_for_me())
        return take(*facts)

    monkeypatch.setattr(sealed, "take_slot", take_when_another_waits)
    return waiting


def randomise(study, subject):
    return randomise_subject(
        subject_id=subject.pk, randomised_on=TODAY, by=study.system, at=NOW
    ).slot_id


def test_two_requests_that_both_read_before_either_writes_get_two_slots(monkeypatch):
    study = Study(kits=0)
    first, second = study.screened(), study.screened()
    waiting = overlapping(monkeypatch)

    slots = at_once(partial(randomise, study, first), partial(randomise, study, second))

    assert waiting == [1]
    assert [type(slot).__name__ for slot in slots] == ["UUID", "UUID"]
    assert len(set(slots)) == 2
    assert positions() == [1, 2]


def test_the_same_order_of_steps_gives_one_slot_to_both_where_the_next_is_read_before_a_lock():
    """What a known peer does: it shows that the order above is the one that hurts."""
    study = Study(kits=0)
    both_have_read = threading.Barrier(2)

    def read_then_write():
        with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
            cursor.execute(
                "SELECT s.id FROM sealed.slot s JOIN sealed.head h USING (list_id, stratum)"
                " WHERE s.stratum = 'H' AND s.list_id = %s AND s.position = h.taken + 1",
                [study.list.pk],
            )
            slot = cursor.fetchone()[0]
            both_have_read.wait(timeout=30)
            cursor.execute("UPDATE sealed.head SET taken = taken + 1 WHERE stratum = 'H'")
        return slot

    slots = at_once(read_then_write, read_then_write)

    assert len(set(slots)) == 1


def test_one_subject_asked_for_twice_at_once_gets_one_slot(monkeypatch):
    study = Study(kits=0)
    subject = study.screened()
    waiting = reached_one_by_one(monkeypatch)

    answers = at_once(*[partial(randomise, study, subject)] * 2)

    assert waiting == [1]  # one came so far, and saw the other wait for the subject
    assert sorted(type(answer).__name__ for answer in answers) == ["NotRandomisable", "UUID"]
    assert positions() == [1]


@pytest.mark.parametrize("used", [0, 1, 2])
def test_sixteen_at_once_over_the_ends_of_blocks_neither_skip_nor_double(used):
    """Blocks are of three: whatever place of a block comes first, all places come, each once."""
    study = Study(kits=0)
    for _ in range(used):
        place(study)

    at_once(*[partial(place, study)] * 16)

    assert positions() == list(range(1, 17 + used))
    assert taken() == 16 + used


def test_a_stratum_the_protocol_does_not_have_is_refused():
    study = Study(kits=0)
    before = contents()

    with pytest.raises(StratumRefused, match="Z"):
        place(study, stratum="Z")

    assert contents() == before


def test_an_allocation_keeps_what_it_was_decided_from():
    study = Study(kits=0)

    allocation = study.randomised().allocation

    assert allocation.levels == {"mrd": "H", "site": "DE-01"}
    assert allocation.inputs == {"mrd_level": "0.02"}
    assert (allocation.list_id, allocation.algorithm) == (study.list.pk, "next_of_stratum/1")
    assert allocation.protocol_version == study.trial.current_version


def test_those_that_fail_among_eight_at_once_leave_no_gap():
    study = Study()

    for _ in range(3):
        at_once(*[partial(place, study), partial(place_and_fail, study)] * 4)

    assert positions() == list(range(1, 13))


def test_strata_are_counted_each_for_itself():
    study = Study()

    at_once(*[partial(place, study, stratum=stratum) for stratum in "HIHIHIHI"])

    assert (positions("H"), positions("I")) == ([1, 2, 3, 4], [1, 2, 3, 4])


def test_places_taken_at_two_sites_of_a_stratum_come_from_one_list():
    study = Study()
    second = study.add_site("DE-02")
    there = study.person(Role.SITE_SYSTEM, site=second, name="other system")

    place(study)
    place(study, site=second, by=there)

    assert positions() == [1, 2]


def test_the_last_place_is_given_and_none_after_it():
    study = Study()
    set_taken(101)

    place(study)
    before = contents()
    with pytest.raises(ListExhausted):
        place(study)

    assert contents() == before
    assert taken() == 102
    assert place(study, stratum="I").stratum == "I"


def test_of_two_who_want_the_last_place_one_gets_it():
    study = Study()
    set_taken(101)

    answers = at_once(partial(place, study), partial(place, study))

    assert sorted(type(answer).__name__ for answer in answers) == ["Allocation", "ListExhausted"]
    assert positions() == [102]


def test_without_a_list_nothing_is_allocated():
    study = Study()
    trial = other_trial(study)
    with as_system():
        site = Site.objects.create(trial=trial, code="X", time_zone="UTC", status="active")
        SiteVersion.objects.create(
            site=site, protocol_version=trial.current_version, in_force_from=TODAY,
            activated_by=study.admin, activated_at=NOW,
        )  # fmt: skip
    give_role(
        user=study.system, trial_id=trial.pk, site=site, role="site_system", by=study.admin, at=NOW
    )
    study.system.forget_assignments()
    before = contents()

    with pytest.raises(ListExhausted):
        place(study, site=site)

    assert contents() == before


@pytest.mark.parametrize("status", ["planned", "on_hold", "closed"])
def test_a_site_that_is_not_active_gets_no_place(status):
    study = Study()
    put_on_hold(study.site, status)
    before = contents()

    with pytest.raises(SiteNotRecruiting, match=status):
        place(study)

    assert contents() == before


@pytest.mark.parametrize("days", [-1, 1])
def test_a_live_trial_randomises_today_and_on_no_other_day(days):
    study = Study()
    before = contents()

    with pytest.raises(DayRefused):
        place(study, on=TODAY + timedelta(days))
    assert contents() == before

    assert place(study, on=TODAY).randomised_on == TODAY


def test_today_is_the_sites_own_calendar_day():
    study = Study()
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)

    with pytest.raises(DayRefused):
        place(study, on=TODAY, at=late)

    assert place(study, on=TODAY + timedelta(1), at=late).randomised_on.day == 11


def test_a_replayed_trial_accepts_a_past_day_and_no_future_one():
    study = Study(conduct="replay")

    assert place(study, on=TODAY - timedelta(4000)).randomised_on.year == 2015
    with pytest.raises(DayRefused):
        place(study, on=TODAY + timedelta(1))


@pytest.mark.parametrize("role", ["pharmacist", "statistician", "supplier", "admin"])
def test_nobody_randomises_without_the_permission(role):
    study = Study()

    with pytest.raises(PermissionDenied):
        place(study, by=getattr(study, role))

    assert not Allocation.objects.exists()


def test_the_function_behind_it_returns_an_id_and_for_a_foreign_stratum_nothing():
    study = Study()
    list_id = study.list.pk

    assert str(sealed.take_slot(list_id, "H", {})) in column("SELECT id::text FROM sealed.slot")
    assert sealed.take_slot(list_id, "Z", {}) is None
    assert sealed.take_slot(study.trial.pk, "H", {}) is None
