"""Nothing a blinded person can open tells an arm: every address is crawled as every such role.

The trial's arms have names that occur nowhere else, and two subjects, one in each arm, went
through the same: what is shown of them may differ by who they are and by nothing more. The blind
of the third was broken: who must know is told that, and nobody but who asked is told what.
"""

import pytest
from django.utils import timezone

from dosing.services.dispensing import dispense_kit
from events.tasks import drain
from patients.models import Subject
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.unblinding import break_blind, shown_arm
from reporting.services.safety_summaries import write_safety_summary
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.stories.fetching import (
    BLINDED,
    SUBJECT,
    browser,
    crawl,
    listening,
    program,
    routes_of_the_interface,
    text_of,
)
from trials.identity import Shown
from trials.permissions import Role
from trials.services.unblinding import prove


pytestmark = on_postgres

ARMS, LABELS = ("QXACTIVE", "QXCONTR"), ("Qxdrug", "Qxsham")
WORD = "a long pass phrase"


@pytest.fixture
def log():
    with listening() as said:
        yield said


@pytest.fixture
def study(log) -> Study:
    """Three randomised subjects of one block, dispensed to, with an event each; one unblinded."""
    study = Study(arms=ARMS, labels=LABELS)
    for _ in range(3):
        subject = study.ready_for_first_kit()
        dispense_kit(
            subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
            by=study.pharmacist, at=NOW,
        )  # fmt: skip
        record_adverse_event(
            subject_id=subject.pk, term="Rash", soc="Skin", grade=3,
            started_on=PartialDate("2026-03"), outcome="recovering", related=True, serious=True,
            seriousness=["hospitalisation"], by=study.system, at=NOW,
        )  # fmt: skip
    assert _break_the_blind(study, subject) in ARMS
    write_safety_summary(
        trial=study.trial, period_start=TODAY.replace(day=1),
        by=study.people[Role.SAFETY_OFFICER], at=timezone.now(),
    )  # fmt: skip
    drain()
    return study


def _break_the_blind(study: Study, subject: Subject) -> str:
    by = study.people[Role.INVESTIGATOR]
    by.set_password(WORD)
    by.save()
    proof = prove(by, Shown(password=WORD), purpose="emergency unblinding", subject_id=subject.pk)
    opened = break_blind(
        subject_id=subject.pk, would_change_treatment=True, reason="Neutropenic fever",
        proof=proof, by=by, at=NOW,
    )  # fmt: skip
    return shown_arm(opened.pk, by=by).code


@pytest.mark.parametrize("role", BLINDED)
def test_no_page_shows_an_arm_to(role, study, log):
    pages = crawl(browser(study.people[role]), starts=["/admin/", *_addresses(study)])

    assert len(pages) > 5
    assert {path: found for path, text in pages.items() if (found := _arms_in(text))} == {}
    assert _arms_in(log()) == set()


@pytest.mark.parametrize("role", BLINDED)
def test_no_address_of_the_api_shows_an_arm_to(role, study, log):
    client = program(study.people[role])

    answers = {path: client.get(path) for path in _addresses(study)}

    assert {path for path, answer in answers.items() if answer.status_code >= 500} == set()
    assert {path: a for path, a in answers.items() if _arms_in(text_of(a))} == {}
    assert _arms_in(log()) == set()


def test_the_report_by_arm_does_show_arms_to_the_statistician(study):
    """The crawl would see a leak: the one place that may show an arm is seen by it."""
    client = browser(study.people[Role.UNBLINDED_STATISTICIAN])

    page = client.get(f"/reports/{study.trial.code}/pfs?cutoff={TODAY}")

    assert _arms_in(text_of(page))


def _arms_in(text: str) -> set[str]:
    return {arm for arm in (*ARMS, *LABELS) if arm in text}


def _addresses(study: Study) -> list[str]:
    """Every address of the interface, filled in for each of the trial's subjects."""
    subjects = Subject.objects.filter(trial=study.trial)
    filled = [
        route.replace(SUBJECT, str(subject.pk))
        for route in routes_of_the_interface(study)
        for subject in subjects
    ]
    return list(dict.fromkeys(filled))
