import pytest
from django.core.exceptions import PermissionDenied

from events.models import OutboxEvent
from tests.factories import NOW, PROTOCOL, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import contents
from trials.errors import SetupRefused
from trials.models import RoleAssignment, Site, Trial
from trials.permissions import Role
from trials.rules.protocol import ProtocolInvalid, digest
from trials.services.setup import add_site, create_trial


pytestmark = on_postgres


def create(administrator, text=PROTOCOL):
    return create_trial(protocol_text=text, conduct="live", administrator=administrator, at=NOW)


def site(study, *, by=None, **changed):
    fields = {"code": "DE-09", "name": "Nine", "country": "DE", "time_zone": "Europe/Berlin"}
    return add_site(trial_id=study.trial.pk, by=by or study.admin, at=NOW, **{**fields, **changed})


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


def test_a_site_is_added_planned_in_its_own_time_zone():
    study = Study(kits=0)

    added = site(study, time_zone="Europe/Lisbon")

    assert (added.status, added.time_zone) == (Site.Status.PLANNED, "Europe/Lisbon")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"code": "DE-01"}, ["site_exists"]),
        ({"country": "FR"}, ["country_not_planned"]),
        ({"time_zone": "Berlin"}, ["time_zone_unknown"]),
        ({"code": "de 9"}, ["site_code"]),
        ({"code": "DE-9-"}, ["site_code"]),
        ({"code": "DE-00000000"}, ["site_code"]),
        ({"name": " "}, ["site_name"]),
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
