"""Notices over the interface: the same rows for the same people as in the web admin."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from events.models import Delivery
from events.tasks import drain
from reporting.models import Notice, NoticeMail
from tests.config.test_api_queries import MANY, statements
from tests.factories import NOW, TODAY, Study
from tests.interface import EVENT, caller_for, reasons_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import ARMS, break_it, unblind_trial, with_passwords
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres

DIED = {"died_on": TODAY.isoformat(), "cause": "infection"}


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    made = Study(conduct=Trial.Conduct.REPLAY, kits=0, arms=ARMS)
    made.there = made.add_site("DE-02")
    made.system_there = made.person(Role.SITE_SYSTEM, site=made.there)
    return with_passwords(made)


def event(study, subject):
    answer = caller_for(study.system).post(f"/subjects/{subject.pk}/adverse-events", EVENT)
    assert answer.status_code == 201


def death(caller, subject):
    assert caller.post(f"/subjects/{subject.pk}/deaths", DIED).status_code == 201


def notices(person, query=""):
    return caller_for(person).get(f"/notices{query}").json()["results"]


def shown_in_the_admin(person):
    client = Client()
    client.force_login(person)
    answer = client.get(reverse("admin:reporting_notice_changelist"))
    return (
        set()
        if answer.status_code == 403
        else {str(row.pk) for row in answer.context["cl"].result_list}
    )


def test_a_notice_says_where_of_whom_and_what_the_newest_first(study):
    first, second = study.consented(), study.consented()
    event(study, first)
    death(caller_for(study.system), second)
    drain()

    listed = notices(study.coordinator)

    assert [(row["kind"], row["subject"]) for row in listed] == [
        ("death", str(second.pk)),
        ("serious_adverse_event", str(first.pk)),
    ]
    assert listed[0]["text"] == "DE-01-0002: Death"
    assert set(listed[0]) == {
        "id", "trial", "site", "subject", "kind", "text", "created_at", "mailed_at", "unsent_mails",
    }  # fmt: skip
    assert (listed[0]["trial"], listed[0]["site"]) == ("CLLM1", "DE-01")


def test_everybody_reads_the_notices_the_admin_shows_them_and_no_others(study):
    subject = study.randomised()
    event(study, subject)
    break_it(study, subject)
    death(caller_for(study.system_there), study.consented(site=study.there, by=study.system_there))
    drain()

    machine, people = study.system, {r: p for r, p in study.people.items() if not p.is_machine}
    over_the_interface = {role: {row["id"] for row in notices(p)} for role, p in people.items()}
    in_the_admin = {role: shown_in_the_admin(person) for role, person in people.items()}

    assert over_the_interface == in_the_admin
    assert {row["id"] for row in notices(machine)} == in_the_admin[Role.COORDINATOR]
    assert {role: len(rows) for role, rows in in_the_admin.items() if len(rows) not in (0, 3)} == {
        Role.INVESTIGATOR: 2,
        Role.COORDINATOR: 2,
        Role.PHARMACIST: 2,
        Role.SPONSOR_ADMINISTRATOR: 1,
    }
    assert not over_the_interface[Role.UNBLINDED_SUPPLIER]
    assert not over_the_interface[Role.COMMITTEE_MEMBER]


def test_another_sites_notices_are_not_there(study):
    subject = study.consented()
    event(study, subject)
    drain()

    assert notices(study.system_there) == []
    assert notices(study.system_there, f"?subject={subject.pk}&site=DE-01") == []
    assert len(notices(study.system, f"?subject={subject.pk}&site=DE-01")) == 1


def test_notices_are_found_by_trial_site_subject_and_kind(study):
    one, other = study.consented(), study.consented(site=study.there, by=study.system_there)
    event(study, one)
    death(caller_for(study.system_there), other)
    drain()
    monitor = study.people[Role.MONITOR]

    def kinds(query):
        return [row["kind"] for row in notices(monitor, query)]

    assert kinds("?trial=CLLM1") == ["death", "serious_adverse_event"]
    assert kinds("?site=DE-02") == kinds(f"?subject={other.pk}") == kinds("?kind=death")
    assert kinds("?site=DE-02") == ["death"]
    assert kinds("?trial=OTHER") == kinds("?site=DE-03") == kinds("?kind=nothing") == []
    assert reasons_of(caller_for(monitor).get("/notices?subject=7")) == {("subject", "invalid")}


def test_a_notice_of_an_unblinding_tells_no_arm(study):
    break_it(study, study.randomised())
    drain()

    answer = caller_for(study.people[Role.AUDITOR]).get("/notices")

    assert answer.json()["count"] == 1
    assert not any(word in answer.content.decode() for word in (*ARMS, "Lenalidomide", "Placebo"))


def test_a_notice_says_when_it_was_first_mailed_and_to_how_many_it_was_not(study):
    event(study, study.consented())
    drain()
    notice, at = Notice.objects.get(), timezone.now()
    mails = [
        NoticeMail(
            event_id=notice.event_id, person=person, due_at=NOW, tried_until=at, sent_at=sent
        )
        for person, sent in zip(
            study.people.values(), (None, at + timedelta(hours=1), at, None, None), strict=False
        )
    ]
    before = notices(study.coordinator)[0]
    NoticeMail.objects.bulk_create(mails)

    after = notices(study.coordinator)[0]

    assert (before["mailed_at"], before["unsent_mails"]) == (None, 0)
    assert parse_datetime(after["mailed_at"]) == at
    assert after["unsent_mails"] == 3


def test_notices_come_in_pages_and_cost_the_same_at_any_length(study):
    subject, system = study.consented(), caller_for(study.system)
    event(study, subject)
    drain()
    one = statements(lambda: system.get("/notices"))
    for _ in range(MANY):
        event(study, subject)
    drain()

    page = system.get("/notices?page_size=5&page=2").json()

    assert (page["count"], len(page["results"])) == (MANY + 1, 5)
    assert not Delivery.objects.filter(delivered_at=None).exists()
    assert statements(lambda: system.get("/notices")) == one


def test_a_program_reads_notices_with_the_scope_to_read_and_sends_none(study):
    event(study, study.consented())
    drain()
    caller = caller_for(study.system)

    sent = caller.post("/notices", {"text": "mine"})

    assert sent.status_code == 405
    assert Notice.objects.count() == 1


def test_a_notice_of_the_whole_trial_has_neither_site_nor_subject(study):
    study.randomised()
    unblind_trial(study)
    drain()

    told = notices(study.coordinator)

    assert [(row["kind"], row["site"], row["subject"]) for row in told] == [
        ("trial_unblinded", None, None)
    ]
