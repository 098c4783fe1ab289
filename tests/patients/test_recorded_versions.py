"""Every record is made under the version in force at its site on the day of the act."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from events.acting import as_system
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import correct_adverse_event, record_adverse_event
from patients.services.visits import record_contact
from tests.factories import BEFORE, NOW, TODAY, Study, protocol_text
from tests.interface import caller_for, noun
from tests.marks import on_postgres
from trials.errors import NoVersionInForce
from trials.models import ProtocolVersion, SiteVersion
from trials.permissions import Role


pytestmark = on_postgres

DAY = date(2026, 4, 1)


def amend(study, *sites, day=DAY):
    """Put version 1.1, with another CTCAE version, in force at some sites from a day."""
    text = protocol_text().replace('version = "1.0"', 'version = "1.1"', 1)
    text = text.replace('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"')
    with as_system():
        version = ProtocolVersion.objects.create(
            trial=study.trial, version="1.1", text=text, digest="", submitted_at=NOW,
            submitted_by=study.admin,
        )  # fmt: skip
        for site in sites:
            SiteVersion.objects.create(
                site=site, protocol_version=version, in_force_from=day, activated_by=study.admin,
                activated_at=NOW,
            )  # fmt: skip
    return version


def rash(study, subject, *, at, started_on=TODAY, by=None):
    return record_adverse_event(
        subject_id=subject.pk, term="Rash", soc="Skin and subcutaneous tissue disorders", grade=2,
        started_on=PartialDate.of(started_on), outcome="recovered", related=True, serious=False,
        by=by or study.system, at=at,
    )  # fmt: skip


def made_under(record):
    return record.protocol_version.version, record.ctcae_version


def at_noon(day, zone=UTC):
    return datetime(day.year, day.month, day.day, 12, tzinfo=zone)


def test_the_last_record_under_the_old_version_and_the_first_under_the_new():
    study = Study(kits=0)
    subject = study.consented()
    amend(study, study.site)

    found = [made_under(rash(study, subject, at=at_noon(day))) for day in (DAY - timedelta(1), DAY)]

    assert found == [("1.0", "4.0"), ("1.1", "5.0")]


def test_two_sites_record_the_same_thing_under_different_versions():
    study = Study(kits=0)
    other = study.add_site("DE-02")
    system = study.person(Role.SITE_SYSTEM, site=other)
    here, there = study.consented(), study.consented(site=other, by=system)
    amend(study, study.site)

    found = [
        rash(study, here, at=at_noon(DAY)),
        rash(study, there, at=at_noon(DAY), by=system),
    ]

    assert [made_under(event) for event in found] == [("1.1", "5.0"), ("1.0", "4.0")]


def test_one_instant_is_the_new_day_in_one_place_and_the_old_one_in_another():
    study = Study(kits=0)
    far = study.add_site("NZ-01", time_zone="Pacific/Auckland")
    system = study.person(Role.SITE_SYSTEM, site=far)
    here, there = study.consented(), study.consented(site=far, by=system)
    amend(study, study.site, far)
    at = at_noon(DAY - timedelta(1))

    found = [rash(study, here, at=at), rash(study, there, at=at, by=system)]

    assert [made_under(event) for event in found] == [("1.0", "4.0"), ("1.1", "5.0")]


def test_a_live_site_acts_under_todays_version_about_whatever_day():
    study = Study(kits=0)
    subject = study.consented()
    amend(study, study.site)

    event = rash(study, subject, at=at_noon(DAY), started_on=DAY - timedelta(20))

    assert made_under(event) == ("1.1", "5.0")


def test_a_replayed_act_goes_by_the_version_of_its_own_day():
    study = Study(kits=0, conduct="replay")
    subject = study.consented()
    amend(study, study.site)
    at = at_noon(DAY + timedelta(30))

    found = [
        made_under(rash(study, subject, at=at, started_on=day)) for day in (DAY - timedelta(1), DAY)
    ]

    assert found == [("1.0", "4.0"), ("1.1", "5.0")]


def test_a_replayed_act_before_the_first_version_is_refused_and_says_so():
    study = Study(kits=0, conduct="replay")
    opens = study.trial.protocol.trial.accrual_opens_on
    subject = study.consented(signed_on=opens)

    with pytest.raises(NoVersionInForce, match="No protocol version was in force at DE-01"):
        record_contact(
            subject_id=subject.pk, contacted_on=opens - timedelta(1), by=study.system, at=NOW
        )


def test_a_corrected_record_stays_one_of_its_own_version():
    study = Study(kits=0)
    subject = study.consented()
    event = rash(study, subject, at=NOW)
    amend(study, study.site)

    corrected = correct_adverse_event(
        adverse_event_id=event.pk, revision=event.revision, reason="source", grade=1,
        by=study.system, at=at_noon(DAY),
    )  # fmt: skip

    assert made_under(corrected) == ("1.0", "4.0")


def test_a_new_subject_is_entered_and_randomised_under_the_version_of_its_site():
    study = Study(kits=0)
    amend(study, study.site, day=TODAY)

    subject = study.randomised()

    assert subject.protocol_version.version == "1.1"
    assert subject.allocation.protocol_version.version == "1.1"


# --- As it is told ----------------------------------------------------------------------------


def told(answer):
    return [row["protocol_version"] for row in answer.json()["results"]]


def test_the_interface_answers_with_the_old_version_and_the_new_one():
    study = Study(conduct="replay", kits=0)
    subject, system = study.randomised(), caller_for(study.system)
    amend(study, study.site, day=TODAY)
    contacts, events = noun("contacts").path(subject), noun("adverse-events").path(subject)

    answers = [system.post(contacts, {"contacted_on": str(day)}) for day in (BEFORE, TODAY)]
    old = rash(study, subject, at=NOW, started_on=BEFORE)
    corrected = system.post(
        f"/adverse-events/{old.pk}/corrections", {"reason": "source", "grade": 1}, revision='"1"'
    )
    newcomer = study.randomised()

    assert [answer.json()["protocol_version"] for answer in answers] == ["1.0", "1.1"]
    assert told(system.get(contacts)) == ["1.0", "1.1"]
    assert corrected.json()["protocol_version"] == "1.0"
    assert told(system.get(events)) == ["1.0"]
    assert told(system.get(noun("randomisations").path(subject))) == ["1.0"]
    assert told(system.get(noun("randomisations").path(newcomer))) == ["1.1"]


def test_the_interface_tells_under_which_version_a_subject_was_entered():
    study = Study(kits=0)
    old = study.enrolled()
    amend(study, study.site, day=TODAY)
    new, system = study.enrolled(), caller_for(study.system)

    assert told(system.get("/subjects")) == ["1.0", "1.1"]
    alone = [system.get(f"/subjects/{one.pk}").json() for one in (old, new)]
    assert [one["protocol_version"] for one in alone] == ["1.0", "1.1"]


def page_of(person, subject):
    client = Client()
    client.force_login(person)
    text = client.get(reverse("admin:patients_subject_change", args=[subject.pk])).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_subjects_page_tells_under_which_version_each_record_was_made(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    study = Study(conduct="replay", kits=0)
    subject = study.consented()
    amend(study, study.site, day=TODAY)
    for day in (BEFORE, TODAY):
        record_contact(subject_id=subject.pk, contacted_on=day, by=study.system, at=NOW)
        rash(study, subject, at=NOW, started_on=day)

    page = page_of(study.people[Role.MONITOR], subject)

    assert "Entered for screening under 1.0" in page
    assert f"{BEFORE} Known to be alive under 1.0" in page
    assert f"{TODAY} Known to be alive under 1.1" in page
    assert f"{BEFORE} under 1.0" in page
    assert f"{TODAY} under 1.1" in page
    assert [
        re.search(rf"{day} (?:going on|\S*) Rash .*? recovered\S* yes no (\S+)", page, re.I)[1]
        for day in (BEFORE, TODAY)
    ] == ["1.0", "1.1"]
    assert re.findall(r"Contact recorded under (\S+)", page) == ["1.1", "1.0"]
    assert re.findall(r"Subject recorded under (\S+)", page) == ["1.0"]
