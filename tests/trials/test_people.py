from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError

from events.acting import as_system
from events.models import OutboxEvent
from tests.factories import AT_A_SITE, BEFORE, NOW, TODAY, TRAINED, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import at_once, column, contents, denied
from trials.errors import LeaverRefused, RoleRefused, SetupRefused, TrainingRefused
from trials.models import RoleAssignment, Site, Training, User
from trials.permissions import Role
from trials.services.people import deactivate_person, end_role, give_role, record_training
from trials.services.setup import create_trial


pytestmark = on_postgres

DAY, MOMENT = timedelta(1), timedelta(microseconds=1)


@pytest.fixture
def study():
    return Study(kits=0)


@pytest.fixture
def newcomer(study):
    return study.trained("newcomer")


def give(study, person, role=Role.MONITOR, *, place=None, by=None, at=NOW, **days):
    return give_role(
        user=person, trial_id=study.trial.pk, site=place, role=role, by=by or study.admin, at=at,
        **days,
    )  # fmt: skip


def train(study, person, *, by=None, **changed):
    fields = {"document": "Protocol", "version": "1.0", "completed_on": TODAY}
    return record_training(
        user=person, trial_id=study.trial.pk, by=by or study.admin, at=NOW, **{**fields, **changed}
    )


def end(study, role, *, by=None, reason="left the team", at=NOW):
    return end_role(role_id=role.pk, reason=reason, by=by or study.admin, at=at)


def codes(refusal):
    return [reason.code for reason in refusal.value.reasons]


def fresh(person):
    return User.objects.get(pk=person.pk)


# --- Training ---------------------------------------------------------------------------------


def test_a_training_says_who_recorded_it_and_when(study, newcomer):
    training = train(study, newcomer, document="Blinding")

    event = OutboxEvent.objects.get(
        type="trials.TrainingRecorded", actor="admin", payload__training_id=str(training.pk)
    )
    assert (training.recorded_by, training.recorded_at) == (study.admin, NOW)
    assert event.payload["completed_on"] == TODAY.isoformat()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"completed_on": BEFORE}, ["training_recorded"]),
        ({"completed_on": TODAY + 2 * DAY}, ["future_day"]),
        ({"document": " ", "version": ""}, ["document_missing", "version_missing"]),
    ],
)
def test_a_refused_training_is_not_there(study, newcomer, changed, expected):
    before = contents()

    with pytest.raises(TrainingRefused) as refusal:
        train(study, newcomer, **changed)

    assert codes(refusal) == expected
    assert contents() == before


def test_an_investigator_records_trainings_and_a_coordinator_does_not(study, newcomer):
    train(study, newcomer, by=study.people[Role.INVESTIGATOR])
    before = contents()

    with pytest.raises(PermissionDenied):
        train(study, newcomer, document="Kits", by=study.coordinator)

    assert contents() == before


@pytest.mark.parametrize(
    "statement", ["UPDATE trials_training SET version = '2'", "DELETE FROM trials_training"]
)
def test_a_training_cannot_be_changed_or_deleted(statement):
    assert denied(statement)


# --- Giving a role ----------------------------------------------------------------------------


def test_a_role_is_given_from_now_on_and_says_by_whom(study, newcomer):
    given = give(study, newcomer)

    assert (given.starts_at, given.ends_at) == (NOW, None)
    assert (given.given_by, given.given_at) == (study.admin, NOW)


def test_a_role_begins_and_ends_with_days_of_its_site(study, newcomer):
    place = study.add_site("DE-02", time_zone="Asia/Tokyo")

    given = give(
        study, newcomer, Role.COORDINATOR, place=place,
        starts_on=TODAY + 2 * DAY, ends_on=TODAY + 3 * DAY,
    )  # fmt: skip

    assert given.starts_at == datetime(2026, 3, 11, 15, tzinfo=UTC)
    assert given.ends_at == datetime(2026, 3, 13, 15, tzinfo=UTC)
    held = RoleAssignment.objects.filter(pk=given.pk)
    inside = [given.starts_at, given.ends_at - MOMENT]
    outside = [given.starts_at - MOMENT, given.ends_at]
    assert [held.in_force(at).count() for at in (*inside, *outside)] == [1, 1, 0, 0]


@pytest.mark.parametrize("place", [None, "here"])
def test_a_role_is_held_once(study, newcomer, place):
    site = study.site if place else None
    give(study, newcomer, place=site)
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, newcomer, place=site)

    assert codes(refusal) == ["role_held"]
    assert contents() == before


def test_an_extension_is_a_new_line_from_the_day_after_the_last(study, newcomer):
    give(study, newcomer, ends_on=TODAY + DAY)

    with pytest.raises(RoleRefused) as refusal:
        give(study, newcomer, starts_on=TODAY + DAY)
    give(study, newcomer, starts_on=TODAY + 2 * DAY)

    assert codes(refusal) == ["role_held"]
    assert RoleAssignment.objects.filter(user=newcomer).count() == 2


@pytest.mark.parametrize(
    ("completed_on", "expected"),
    [(TODAY, []), (TODAY + DAY, ["training_after_start"]), (None, ["not_trained"])],
)
def test_training_comes_before_access(study, completed_on, expected):
    person = user("late")
    if completed_on:
        train(study, person, completed_on=completed_on)

    assert [r.code for r in refused(lambda: give(study, person))] == expected
    assert fresh(person).role_assignments.count() == (0 if expected else 1)


def refused(act):
    try:
        act()
    except RoleRefused as refusal:
        return refusal.reasons
    return ()


def test_a_training_for_another_trial_does_not_count(study, newcomer):
    other = create_trial(
        protocol_text=protocol_text(code="CLLM2"), training=TRAINED,
            conduct="live", administrator=study.admin,
        at=NOW - DAY,
    )  # fmt: skip
    study.admin.forget_assignments()

    with pytest.raises(RoleRefused) as refusal:
        give_role(
            user=newcomer, trial_id=other.pk, site=None, role=Role.MONITOR, by=study.admin, at=NOW
        )

    assert codes(refusal) == ["not_trained"]


def test_a_machine_needs_no_training(study):
    machine = user("machine", is_machine=True)

    assert give(study, machine, Role.SITE_SYSTEM, place=study.site).pk


def test_a_person_gets_no_role_of_machines_and_so_none_without_a_training(study):
    somebody = user("somebody")
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, somebody, Role.SITE_SYSTEM, place=study.site)

    assert codes(refusal) == ["not_a_machine"]
    assert "somebody is a person" in str(refusal.value)
    assert contents() == before


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SITE_SYSTEM])
def test_a_machine_gets_no_role_of_people(study, role):
    machine = study.trained("machine")
    machine.is_machine = True
    machine.save()
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, machine, role, place=study.site if role in AT_A_SITE else None)

    assert codes(refusal) == ["machine"]
    assert contents() == before


@pytest.mark.parametrize(
    "role", [Role.SITE_SYSTEM, Role.INVESTIGATOR, Role.COORDINATOR, Role.PHARMACIST]
)
def test_a_role_at_a_site_is_not_given_without_one(study, newcomer, role):
    whom = user("machine", is_machine=True) if role is Role.SITE_SYSTEM else newcomer
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, whom, role)

    assert codes(refusal) == ["role_needs_site"]
    assert role.label in str(refusal.value)
    assert contents() == before


@pytest.mark.parametrize(
    "role",
    [
        Role.MEDICAL_MONITOR,
        Role.SAFETY_OFFICER,
        Role.UNBLINDED_STATISTICIAN,
        Role.UNBLINDED_SUPPLIER,
        Role.COMMITTEE_MEMBER,
        Role.SPONSOR_ADMINISTRATOR,
    ],
)
def test_a_role_in_the_whole_trial_is_not_given_at_a_site(study, newcomer, role):
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, newcomer, role, place=study.site)

    assert codes(refusal) == ["role_has_no_site"]
    assert contents() == before


@pytest.mark.parametrize("role", [Role.MONITOR, Role.AUDITOR, Role.DATA_MANAGER])
def test_who_checks_records_does_so_at_one_site_or_at_all(study, role):
    assert give(study, study.trained("one"), role, place=study.site).site == study.site
    assert give(study, study.trained("all"), role).site is None


def test_everything_that_speaks_against_a_role_is_said_at_once(study):
    gone = user("gone", is_active=False)
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        give(study, gone, Role.COORDINATOR, starts_on=TODAY - DAY, ends_on=TODAY - 2 * DAY)

    assert codes(refusal) == [
        "role_needs_site", "starts_in_past", "ends_before_start", "not_trained", "log_in_off",
    ]  # fmt: skip
    assert contents() == before


def test_a_role_may_last_one_day_and_not_less(study, newcomer):
    with pytest.raises(RoleRefused) as refusal:
        give(study, newcomer, starts_on=TODAY + DAY, ends_on=TODAY)
    given = give(study, newcomer, starts_on=TODAY + DAY, ends_on=TODAY + DAY)

    assert codes(refusal) == ["ends_before_start"]
    assert given.ends_at - given.starts_at == DAY


def test_nobody_gives_a_role_to_themselves(study):
    train(study, study.admin)

    with pytest.raises(RoleRefused) as refusal:
        give(study, study.admin, Role.AUDITOR)

    assert codes(refusal) == ["own_role"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Role.UNBLINDED_STATISTICIAN, Role.DATA_MANAGER),
        (Role.MONITOR, Role.UNBLINDED_SUPPLIER),
    ],
)
def test_one_person_does_not_hold_a_role_that_sees_arms_and_one_that_must_not(
    study, newcomer, first, second
):
    give(study, newcomer, first)

    with pytest.raises(RoleRefused) as refusal:
        give(study, newcomer, second)

    assert codes(refusal) == ["blinded_and_unblinded"]


def test_who_has_seen_arms_never_gets_a_blinded_role_and_the_other_way_round_may(study):
    seer, reader = study.trained("seer"), study.trained("reader")
    end(study, give(study, seer, Role.UNBLINDED_SUPPLIER))
    end(study, give(study, reader, Role.MONITOR))
    later = NOW + DAY

    assert [r.code for r in refused(lambda: give(study, seer, at=later))] == [
        "blinded_and_unblinded"
    ]
    assert give(study, reader, Role.UNBLINDED_SUPPLIER, at=later).pk


def test_a_role_at_a_site_of_another_trial_is_refused(study, newcomer):
    other = create_trial(
        protocol_text=protocol_text(code="CLLM2"), training=TRAINED,
            conduct="live", administrator=study.admin,
        at=NOW - DAY,
    )  # fmt: skip
    foreign = Site.objects.none().model(trial=other, code="DE-01")

    with pytest.raises(SetupRefused) as refusal:
        give(study, newcomer, Role.COORDINATOR, place=foreign)

    assert codes(refusal) == ["foreign_site"]


def test_a_role_given_twice_at_once_is_held_once(study, newcomer):
    at_once(lambda: give(study, newcomer), lambda: give(study, newcomer))

    held = column("SELECT count(*) FROM trials_roleassignment WHERE user_id = %s", newcomer.pk)
    assert held == [1]


# --- Delegation by the investigator -----------------------------------------------------------


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST])
def test_an_investigator_delegates_at_their_own_site(study, newcomer, role):
    principal = study.people[Role.INVESTIGATOR]

    given = give(study, newcomer, role, place=study.site, by=principal)
    end(study, given, by=principal)

    given.refresh_from_db()
    assert (given.given_by, given.ended_by, given.end_reason) == (
        principal, principal, "left the team",
    )  # fmt: skip


def test_an_investigator_delegates_at_no_other_site_and_no_other_role(study, newcomer):
    principal, elsewhere = study.people[Role.INVESTIGATOR], study.add_site("DE-02")
    theirs = give(study, study.trained("other"), Role.COORDINATOR, place=elsewhere)
    before = contents()

    for role, place in (
        (Role.COORDINATOR, elsewhere),
        (Role.MONITOR, study.site),
        (Role.SITE_SYSTEM, study.site),
        (Role.UNBLINDED_STATISTICIAN, None),
    ):
        with pytest.raises(PermissionDenied):
            give(study, newcomer, role, place=place, by=principal)
    with pytest.raises(RoleAssignment.DoesNotExist):
        end(study, theirs, by=principal)

    assert contents() == before


def test_nobody_else_gives_roles(study, newcomer):
    before = contents()

    for role in (Role.COORDINATOR, Role.DATA_MANAGER, Role.MEDICAL_MONITOR):
        with pytest.raises(PermissionDenied):
            give(study, newcomer, Role.COORDINATOR, place=study.site, by=study.people[role])

    assert contents() == before


# --- Ending a role ----------------------------------------------------------------------------


def test_an_ended_role_is_kept_with_its_reason_and_holds_no_more(study, newcomer):
    given = give(study, newcomer)

    end(study, given, at=NOW + DAY)

    given.refresh_from_db()
    assert (given.ends_at, given.end_reason) == (NOW + DAY, "left the team")
    held = RoleAssignment.objects.filter(pk=given.pk)
    assert [held.in_force(NOW + DAY + d).count() for d in (-MOMENT, timedelta(0))] == [1, 0]


def test_a_role_that_has_not_begun_never_does(study, newcomer):
    given = give(study, newcomer, starts_on=TODAY + DAY)

    end(study, given)

    held = RoleAssignment.objects.filter(pk=given.pk)
    assert [held.in_force(given.starts_at + d).count() for d in (-MOMENT, MOMENT)] == [0, 0]


def test_a_role_ends_once_and_with_a_reason(study, newcomer):
    given = give(study, newcomer)
    end(study, given)
    before = contents()

    with pytest.raises(RoleRefused) as refusal:
        end(study, given, reason=" ", at=NOW + DAY)

    assert codes(refusal) == ["reason_missing", "role_ended"]
    assert contents() == before


def test_the_last_administrator_stays(study):
    own = study.admin.role_assignments.get()

    with pytest.raises(RoleRefused) as refusal:
        end(study, own)
    give(study, study.trained("deputy"), Role.SPONSOR_ADMINISTRATOR)
    end(study, own)

    assert codes(refusal) == ["last_administrator"]


def test_the_database_keeps_an_early_end_without_its_reason_out(study, newcomer):
    given = give(study, newcomer)

    with pytest.raises(IntegrityError), as_system():
        RoleAssignment.objects.filter(pk=given.pk).update(ended_at=NOW, ends_at=NOW + DAY)


# --- Leaving ----------------------------------------------------------------------------------


def leave(study, person, *, by=None, reason="left the hospital"):
    return deactivate_person(user=person, reason=reason, by=by or study.admin, at=NOW)


def test_a_leaver_loses_log_in_and_every_role_also_one_to_come(study, newcomer):
    give(study, newcomer)
    give(study, newcomer, Role.COORDINATOR, place=study.site, starts_on=TODAY + DAY)

    leave(study, newcomer)

    rows = RoleAssignment.objects.filter(user=newcomer)
    assert not fresh(newcomer).is_active
    assert [row.end_reason for row in rows] == ["left the hospital"] * 2
    assert not rows.in_force(NOW + 2 * DAY).exists()
    assert OutboxEvent.objects.filter(type="trials.LogInSwitchedOff").count() == 1


def test_why_a_log_in_is_not_switched_off_is_said_and_nothing_is_changed(study, newcomer):
    give(study, newcomer)
    leave(study, newcomer)
    before = contents()

    with pytest.raises(LeaverRefused) as again:
        leave(study, newcomer, reason="")
    with pytest.raises(LeaverRefused) as oneself:
        leave(study, study.admin)
    with pytest.raises(PermissionDenied):
        leave(study, user("stranger"))
    with pytest.raises(PermissionDenied):
        leave(study, study.coordinator, by=study.people[Role.INVESTIGATOR])

    assert codes(again) == ["reason_missing", "log_in_off"]
    assert codes(oneself) == ["oneself", "last_administrator"]
    assert {k: v for k, v in contents().items() if k != "public.trials_user"} == {
        k: v for k, v in before.items() if k != "public.trials_user"
    }


def test_somebody_with_a_role_in_a_trial_of_others_keeps_the_log_in(study, newcomer):
    give(study, newcomer)
    owner = user("owner")
    other = create_trial(
        protocol_text=protocol_text(code="CLLM2"),
        training=TRAINED,
        conduct="live",
        administrator=owner,
        at=NOW,
    )
    record_training(
        user=newcomer, trial_id=other.pk, document="Protocol", version="1", completed_on=TODAY,
        by=owner, at=NOW,
    )  # fmt: skip
    give_role(
        user=newcomer, trial_id=other.pk, site=None, role=Role.MONITOR, by=owner, at=NOW + MOMENT
    )

    with pytest.raises(LeaverRefused) as refusal:
        leave(study, newcomer)

    assert codes(refusal) == ["roles_elsewhere"]
    assert fresh(newcomer).is_active
    assert Training.objects.filter(user=newcomer).count() == 2
