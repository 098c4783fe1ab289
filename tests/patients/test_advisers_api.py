"""Whom to call before a blind is broken, for those who may break it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.config.test_api_queries import statements
from tests.factories import Study, user
from tests.interface import Caller, caller_for, reasons_of
from tests.marks import on_postgres
from trials.permissions import Permission, Role, allows
from trials.services.on_call import cancel_duty, enter_duty


pytestmark = on_postgres

HERE = "/trials/CLLM1/sites/DE-01/advisers"
THERE = "/trials/CLLM1/sites/DE-02/advisers"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(kits=0)


@pytest.fixture
def investigator(study):
    return caller_for(study.people[Role.INVESTIGATOR])


def put_on_call(study, person=None, *, starts_in=timedelta(0)):
    now = timezone.now()
    return enter_duty(
        trial_id=study.trial.pk, person=person or study.people[Role.MEDICAL_MONITOR],
        telephone="+49 221 0000", starts_at=now + starts_in, ends_at=now + timedelta(hours=12),
        by=study.admin, at=now,
    )  # fmt: skip


def test_the_monitor_on_call_is_told_with_the_number_to_ring(study, investigator):
    study.person(Role.MEDICAL_MONITOR, name="not-on-call")
    put_on_call(study)

    assert investigator.get(HERE).json() == [
        {
            "person": "medical_monitor",
            "name": "",
            "telephone": "+49 221 0000",
            "email": "",
            "on_call": True,
        }
    ]


def test_a_name_and_an_address_are_told_where_there_are_any(study, investigator):
    monitor = study.people[Role.MEDICAL_MONITOR]
    monitor.first_name, monitor.last_name, monitor.email = "Mo", "Nitor", "mo@example.org"
    monitor.save()

    (told,) = investigator.get(HERE).json()

    assert (told["name"], told["email"]) == ("Mo Nitor", "mo@example.org")


def test_when_nobody_is_on_call_all_monitors_of_the_trial_are_told(study, investigator):
    study.person(Role.MEDICAL_MONITOR, name="another-monitor")
    cancel_duty(duty_id=put_on_call(study).pk, reason="ill", by=study.admin, at=timezone.now())
    put_on_call(study, starts_in=timedelta(hours=1))

    told = investigator.get(HERE).json()

    assert [(one["person"], one["on_call"], one["telephone"]) for one in told] == [
        ("another-monitor", False, ""),
        ("medical_monitor", False, ""),
    ]


def test_a_monitor_whose_log_in_is_off_is_not_told(study, investigator):
    study.people[Role.MEDICAL_MONITOR].is_active = False
    study.people[Role.MEDICAL_MONITOR].save()

    assert investigator.get(HERE).json() == []


@pytest.mark.parametrize("role", Role)
def test_it_is_for_those_who_may_break_a_blind_there(study, role):
    answer = caller_for(study.people[role]).get(HERE)

    if allows(role, Permission.EMERGENCY_UNBLIND):
        assert answer.status_code == 200
    else:
        assert (answer.status_code, reasons_of(answer)) == (403, {("", "not_your_role")})


def test_another_site_or_trial_or_nobody_is_not_told(study, investigator):
    study.add_site("DE-02")
    principal = caller_for(study.person(Role.INVESTIGATOR, site=study.site, name="both"))

    assert principal.get(HERE).status_code == 200
    assert principal.get(THERE).status_code == 404
    assert investigator.get("/trials/CLLM1/sites/DE-99/advisers").status_code == 404
    assert investigator.get("/trials/OTHER/sites/DE-01/advisers").status_code == 404
    assert caller_for(user("somebody-without-a-role")).get(HERE).status_code == 404
    assert Caller().get(HERE).status_code == 401


def test_an_odd_name_of_a_site_or_a_question_is_no_fault_of_ours(investigator):
    odd = [
        investigator.get(f"/trials/CLLM1/sites/{name}/advisers").status_code
        for name in ("%00", "%ED%A0%80", "x" * 5000, "'", "DE-01%20")
    ]

    assert set(odd) <= {400, 404}
    assert investigator.get(f"{HERE}?at=nonsense&page=x").status_code == 200


def test_many_monitors_cost_what_one_costs(study, investigator):
    one = statements(lambda: investigator.get(HERE))
    for number in range(8):
        study.person(Role.MEDICAL_MONITOR, name=f"monitor-{number}")

    assert len(investigator.get(HERE).json()) == 9
    assert statements(lambda: investigator.get(HERE)) == one
