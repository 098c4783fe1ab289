"""A stratum found wrong, a subject randomised in error: kept beside the randomisation."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from events.models import OutboxEvent
from patients.errors import RecordRefused
from patients.models import RandomisationMistake, ScreeningCorrection, Subject
from patients.services.stratification import correct_screening, record_randomisation_mistake
from reporting.services.randomisation import stratification_report
from tests.factories import NOW, Study
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import ask, contents
from trials.models import Allocation, Trial
from trials.permissions import Role


pytestmark = on_postgres

LOW = {"mrd_level": "0.002"}


def correct(subject, by, *, values=LOW, reason="decimal point misread", at=NOW):
    return correct_screening(subject_id=subject.pk, values=values, reason=reason, by=by, at=at)


def mark(subject, by, *, kind="not_eligible", reason="creatinine was too high"):
    return record_randomisation_mistake(
        subject_id=subject.pk, kind=kind, reason=reason, by=by, at=NOW
    )


def refused(act):
    before = contents()
    with pytest.raises(RecordRefused) as refusal:
        act()
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


def report_for(study, role=Role.DATA_MANAGER, **how):
    return stratification_report(trial=study.trial, by=study.people[role], **how)


# --- A stratum that was wrong -----------------------------------------------------------------


def test_the_frozen_stratum_stays_and_the_corrected_one_stands_beside_it():
    study = Study(kits=0)
    subject = study.randomised()
    before = ask("SELECT * FROM trials_allocation"), ask("SELECT * FROM sealed.head ORDER BY 2")

    correction = correct(subject, study.coordinator)

    subject.refresh_from_db()
    assert subject.allocation.stratum == "H"
    assert (correction.stratum, correction.levels) == ("I", {"mrd": "I"})
    assert (correction.found, correction.corrected) == ({"mrd_level": "0.02"}, LOW)
    assert before == (
        ask("SELECT * FROM trials_allocation"), ask("SELECT * FROM sealed.head ORDER BY 2"),
    )  # fmt: skip
    event = OutboxEvent.objects.get(type="patients.ScreeningCorrected")
    assert event.payload["other_stratum"] is True
    assert event.payload["variables"] == ["mrd_level"]


@pytest.mark.parametrize(
    ("value", "stratum"),
    [("0.01", "H"), ("0.00999999", "I"), ("0.0001", "I"), ("0.00009999", "")],
)
def test_the_corrected_stratum_follows_from_the_value_at_each_bound(value, stratum):
    study = Study(kits=0)

    correction = correct(study.randomised(), study.system, values={"mrd_level": value})

    assert correction.stratum == stratum


def test_a_later_correction_goes_on_from_the_earlier_one():
    study = Study(kits=0)
    subject = study.randomised()
    correct(subject, study.system)

    back = correct(subject, study.system, values={"mrd_level": "0.02"}, at=NOW + timedelta(1))

    assert (back.found, back.stratum) == ({"mrd_level": "0.002"}, "H")
    assert report_for(study).misstratified == ()


def test_a_correction_of_another_value_keeps_the_stratum():
    study = Study(kits=0)

    correction = correct(study.randomised(), study.system, values={"ecog": 1})

    assert (correction.stratum, correction.found) == ("H", {"ecog": 0})


def test_a_correction_that_cannot_be_stores_nothing():
    study = Study(kits=0)
    subject, screened = study.randomised(), study.screened()
    again = partial(correct, subject, study.system)

    assert refused(partial(again, reason=" ")) == {"reason_missing"}
    assert refused(partial(again, values={})) == {"nothing_corrected"}
    assert refused(partial(again, values={"mrd_level": "0.02"})) == {"not_corrected"}
    assert refused(partial(again, values={"mrd_level": "much"})) == {"wrong_kind"}
    assert refused(partial(again, values={"hair": "red"})) == {"unknown_variable"}
    assert refused(partial(correct, screened, study.system)) == {"not_randomised"}


def test_who_may_not_correct_is_refused():
    study = Study(kits=0)
    subject = study.randomised()

    for role in (Role.PHARMACIST, Role.MONITOR, Role.DATA_MANAGER, Role.UNBLINDED_STATISTICIAN):
        with pytest.raises((PermissionDenied, Subject.DoesNotExist)):
            correct(subject, study.people[role])

    assert not ScreeningCorrection.objects.exists()


# --- A subject randomised in error ------------------------------------------------------------


def test_a_mistake_is_marked_and_nothing_is_undone():
    study = Study(kits=0)
    subject = study.randomised()
    before = ask("SELECT * FROM trials_allocation"), contents("sealed")

    found = mark(subject, study.people[Role.INVESTIGATOR])

    assert (found.kind, found.reason) == ("not_eligible", "creatinine was too high")
    assert before == (ask("SELECT * FROM trials_allocation"), contents("sealed"))
    event = OutboxEvent.objects.get(type="patients.RandomisationMistakeRecorded")
    assert event.payload["kind"] == "not_eligible"


def test_a_mark_that_cannot_be_stores_nothing():
    study = Study(kits=0)
    subject, screened = study.randomised(), study.screened()
    manager = study.people[Role.DATA_MANAGER]

    assert refused(partial(mark, subject, manager, reason="")) == {"reason_missing"}
    assert refused(partial(mark, subject, manager, kind="boredom")) == {"unknown_kind"}
    assert refused(partial(mark, screened, manager)) == {"not_randomised"}
    for role in (Role.COORDINATOR, Role.SITE_SYSTEM, Role.MONITOR):
        with pytest.raises(PermissionDenied):
            mark(subject, study.people[role])
    assert not RandomisationMistake.objects.exists()


# --- The report -------------------------------------------------------------------------------


def test_the_report_lists_differences_and_mistakes_and_tells_no_arm():
    study = Study(kits=0, arms=("QXACT", "QXCTRL"))
    first, second = study.randomised(), study.randomised()
    correct(first, study.system)
    mark(second, study.people[Role.INVESTIGATOR])

    report = report_for(study)

    [wrong], [mistake] = report.misstratified, report.mistakes
    assert (report.randomised, wrong.subject) == (2, first.number)
    assert (wrong.stratum, wrong.corrected_stratum) == ("H", "I")
    assert wrong.corrected_by == study.system.username
    assert (mistake.subject, mistake.kind) == (second.number, "Was not eligible")
    assert "QX" not in str(report)


@pytest.mark.parametrize(("seconds", "found"), [(600, 1), (601, 0)])
def test_two_subjects_of_a_site_within_the_minutes_are_a_burst(seconds, found):
    study = Study(kits=0)
    first, second = study.randomised(), study.randomised()
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_allocation SET allocated_at = allocated_at + %s::interval WHERE id = %s",
        f"{seconds} seconds",
        second.allocation_id,
    )

    bursts = report_for(study, burst_minutes=10).bursts

    assert [(b.site, b.first, b.second, b.seconds) for b in bursts] == [
        ("DE-01", first.number, second.number, seconds)
    ][:found]


def test_a_replayed_trial_is_not_asked_for_bursts():
    study = Study(kits=0, conduct=Trial.Conduct.REPLAY)
    study.randomised(), study.randomised()

    report = report_for(study)

    assert (report.replayed, report.randomised, report.bursts) == (True, 2, ())


def test_two_subjects_of_two_sites_are_no_burst():
    study = Study(kits=0)
    other = study.add_site("DE-02")
    study.randomised()
    study.randomised(site=other, by=study.person(Role.SITE_SYSTEM, site=other))

    assert report_for(study).bursts == ()


def test_the_addresses_record_and_report_for_the_roles_that_may():
    study = Study(kits=0)
    subject = study.randomised()
    site, manager = caller_for(study.system), caller_for(study.people[Role.DATA_MANAGER])
    path = f"/subjects/{subject.pk}"

    corrected = site.post(f"{path}/screening-corrections", {"values": LOW, "reason": "misread"})
    marked = manager.post(
        f"{path}/randomisation-mistakes", {"mistake": "twice", "reason": "same person as 0001"}
    )
    refusal = site.post(f"{path}/screening-corrections", {"values": LOW, "reason": "again"})
    report = manager.get("/trials/CLLM1/mis-stratification")
    listed = site.get(f"{path}/screening-corrections").json()["results"]

    assert (corrected.status_code, marked.status_code, report.status_code) == (201, 201, 200)
    assert corrected.json()["stratum"] == "I"
    assert reasons_of(refusal) == {("", "not_corrected")}
    assert [one["subject"] for one in report.json()["misstratified"]] == [subject.number]
    assert [one["reason"] for one in listed] == ["misread"]
    assert site.get("/trials/CLLM1/mis-stratification").status_code == 403
    assert manager.get("/trials/CLLM1/mis-stratification?minutes=0").status_code == 400


def test_the_subjects_page_shows_the_mark_and_both_strata(settings):
    study = Study(kits=0)
    subject = study.randomised()
    correct(subject, study.system)
    mark(subject, study.people[Role.INVESTIGATOR])
    client = Client()
    client.force_login(study.people[Role.INVESTIGATOR])

    page = client.get(reverse("admin:patients_subject_change", args=[subject.pk]))

    text = page.content.decode()
    assert page.status_code == 200
    assert "randomised in error" in text
    assert "corrected: Intermediate MRD" in text
    assert "High MRD" in text


def test_the_forms_of_the_admin_record_a_correction_and_a_mark():
    study = Study(kits=0)
    subject = study.randomised()
    client = Client()
    client.force_login(study.people[Role.INVESTIGATOR])

    def send(form, **fields):
        address = reverse("admin:patients_subject_record", args=[subject.pk, form])
        return client.post(address, {"key": f"{form} {fields}"[:60], **fields})

    wrong = send("screening-correction", variable="mrd_level", value="much", reason="misread")
    right = send("screening-correction", variable="mrd_level", value="0.002", reason="misread")
    marked = send("randomisation-mistake", kind="other", reason="wrong button")

    assert (wrong.status_code, right.status_code, marked.status_code) == (200, 302, 302)
    assert ScreeningCorrection.objects.get().stratum == "I"
    assert Allocation.objects.get().stratum == "H"
    assert RandomisationMistake.objects.get().reason == "wrong button"
