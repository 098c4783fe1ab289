from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from events.models import OutboxEvent
from tests.factories import NOW, PROTOCOL, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import at_once, column, contents
from trials.errors import SetupRefused
from trials.models import RoleAssignment, Site, Trial
from trials.permissions import Role
from trials.rules.protocol import ProtocolInvalid, digest
from trials.services.setup import add_site, create_trial, give_role


pytestmark = on_postgres


def create(administrator, text=PROTOCOL):
    return create_trial(protocol_text=text, conduct="live", administrator=administrator, at=NOW)


def site(study, *, by=None, **changed):
    fields = {"code": "DE-09", "name": "Nine", "country": "DE", "time_zone": "Europe/Berlin"}
    return add_site(trial_id=study.trial.pk, by=by or study.admin, at=NOW, **{**fields, **changed})


def give(study, person, role=Role.MONITOR, *, place=None, by=None):
    return give_role(
        user=person, trial_id=study.trial.pk, site=place, role=role, by=by or study.admin, at=NOW
    )


def codes(refusal):
    return [reason.code for reason in refusal.value.reasons]


# --- A trial ----------------------------------------------------------------------------------


def test_a_trial_begins_with_its_protocol_in_force_and_one_administrator():
    administrator = user("admin")

    trial = create(administrator)

    version = trial.current_version
    event = OutboxEvent.objects.get()
    assert (trial.code, trial.conduct) == ("CLLM1", "live")
    assert (version.text, version.digest) == (PROTOCOL, digest(PROTOCOL))
    assert RoleAssignment.objects.get().role == Role.SPONSOR_ADMINISTRATOR
    assert (event.type, event.actor) == ("trials.ProtocolActivated", "vigil")
    assert event.payload["digest"] == version.digest


def test_a_trial_is_created_once():
    administrator = user("admin")
    create(administrator)
    before = contents()

    with pytest.raises(SetupRefused) as refusal:
        create(administrator)

    assert codes(refusal) == ["trial_exists"]
    assert contents() == before


def test_a_protocol_with_faults_makes_no_trial_and_names_every_fault():
    administrator = user("admin")
    broken = PROTOCOL.replace("dose_mg = 15", "dose_mg = 12").replace('"2.5', '"x')

    with pytest.raises(ProtocolInvalid):
        create(administrator, broken)

    assert not Trial.objects.exists()


def test_two_trials_have_streams_of_their_own():
    administrator = user("admin")

    create(administrator)
    create(administrator, protocol_text(code="CLLM2"))

    assert set(OutboxEvent.objects.values_list("stream", flat=True)) == {"CLLM1", "CLLM2"}


# --- Sites ------------------------------------------------------------------------------------


def test_a_site_is_added_active_in_its_own_time_zone():
    study = Study(kits=0)

    assert site(study).status == Site.Status.ACTIVE


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"code": "DE-01"}, ["site_exists"]),
        ({"country": "FR"}, ["country_not_planned"]),
        ({"time_zone": "Berlin"}, ["time_zone_unknown"]),
        (
            {"code": "DE-01", "country": "FR", "time_zone": "Berlin"},
            ["site_exists", "country_not_planned", "time_zone_unknown"],
        ),
    ],
)
def test_a_refused_site_is_not_there_and_every_reason_is_given(changed, expected):
    study = Study(kits=0)
    before = contents()

    with pytest.raises(SetupRefused) as refusal:
        site(study, **changed)

    assert codes(refusal) == expected
    assert contents() == before


def test_only_the_sponsors_administrator_adds_sites():
    study = Study(kits=0)

    with pytest.raises(PermissionDenied):
        site(study, by=study.people[Role.DATA_MANAGER])
    with pytest.raises(Trial.DoesNotExist):
        site(study, by=user("stranger"))

    assert Site.objects.count() == 1


# --- Roles ------------------------------------------------------------------------------------


def test_a_role_is_given_from_now_on():
    study = Study(kits=0)

    given = give(study, user("newcomer"))

    assert (given.starts_at, given.ends_at) == (NOW, None)


@pytest.mark.parametrize("place", [None, "here"])
def test_a_role_is_held_once(place):
    study = Study(kits=0)
    newcomer = user("newcomer")
    at = study.site if place else None
    give(study, newcomer, place=at)
    before = contents()

    with pytest.raises(SetupRefused) as refusal:
        give(study, newcomer, place=at)

    assert codes(refusal) == ["role_held"]
    assert contents() == before


def test_a_role_at_a_site_of_another_trial_is_refused():
    study = Study(kits=0)
    other = create_trial(
        protocol_text=protocol_text(code="CLLM2"), conduct="live", administrator=study.admin,
        at=NOW - timedelta(1),
    )  # fmt: skip
    foreign = Site.objects.none().model(trial=other, code="DE-01")

    with pytest.raises(SetupRefused) as refusal:
        give(study, user("newcomer"), place=foreign)

    assert codes(refusal) == ["foreign_site"]


def test_only_the_sponsors_administrator_gives_roles_not_even_to_themselves():
    study = Study(kits=0)
    before = contents()

    with pytest.raises(PermissionDenied):
        give(study, study.coordinator, Role.UNBLINDED_STATISTICIAN, by=study.coordinator)

    assert contents() == before


def test_a_role_given_twice_at_once_is_held_once():
    study = Study(kits=0)
    newcomer = user("newcomer")

    at_once(lambda: give(study, newcomer), lambda: give(study, newcomer))

    assert column("SELECT count(*) FROM trials_roleassignment WHERE user_id = %s", newcomer.pk) == [
        1
    ]
