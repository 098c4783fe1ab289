from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from events.models import OutboxEvent
from tests.factories import NOW, PROTOCOL, TODAY, TRAINED, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.errors import SetupRefused
from trials.models import RoleAssignment, Site, Training, Trial
from trials.permissions import Role
from trials.rules.protocol import digest
from trials.services.people import Trained
from trials.services.setup import add_site, create_trial, start_trial


pytestmark = on_postgres


def create(administrator, text=PROTOCOL):
    return create_trial(
        protocol_text=text, training=TRAINED, conduct="live", administrator=administrator, at=NOW
    )


def start(by, text=None, training=TRAINED):
    text = text or protocol_text(code="CLLM2")
    return start_trial(protocol_text=text, training=training, conduct="live", by=by, at=NOW)


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
    event = OutboxEvent.objects.get(type="trials.ProtocolActivated")
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

    with pytest.raises(SetupRefused) as refusal:
        create(administrator, broken)

    assert len(refusal.value.reasons) == 2
    assert not Trial.objects.exists()


def test_whoever_administers_a_trial_starts_another_and_administers_it():
    study = Study(kits=0)

    trial = start(study.admin)

    (held,) = RoleAssignment.objects.filter(trial=trial)
    event = OutboxEvent.objects.get(stream="CLLM2", type="trials.ProtocolActivated")
    assert (trial.code, trial.conduct, trial.current_version.version) == ("CLLM2", "live", "1.0")
    assert (held.user, held.role) == (study.admin, Role.SPONSOR_ADMINISTRATOR)
    assert (event.type, event.actor) == ("trials.ProtocolActivated", study.admin.username)
    assert not Trial.objects.visible_to(study.people[Role.DATA_MANAGER]).filter(pk=trial.pk)


@pytest.mark.parametrize("role", [one for one in Role if one is not Role.SPONSOR_ADMINISTRATOR])
def test_nobody_else_starts_a_trial(role):
    study = Study(kits=0)
    before = contents()

    with pytest.raises(PermissionDenied):
        start(study.people[role])

    assert contents() == before


def test_somebody_without_any_role_starts_no_trial():
    with pytest.raises(PermissionDenied):
        start(user("stranger"))

    assert not Trial.objects.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROTOCOL, ["trial_exists"]),
        (protocol_text(code="CLLM2").replace("ratio = 2", "ratio = 0"), ["greater_than_equal"]),
    ],
    ids=["there already", "not valid"],
)
def test_another_trial_is_refused_with_every_reason_and_leaves_nothing(text, expected):
    study = Study(kits=0)
    before = contents()

    with pytest.raises(SetupRefused) as refusal:
        start(study.admin, text)

    assert codes(refusal) == expected
    assert contents() == before


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (Trained("Protocol", "1.0", TODAY), []),
        (Trained("Protocol", "1.0", TODAY + timedelta(2)), ["future_day"]),
        (Trained(" ", "", TODAY), ["document_missing", "version_missing"]),
    ],
)
def test_the_first_administrator_is_trained_before_the_role_is_given(training, expected):
    study = Study(kits=0)
    before = contents()

    if not expected:
        trial = start(study.admin, training=training)
        kept = Training.objects.get(trial=trial)
        types = OutboxEvent.objects.filter(stream="CLLM2").values_list("type", flat=True)
        assert (kept.user, kept.completed_on) == (study.admin, training.completed_on)
        assert set(types) == {"trials.TrainingRecorded", "trials.ProtocolActivated"}
        return
    with pytest.raises(SetupRefused) as refusal:
        start(study.admin, training=training)
    assert codes(refusal) == expected
    assert contents() == before


def test_of_two_who_start_one_trial_at_once_one_is_told_that_it_is_there():
    study = Study(kits=0)
    second = study.person(Role.SPONSOR_ADMINISTRATOR, name="second")

    answers = at_once(lambda: start(study.admin), lambda: start(second))

    refused = [one for one in answers if isinstance(one, SetupRefused)]
    assert [reason.code for one in refused for reason in one.reasons] == ["trial_exists"]
    assert Trial.objects.filter(code="CLLM2").count() == 1


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
