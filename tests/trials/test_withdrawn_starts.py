from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from events.acting import as_system
from events.history import history_model
from events.models import OutboxEvent
from reporting.services.amendments import approved_sites
from tests.amendments import activated, amend, approved, submitted
from tests.factories import NOW, TODAY, Study, user
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.errors import AmendmentRefused, ListRefused, StartStands
from trials.models import ProtocolVersion, Site, SiteVersion, Trial
from trials.models.amendments import VERSIONS_OF_SITES
from trials.permissions import Role
from trials.queries import at_sites
from trials.services import lists
from trials.services.amendments import begin_at_site
from trials.services.lists import withdraw_list
from trials.services.people import give_role
from trials.services.withdrawn_starts import withdraw_start


pytestmark = on_postgres

TOMORROW, LATER = TODAY + timedelta(1), TODAY + timedelta(30)
PLACES = [("H", "L"), ("H", "P"), ("H", "L")]


@pytest.fixture
def study():
    return Study(kits=0)


def withdraw(study, version, *sites, reason="the day was mistaken", by=None, at=NOW):
    return withdraw_start(
        version=version, sites=sites or (study.site,), reason=reason, by=by or study.admin, at=at
    )


def refused(study, version, *sites, **how):
    """Return the codes of a refusal, after checking that it changed nothing."""
    before = contents()
    with pytest.raises(StartStands) as refusal:
        withdraw(study, version, *sites, **how)
    assert contents() == before
    return [reason.code for reason in refusal.value.reasons]


def runs(site, day=LATER):
    return Site.objects.get(pk=site.pk).version_on(day).version


def current(study):
    return Trial.objects.get(pk=study.trial.pk).current_version.version


# --- The day ----------------------------------------------------------------------------------


def test_a_start_of_tomorrow_is_withdrawn_and_the_site_goes_on_as_it_was(study):
    version = amend(study, in_force_from=TOMORROW)

    (row,) = withdraw(study, version, reason="  the day was mistaken ")

    assert runs(study.site) == current(study) == "1.0"
    row.refresh_from_db()
    assert (row.withdrawn_at, row.withdrawn_by) == (NOW, study.admin)
    assert row.withdrawn_because == "the day was mistaken"
    version.refresh_from_db()
    assert (version.activated_at, version.activated_by) == (None, None)
    kept = history_model(SiteVersion).objects.filter(pgh_obj_id=row.pk).order_by("pgh_id")
    assert [one.withdrawn_at for one in kept] == [None, NOW]


def test_a_start_of_today_is_not_withdrawn(study):
    version = amend(study, in_force_from=TODAY)

    assert refused(study, version) == ["begun_already"]


def test_the_sites_own_day_decides_at_the_edge_and_all_sites_stay_or_none(study):
    far = study.add_site("NZ-01", time_zone="Pacific/Auckland")
    day, at = date(2026, 4, 1), datetime(2026, 3, 31, 12, tzinfo=UTC)
    version = amend(study, sites=(study.site, far), in_force_from=day)

    assert refused(study, version, study.site, far, at=at) == ["begun_already"]
    withdraw(study, version, study.site, at=at)

    assert (runs(study.site), runs(far)) == ("1.0", "1.1")


# --- What is refused --------------------------------------------------------------------------


def test_every_reason_at_every_site_is_given(study):
    second, third = study.add_site("DE-02"), study.add_site("DE-03")
    version = amend(study, sites=(study.site, second), in_force_from=TOMORROW)

    assert refused(study, version, study.site, second, third, reason=" ", at=NOW) == [
        "reason_missing", "no_start",
    ]  # fmt: skip
    assert (
        refused(study, version, *(study.site, second), at=NOW + timedelta(1))
        == ["begun_already"] * 2
    )
    assert (runs(study.site), runs(second)) == ("1.1", "1.1")


def test_the_only_version_of_a_site_stays_once_the_site_has_begun(study):
    planned = study.planned_site("DE-02")
    version = amend(study, sites=(study.site, planned), in_force_from=TOMORROW)
    withdraw(study, version, planned)
    activated(study, version, planned, in_force_from=TOMORROW)
    with as_system():
        Site.objects.filter(pk=planned.pk).update(status=Site.Status.ACTIVE)

    assert refused(study, version, planned) == ["only_version"]
    withdraw(study, version, study.site)


def test_a_withdrawal_names_a_site_of_the_trial(study):
    version = amend(study, in_force_from=TOMORROW)

    before = contents()
    with pytest.raises(StartStands) as refusal:
        withdraw_start(version=version, sites=(), reason="why", by=study.admin, at=NOW)

    assert [reason.code for reason in refusal.value.reasons] == ["no_site"]
    assert contents() == before


def test_a_start_is_withdrawn_once(study):
    version = amend(study, in_force_from=TOMORROW)
    withdraw(study, version)

    assert refused(study, version) == ["no_start"]


def test_two_who_withdraw_at_once_withdraw_once(study):
    version = amend(study, in_force_from=TOMORROW)

    outcomes = at_once(lambda: withdraw(study, version), lambda: withdraw(study, version))

    assert sum(isinstance(outcome, StartStands) for outcome in outcomes) == 1
    assert OutboxEvent.objects.filter(type="trials.ProtocolStartWithdrawn").count() == 1


@pytest.mark.parametrize("role", [Role.DATA_MANAGER, Role.MONITOR, Role.COORDINATOR])
def test_only_the_sponsors_administrator_withdraws(study, role):
    version = amend(study, in_force_from=TOMORROW)
    before = contents()

    with pytest.raises(PermissionDenied):
        withdraw(study, version, by=study.people[role])

    assert contents() == before


def test_neither_a_stranger_nor_an_administrator_who_enrols_withdraws(study):
    version = amend(study, in_force_from=TOMORROW)
    both = study.trained("both")
    for role, site in ((Role.SPONSOR_ADMINISTRATOR, None), (Role.COORDINATOR, study.site)):
        give_role(user=both, trial_id=study.trial.pk, site=site, role=role, by=study.admin, at=NOW)

    for person in (both, user("stranger")):
        with pytest.raises(PermissionDenied):
            withdraw(study, version, by=person)
    assert runs(study.site) == "1.1"


# --- What follows -----------------------------------------------------------------------------


def test_a_version_is_put_in_force_again_or_overtaken_from_an_earlier_day(study):
    version = amend(study, in_force_from=LATER)
    urgent = approved(study, submitted(study, version="1.2"), study.site)
    with pytest.raises(AmendmentRefused) as refusal:
        activated(study, urgent, study.site, in_force_from=TOMORROW)
    withdraw(study, version)

    activated(study, urgent, study.site, in_force_from=TOMORROW)
    activated(study, version, study.site, in_force_from=LATER)

    assert "has not come: withdraw it first" in refusal.value.reasons[0].detail
    assert [runs(study.site, day) for day in (TODAY, TOMORROW, LATER)] == ["1.0", "1.2", "1.1"]
    assert SiteVersion.with_withdrawn.filter(protocol_version=version).count() == 2


def test_a_version_that_stands_elsewhere_stays_the_trials_current_one(study):
    second = study.add_site("DE-02")
    version = amend(study, sites=(study.site,), in_force_from=TOMORROW)
    approved(study, version, second)
    activated(study, version, second, in_force_from=LATER, at=NOW + timedelta(hours=1))

    withdraw(study, version, study.site)

    version.refresh_from_db()
    assert (current(study), version.activated_at) == ("1.1", NOW)
    assert version.activated_by == study.admin


def test_the_version_a_trial_began_with_stays_activated(study):
    planned = study.planned_site("DE-02")
    first = study.trial.current_version
    with as_system():
        SiteVersion.objects.filter(site=study.site).update(in_force_from=LATER)
        Site.objects.filter(pk=study.site.pk).update(status=Site.Status.PLANNED)
    approved(study, first, planned)
    activated(study, first, planned, in_force_from=LATER)

    withdraw(study, first, study.site, planned)

    assert current(study) == "1.0"
    assert not SiteVersion.objects.exists()


def test_no_reader_finds_a_withdrawn_start(study):
    version = amend(study, in_force_from=TOMORROW)
    withdraw(study, version)
    site = Site.objects.prefetch_related("versions").get(pk=study.site.pk)
    subject = study.enrolled()
    (told,) = type(subject).objects.filter(pk=subject.pk).prefetch_related(VERSIONS_OF_SITES)

    assert [row.protocol_version.version for row in site.versions.all()] == ["1.0"]
    assert told.site.version_on(LATER).version == "1.0"
    assert not SiteVersion.objects.filter(protocol_version=version).exists()
    assert approved_sites(version) == [study.site]
    (row,) = at_sites(version, at=NOW)
    assert (row.in_force_from, row.scheduled) == (None, False)
    (start,) = row.withdrawn
    assert (start.in_force_from, start.withdrawn_by) == (TOMORROW, study.admin.username)


def test_a_start_to_come_is_scheduled_and_replaces_none_before_its_day(study):
    version = amend(study, in_force_from=TOMORROW)
    first = ProtocolVersion.objects.get(version="1.0")

    def stands(at):
        return [
            (row.scheduled, row.replaced)
            for one in (first, version)
            for row in at_sites(one, at=at)
        ]

    assert stands(NOW) == [(False, False), (True, False)]
    assert stands(NOW + timedelta(1)) == [(False, True), (False, False)]


def test_each_site_is_told_of_in_an_event(study):
    second = study.add_site("DE-02")
    version = amend(study, sites=(study.site, second), in_force_from=TOMORROW)

    withdraw(study, version, study.site, second)

    told = OutboxEvent.objects.filter(type="trials.ProtocolStartWithdrawn").order_by("pk")
    assert [(event.stream, event.actor, event.payload) for event in told] == [
        ("CLLM1", "admin", {
            "site_id": str(site.pk),
            "protocol_version": "1.1",
            "in_force_from": TOMORROW.isoformat(),
        })
        for site in (study.site, second)
    ]  # fmt: skip


# --- The randomisation list -------------------------------------------------------------------


def test_a_version_with_a_list_made_for_it_stays_until_the_draft_is_withdrawn(study):
    version = amend(study, in_force_from=TOMORROW)
    draft = study.draft_list(PLACES)

    assert draft.protocol_version == version
    assert refused(study, version) == ["list_made"]
    withdraw_list(list_id=draft.pk, reason="not now", by=study.statistician, at=NOW)
    withdraw(study, version)

    assert current(study) == "1.0"


def test_a_list_holds_no_start_of_a_version_that_stands_elsewhere(study):
    second = study.add_site("DE-02")
    version = amend(study, sites=(study.site, second), in_force_from=TOMORROW)
    study.draft_list(PLACES)

    withdraw(study, version, second)

    assert (runs(study.site), runs(second), current(study)) == ("1.1", "1.0", "1.1")


def test_a_list_sealed_while_its_version_is_withdrawn_is_not_drafted(study, monkeypatch):
    version = amend(study, in_force_from=TOMORROW)
    seal = lists._seal

    def meanwhile(*args, **options):
        digest = seal(*args, **options)
        withdraw(study, version)
        return digest

    monkeypatch.setattr(lists, "_seal", meanwhile)

    with pytest.raises(ListRefused) as refusal:
        study.draft_list(PLACES)

    assert [reason.code for reason in refusal.value.reasons] == ["version_withdrawn"]
    assert not version.trial.randomisation_lists.filter(protocol_version=version).exists()


# --- At the same moment as an activation ------------------------------------------------------


def test_a_version_read_before_its_withdrawal_is_activated_anew(study):
    second = study.add_site("DE-02")
    amend(study, in_force_from=TOMORROW)
    read = ProtocolVersion.objects.select_related("trial").get(version="1.1")
    approved(study, read, second)
    withdraw(study, read, study.site)

    activated(study, read, second, in_force_from=TOMORROW)

    assert (current(study), runs(study.site), runs(second)) == ("1.1", "1.0", "1.1")


def test_a_withdrawal_and_an_activation_at_once_leave_an_activated_version(study):
    second = study.add_site("DE-02")
    version = approved(study, amend(study, in_force_from=TOMORROW), second)
    one, other = (ProtocolVersion.objects.get(pk=version.pk) for _ in range(2))

    outcomes = at_once(
        lambda: withdraw(study, one, study.site),
        lambda: activated(study, other, second, in_force_from=TOMORROW),
    )

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert (current(study), runs(study.site), runs(second)) == ("1.1", "1.0", "1.1")


def test_a_site_that_begins_meanwhile_with_the_withdrawn_version_keeps_it_activated(study):
    version = amend(study, in_force_from=TOMORROW)
    site = Site.objects.select_related("trial").get(pk=study.planned_site("DE-02").pk)
    assert site.trial.current_version == version
    withdraw(study, version)

    with as_system():
        begin_at_site(site=site, by=study.admin, at=NOW)

    assert (current(study), runs(site)) == ("1.1", "1.1")


# --- In the database --------------------------------------------------------------------------


def test_one_version_begins_on_a_day_and_once_but_for_withdrawn_starts(study):
    version = amend(study, in_force_from=TOMORROW)
    (row,) = withdraw(study, version)

    def again(**changed):
        fields = {"site": study.site, "protocol_version": version, "in_force_from": TOMORROW}
        with as_system(), transaction.atomic():
            SiteVersion.objects.create(
                **fields | changed, activated_by=study.admin, activated_at=NOW
            )

    again()

    other = submitted(study, version="1.2")
    for changed in ({"in_force_from": LATER}, {"protocol_version": other}):
        with pytest.raises(IntegrityError):
            again(**changed)
    assert SiteVersion.with_withdrawn.filter(in_force_from=TOMORROW).count() == 2
    assert row in SiteVersion.with_withdrawn.all()


@pytest.mark.parametrize(
    "half",
    [
        {"withdrawn_because": ""},
        {"withdrawn_by": None},
        {"withdrawn_at": None},
        {"withdrawn_at": None, "withdrawn_by": None},
    ],
)
def test_a_withdrawn_start_says_who_when_and_why(study, half):
    version = amend(study, in_force_from=TOMORROW)
    (row,) = withdraw(study, version)

    with as_system(), pytest.raises(IntegrityError, match="withdrawn_start_says_who_and_why"):
        SiteVersion.with_withdrawn.filter(pk=row.pk).update(**half)
