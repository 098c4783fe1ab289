from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from events.acting import as_system
from events.models import OutboxEvent
from reporting.services.amendments import activate_version, approved_sites, impact_of
from tests.amendments import CTCAE_5, NEW_FORM, activated, amend, amended_text, approved, submitted
from tests.factories import NOW, PROTOCOL, TODAY, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import at_once, column, contents
from trials.errors import AmendmentRefused
from trials.models import ProtocolVersion, Site, SiteApproval, SiteVersion, Trial
from trials.permissions import Role
from trials.rules.protocol import digest
from trials.services.amendments import record_approval, submit_version


pytestmark = on_postgres

TOMORROW = TODAY + timedelta(1)


def codes(refusal):
    return [reason.code for reason in refusal.value.reasons]


def submit(study, text, by=None):
    return submit_version(trial_id=study.trial.pk, protocol_text=text, by=by or study.admin, at=NOW)


def approve(study, version, **changed):
    fields = {"site": study.site, "approved_on": TODAY, "reference": "EC 12/2026"}
    return record_approval(**{"by": study.admin, **fields, **changed}, version=version, at=NOW)


# --- Submitting -------------------------------------------------------------------------------


def test_a_submitted_version_is_stored_and_in_force_nowhere():
    study = Study(kits=0)

    version = submit(study, amended_text(CTCAE_5))

    assert (version.version, version.activated_at) == ("1.1", None)
    assert not SiteVersion.objects.filter(protocol_version=version).exists()
    assert study.trial.current_version.version == "1.0"
    assert OutboxEvent.objects.get(type="trials.ProtocolSubmitted").payload["digest"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (protocol_text(), ["version_exists"]),
        (protocol_text(code="CLLM2"), ["another_trial", "version_exists"]),
        (amended_text(("ratio = 1", "ratio = 4")), ["fixed_by_randomisation"]),
        (
            amended_text(("ratio = 1", "ratio = 4"), ("value = [3]", "value = [6]")),
            ["fixed_by_randomisation"] * 2,
        ),
        (
            amended_text(("dose_mg = 15", "dose_mg = 12"), ("cycle_days = {", "cycle_day = {")),
            ["dose_not_on_ladder", "extra_forbidden", "missing", "step_too_large"],
        ),
    ],
    ids=["there already", "another trial's", "a ratio", "a ratio and blocks", "not valid"],
)
def test_a_refused_version_is_not_there_and_every_reason_is_given(text, expected):
    study = Study(kits=0)
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        submit(study, text)

    assert sorted(codes(refusal)) == sorted(expected)
    assert contents() == before


CROSSING = (
    "offset_days = 0\nwindow_before_days = 0\nwindow_after_days = 7",
    "offset_days = 0\nwindow_before_days = 0\nwindow_after_days = 28",
)


def test_a_rule_stricter_than_the_stored_text_refuses_the_next_file_and_stops_no_trial():
    study = Study(kits=0)
    assert PROTOCOL.count(CROSSING[0]) == 1
    stored = PROTOCOL.replace(*CROSSING)
    with as_system():
        ProtocolVersion.objects.update(text=stored, digest=digest(stored))
    study.trial = Trial.objects.get()

    assert study.randomised().allocation
    with pytest.raises(AmendmentRefused) as refusal:
        submit(study, amended_text(CROSSING))
    assert codes(refusal) == ["visit_windows_overlap"]
    assert submit(study, amended_text()).protocol.visits != study.trial.protocol.visits


def test_a_rule_stricter_than_a_version_that_waits_refuses_its_first_activation_alone():
    study = Study(kits=0)
    waiting = approved(study, submitted(study), study.site)
    crossing = amended_text(CROSSING)
    with as_system():
        ProtocolVersion.objects.filter(pk=waiting.pk).update(text=crossing, digest=digest(crossing))
    waiting.refresh_from_db()

    with pytest.raises(AmendmentRefused) as refusal:
        activated(study, waiting, study.site, in_force_from=TOMORROW)
    assert codes(refusal) == ["visit_windows_overlap"]
    assert not SiteVersion.objects.filter(protocol_version=waiting).exists()

    with as_system():
        ProtocolVersion.objects.filter(pk=waiting.pk).update(activated_at=NOW)
    waiting.refresh_from_db()
    activated(study, waiting, study.site, in_force_from=TOMORROW)
    assert SiteVersion.objects.filter(protocol_version=waiting).exists()


def test_only_the_sponsors_administrator_submits():
    study = Study(kits=0)

    with pytest.raises(PermissionDenied):
        submit(study, amended_text(), by=study.people[Role.DATA_MANAGER])
    with pytest.raises(Trial.DoesNotExist):
        submit(study, amended_text(), by=user("stranger"))


def test_a_version_submitted_twice_at_once_is_there_once():
    study = Study(kits=0)

    at_once(lambda: submit(study, amended_text()), lambda: submit(study, amended_text()))

    assert column("SELECT count(*) FROM trials_protocolversion WHERE version = '1.1'") == [1]


# --- Approvals --------------------------------------------------------------------------------


def test_an_approval_says_when_and_by_which_letter():
    study = Study(kits=0)

    approval = approve(study, submitted(study))

    assert (approval.approved_on, approval.reference) == (TODAY, "EC 12/2026")
    event = OutboxEvent.objects.filter(type="trials.SiteApprovalRecorded").latest("pk")
    assert (event.payload["site_id"], event.payload["protocol_version"]) == (
        str(study.site.pk), approval.protocol_version.version,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"approved_on": TOMORROW}, ["future_day"]),
        ({"reference": " "}, ["reference_missing"]),
        ({"approved_on": TOMORROW, "reference": ""}, ["future_day", "reference_missing"]),
    ],
)
def test_a_refused_approval_leaves_nothing(changed, expected):
    study = Study(kits=0)
    version = submitted(study)
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        approve(study, version, **changed)

    assert codes(refusal) == expected
    assert contents() == before


def test_an_approval_is_recorded_once():
    study = Study(kits=0)
    version = submitted(study)
    approve(study, version)
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        approve(study, version)

    assert codes(refusal) == ["approved_already"]
    assert contents() == before


def test_somebody_elses_site_is_not_there():
    study = Study(kits=0)
    version = submitted(study)

    with pytest.raises(Site.DoesNotExist):
        approve(study, version, by=user("stranger"))
    with pytest.raises(PermissionDenied):
        approve(study, version, by=study.people[Role.MONITOR])

    assert not SiteApproval.objects.filter(protocol_version=version).exists()


# --- Activation -------------------------------------------------------------------------------


def test_an_approved_version_comes_into_force_where_it_is_activated_and_nowhere_else():
    study = Study(kits=0)
    other = study.add_site("DE-02")
    version = approved(study, submitted(study), study.site, other)

    activated(study, version, study.site, in_force_from=TOMORROW)

    found = [
        Site.objects.get(pk=site.pk).version_on(day).version
        for site in (study.site, other)
        for day in (TODAY, TOMORROW)
    ]
    assert found == ["1.0", "1.1", "1.0", "1.0"]
    row = SiteVersion.objects.get(protocol_version=version)
    assert len(row.impact_digest) == 64
    assert OutboxEvent.objects.filter(type="trials.ProtocolInForce").last().payload == {
        "site_id": str(study.site.pk),
        "protocol_version": "1.1",
        "in_force_from": TOMORROW.isoformat(),
    }
    assert Trial.objects.get().current_version.version == "1.1"


def test_an_activation_names_every_reason_at_every_site_and_activates_none():
    study = Study(kits=0)
    second, third = study.add_site("DE-02"), study.add_site("DE-03")
    version = approved(study, submitted(study), study.site, third)
    with as_system():
        third.status = Site.Status.CLOSED
        third.save()
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        activated(study, version, study.site, second, third, in_force_from=TODAY - timedelta(1))

    assert codes(refusal) == [
        "approved_later", "before_version_in_force", "day_is_past",
        "not_approved", "before_version_in_force", "day_is_past",
        "site_closed", "approved_later", "before_version_in_force", "day_is_past",
    ]  # fmt: skip
    assert contents() == before


def test_an_activation_names_a_site():
    study = Study(kits=0)
    version = submitted(study)
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        activated(study, version)

    assert codes(refusal) == ["no_site"]
    assert contents() == before


def test_a_version_is_activated_once_at_a_site_and_never_goes_back():
    study = Study(kits=0)
    version = amend(study)
    first = ProtocolVersion.objects.get(version="1.0")
    before = contents()

    for former in (version, first):
        with pytest.raises(AmendmentRefused) as refusal:
            activated(study, former, study.site, in_force_from=TOMORROW)
        assert codes(refusal) == ["in_force_already"]
        assert contents() == before


def test_nobody_activates_on_a_stale_report():
    study = Study(kits=0)
    version = approved(study, submitted(study, NEW_FORM), study.site)
    seen = impact_of(version=version, sites=[study.site], in_force_from=TODAY, by=study.admin)
    study.consented()
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        activate_version(
            version=version, sites=[study.site], in_force_from=TODAY, impact_digest=seen.digest,
            by=study.admin, at=NOW,
        )  # fmt: skip

    assert codes(refusal) == ["impact_changed"]
    assert contents() == before


def test_the_report_is_of_the_sites_and_the_day_it_was_made_for():
    study = Study(kits=0)
    other = study.add_site("DE-02")
    version = approved(study, submitted(study), study.site, other)

    digests = {
        impact_of(version=version, sites=sites, in_force_from=day, by=study.admin).digest
        for sites, day in (
            ([study.site], TODAY),
            ([study.site], TOMORROW),
            ([study.site, other], TODAY),
        )
    }

    assert len(digests) == 3


def test_two_people_who_activate_at_once_put_it_in_force_once():
    study = Study(kits=0)
    version = approved(study, submitted(study), study.site)

    outcomes = at_once(
        lambda: activated(study, version, study.site),
        lambda: activated(study, version, study.site, in_force_from=TOMORROW),
    )

    assert sum(isinstance(outcome, AmendmentRefused) for outcome in outcomes) == 1
    assert column("SELECT count(*) FROM trials_siteversion WHERE impact_digest <> ''") == [1]


def test_a_change_of_design_submitted_before_the_list_is_refused_after_it():
    study = Study(kits=0)
    with as_system():
        version = ProtocolVersion.objects.create(
            trial=study.trial, version="1.1", text=amended_text(("ratio = 1", "ratio = 4")),
            digest="", submitted_at=NOW - timedelta(1), submitted_by=study.admin,
        )  # fmt: skip
    approved(study, version, study.site)

    with pytest.raises(AmendmentRefused) as refusal:
        activated(study, version, study.site)

    assert codes(refusal) == ["fixed_by_randomisation"]


def test_only_the_sponsors_administrator_sees_the_impact_and_activates():
    study = Study(kits=0)
    version = approved(study, submitted(study), study.site)

    for person in (study.people[Role.DATA_MANAGER], study.coordinator):
        with pytest.raises(PermissionDenied):
            impact_of(version=version, sites=[study.site], in_force_from=TODAY, by=person)


def test_sites_approved_and_not_yet_running_it_are_those_to_activate():
    study = Study(kits=0)
    second = study.add_site("DE-02")
    study.add_site("DE-03")
    version = approved(study, submitted(study), study.site, second)
    activated(study, version, study.site)

    assert approved_sites(version) == [second]


def test_a_replay_is_amended_from_a_day_of_the_past():
    study = Study(kits=0, conduct="replay")
    day = study.trial.protocol.trial.accrual_opens_on + timedelta(100)
    version = approved(study, submitted(study), study.site, on=day)

    activated(study, version, study.site, in_force_from=day)

    found = [study.site.version_on(on).version for on in (day - timedelta(1), day)]
    assert found == ["1.0", "1.1"]


def test_a_site_added_later_begins_with_the_current_version():
    study = Study(kits=0)
    amend(study)

    late = study.add_site("DE-09")

    assert late.version_on(TODAY).version == "1.1"
