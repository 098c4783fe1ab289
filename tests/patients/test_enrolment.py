"""From the first entry to randomisation, with everything that stands in its way."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied

from events.models import OutboxEvent
from patients.errors import ConsentMissing, NotRandomisable, RecordRefused, SubjectNotEnrolled
from patients.models import Screening, Subject
from patients.services.consent import record_consent, withdraw_consent
from patients.services.enrolment import enrol_subject, randomise_subject, record_screening
from tests.factories import ELIGIBLE, NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import ask, at_once, contents
from trials.errors import DayRefused, ListExhausted, SiteNotRecruiting
from trials.models import Allocation, Site
from trials.permissions import Role


pytestmark = on_postgres

DAY = timedelta(days=1)


@pytest.fixture
def study():
    return Study(kits=0)


def enrol(study, *, by=None, **changed):
    fields = {
        "trial": "CLLM1", "site": "DE-01", "year_of_birth": 1950, "sex": "female",
        "screened_on": TODAY,
    }  # fmt: skip
    return enrol_subject(**{**fields, **changed}, by=by or study.system, at=NOW)


def consent(study, subject, *, version="1.0", on=TODAY, by=None):
    return record_consent(
        subject_id=subject.pk, version=version, signed_on=on, by=by or study.system, at=NOW
    )


def withdraw(study, subject, *, on=TODAY):
    return withdraw_consent(subject_id=subject.pk, withdrawn_on=on, by=study.system, at=NOW)


def screen(study, subject, *, on=TODAY, at=NOW, exclusions=(), **found):
    return record_screening(
        subject_id=subject.pk, assessed_on=on, values={**ELIGIBLE, **found},
        exclusions=exclusions, by=study.system, at=at,
    )  # fmt: skip


def randomise(study, subject, *, on=TODAY, by=None):
    return randomise_subject(subject_id=subject.pk, randomised_on=on, by=by or study.system, at=NOW)


def refused(error, act, *args, **how):
    """Return the reasons of a refusal, having seen that it changed nothing at all."""
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


def put(site, status):
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE trials_site SET status = '{status}' WHERE id = '{site.pk}'"
    )


# --- Enrolling --------------------------------------------------------------------------------


def test_an_enrolled_subject_has_the_next_number_of_the_site(study):
    first, second = enrol(study), enrol(study)

    assert (first.number, second.number) == ("DE-01-0001", "DE-01-0002")
    assert (first.recorded_by, first.recorded_at) == (study.system, NOW)
    assert first.protocol_version == study.trial.current_version


def test_an_enrolment_is_published_without_age_or_sex(study):
    subject = enrol(study)

    event = OutboxEvent.objects.get(type="patients.SubjectEnrolled")
    assert event.payload == {"subject_id": str(subject.pk), "site_id": str(study.site.pk)}
    assert (event.stream, event.actor) == ("CLLM1", study.system.username)


def test_each_site_counts_for_itself(study):
    study.add_site("DE-02")
    there = study.person(Role.COORDINATOR, site=Site.objects.get(code="DE-02"))

    enrol(study)

    assert enrol(study, site="DE-02", by=there).number == "DE-02-0001"


def test_numbers_run_without_gap_or_double_when_many_enrol_at_once(study):
    at_once(*[partial(enrol, study), partial(enrol, study, year_of_birth=2099)] * 5)

    numbers = list(Subject.objects.values_list("number", flat=True))
    assert numbers == [f"DE-01-{n:04d}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"screened_on": TODAY + DAY}, {"future_day"}),
        ({"year_of_birth": 1899}, {"year_of_birth"}),
        ({"year_of_birth": 2027}, {"year_of_birth"}),
        ({"screened_on": TODAY + DAY, "year_of_birth": 1}, {"future_day", "year_of_birth"}),
    ],
)
def test_a_refused_enrolment_uses_up_no_number_and_gives_every_reason(study, changed, expected):
    assert refused(SubjectNotEnrolled, enrol, study, **changed) == expected
    assert enrol(study).number == "DE-01-0001"


@pytest.mark.parametrize("year", [1900, 2026])
def test_the_first_and_the_last_possible_year_of_birth_are_accepted(study, year):
    assert enrol(study, year_of_birth=year).year_of_birth == year


@pytest.mark.parametrize("status", ["planned", "on_hold", "closed"])
def test_a_site_that_is_not_active_enrols_nobody(study, status):
    put(study.site, status)

    assert refused(SubjectNotEnrolled, enrol, study) == {"site_status"}


def test_nobody_enrols_at_a_site_they_have_nothing_to_do_with(study):
    elsewhere = study.add_site("DE-02")
    stranger = study.person(Role.SITE_SYSTEM, site=elsewhere)

    with pytest.raises(Site.DoesNotExist):
        enrol(study, by=stranger)
    with pytest.raises(PermissionDenied):
        enrol(study, by=study.pharmacist)

    assert not Subject.objects.exists()


# --- Consent ----------------------------------------------------------------------------------


def test_a_consent_is_kept_in_its_version(study):
    subject = enrol(study)

    given = consent(study, subject, version="1.0")
    consent(study, subject, version="2.0")

    assert (given.version, given.signed_on) == ("1.0", TODAY)
    assert OutboxEvent.objects.filter(type="patients.ConsentRecorded").count() == 2


def test_a_consent_lies_between_birth_and_today_and_is_recorded_once(study):
    subject = enrol(study)
    consent(study, subject)

    future = refused(RecordRefused, consent, study, subject, version="2.0", on=TODAY + DAY)
    unborn = refused(
        RecordRefused, consent, study, subject, version="2.0", on=TODAY.replace(year=1949)
    )
    again = refused(RecordRefused, consent, study, subject)

    assert (future, unborn, again) == ({"future_day"}, {"before_birth"}, {"consent_recorded"})


def test_a_consent_is_withdrawn_once_and_not_before_it_was_given(study):
    subject = enrol(study)
    consent(study, subject)

    assert refused(RecordRefused, withdraw, study, subject, on=TODAY - DAY) == {"no_consent"}
    withdraw(study, subject)
    assert refused(RecordRefused, withdraw, study, subject) == {"withdrawn_already"}


# --- Screening --------------------------------------------------------------------------------


def test_an_eligible_subject_has_a_stratum_and_no_reasons(study):
    subject = study.consented()

    screening = screen(study, subject)

    assert (screening.eligible, screening.reasons, screening.stratum) == (True, [], "H")


@pytest.mark.parametrize(("mrd", "stratum"), [("0.01", "H"), ("0.00999999", "I")])
def test_the_stratum_follows_from_the_level_of_residual_disease(study, mrd, stratum):
    screening = screen(study, study.consented(), mrd_level=Decimal(mrd))

    assert screening.stratum == stratum


def test_an_ineligible_subject_is_a_record_with_every_reason_and_no_stratum(study):
    subject = study.consented()

    screening = screen(study, subject, response="SD", ecog=3, exclusions=["hiv"])

    event = OutboxEvent.objects.get(type="patients.ScreeningRecorded")
    codes = [reason["code"] for reason in screening.reasons]
    assert codes == ["response_too_low", "ecog_too_high", "exclusion_hiv"]
    assert (screening.eligible, screening.stratum) == (False, "")
    assert (event.payload["eligible"], event.payload["reasons"]) == (False, codes)


@pytest.mark.parametrize("missing", ["mrd_level", "anc_10e9_l", "creatinine_clearance_ml_min"])
def test_what_is_not_known_speaks_against_the_subject(study, missing):
    assert not screen(study, study.consented(), **{missing: None}).eligible


def test_consent_comes_before_screening(study):
    subject = enrol(study)
    assert refused(ConsentMissing, screen, study, subject) == {"no_consent"}

    consent(study, subject, on=TODAY)

    assert refused(ConsentMissing, screen, study, subject, on=TODAY - DAY) == {"no_consent"}
    assert screen(study, subject, on=TODAY).eligible


def test_a_screening_that_cannot_be_is_refused_with_every_reason(study):
    subject = study.consented()

    assert refused(
        RecordRefused, screen, study, subject, on=TODAY + DAY, exclusions=["left_handed"]
    ) == {"future_day", "unknown_exclusion"}


def test_screening_ends_with_randomisation(study):
    subject = study.randomised()

    assert refused(RecordRefused, screen, study, subject) == {"already_randomised"}


# --- Randomising ------------------------------------------------------------------------------


def test_a_randomised_subject_points_to_its_place_and_the_stratum_is_frozen_with_it(study):
    subject = study.screened()

    allocation = randomise(study, subject)

    subject.refresh_from_db()
    event = OutboxEvent.objects.get(type="patients.SubjectRandomised")
    assert subject.allocation == allocation
    assert (allocation.stratum, allocation.randomised_on) == ("H", TODAY)
    assert event.payload == {
        "subject_id": str(subject.pk),
        "site_id": str(study.site.pk),
        "allocation_id": str(allocation.pk),
        "stratum": "H",
        "randomised_on": str(TODAY),
    }


def test_a_subject_is_randomised_once(study):
    subject = study.randomised()

    assert refused(NotRandomisable, randomise, study, subject) == {"already_randomised"}


def test_a_subject_randomised_twice_at_once_takes_one_place(study):
    subject = study.screened()

    answers = at_once(*[partial(randomise, study, subject)] * 4)

    assert sorted(type(answer).__name__ for answer in answers) == [
        "Allocation", "NotRandomisable", "NotRandomisable", "NotRandomisable",
    ]  # fmt: skip
    assert Allocation.objects.count() == 1
    assert ask("SELECT sum(taken) FROM sealed.head") == [(1,)]


def test_nobody_is_randomised_without_consent_or_screening(study):
    assert refused(NotRandomisable, randomise, study, enrol(study)) == {
        "consent_missing", "not_screened", "last_cycle_missing",
    }  # fmt: skip


def test_nobody_is_randomised_who_is_not_eligible(study):
    subject = study.screened(found={"ecog": 4})

    assert refused(NotRandomisable, randomise, study, subject) == {"not_eligible"}


def test_the_last_screening_counts(study):
    subject = study.screened(found={"ecog": 4})
    screen(study, subject, at=NOW + timedelta(seconds=1))

    assert randomise(study, subject).stratum == "H"
    assert Screening.objects.count() == 2


def test_nobody_is_randomised_after_withdrawing(study):
    subject = study.screened()
    withdraw(study, subject)

    assert refused(NotRandomisable, randomise, study, subject) == {"consent_missing"}


@pytest.mark.parametrize(
    ("days", "expected"), [(55, "too_soon_after_first_line"), (141, "too_late_after_first_line")]
)
def test_nobody_is_randomised_too_soon_or_too_late_after_first_line(study, days, expected):
    subject = study.consented()
    screen(study, subject, last_cycle_on=TODAY - days * DAY)

    assert refused(NotRandomisable, randomise, study, subject) == {expected}


@pytest.mark.parametrize("days", [56, 140])
def test_the_first_and_the_last_day_after_first_line_are_in_time(study, days):
    subject = study.consented()
    screen(study, subject, last_cycle_on=TODAY - days * DAY)

    assert randomise(study, subject).stratum == "H"


def test_a_live_trial_randomises_today_and_not_yesterday(study):
    subject = study.screened()

    assert refused(DayRefused, randomise, study, subject, on=TODAY - DAY) == {"not_today"}
    assert randomise(study, subject, on=TODAY).randomised_on == TODAY


def test_a_replayed_trial_randomises_on_a_past_day():
    study = Study(conduct="replay", kits=0)
    subject = study.screened()

    assert randomise(study, subject, on=TODAY - DAY).randomised_on == TODAY - DAY


def test_a_site_on_hold_randomises_nobody(study):
    subject = study.screened()
    put(study.site, "on_hold")

    assert refused(SiteNotRecruiting, randomise, study, subject) == {"site_status"}


def test_a_list_without_a_place_left_randomises_nobody(study):
    subject = study.screened()
    ask("UPDATE sealed.head SET taken = 102")

    assert refused(ListExhausted, randomise, study, subject) == {"no_place_left"}


def test_nobody_randomises_another_sites_subject_or_without_the_permission(study):
    subject = study.screened()
    stranger = study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))

    with pytest.raises(Subject.DoesNotExist):
        randomise(study, subject, by=stranger)
    with pytest.raises(PermissionDenied):
        randomise(study, subject, by=study.pharmacist)

    assert not Allocation.objects.exists()
