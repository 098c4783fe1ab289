"""Subjects: entered, listed and found by those of their site."""

import pytest

from patients.models import Subject
from tests.factories import Study
from tests.interface import SCREENED, SCREENING, SUBJECT, caller_for, noun, reasons_of
from tests.marks import on_postgres
from tests.postgres import contents
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


@pytest.fixture
def system(study):
    return caller_for(study.system)


def test_a_subject_gets_the_next_number_of_its_site(system):
    numbers = [system.post("/subjects", SUBJECT).json()["number"] for _ in range(2)]

    assert numbers == ["DE-01-0001", "DE-01-0002"]


def test_a_subject_is_found_by_number_site_and_id(study, system):
    one, two = study.enrolled(), study.enrolled()

    found = system.get(f"/subjects?number={two.number}").json()["results"]
    by_site = system.get("/subjects?site=DE-01&trial=CLLM1").json()
    nowhere = system.get("/subjects?site=DE-02").json()
    alone = system.get(f"/subjects/{one.pk}").json()

    assert [subject["id"] for subject in found] == [str(two.pk)]
    assert (by_site["count"], nowhere["count"]) == (2, 0)
    assert (alone["number"], alone["randomisation_number"]) == (one.number, None)


def test_a_randomised_subject_shows_its_number_and_never_an_arm(study, system):
    subject = study.randomised()

    shown = system.get(f"/subjects/{subject.pk}").json()

    assert shown["randomisation_number"] == subject.allocation.number
    assert set(shown) == {
        "id", "number", "trial", "site", "year_of_birth", "sex", "screened_on",
        "randomisation_number", "randomised_on", "recorded_at", "protocol_version", "revision",
        "needs_review",
    }  # fmt: skip


def test_subjects_of_another_site_are_neither_listed_nor_shown(study):
    subject = study.enrolled()
    foreign = caller_for(study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02")))

    listed, shown = foreign.get("/subjects"), foreign.get(f"/subjects/{subject.pk}")

    assert (listed.json()["count"], shown.status_code) == (0, 404)


@pytest.mark.parametrize(
    ("role", "status"), [(Role.MONITOR, 403), (Role.PHARMACIST, 403), (Role.COMMITTEE_MEMBER, 404)]
)
def test_who_may_not_enrol_enrols_nobody(study, role, status):
    caller = caller_for(study.people[role])
    before = contents()

    answer = caller.post("/subjects", SUBJECT)

    assert answer.status_code == status
    assert contents() == before


def test_a_subject_nobody_could_be_is_refused_with_every_reason(study, system):
    answer = system.post("/subjects", {**SUBJECT, "screened_on": "2100-01-01"})
    unborn = system.post(
        "/subjects", {**SUBJECT, "year_of_birth": 2027, "screened_on": "2027-01-01"}
    )

    assert answer.status_code == 409
    assert reasons_of(answer) == {("", "future_day")}
    assert unborn.status_code == 409
    assert not Subject.objects.exists()


def test_an_ineligible_subject_is_a_record_with_its_reasons(study, system):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))

    low = system.post(path, {**SCREENING, "values": {**SCREENED, "mrd_level": "0.00001"}}).json()
    not_known = {"values": {**SCREENED, "mrd_level": None}, "exclusions": ["hiv"]}
    unknown = system.post(path, {**SCREENING, **not_known}).json()

    assert (low["eligible"], low["stratum"]) == (False, None)
    assert [reason["code"] for reason in low["reasons"]] == ["mrd_low_risk"]
    assert {reason["code"] for reason in unknown["reasons"]} == {"mrd_missing", "exclusion_hiv"}


def test_randomising_is_refused_before_screening_and_a_second_time(study, system):
    randomisations = noun("randomisations")
    consented, screened = study.consented(), study.screened()

    early = system.post(randomisations.path(consented), randomisations.body)
    first = system.post(randomisations.path(screened), randomisations.body)
    second = system.post(randomisations.path(screened), randomisations.body)

    assert (early.status_code, first.status_code, second.status_code) == (409, 201, 409)
    assert ("", "not_screened") in reasons_of(early)
    assert ("", "already_randomised") in reasons_of(second)
    assert set(first.json()) == {
        "randomisation_number", "stratum", "randomised_on", "allocated_at", "protocol_version",
    }  # fmt: skip
