"""Whose people and log-ins a reader sees: those of their site, or of all their trial."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import AT_A_SITE, NOW, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.trials.test_accounts_api import another_trial
from tests.trials.test_log_ins import enter
from trials.models import LogInRecord, RoleAssignment, User
from trials.permissions import Role
from trials.services.people import end_role


pytestmark = [on_postgres, pytest.mark.usefixtures("quick_log_ins")]

OF_A_SITE = (Role.DATA_MANAGER, Role.AUDITOR)
ELSEWHERE = tuple(f"{role.value}-DE-01" for role in AT_A_SITE)


@pytest.fixture
def study():
    study = Study(kits=0)
    place = study.add_site("DE-02")
    study.readers = {
        role: study.person(role, site=place, name=f"{role.value}-of-the-site") for role in OF_A_SITE
    }
    study.person(Role.COORDINATOR, site=place)
    study.trained("newcomer")
    return study


def there(study) -> set[str]:
    held = RoleAssignment.objects.filter(site__code="DE-02")
    return set(held.values_list("user__username", flat=True))


def names(caller, path: str, field: str = "username") -> set[str]:
    return {row[field] for row in caller.get(path).json()["results"]}


@pytest.mark.parametrize("role", OF_A_SITE)
def test_at_one_site_its_own_people_are_seen_and_nobody_elses(study, role):
    caller = caller_for(study.readers[role])

    assert names(caller, "/people") == there(study) == names(caller, "/roles", "person")
    assert names(caller, "/trainings", "person") == there(study)


@pytest.mark.parametrize("role", OF_A_SITE)
def test_at_one_site_its_own_peoples_log_ins_are_seen_and_nobody_elses(study, role):
    attempts = ("coordinator-DE-01", "coordinator-DE-02", "admin", "newcomer", "nobody")
    for name in attempts:
        enter(name, "wrong")

    caller = caller_for(study.readers[role])

    assert names(caller, "/log-ins", "person") == {"coordinator-DE-02"}
    everything = names(caller_for(study.admin), "/log-ins", "person")
    assert everything == {"coordinator-DE-01", "coordinator-DE-02", "admin", None}


@pytest.mark.parametrize("role", OF_A_SITE)
def test_in_the_whole_trial_everybody_is_seen_and_who_has_no_role_yet(study, role):
    seen = set(User.objects.visible_to(study.people[role]).values_list("username", flat=True))

    assert seen == set(User.objects.values_list("username", flat=True))


def test_who_worked_at_a_site_stays_seen_there(study):
    held = RoleAssignment.objects.get(user__username="coordinator-DE-02")
    end_role(role_id=held.pk, reason="left", by=study.admin, at=NOW + timedelta(1))

    assert "coordinator-DE-02" in names(caller_for(study.readers[Role.AUDITOR]), "/people")


def test_nobody_is_seen_by_who_keeps_a_sites_delegation_log_alone(study):
    investigator = study.people[Role.INVESTIGATOR]

    assert RoleAssignment.objects.visible_to(investigator).exists()
    assert not User.objects.visible_to(investigator).exists()
    assert not LogInRecord.objects.visible_to(investigator).exists()


@pytest.mark.parametrize("role", OF_A_SITE)
def test_the_pages_of_accounts_and_log_ins_tell_no_more(study, role):
    for name in ("coordinator-DE-01", "coordinator-DE-02", "admin"):
        enter(name, "wrong")
    browser = Client()
    browser.force_login(study.readers[role])

    accounts = browser.get(reverse("admin:trials_user_changelist")).content.decode()
    log_ins = browser.get(reverse("admin:trials_loginrecord_changelist")).content.decode()
    elsewhere = User.objects.get(username="coordinator-DE-01")
    account = browser.get(reverse("admin:trials_user_change", args=[elsewhere.pk]))

    for page in (accounts, log_ins):
        assert "coordinator-DE-02" in page
        assert not [name for name in (*ELSEWHERE, "newcomer") if name in page]
    assert account.status_code == 404


def test_an_account_shows_the_roles_its_reader_may_see(study):
    someone = study.people[Role.MONITOR]
    another_trial(study, someone)
    browser = Client()
    browser.force_login(study.admin)

    page = browser.get(reverse("admin:trials_user_change", args=[someone.pk])).content.decode()

    assert "CLLM1: Monitor" in page
    assert "CLLM2" not in page
