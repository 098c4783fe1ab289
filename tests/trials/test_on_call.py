from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from tests.factories import NOW, Study
from tests.marks import on_postgres
from tests.postgres import contents
from trials.errors import DutyRefused
from trials.permissions import Role
from trials.services.on_call import cancel_duty, enter_duty, on_call
from trials.services.people import end_role


pytestmark = on_postgres

HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)
START, END = NOW + HOUR, NOW + 9 * HOUR


@pytest.fixture
def study():
    return Study(kits=0)


def enter(study, *, by=None, **changed):
    fields = {
        "person": study.people[Role.MEDICAL_MONITOR],
        "telephone": "+49 30 1234567",
        "starts_at": START,
        "ends_at": END,
    }
    return enter_duty(
        trial_id=study.trial.pk, by=by or study.admin, at=NOW, **{**fields, **changed}
    )


def codes(refusal):
    return [reason.code for reason in refusal.value.reasons]


@pytest.mark.parametrize(
    ("at", "expected"), [(START - MOMENT, 0), (START, 1), (END - MOMENT, 1), (END, 0)]
)
def test_a_duty_holds_from_its_start_until_just_before_its_end(study, at, expected):
    enter(study)

    assert len(on_call(study.trial, at)) == expected


def test_two_monitors_may_be_on_call_at_once_and_the_one_that_stays_longest_is_first(study):
    second = study.person(Role.MEDICAL_MONITOR, name="other-monitor")
    enter(study)
    enter(study, person=second, ends_at=END + HOUR)

    assert [duty.person for duty in on_call(study.trial, START)] == [
        second,
        study.people[Role.MEDICAL_MONITOR],
    ]


@pytest.mark.parametrize("starts_at", [END - MOMENT, START - HOUR])
def test_one_monitor_is_not_on_call_twice_at_once(study, starts_at):
    enter(study)
    before = contents()

    with pytest.raises(DutyRefused) as refusal:
        enter(study, starts_at=starts_at, ends_at=END + HOUR)

    assert codes(refusal) == ["on_call_already"]
    assert contents() == before


def test_a_duty_may_begin_at_the_moment_the_last_one_ends(study):
    enter(study)
    enter(study, starts_at=END, ends_at=END + HOUR)

    assert len(on_call(study.trial, END)) == 1


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ends_at": START}, ["ends_before_start"]),
        ({"starts_at": NOW - 2 * HOUR, "ends_at": NOW}, ["duty_is_over"]),
        ({"telephone": "ask the desk"}, ["telephone"]),
        ({"telephone": "", "ends_at": START - HOUR}, ["ends_before_start", "telephone"]),
    ],
)
def test_a_duty_that_makes_no_sense_is_refused_with_every_reason(study, changed, expected):
    before = contents()

    with pytest.raises(DutyRefused) as refusal:
        enter(study, **changed)

    assert codes(refusal) == expected
    assert contents() == before


def test_only_a_medical_monitor_of_the_trial_is_put_on_call(study):
    with pytest.raises(DutyRefused) as refusal:
        enter(study, person=study.people[Role.SAFETY_OFFICER])

    assert codes(refusal) == ["not_medical_monitor"]


def test_whoever_does_not_keep_the_list_changes_nothing(study):
    duty = enter(study)
    before = contents()

    for role in (Role.INVESTIGATOR, Role.SAFETY_OFFICER):
        with pytest.raises(PermissionDenied):
            enter(study, by=study.people[role], starts_at=END, ends_at=END + HOUR)
        with pytest.raises(PermissionDenied):
            cancel_duty(duty_id=duty.pk, reason="swapped", by=study.people[role], at=NOW)

    assert contents() == before


def test_a_cancelled_duty_is_kept_with_its_reason_and_nobody_answers(study):
    duty = enter(study)

    cancel_duty(duty_id=duty.pk, reason="swapped", by=study.admin, at=NOW)

    duty.refresh_from_db()
    assert (duty.cancelled_by, duty.cancel_reason) == (study.admin, "swapped")
    assert on_call(study.trial, START) == []
    with pytest.raises(DutyRefused) as refusal:
        cancel_duty(duty_id=duty.pk, reason="", by=study.admin, at=NOW)
    assert codes(refusal) == ["reason_missing", "duty_cancelled"]


def test_a_monitor_whose_role_ended_is_not_on_call_whatever_the_list_says(study):
    enter(study)
    role = study.people[Role.MEDICAL_MONITOR].role_assignments.get()

    end_role(role_id=role.pk, reason="left the team", by=study.admin, at=NOW)

    assert on_call(study.trial, START) == []
