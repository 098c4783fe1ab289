"""Every record is made under the version in force at its site on the day of the act."""

from datetime import UTC, date, datetime, timedelta

import pytest

from events.acting import as_system
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import correct_adverse_event, record_adverse_event
from patients.services.visits import record_contact
from tests.factories import NOW, TODAY, Study, protocol_text
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
