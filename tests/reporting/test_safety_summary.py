import json
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.outcomes import record_death
from reporting.documents.safety_summary import rendered_summary
from reporting.errors import SummaryRefused
from reporting.models import SafetySummary
from reporting.services.periods import PeriodKind, period_named, period_of
from reporting.services.reading import stored
from reporting.services.safety_summaries import (
    due_periods,
    recomputed_digest,
    write_safety_summary,
    write_scheduled_summary,
)
from reporting.tasks import write_due_safety_summaries
from tests.factories import TODAY, Study
from tests.marks import on_postgres
from tests.postgres import ask, contents
from trials.models import Trial
from trials.permissions import Role


MARCH = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("kind", "day", "name", "start", "end"),
    [
        ("weekly", date(2021, 1, 3), "2020-W53", date(2020, 12, 28), date(2021, 1, 3)),
        ("weekly", date(2021, 1, 4), "2021-W01", date(2021, 1, 4), date(2021, 1, 10)),
        ("monthly", date(2016, 2, 29), "2016-02", date(2016, 2, 1), date(2016, 2, 29)),
        ("monthly", date(2016, 12, 31), "2016-12", date(2016, 12, 1), date(2016, 12, 31)),
        ("quarterly", date(2016, 3, 31), "2016-Q1", date(2016, 1, 1), date(2016, 3, 31)),
        ("quarterly", date(2016, 12, 1), "2016-Q4", date(2016, 10, 1), date(2016, 12, 31)),
    ],
)
def test_a_period_has_a_name_and_both_its_days(kind, day, name, start, end):
    period = period_of(day, PeriodKind(kind))

    assert (period.name, period.start, period.end) == (name, start, end)
    assert period_named(name, PeriodKind(kind)) == period
    assert period.next().previous() == period


@pytest.mark.parametrize("name", ["2016-13", "2016-Q1", "2016", "2016-3", "march"])
def test_a_name_that_is_no_month_is_an_error(name):
    with pytest.raises(ValueError, match=name):
        period_named(name, PeriodKind.MONTHLY)


def serious_event(study: Study, subject, *, on: date = TODAY, term: str = "Lung infection") -> None:
    record_adverse_event(
        subject_id=subject.pk, term=term, soc="Infections and infestations", grade=3,
        started_on=PartialDate.of(on), outcome="recovered", related=True, serious=True,
        seriousness=["hospitalisation"], by=study.system, at=timezone.now(),
    )  # fmt: skip


def scheduled(study: Study, start: date = MARCH) -> SafetySummary | None:
    return write_scheduled_summary(trial=study.trial, period_start=start, at=timezone.now())


@on_postgres
def test_a_summary_counts_the_period_and_the_trial_so_far():
    study = Study(kits=0)
    subject = study.randomised()
    serious_event(study, subject)
    record_death(
        subject_id=subject.pk, died_on=PartialDate("2026-04-02"), cause="unknown",
        by=study.system, at=timezone.now(),
    )  # fmt: skip

    content = scheduled(study, date(2026, 4, 1)).content

    assert content["subjects"]["randomised"] == {"period": 0, "total": 1}
    assert content["subjects"]["died"] == {"period": 1, "total": 1}
    assert content["not_emergent"] == {"period": 0, "total": 1}
    assert [line["in_period"] for line in content["serious"]] == [False]


@on_postgres
def test_a_summary_names_no_arm():
    study = Study(arms=("ACTIVE7", "CONTROL7"))
    subject = study.ready_for_first_kit()
    serious_event(study, subject)

    summary = scheduled(study)

    said = rendered_summary(stored(summary), "html").decode() + json.dumps(summary.content)
    assert "ACTIVE7" not in said
    assert "CONTROL7" not in said


@on_postgres
def test_the_same_cut_gives_the_same_digest_after_later_records():
    study = Study(kits=0)
    subject = study.randomised()
    serious_event(study, subject)
    summary = scheduled(study)

    serious_event(study, subject, on=TODAY + timedelta(days=1))

    assert recomputed_digest(summary, at=timezone.now()) == summary.digest


@on_postgres
def test_however_many_workers_write_there_is_one_first_edition():
    study = Study(kits=0)
    study.enrolled()
    start, made = threading.Barrier(4), []

    def work() -> None:
        try:
            start.wait(10)
            made.append(scheduled(study))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [summary.edition for summary in made if summary] == [1]
    assert SafetySummary.objects.count() == 1


@on_postgres
def test_writing_by_hand_makes_the_next_edition():
    study = Study(kits=0)
    study.enrolled()
    scheduled(study)

    again = write_safety_summary(
        trial=study.trial, period_start=MARCH, by=study.people[Role.SAFETY_OFFICER],
        at=timezone.now(),
    )  # fmt: skip

    assert (again.edition, again.written_by) == (2, "safety_officer")


@on_postgres
def test_who_may_only_read_summaries_cannot_write_one():
    study = Study(kits=0)

    with pytest.raises(PermissionDenied):
        write_safety_summary(
            trial=study.trial, period_start=MARCH, by=study.people[Role.MEDICAL_MONITOR],
            at=timezone.now(),
        )  # fmt: skip

    assert not SafetySummary.objects.exists()


@on_postgres
def test_a_day_that_begins_no_period_is_refused():
    study = Study(kits=0)

    with pytest.raises(SummaryRefused, match="2026-03 begins on 2026-03-01"):
        scheduled(study, date(2026, 3, 2))


@on_postgres
@pytest.mark.parametrize(
    ("today", "due"),
    [
        (datetime(2026, 3, 31, 23, tzinfo=UTC), []),
        (datetime(2026, 4, 1, tzinfo=UTC), ["2026-03"]),
        (datetime(2026, 6, 1, tzinfo=UTC), ["2026-03", "2026-04", "2026-05"]),
    ],
    ids=["last day", "day after", "two months later"],
)
def test_a_live_trial_s_period_is_due_once_it_has_ended(today, due):
    study = Study(kits=0)
    study.enrolled()

    assert [period.name for period in due_periods(study.trial, at=today)] == due


@on_postgres
def test_a_replay_has_one_summary_due_and_then_none():
    study = Study(kits=0, conduct=Trial.Conduct.REPLAY)
    study.enrolled()

    first, second = write_due_safety_summaries(), write_due_safety_summaries()

    assert (first, second) == (1, 0)
    assert SafetySummary.objects.get().period_start == MARCH


@on_postgres
def test_a_trial_without_subjects_has_nothing_due():
    study = Study(kits=0)

    assert due_periods(study.trial, at=timezone.now()) == ()


@on_postgres
def test_the_command_writes_and_recomputes(capsys):
    study = Study(kits=0)
    study.enrolled()

    call_command("safety_summary", trial="CLLM1", period="2026-03")
    call_command("safety_summary", trial="CLLM1", period="2026-03", recompute=True)

    summary = SafetySummary.objects.get()
    said = capsys.readouterr().out
    assert said.count(summary.digest) == 2
    assert "the same digest" in said


@on_postgres
@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"trial": "NONE"}, "no trial NONE", id="unknown trial"),
        pytest.param({"period": "2026-Q1"}, "monthly period like 2016-03", id="another shape"),
        pytest.param({"period": "2100-01"}, "has not begun", id="future"),
        pytest.param(
            {"period": "2026-03", "recompute": True}, "has been written", id="nothing to recompute"
        ),
        pytest.param({}, "ended yet", id="no period"),
        pytest.param({"period": "2026-03", "by": "nobody"}, "user nobody", id="unknown person"),
        pytest.param(
            {"period": "2026-03", "by": "pharmacist-DE-01"}, "does not allow", id="another role"
        ),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(options, said):
    Study(kits=0)
    before = contents()

    with pytest.raises(CommandError, match=said):
        call_command("safety_summary", **{"trial": "CLLM1", **options})

    assert contents() == before


@on_postgres
def test_the_command_asks_who_writes_when_there_are_two_safety_officers():
    study = Study(kits=0)
    study.person(Role.SAFETY_OFFICER, name="second officer")

    with pytest.raises(CommandError, match="--by"):
        call_command("safety_summary", trial="CLLM1", period="2026-03")

    assert not SafetySummary.objects.exists()


@on_postgres
def test_the_command_fails_and_names_both_digests_when_the_stored_one_is_another():
    Study(kits=0)
    call_command("safety_summary", trial="CLLM1", period="2026-03")
    digest = SafetySummary.objects.get().digest
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE reporting_safetysummary SET digest = repeat('0', 64)"
    )

    with pytest.raises(CommandError, match=f"edition 1 differs: stored 0{{64}}, .*{digest}"):
        call_command("safety_summary", trial="CLLM1", period="2026-03", recompute=True)


@on_postgres
def test_page_and_pdf_say_that_arms_are_pooled_and_are_the_same_bytes_again():
    study = Study(kits=0)
    subject = study.randomised()
    serious_event(study, subject)
    summary = stored(scheduled(study))

    page = rendered_summary(summary, "html").decode()

    assert "both arms counted together" in page
    assert "Lung infection" in page
    assert rendered_summary(summary, "pdf").startswith(b"%PDF")
    assert rendered_summary(summary, "pdf") == rendered_summary(summary, "pdf")


@on_postgres
@pytest.mark.parametrize("term", ["Ausschlag, β ≥ 2", "Rash \N{FACE WITH THERMOMETER}", "#emph[x]"])
def test_whatever_a_site_wrote_can_be_set_as_pages(term):
    study = Study(kits=0)
    serious_event(study, study.consented(), term=term)
    summary = stored(scheduled(study))

    assert rendered_summary(summary, "pdf").startswith(b"%PDF")
    assert term in rendered_summary(summary, "html").decode()
