from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from dosing.models import Kit
from events.acting import current_actor
from patients.models import Consent, Subject
from patients.services.consent import record_consent
from tests.factories import NOW, TODAY, TRAINED, Study, protocol_text, user
from tests.marks import on_postgres
from trials.models import RoleAssignment, Site, Trial, User
from trials.permissions import TABLE, Permission, Role, authorise
from trials.services.people import give_role
from trials.services.setup import create_trial


pytestmark = on_postgres

MOMENT = timedelta(microseconds=1)


@pytest.fixture
def study():
    return Study(kits=1)


@pytest.fixture
def elsewhere(study):
    return study.add_site("DE-02")


def other_trial(study):
    return create_trial(
        protocol_text=protocol_text(code="CLLM2"), training=TRAINED,
            conduct="live",
        administrator=study.admin, at=NOW - timedelta(1),
    )  # fmt: skip


def may(by, permission=Permission.ENROL, **where):
    try:
        with transaction.atomic():
            return authorise(by, permission, **where)
    except PermissionDenied:
        return None


def acting(by, **where):
    with transaction.atomic():
        authorise(by, Permission.ENROL, **where)
        return current_actor()


def fresh(person):
    return User.objects.get(pk=person.pk)


def change_role(person, **fields):
    with transaction.atomic():
        authorise(person, Permission.READ_SUBJECTS)
        RoleAssignment.objects.filter(user=person).update(**fields)
    return fresh(person)


# --- The table --------------------------------------------------------------------------------


def test_the_table_says_something_of_every_role():
    assert set(TABLE) == set(Role)
    assert [role for role, held in TABLE.items() if not held] == []


def test_every_permission_is_held_by_somebody():
    assert frozenset().union(*TABLE.values()) == set(Permission)


def test_nobody_at_a_site_may_read_or_load_what_is_sealed():
    unblinded = {Permission.LOAD_LIST, Permission.SUPPLY_KITS, Permission.READ_UNBLINDED_REPORT}

    assert {role for role, held in TABLE.items() if held & unblinded} == {
        Role.UNBLINDED_STATISTICIAN,
        Role.UNBLINDED_SUPPLIER,
        Role.COMMITTEE_MEMBER,
    }


def test_who_sees_an_arm_neither_enrols_nor_doses():
    acting_at_a_site = {
        Permission.ENROL, Permission.RANDOMISE, Permission.PRESCRIBE,
        Permission.DISPENSE, Permission.RECORD_CLINICAL,
    }  # fmt: skip
    seers = [TABLE[role] for role in TABLE if Permission.READ_UNBLINDED_REPORT in TABLE[role]]

    assert [held & acting_at_a_site for held in seers] == [frozenset()] * 2


# --- Asking it --------------------------------------------------------------------------------


def test_a_role_at_one_site_holds_there_and_nowhere_else(study, elsewhere):
    assert may(study.coordinator, site=study.site) is Role.COORDINATOR
    assert may(study.coordinator, site=elsewhere) is None


def test_a_role_at_one_site_does_not_hold_for_the_whole_trial(study):
    assert may(study.coordinator, trial=study.trial) is None


def test_a_role_without_a_site_holds_at_every_site_of_its_trial(study, elsewhere):
    auditor = study.people[Role.AUDITOR]

    assert may(auditor, Permission.READ_HISTORY, site=study.site) is Role.AUDITOR
    assert may(auditor, Permission.READ_HISTORY, site=elsewhere) is Role.AUDITOR
    assert may(auditor, Permission.READ_HISTORY, trial=study.trial) is Role.AUDITOR


def test_a_role_in_one_trial_holds_in_no_other(study):
    other = other_trial(study)

    assert may(study.people[Role.AUDITOR], Permission.READ_HISTORY, trial=other) is None


def test_a_role_without_the_permission_does_not_help(study):
    assert may(study.pharmacist, Permission.ENROL, site=study.site) is None


def test_a_superuser_without_a_role_may_nothing(study):
    root = user("root", is_staff=True, is_superuser=True)

    assert {may(root, permission, site=study.site) for permission in Permission} == {None}


def test_of_several_roles_the_one_that_allows_it_is_named(study):
    give_role(
        user=study.pharmacist, trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=NOW,
    )  # fmt: skip

    assert may(fresh(study.pharmacist), site=study.site) is Role.COORDINATOR


def test_who_is_authorised_is_the_actor_of_the_transaction_and_not_of_the_next(study):
    assert acting(study.coordinator, site=study.site) == study.coordinator.username
    assert current_actor() == ""


@pytest.mark.parametrize(("after", "expected"), [(-MOMENT, 1), (timedelta(0), 0)])
def test_a_role_holds_until_the_moment_it_ends(study, after, expected):
    end = NOW + timedelta(days=1)
    change_role(study.coordinator, ends_at=end)

    held = RoleAssignment.objects.in_force(end + after).filter(user=study.coordinator)

    assert held.count() == expected


@pytest.mark.parametrize(("after", "expected"), [(-MOMENT, 0), (timedelta(0), 1)])
def test_a_role_holds_from_the_moment_it_starts(study, after, expected):
    start = NOW - timedelta(1)

    held = RoleAssignment.objects.in_force(start + after).filter(user=study.coordinator)

    assert held.count() == expected


@pytest.mark.parametrize(
    ("left", "expected"), [(timedelta(0), None), (timedelta(hours=1), Role.COORDINATOR)]
)
def test_an_ended_role_authorises_nothing(study, left, expected):
    coordinator = change_role(study.coordinator, ends_at=timezone.now() + left)

    assert may(coordinator, site=study.site) is expected


def test_a_log_in_that_is_switched_off_authorises_nothing(study):
    study.coordinator.is_active = False

    assert may(study.coordinator, site=study.site) is None


# --- Everyone sees exactly their own ----------------------------------------------------------


def test_each_site_sees_its_own_subjects_records_and_kits(study, elsewhere):
    here = study.consented()
    system = study.person(Role.SITE_SYSTEM, site=elsewhere)
    there = study.consented(site=elsewhere, by=system)
    study.supply(1, site=elsewhere)

    assert list(Subject.objects.visible_to(study.system)) == [here]
    assert list(Subject.objects.visible_to(system)) == [there]
    assert {c.subject for c in Consent.objects.visible_to(study.system)} == {here}
    assert {c.subject for c in Consent.objects.visible_to(system)} == {there}
    assert {kit.site for kit in Kit.objects.visible_to(study.system)} == {study.site}
    assert {kit.site for kit in Kit.objects.visible_to(system)} == {elsewhere}
    assert list(Site.objects.visible_to(system)) == [elsewhere]


@pytest.mark.parametrize("role", [Role.DATA_MANAGER, Role.MONITOR, Role.AUDITOR])
def test_a_role_for_the_trial_sees_every_site(study, elsewhere, role):
    study.enrolled()
    study.enrolled(site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))

    assert Subject.objects.visible_to(study.people[role]).count() == 2


@pytest.mark.parametrize(
    "role", [Role.UNBLINDED_SUPPLIER, Role.COMMITTEE_MEMBER, Role.SPONSOR_ADMINISTRATOR]
)
def test_a_role_that_does_not_read_subjects_sees_none(study, role):
    study.enrolled()

    assert not Subject.objects.visible_to(study.people[role]).exists()


def test_another_trial_is_seen_by_nobody_of_this_one(study):
    other = other_trial(study)

    assert list(Trial.objects.visible_to(study.coordinator)) == [study.trial]
    assert set(Trial.objects.visible_to(fresh(study.admin))) == {study.trial, other}


def test_a_subject_of_another_site_does_not_exist_for_a_service(study, elsewhere):
    theirs = study.enrolled(site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))

    with pytest.raises(Subject.DoesNotExist):
        record_consent(
            subject_id=theirs.pk, version="1.0", signed_on=TODAY, by=study.system, at=NOW
        )

    assert not Consent.objects.exists()


def test_who_may_only_read_a_subject_is_told_so(study):
    subject = study.enrolled()

    with pytest.raises(PermissionDenied):
        record_consent(
            subject_id=subject.pk, version="1.0", signed_on=TODAY, by=study.pharmacist, at=NOW
        )

    assert not Consent.objects.exists()


def test_roles_are_listed_for_those_who_may_see_them(study):
    seers = {
        role
        for role, person in study.people.items()
        if RoleAssignment.objects.visible_to(person).exists()
    }

    assert seers == {
        Role.DATA_MANAGER,
        Role.AUDITOR,
        Role.SPONSOR_ADMINISTRATOR,
        Role.INVESTIGATOR,
    }
