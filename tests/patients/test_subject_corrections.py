"""Sex or year of birth was wrong: what was judged from it stands no longer, the slot does."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from dosing.errors import GateClosed
from dosing.models import Dispensation
from dosing.services.dispensing import dispense_kit
from dosing.services.pregnancy_prevention import assess_pregnancy_risk, record_pregnancy_test
from events.history import as_known_at, history_model
from events.models import OutboxEvent
from events.outcomes import StaleRecord
from patients.errors import NotRandomisable, RecordRefused
from patients.models import Subject, SubjectCorrection
from patients.services.corrections import correct_subject
from patients.services.enrolment import randomise_subject
from patients.services.stratification import correct_screening
from reporting.models import Notice
from reporting.services.randomisation import stratification_report
from reporting.subscribers import notice_subject_corrected
from tests.factories import NOW, TODAY, Study
from tests.interface import caller_for, fields_of, reasons_of
from tests.marks import on_postgres
from tests.postgres import ask, at_once, contents, denied
from trials.permissions import Role


pytestmark = on_postgres

LATER = NOW + timedelta(minutes=1)
PAGE = "admin:patients_subject_change"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study()


def correct(subject, by, *, revision=1, reason="read from the passport", at=NOW, **sent):
    return correct_subject(
        subject_id=subject.pk, revision=revision, reason=reason, by=by, at=at,
        **(sent or {"sex": "female"}),
    )  # fmt: skip


def dispense(study, subject, *, at=NOW):
    return dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=at, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=at,
    )  # fmt: skip


def randomise(study, subject):
    return randomise_subject(subject_id=subject.pk, randomised_on=TODAY, by=study.system, at=LATER)


def blocks(error, act, *args, **how):
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


# --- The record -------------------------------------------------------------------------------


def test_a_correction_changes_the_subject_and_the_history_says_what_stood_there_and_why(study):
    subject = study.consented()

    found = correct(subject, study.coordinator, sex="female", year_of_birth=1960)

    subject.refresh_from_db()
    assert (subject.sex, subject.year_of_birth, subject.revision) == ("female", 1960, 2)
    assert found.found == {"sex": "male", "year_of_birth": 1950}
    assert found.corrected == {"sex": "female", "year_of_birth": 1960}
    assert (found.allocation, found.levels, found.stratum, found.against) == (None, {}, "", [])
    first, second = history_model(Subject).objects.order_by("pgh_id")
    assert (first.sex, first.year_of_birth, first.revision) == ("male", 1950, 1)
    assert (second.sex, second.year_of_birth, second.revision) == ("female", 1960, 2)
    assert second.pgh_context["reason"] == "read from the passport"
    assert second.pgh_context["actor"] == study.coordinator.username
    event = OutboxEvent.objects.get(type="patients.SubjectCorrected")
    assert event.payload["corrected"] == ["sex", "year_of_birth"]
    assert event.payload["other_stratum"] is False
    assert not {"male", "female", 1950, 1960} & set(map(str, event.payload.values()))


def test_the_past_is_known_as_it_was_known_then(study):
    subject = study.consented()
    before = ask("SELECT max(pgh_created_at) FROM patients_subjecthistory")[0][0]

    correct(subject, study.system)

    assert as_known_at(Subject, before).get().sex == "male"
    assert denied("UPDATE patients_subjectcorrection SET reason = 'x'")
    assert denied("DELETE FROM patients_subjectcorrection")


def test_a_correction_that_cannot_be_changes_nothing_and_gives_every_reason(study):
    subject = study.consented()
    act = partial(blocks, RecordRefused, correct, subject, study.system)

    assert act(sex="male", year_of_birth=1899, reason=" ") == {
        "not_corrected", "year_of_birth", "reason_missing",
    }  # fmt: skip
    assert act(year_of_birth=TODAY.year + 1) == {"year_of_birth"}
    assert blocks(
        RecordRefused, correct_subject, subject_id=subject.pk, revision=1, reason="x",
        by=study.system, at=NOW,
    ) == {"nothing_corrected"}  # fmt: skip


def test_of_two_corrections_at_once_one_is_told_to_read_again(study):
    subject = study.consented()

    answers = at_once(
        partial(correct, subject, study.system, sex="female"),
        partial(correct, subject, study.system, year_of_birth=1960),
    )

    names = sorted(type(answer).__name__ for answer in answers)
    assert names == ["StaleRecord", "SubjectCorrection"]
    subject.refresh_from_db()
    assert subject.revision == 2


def test_nobody_corrects_a_subject_of_another_site_or_without_the_permission(study):
    subject = study.consented()
    stranger = study.person(Role.COORDINATOR, site=study.add_site("DE-02"))
    before = contents()

    with pytest.raises(Subject.DoesNotExist):
        correct(subject, stranger)
    for role in (Role.PHARMACIST, Role.MONITOR, Role.DATA_MANAGER, Role.UNBLINDED_STATISTICIAN):
        with pytest.raises(PermissionDenied):
            correct(subject, study.people[role])
    with pytest.raises(Subject.DoesNotExist):
        correct(subject, study.admin)

    assert contents() == before


@pytest.mark.parametrize("role", [Role.INVESTIGATOR, Role.COORDINATOR, Role.SITE_SYSTEM])
def test_the_people_of_the_site_may_correct(study, role):
    assert correct(study.consented(), study.people[role]).corrected == {"sex": "female"}


# --- Before randomisation ---------------------------------------------------------------------


@pytest.mark.parametrize("sent", [{"sex": "female"}, {"year_of_birth": 1951}])
def test_nobody_is_randomised_by_a_screening_judged_before_the_correction(study, sent):
    subject = study.screened()
    correct(subject, study.system, **sent)

    assert blocks(NotRandomisable, randomise, study, subject) == {"corrected_since_screened"}

    study.screen(subject, at=LATER)
    assert randomise(study, subject).stratum == "H"


@pytest.mark.parametrize(("year", "eligible"), [(TODAY.year - 19, True), (TODAY.year - 18, False)])
def test_the_screening_after_it_judges_the_right_age(study, year, eligible):
    subject = study.screened()
    correct(subject, study.system, year_of_birth=year)
    study.screen(subject, at=LATER)

    last = subject.screenings.order_by("pk").filter(subject_revision=2).get()

    assert last.eligible is eligible
    assert [reason["code"] for reason in last.reasons] == ([] if eligible else ["too_young"])


# --- The pregnancy-prevention gate ------------------------------------------------------------


def test_a_man_corrected_to_a_woman_gets_no_drug_until_her_risk_is_assessed_and_met(study):
    subject = study.ready_for_first_kit()
    correct(subject, study.system, sex="female")

    asked = {
        "contraception_insufficient", "first_pregnancy_test_missing",
        "second_pregnancy_test_missing",
    }  # fmt: skip
    assert blocks(GateClosed, dispense, study, subject) == {"risk_category_missing", *asked}
    assess_pregnancy_risk(subject_id=subject.pk, assessed_on=TODAY, by=study.system, at=LATER)
    assert blocks(GateClosed, dispense, study, subject) == asked


def test_a_woman_corrected_to_a_man_gets_no_drug_until_the_risk_is_assessed_again(study):
    subject = study.woman_ready_for_first_kit()
    correct(subject, study.system, sex="male")

    assert "risk_category_missing" in blocks(GateClosed, dispense, study, subject)
    assess_pregnancy_risk(subject_id=subject.pk, assessed_on=TODAY, by=study.system, at=LATER)
    assert blocks(GateClosed, dispense, study, subject) == {"condom_missing"}


def test_a_positive_test_of_a_woman_corrected_to_a_man_keeps_the_gate_shut(study):
    subject = study.woman_ready_for_first_kit()
    study.pregnancy_test(subject, taken_at=NOW - timedelta(hours=2), result="positive")
    correct(subject, study.system, sex="male")
    assess_pregnancy_risk(subject_id=subject.pk, assessed_on=TODAY, by=study.system, at=LATER)

    assert "pregnancy_test_positive" in blocks(GateClosed, dispense, study, subject)


def test_a_correction_of_the_year_alone_keeps_the_category(study):
    subject = study.ready_for_first_kit()
    correct(subject, study.system, year_of_birth=1951)

    assert dispense(study, subject).cycle == 1


def test_a_kit_and_the_correction_at_once_run_one_after_the_other(study):
    subject = study.ready_for_first_kit()

    kit, correction = at_once(
        partial(dispense, study, subject), partial(correct, subject, study.system, sex="female")
    )

    assert isinstance(correction, SubjectCorrection)
    closed = isinstance(kit, GateClosed)
    assert closed or isinstance(kit, Dispensation)
    assert Dispensation.objects.exists() is not closed


def test_tests_are_recorded_for_the_right_sex(study):
    subject = study.consented()
    sample = {
        "subject_id": subject.pk, "taken_at": NOW, "result": "negative", "specimen": "serum",
        "sensitivity_miu_ml": 25, "by": study.system, "at": NOW,
    }  # fmt: skip

    assert blocks(RecordRefused, record_pregnancy_test, **sample) == {"not_tested"}
    correct(subject, study.system, sex="female")
    assert record_pregnancy_test(**sample).result == "negative"


# --- After randomisation ----------------------------------------------------------------------


def test_a_randomised_subject_keeps_slot_and_stratum_and_the_criteria_not_met_are_told(study):
    subject = study.randomised()
    before = ask("SELECT * FROM trials_allocation"), contents("sealed")

    found = correct(subject, study.system, year_of_birth=TODAY.year - 18)

    assert (found.stratum, found.levels) == ("H", {"mrd": "H"})
    assert [each["code"] for each in found.against] == ["too_young"]
    assert before == (ask("SELECT * FROM trials_allocation"), contents("sealed"))
    event = OutboxEvent.objects.get(type="patients.SubjectCorrected")
    assert event.payload["against"] == ["too_young"]
    report = stratification_report(trial=study.trial, by=study.people[Role.DATA_MANAGER])
    assert report.misstratified == ()


def test_what_the_screening_was_corrected_to_counts_in_the_stratum_of_the_subject(study):
    subject = study.randomised()
    correct_screening(
        subject_id=subject.pk, values={"mrd_level": "0.002"}, reason="misread", by=study.system,
        at=NOW,
    )  # fmt: skip

    found = correct(subject, study.system, at=NOW + timedelta(1))

    assert found.stratum == "I"
    [row] = stratification_report(
        trial=study.trial, by=study.people[Role.DATA_MANAGER]
    ).misstratified
    assert row.found == {"mrd_level": "0.02", "sex": "male"}
    assert row.corrected == {"mrd_level": "0.002", "sex": "female"}


# --- The edges --------------------------------------------------------------------------------


def test_the_address_corrects_at_a_revision_and_lists_what_was_corrected(study):
    subject = study.consented()
    site = caller_for(study.system)
    path = f"/subjects/{subject.pk}"
    sent = {"sex": "female", "reason": "misread"}
    read = site.get(path).json()["revision"]

    missing = site.post(f"{path}/corrections", sent)
    stale = site.post(f"{path}/corrections", sent, revision="2")
    nothing = site.post(f"{path}/corrections", {"reason": "misread"}, revision="1")
    made = site.post(f"{path}/corrections", sent, revision=str(read))
    again = site.post(f"{path}/corrections", sent, revision="2")
    listed = site.get(f"{path}/corrections").json()["results"]

    statuses = [answer.status_code for answer in (missing, stale, nothing, made, again)]
    assert statuses == [428, 412, 400, 201, 409]
    assert fields_of(nothing) == {"body"}
    assert reasons_of(again) == {("", "not_corrected")}
    assert (made.json()["found"], made.json()["revision"]) == ({"sex": "male"}, 2)
    assert [one["reason"] for one in listed] == ["misread"]
    stranger = caller_for(study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02")))
    assert stranger.post(f"{path}/corrections", sent, revision="2").status_code == 404
    assert stranger.get(f"{path}/corrections").status_code == 404
    monitor = caller_for(study.people[Role.MONITOR])
    assert monitor.post(f"{path}/corrections", sent, revision="2").status_code == 403


def logged_in(person):
    client = Client()
    client.force_login(person)
    return client


def test_the_form_corrects_and_the_page_says_what_has_to_be_done_again(study):
    subject = study.ready_for_first_kit()
    client = logged_in(study.coordinator)
    address = reverse("admin:patients_subject_record", args=[subject.pk, "correction"])
    sent = {"revision": 1, "sex": "female", "year_of_birth": 1950, "reason": "misread"}

    same = client.post(address, {"key": "a", **sent, "sex": "male"})
    done = client.post(address, {"key": "b", **sent})
    stale = client.post(address, {"key": "c", **sent, "sex": "male"})
    page = client.get(reverse(PAGE, args=[subject.pk])).content.decode()

    assert (same.status_code, done.status_code, stale.status_code) == (200, 302, 200)
    assert "nothing_corrected" in same.content.decode()
    assert "read it again" in stale.content.decode()
    assert SubjectCorrection.objects.get().corrected == {"sex": "female"}
    assert "to be assessed again" in page
    assert "Corrected: sex male to female" in page
    assert logged_in(study.pharmacist).post(address, {"key": "d", **sent}).status_code == 403


def test_a_subject_not_screened_again_is_neither_eligible_nor_in_a_stratum_on_its_page(study):
    subject = study.screened()
    client = logged_in(study.coordinator)
    address = reverse(PAGE, args=[subject.pk])

    before = client.get(address)
    correct(subject, study.system)
    after = client.get(address)

    assert (before.context["state"], after.context["state"]) == ("Eligible", "Screened")
    assert (before.context["book"].stratum, after.context["book"].stratum) == ("High MRD", "")


def test_those_who_see_the_subject_are_told(study):
    subject = study.randomised()
    correct(subject, study.system, year_of_birth=TODAY.year - 18)

    notice_subject_corrected(OutboxEvent.objects.get(type="patients.SubjectCorrected"))

    notice = Notice.objects.visible_to(study.coordinator).get()
    assert notice.text == "DE-01-0001: Year of birth corrected; not eligible by it"
    assert not Notice.objects.visible_to(study.supplier).exists()


def test_a_stale_correction_is_refused_before_anything_else_is_judged(study):
    subject = study.consented()
    correct(subject, study.system)

    with pytest.raises(StaleRecord):
        correct(subject, study.system, sex="female")
