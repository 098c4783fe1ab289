"""The hash chain: numbers without gaps, and every change to the past found."""

from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from events.acting import as_system
from events.chain import lay_links, verify
from events.models import ChainLink, OutboxEvent
from tests.events.ringing import ring
from tests.factories import Study
from tests.marks import on_postgres
from tests.postgres import ask, at_once, denied


pytestmark = on_postgres


def chain(count=4, *, stream="bell"):
    events = [ring(number, stream=stream) for number in range(1, count + 1)]
    lay_links()
    return events


def faults(stream="bell"):
    return [(fault.seq, fault.problem) for fault in verify(stream).faults]


def numbers(stream="bell"):
    links = ChainLink.objects.filter(stream=stream).order_by("seq")
    return list(links.values_list("seq", flat=True))


def ring_then_number(count):
    for number in range(count):
        ring(number)
        lay_links()


def command(**options):
    out = StringIO()
    call_command("verify_events", stdout=out, **options)
    return out.getvalue()


def remove(event):
    ask("DELETE FROM events_delivery WHERE event_id = %s", event.pk)
    ask("DELETE FROM events_chainlink WHERE event_id = %s", event.pk)
    ask("DELETE FROM events_outboxevent WHERE id = %s", event.pk)


# --- Laying -----------------------------------------------------------------------------------


def test_events_are_numbered_from_one_in_each_stream():
    chain(3, stream="bell")
    chain(2, stream="gong")

    assert (numbers("bell"), numbers("gong")) == ([1, 2, 3], [1, 2])
    assert (faults("bell"), faults("gong")) == ([], [])


def test_the_first_link_follows_from_nothing_and_each_other_from_the_one_before():
    chain(3)

    links = list(ChainLink.objects.order_by("seq"))
    assert [link.previous for link in links] == [
        ChainLink.START, links[0].digest, links[1].digest,
    ]  # fmt: skip


def test_what_is_numbered_already_is_left_as_it_is():
    chain(2)
    before = list(ChainLink.objects.values_list())

    assert lay_links() == 0
    assert list(ChainLink.objects.values_list()) == before


def test_an_event_that_commits_late_is_numbered_late_and_leaves_no_gap():
    with as_system():
        late = ring(1)
        at_once(partial(ring, 2), partial(ring, 3))
        at_once(lay_links)
    lay_links()

    assert numbers() == [1, 2, 3]
    assert late.link.seq == 3
    assert faults() == []


def test_many_publishers_and_sequencers_at_once_leave_no_gap():
    at_once(*[partial(ring_then_number, 5)] * 8)
    lay_links()

    assert numbers() == list(range(1, 41))
    assert faults() == []


def test_a_second_sequencer_leaves_the_work_to_the_first():
    ring()
    with as_system():
        assert lay_links() == 1
        ring()

        assert at_once(lay_links) == [0]

    assert lay_links() == 1


# --- Verifying --------------------------------------------------------------------------------


def test_a_chain_that_holds_is_reported_with_its_length_and_head():
    chain(3)
    ring()

    found = verify("bell")

    assert (found.length, found.unnumbered, found.faults) == (3, 1, ())
    assert found.head == ChainLink.objects.get(seq=3).digest


@pytest.mark.parametrize(
    "change",
    [
        """payload = '{"number": 99}'""",
        "actor = 'somebody else'",
        "occurred_at = occurred_at - interval '1 day'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "type = 'tests.Other'",
        "request_id = 'req-9'",
        "caused_by_id = id",
        "version = 2",
    ],
)
def test_whatever_is_changed_in_an_event_is_found(change):
    events = chain()

    ask(f"UPDATE events_outboxevent SET {change} WHERE id = %s", events[1].pk)

    assert faults() == [(2, "has been changed since it was recorded")]


def test_a_removed_event_is_found():
    events = chain()

    remove(events[1])

    assert faults() == [
        (3, "numbers 2 to 2 are missing"),
        (3, "does not follow from the event before it"),
    ]


def test_a_removed_end_shows_in_the_length_and_the_head_alone():
    events = chain()
    head = verify("bell").head

    remove(events[3])

    assert (faults(), verify("bell").length) == ([], 3)
    assert verify("bell").head != head


def test_swapped_links_are_found():
    chain()

    ask("UPDATE events_chainlink SET seq = 9 WHERE seq = 2")
    ask("UPDATE events_chainlink SET seq = 2 WHERE seq = 3")
    ask("UPDATE events_chainlink SET seq = 3 WHERE seq = 9")

    assert {seq for seq, _ in faults()} == {2, 3, 4}


def test_a_link_whose_digest_was_made_to_fit_no_longer_fits_the_next():
    events = chain()
    ask("UPDATE events_outboxevent SET actor = 'somebody else' WHERE id = %s", events[1].pk)
    link = ChainLink.objects.select_related("event").get(seq=2)
    fitting = ChainLink.digest_of(link.previous, 2, link.event.content())

    ask("UPDATE events_chainlink SET digest = %s WHERE seq = 2", fitting)

    assert faults() == [(3, "does not follow from the event before it")]


def test_an_event_moved_to_another_stream_is_found():
    events = chain()

    ask("UPDATE events_outboxevent SET stream = 'gong' WHERE id = %s", events[1].pk)

    assert (2, "belongs to another stream") in faults()


@pytest.mark.parametrize("table", ["events_outboxevent", "events_chainlink"])
@pytest.mark.parametrize("change", ["UPDATE {} SET stream = stream", "DELETE FROM {}"])
def test_the_application_cannot_change_the_past(table, change):
    assert denied(change.format(table))


# --- The command ------------------------------------------------------------------------------


def test_the_command_numbers_what_is_left_and_reports_each_stream():
    chain(2, stream="bell")
    ring(stream="gong")

    assert [line.split(", head")[0] for line in command().splitlines()] == [
        "bell: 2 events",
        "gong: 1 events",
    ]
    assert command(stream="gong").startswith("gong: 1 events")


def test_the_command_fails_and_names_the_event_when_a_chain_does_not_hold():
    events = chain()
    ask("UPDATE events_outboxevent SET actor = 'somebody else' WHERE id = %s", events[1].pk)
    out = StringIO()

    with pytest.raises(CommandError, match="does not hold"):
        call_command("verify_events", stdout=out)

    assert "event 2 has been changed since it was recorded" in out.getvalue()


def test_the_command_says_that_there_is_nothing_yet():
    assert command() == "No events yet.\n"


def test_the_chain_of_a_real_study_holds_and_its_events_name_no_arm():
    study = Study(arms=("QXACT", "QXCTRL"))
    study.ready_for_first_kit()

    assert lay_links() > 5
    assert verify("CLLM1").faults == ()
    assert not [event for event in OutboxEvent.objects.all() if "QX" in event.content()]
