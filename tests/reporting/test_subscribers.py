from datetime import timedelta

from django.utils import timezone

from events.models import Delivery
from events.relay import deliver_next
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.outcomes import record_death
from reporting.models import Notice, SiteActivity
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres


pytestmark = on_postgres


def deliver_all() -> None:
    while deliver_next(at=timezone.now()):
        pass


def adverse_event(study: Study, subject, *, serious: bool) -> None:
    record_adverse_event(
        subject_id=subject.pk, term="Lung infection", soc="Infections and infestations", grade=3,
        started_on=PartialDate.of(TODAY), outcome="recovered", related=True, serious=serious,
        seriousness=["hospitalisation"] if serious else [], by=study.system, at=timezone.now(),
    )  # fmt: skip


def count_of(study: Study, type_: str) -> int:
    return SiteActivity.objects.get(site=study.site, type=type_).count


def test_each_event_of_a_site_is_counted_by_its_type():
    study = Study(kits=0)
    study.enrolled()
    study.enrolled()

    deliver_all()

    assert count_of(study, "patients.SubjectEnrolled") == 2


def test_delivering_again_counts_and_notifies_once():
    study = Study(kits=0)
    subject = study.consented()
    adverse_event(study, subject, serious=True)
    deliver_all()

    Delivery.objects.filter(subscriber__contains="notice_").update(delivered_at=None)
    deliver_all()

    assert count_of(study, "patients.AdverseEventRecorded") == 1
    assert Notice.objects.count() == 1


def test_a_serious_adverse_event_makes_a_notice_with_the_number_alone():
    study = Study(kits=0)
    subject = study.consented()
    adverse_event(study, subject, serious=True)
    adverse_event(study, subject, serious=False)

    deliver_all()

    notice = Notice.objects.get()
    assert notice.text == "DE-01-0001: Serious adverse event of grade 3"
    assert notice.site == study.site


def test_a_death_makes_a_notice():
    study = Study(kits=0)
    subject = study.consented()
    record_death(
        subject_id=subject.pk, died_on=PartialDate("2026"), cause="unknown",
        by=study.system, at=timezone.now(),
    )  # fmt: skip

    deliver_all()

    assert Notice.objects.get().kind == "death"


def test_only_a_test_that_is_not_negative_makes_a_notice():
    study = Study(kits=0)
    subject = study.consented(sex="female")
    study.pregnancy_test(subject, taken_at=NOW - timedelta(hours=2))
    study.pregnancy_test(subject, taken_at=NOW - timedelta(hours=1), result="indeterminate")

    deliver_all()

    assert [notice.text for notice in Notice.objects.all()] == [
        "DE-01-0001: Pregnancy test indeterminate"
    ]
