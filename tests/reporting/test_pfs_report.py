import json
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from patients.rules.partial_dates import PartialDate
from patients.services.outcomes import record_death
from patients.services.response import correct_response, record_response
from reporting.documents.pfs_report import to_json
from reporting.errors import ReportRefused
from reporting.unblinded.pfs import pfs_report
from tests.factories import TODAY, Study
from tests.marks import on_postgres
from trials.models import SealedAccess
from trials.permissions import Role


pytestmark = on_postgres
LATER = TODAY + timedelta(days=100)
PROGRESSION = TODAY + timedelta(days=60)


def progressed(study: Study):
    subject = study.randomised()
    assessment = record_response(
        subject_id=subject.pk, assessed_on=PROGRESSION, response="PD",
        assessor="independent_review", by=study.system, at=timezone.now(),
    )  # fmt: skip
    return subject, assessment


def report(study: Study, **how):
    how = {"cutoff_on": LATER, "by": study.statistician, "at": timezone.now(), **how}
    return pfs_report(trial=study.trial, **how)


def events_of(made) -> int:
    return sum(arm.events for arm in made.arms)


def test_a_corrected_progression_is_not_in_an_older_cut_but_in_a_newer_one():
    study = Study(kits=0)
    _, assessment = progressed(study)
    before = timezone.now()
    correct_response(
        assessment_id=assessment.pk, revision=1, reason="wrong day",
        assessed_on=PROGRESSION - timedelta(days=10), by=study.system, at=timezone.now(),
    )  # fmt: skip

    older, newer = report(study, as_known_at=before), report(study)

    assert [curve_days(older), curve_days(newer)] == [60, 50]


def curve_days(made) -> int:
    arm = next(arm for arm in made.arms if arm.n)
    return round(arm.curve.months[-1] * made.settings.month_days)


def test_the_same_cut_gives_the_same_bytes_whoever_asks_and_when():
    study = Study(kits=0)
    progressed(study)
    instant = timezone.now()

    first = report(study, as_known_at=instant)
    study.randomised()
    again = report(study, as_known_at=instant, by=study.people[Role.COMMITTEE_MEMBER])

    assert to_json(first) == to_json(again)
    assert first.digest == again.digest


@pytest.mark.parametrize(("days", "events"), [(60, 1), (59, 0)], ids=["on the day", "day before"])
def test_an_event_counts_if_it_lies_on_or_before_the_cut_off(days, events):
    study = Study(kits=0)
    progressed(study)

    made = report(study, cutoff_on=TODAY + timedelta(days=days))

    assert events_of(made) == events


def test_a_blinded_role_is_refused_and_nothing_is_looked_at():
    study = Study(kits=0)
    looks = SealedAccess.objects.count()

    with pytest.raises(PermissionDenied):
        report(study, by=study.people[Role.MEDICAL_MONITOR])

    assert SealedAccess.objects.count() == looks


def test_each_look_is_in_the_access_log_with_the_cut_it_was_for():
    study = Study(kits=0)
    progressed(study)

    report(study)

    look = SealedAccess.objects.get(purpose="report by arm")
    assert look.person == study.statistician
    assert str(LATER) in look.detail


def test_records_that_contradict_themselves_are_named_and_no_arm_is_read():
    study = Study(kits=0)
    subject = study.randomised()
    record_death(
        subject_id=subject.pk, died_on=PartialDate("2026-03-09"), cause="unknown",
        by=study.system, at=timezone.now(),
    )  # fmt: skip

    with pytest.raises(ReportRefused, match=subject.number):
        report(study)

    assert not SealedAccess.objects.filter(purpose="report by arm").exists()


def test_a_trial_without_randomisation_gives_a_report_that_says_so():
    study = Study(kits=0)

    made = report(study)

    assert made.population == 0
    assert "Nobody had been randomised" in made.remarks[0]


def test_the_command_writes_the_file_and_says_its_digest(tmp_path, capsys):
    study = Study(kits=0)
    progressed(study)
    out = tmp_path / "pfs.json"
    by = study.statistician.username

    call_command("pfs_report", trial="CLLM1", cutoff=str(LATER), format="json", out=str(out), by=by)

    digest = json.loads(out.read_bytes())["digest"]
    assert digest in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["pfs.json"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"trial": "NONE"}, "no trial NONE", id="unknown trial"),
        pytest.param({"cutoff": "2016-02-30"}, "2016-02-30", id="no such day"),
        pytest.param({"cutoff": "2012-01-01"}, "before the first randomisation", id="too early"),
        pytest.param({"as_known_at": "2026-03-10T12:00"}, "offset", id="no offset"),
        pytest.param({"out": "missing/pfs.json"}, "no folder", id="folder missing"),
        pytest.param({"by": "nobody"}, "nobody", id="unknown person"),
        pytest.param({"by": "coordinator-DE-01"}, "does not allow", id="another role"),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(tmp_path, changed, said):
    study = Study(kits=0)
    study.randomised()
    options = {"trial": "CLLM1", "cutoff": str(LATER), "format": "json", "out": "pfs.json"}
    options |= {"by": study.statistician.username, **changed}
    options["out"] = str(tmp_path / options["out"])

    with pytest.raises(CommandError, match=said):
        call_command("pfs_report", **options)

    assert not list(tmp_path.iterdir())


def test_the_command_asks_who_looks_when_there_are_two_statisticians(tmp_path):
    Study(kits=0)
    options = {"trial": "CLLM1", "cutoff": str(LATER), "format": "json"}

    with pytest.raises(CommandError, match="--by"):
        call_command("pfs_report", **options, out=str(tmp_path / "pfs.json"))
