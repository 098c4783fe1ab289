"""A log-in switched off is switched on again: the log-in, and nothing else that was ended."""

from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.models import OutboxEvent
from tests.factories import user
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from tests.trials.test_accounts_api import another_trial
from tests.trials.test_log_ins import Office
from trials.errors import AccountRefused
from trials.models import LogInRecord, MachineClient, RoleAssignment, User
from trials.permissions import Role
from trials.services.accounts import give_password, switch_on_log_in
from trials.services.people import deactivate_person, give_role


pytestmark = [on_postgres, pytest.mark.usefixtures("quick_log_ins")]

WORD = "a long pass phrase"


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def left(study) -> User:
    """A coordinator with a password, who left."""
    person = study.coordinator
    person.set_password(WORD)
    person.save()
    return leave(study, person)


def leave(study, person):
    deactivate_person(user=person, reason="left", by=study.admin, at=timezone.now())
    return person


def switch_on(study, person, *, by=None, reason="came back"):
    return switch_on_log_in(person=person, reason=reason, by=by or study.admin, at=timezone.now())


def fresh(person):
    return User.objects.get(pk=person.pk)


def browser(person):
    client = Client()
    client.force_login(fresh(person))
    return client


def opens(client):
    return client.get(reverse("admin:index")).status_code == 200


def refused(act):
    before = contents()
    with pytest.raises(AccountRefused) as refusal:
        act()
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


def test_the_log_in_is_on_and_who_did_it_and_why_is_recorded(study, left):
    record = switch_on(study, left)

    assert fresh(left).is_active
    assert (record.kind, record.reason, record.by) == ("switched_on", "came back", study.admin)
    event = OutboxEvent.objects.get(type="trials.LogInSwitchedOn")
    assert (event.stream, event.payload) == ("CLLM1", {"user_id": left.pk})
    assert event.actor == study.admin.username


def test_no_role_password_session_or_client_comes_back(study):
    person = study.coordinator
    person.set_password(WORD)
    person.save()
    session, program = browser(person), caller_for(person)
    leave(study, person)

    switch_on(study, person)
    give_role(
        user=fresh(person), trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=timezone.now(),
    )  # fmt: skip

    assert not fresh(person).check_password(WORD)
    assert not opens(session)
    assert program.get("/subjects").status_code == 401
    assert MachineClient.objects.get().ended_by == study.admin
    assert opens(browser(person))
    ended = RoleAssignment.objects.filter(user=person).exclude(end_reason="")
    assert [role.end_reason for role in ended] == ["left"]


def test_a_password_is_given_next_and_the_old_one_is_not_taken_again(study, left):
    switch_on(study, left)

    _, password = give_password(
        person=fresh(left), reason="came back", by=study.admin, at=timezone.now()
    )

    assert fresh(left).check_password(password)
    assert fresh(left).must_change_password


def test_every_reason_against_it_is_given_and_nothing_is_changed(study, left):
    monitor = study.person(Role.MONITOR)
    off = leave(study, study.system)

    assert refused(partial(switch_on, study, monitor, reason=" ")) == {
        "switched_on", "reason_missing",
    }  # fmt: skip
    assert refused(partial(switch_on, study, left, reason="")) == {"reason_missing"}
    assert refused(partial(switch_on, study, off)) == {"machine"}
    assert refused(partial(switch_on, study, study.admin)) == {"switched_on"}


def test_who_may_not_manage_the_persons_accounts_may_not(study, left):
    another_trial_too = study.person(Role.MONITOR)
    another_trial(study, another_trial_too)
    User.objects.filter(pk=another_trial_too.pk).update(is_active=False)
    before = contents()

    for by in (study.person(Role.AUDITOR), study.person(Role.DATA_MANAGER), user("stranger"), left):
        before = contents()
        with pytest.raises(PermissionDenied):
            switch_on(study, left, by=by)
        assert contents() == before
    with pytest.raises(PermissionDenied):
        switch_on(study, another_trial_too)
    assert contents() == before


def test_of_two_who_switch_it_on_at_once_one_does(study, left):
    answers = at_once(*[partial(switch_on, study, left)] * 2)

    names = sorted(type(answer).__name__ for answer in answers)
    assert names == ["AccountRefused", "LogInRecord"]
    assert LogInRecord.objects.filter(kind="switched_on").count() == 1


def test_whoever_is_back_may_leave_again(study, left):
    switch_on(study, left)

    leave(study, fresh(left))

    assert not fresh(left).is_active


def test_the_address_switches_on_once_and_for_administrators_alone(study, left):
    admin = caller_for(study.admin)
    about = {"person": left.username, "reason": "came back"}

    nobody = caller_for(study.person(Role.AUDITOR)).post("/log-in-reopenings", about)
    done, again = (admin.post("/log-in-reopenings", about) for _ in range(2))

    assert (nobody.status_code, done.status_code, again.status_code) == (403, 201, 409)
    assert (done.json()["kind"], done.json()["by"]) == ("switched_on", "admin")
    assert reasons_of(again) == {("", "switched_on")}


def test_the_persons_page_offers_it_while_the_log_in_is_off(study, left):
    admin = browser(study.admin)
    page = reverse("admin:trials_user_change", args=[left.pk])
    form = reverse("admin:trials_user_form", args=[left.pk, "switch-on"])
    before = admin.get(page).content.decode()

    empty = admin.post(form, {"key": "a", "reason": ""})
    done = admin.post(form, {"key": "b", "reason": "came back"})

    assert form in before
    assert (empty.status_code, done.status_code) == (200, 302)
    assert fresh(left).is_active
    after = admin.get(page).content.decode()
    assert form not in after
    assert "Switched on again" in after
    auditor = browser(study.person(Role.AUDITOR))
    assert auditor.post(form, {"key": "c", "reason": "x"}).status_code == 403
