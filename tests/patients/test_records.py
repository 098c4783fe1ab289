"""Every clinical record: consent first, no day to come, one's own site, once, and with an event."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from events.models import OutboxEvent
from patients.errors import ConsentMissing, RecordRefused
from patients.models import (
    AdverseEvent,
    Contact,
    Death,
    FurtherTreatment,
    LabResult,
    ResponseAssessment,
    Subject,
    Visit,
)
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.labs import record_labs
from patients.services.outcomes import record_death, record_further_treatment
from patients.services.response import record_response
from patients.services.visits import record_contact, record_visit
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import contents
from trials.permissions import Role


pytestmark = on_postgres

DAY = timedelta(days=1)
CONSENT = TODAY - 7 * DAY
ANC = {"analyte": "anc", "value": Decimal("2.5"), "unit": "10^9/L"}


@dataclass(frozen=True)
class Act:
    """A service, the fields it is called with on a day, and what it leaves behind."""

    service: Callable[..., Any]
    model: Any
    event: str
    fields: Callable[[date], dict[str, Any]]
    twice: str = ""

    def __call__(self, study, subject, *, on=TODAY, by=None, **changed):
        fields = {**self.fields(on), **changed}
        return self.service(subject_id=subject.pk, by=by or study.system, at=NOW, **fields)


VISIT = Act(
    record_visit,
    Visit,
    "patients.VisitRecorded",
    lambda on: {"kind": "cycle", "cycle": 1, "visited_on": on},
    twice="visit_recorded",
)
LABS = Act(
    record_labs,
    LabResult,
    "patients.LabsRecorded",
    lambda on: {"taken_on": on, "results": [ANC]},
    twice="analyte_twice",
)
RESPONSE = Act(
    record_response,
    ResponseAssessment,
    "patients.ResponseRecorded",
    lambda on: {"assessed_on": on, "response": "PR", "assessor": "investigator"},
    twice="response_recorded",
)
CONTACT = Act(
    record_contact,
    Contact,
    "patients.SubjectContacted",
    lambda on: {"contacted_on": on},
    twice="contact_recorded",
)
DEATH = Act(
    record_death,
    Death,
    "patients.DeathRecorded",
    lambda on: {"died_on": PartialDate.of(on), "cause": "infection"},
    twice="death_recorded",
)
FURTHER = Act(
    record_further_treatment,
    FurtherTreatment,
    "patients.FurtherTreatmentRecorded",
    lambda on: {"started_on": PartialDate.of(on), "regimen": "ibrutinib"},
)
ADVERSE = Act(
    record_adverse_event,
    AdverseEvent,
    "patients.AdverseEventRecorded",
    lambda on: {
        "term": "Rash", "soc": "Skin", "grade": 2, "started_on": PartialDate.of(on),
        "outcome": "unknown", "related": True, "serious": False,
    },
)  # fmt: skip
ACTS = [VISIT, LABS, RESPONSE, CONTACT, DEATH, FURTHER, ADVERSE]
every_act = pytest.mark.parametrize("act", ACTS, ids=lambda act: act.model.__name__)


@pytest.fixture
def study():
    return Study(kits=0)


@pytest.fixture
def subject(study):
    return study.consented()


def refused(error, act, *args, **how):
    """Return the reasons of a refusal, having seen that it changed nothing at all."""
    before = contents()
    with pytest.raises(error) as refusal:
        act(*args, **how)
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


# --- Every record -----------------------------------------------------------------------------


@every_act
def test_a_record_says_of_whom_by_whom_when_and_under_which_version(study, subject, act):
    act(study, subject)

    row = act.model.objects.get()
    assert (row.subject, row.recorded_by, row.recorded_at) == (subject, study.system, NOW)
    assert row.protocol_version == study.trial.current_version


@every_act
def test_a_record_is_published_with_the_subject_and_the_site(study, subject, act):
    act(study, subject)

    event = OutboxEvent.objects.get(type=act.event)
    assert event.payload["subject_id"] == str(subject.pk)
    assert event.payload["site_id"] == str(study.site.pk)
    assert (event.actor, event.occurred_at) == (study.system.username, NOW)


@every_act
def test_no_data_before_consent(study, subject, act):
    assert refused(ConsentMissing, act, study, study.enrolled()) == {"no_consent"}
    assert refused(ConsentMissing, act, study, subject, on=CONSENT - DAY) == {"no_consent"}

    assert act(study, subject, on=CONSENT)


@every_act
def test_nothing_is_dated_after_today(study, subject, act):
    codes = refused(RecordRefused, act, study, subject, on=TODAY + DAY)

    assert codes <= {"future_day", "starts_in_future"}
    assert act(study, subject, on=TODAY)


@every_act
def test_a_subject_of_another_site_does_not_exist(study, subject, act):
    stranger = study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))
    before = contents()

    with pytest.raises(Subject.DoesNotExist):
        act(study, subject, by=stranger)

    assert contents() == before


@every_act
def test_who_may_only_read_records_nothing(study, subject, act):
    before = contents()

    for role in (Role.PHARMACIST, Role.MONITOR, Role.DATA_MANAGER):
        with pytest.raises(PermissionDenied):
            act(study, subject, by=study.people[role])

    assert contents() == before


@pytest.mark.parametrize(
    "act", [act for act in ACTS if act.twice], ids=lambda act: act.model.__name__
)
def test_what_can_be_there_once_is_refused_the_second_time(study, subject, act):
    act(study, subject)

    assert refused(RecordRefused, act, study, subject) == {act.twice}


# --- Each in its own way ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed", [{"kind": "cycle", "cycle": None}, {"kind": "follow_up", "cycle": 1}]
)
def test_a_cycle_visit_names_its_cycle_and_no_other_does(study, subject, changed):
    assert refused(RecordRefused, VISIT, study, subject, **changed) == {"cycle_and_kind"}


def test_follow_up_visits_are_as_many_as_there_are(study, subject):
    VISIT(study, subject, kind="follow_up", cycle=None)
    VISIT(study, subject, kind="follow_up", cycle=None, on=TODAY - DAY)

    assert Visit.objects.count() == 2


def test_both_assessors_may_assess_one_day(study, subject):
    RESPONSE(study, subject)
    RESPONSE(study, subject, assessor="independent_review", response="PD")

    assert ResponseAssessment.objects.count() == 2


def test_one_days_results_are_stored_all_or_none(study, subject):
    wrong = {"analyte": "platelets", "value": Decimal(150), "unit": "G/L"}

    assert refused(RecordRefused, LABS, study, subject, results=[ANC, wrong]) == {"unit"}
    assert refused(RecordRefused, LABS, study, subject, results=[ANC, ANC]) == {"analyte_twice"}
    assert not LabResult.objects.exists()


def test_nobody_died_before_a_day_they_were_alive(study, subject):
    CONTACT(study, subject, on=TODAY)

    assert refused(RecordRefused, DEATH, study, subject, on=TODAY - DAY) == {"alive_later"}


def test_nobody_is_known_to_be_alive_after_their_death(study, subject):
    DEATH(study, subject, on=TODAY - DAY)

    assert refused(RecordRefused, CONTACT, study, subject, on=TODAY) == {"died_before"}
    assert CONTACT(study, subject, on=TODAY - DAY).contacted_on == TODAY - DAY


def test_a_contact_on_the_day_of_death_does_not_contradict_it(study, subject):
    CONTACT(study, subject, on=TODAY - DAY)

    assert DEATH(study, subject, on=TODAY - DAY).cause == "infection"


@pytest.mark.parametrize("text", ["2026", "2026-03", "2026-03-10"])
def test_a_partial_day_is_kept_as_it_was_given(study, subject, text):
    death = DEATH(study, subject, died_on=PartialDate(text))

    assert Death.objects.get(pk=death.pk).died_on == text


def test_a_month_to_come_is_refused_and_the_month_that_has_begun_is_not(study, subject):
    assert refused(RecordRefused, FURTHER, study, subject, started_on=PartialDate("2026-04")) == {
        "future_day"
    }
    assert FURTHER(study, subject, started_on=PartialDate("2026-03")).started_on == "2026-03"
