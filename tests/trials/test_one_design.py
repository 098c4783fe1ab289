"""A list is made and put to use for the one design that every site runs, or not at all."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction

from events.acting import as_system
from reporting.services.amendments import activate_version, impact_of
from tests.amendments import amend, approved, submitted
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres
from tests.postgres import at_once, contents, waiting_for_me
from trials.errors import AmendmentRefused, ApprovalRefused, ListRefused
from trials.models import RandomisationList, SealedAccess, Site, SiteVersion, Trial
from trials.permissions import Role
from trials.services import lists
from trials.services.amendments import record_approval
from trials.services.lists import approve_list, dry_run, generate_list
from trials.services.sites import activate_site, take_step


pytestmark = on_postgres

ONE_TO_ONE = (("ratio = 2", "ratio = 1"), ("value = [3]", "value = [4, 6]"))
OTHER_STRATUM = (('code = "H", label', 'code = "HI", label'),)
IN_A_MONTH = TODAY + timedelta(30)


@pytest.fixture
def study():
    """A trial at two sites, without a list."""
    study = Study(kits=0, with_list=False)
    study.elsewhere = study.add_site("DE-02")
    return study


def newly_read(study):
    study.trial = Trial.objects.get(pk=study.trial.pk)
    return study


def draft(study, at=NOW):
    return generate_list(trial_id=study.trial.pk, reason="first", by=study.statistician, at=at)


def approve(study, found):
    for person in (study.statistician, study.second_statistician):
        dry_run(list_id=found.pk, by=person)
        approve_list(list_id=found.pk, digest=found.digest, by=person, at=NOW)
    found.refresh_from_db()
    return found


def refused(act, refusal=ListRefused):
    """Return what a refusal says, after checking that it changed nothing."""
    before = contents()
    with pytest.raises(refusal) as found:
        act()
    assert contents() == before
    assert {reason.code for reason in found.value.reasons} == {"other_design"}
    return [reason.detail for reason in found.value.reasons]


def unlike(site):
    return (
        f"Version 1.0, which {site} runs, does not randomise like version 1.1, for which the list"
        " is made. All sites need one design first."
    )


@pytest.mark.parametrize("changes", [ONE_TO_ONE, OTHER_STRATUM], ids=["a ratio", "a stratum"])
def test_no_list_is_made_while_a_site_runs_another_design_than_the_newest(study, changes):
    amend(study, *changes, sites=(study.elsewhere,), in_force_from=IN_A_MONTH)

    assert refused(partial(draft, newly_read(study))) == [
        unlike("DE-01"),
        unlike("DE-02"),
    ]


def test_no_list_is_made_before_the_newest_design_has_begun_everywhere(study):
    sites = (study.site, study.elsewhere)
    amend(study, *ONE_TO_ONE, sites=sites, in_force_from=IN_A_MONTH)

    assert len(refused(partial(draft, newly_read(study)))) == 2
    assert draft(study, at=NOW + timedelta(30)).protocol_version.version == "1.1"


def test_a_list_is_made_for_a_design_that_all_sites_run_whatever_they_ran_before(study):
    amend(study, *ONE_TO_ONE, sites=(study.site, study.elsewhere))
    found = approve(newly_read(study), draft(study))

    subject = study.randomised()

    assert (found.state, found.protocol_version.version) == ("live", "1.1")
    assert subject.allocation.protocol_version == found.protocol_version


def test_other_words_for_the_same_design_hold_no_list_up(study):
    words = ('source = "GCLLSG trial page; ASH 2016', 'source = "GCLLSG; ASH 2016')
    amend(study, words, sites=(study.elsewhere,), in_force_from=IN_A_MONTH)

    assert draft(newly_read(study)).protocol_version.version == "1.1"


def test_a_site_that_was_closed_holds_no_list_up(study):
    amend(study, *ONE_TO_ONE)
    take_step("close", site_id=study.elsewhere.pk, on=TODAY, reason="no subjects", by=study.admin,
              at=NOW)  # fmt: skip

    assert draft(newly_read(study)).protocol_version.version == "1.1"


def test_in_a_replay_a_version_of_the_past_counts():
    study = Study(kits=0, with_list=False, conduct=Trial.Conduct.REPLAY)
    amend(study, *ONE_TO_ONE)

    assert refused(partial(draft, newly_read(study))) == [unlike("DE-01")]


def test_no_list_goes_live_while_a_site_runs_another_design(study):
    version = approved(study, submitted(study, *ONE_TO_ONE), study.elsewhere)
    found = draft(study)
    with as_system():  # past the service, which refuses it
        version.activated_at = NOW - timedelta(2)
        version.save()
        SiteVersion.objects.create(
            site=study.elsewhere, protocol_version=version, in_force_from=IN_A_MONTH,
            activated_by=study.admin, activated_at=NOW,
        )  # fmt: skip
    dry_run(list_id=found.pk, by=study.statistician)
    approve_found = partial(
        approve_list, list_id=found.pk, digest=found.digest, by=study.statistician, at=NOW
    )

    (said,) = refused(approve_found, ApprovalRefused)

    assert said.startswith("Version 1.1, which DE-02 is to run from 2026-04-09 on, does not")


def test_no_list_goes_live_that_is_not_of_the_design_a_new_site_begins_with(study):
    version = submitted(study, *ONE_TO_ONE)
    found = draft(study)
    with as_system():
        version.activated_at = NOW
        version.save()
    dry_run(list_id=found.pk, by=study.statistician)

    (said,) = refused(
        lambda: approve_list(list_id=found.pk, digest=found.digest, by=study.statistician, at=NOW),
        ApprovalRefused,
    )

    assert said.startswith("Version 1.1, with which a new site begins, does not randomise")


def test_a_site_that_is_still_to_begin_does_not_begin_with_another_design(study):
    late = study.planned_site("DE-03")
    record_approval(site=late, version=study.trial.current_version, approved_on=TODAY,
                    reference="EC 3", by=study.admin, at=NOW)  # fmt: skip
    study.person(Role.INVESTIGATOR, site=late, name="principal")
    amend(study, *ONE_TO_ONE, sites=(study.site, study.elsewhere))
    draft(newly_read(study))
    begin = partial(
        activate_site, site_id=late.pk, on=TODAY, reason="initiation", by=study.admin, at=NOW
    )
    before = contents()

    with pytest.raises(AmendmentRefused) as refusal:
        begin()

    assert {reason.code for reason in refusal.value.reasons} == {"fixed_by_randomisation"}
    assert contents() == before
    approved(study, study.trial.current_version, late)
    begin()
    assert Site.objects.get(pk=late.pk).version_on(TODAY).version == "1.1"


# --- At the same moment ---------------------------------------------------------------------------


def activation(study, version):
    sites = (study.site, study.elsewhere)
    seen = impact_of(version=version, sites=sites, in_force_from=TODAY, by=study.admin).digest
    return partial(
        activate_version, version=version, sites=sites, in_force_from=TODAY, impact_digest=seen,
        by=study.admin, at=NOW,
    )  # fmt: skip


def act_and_see_who_waits(act, written):
    with transaction.atomic():
        act()
        written.set()
        return waiting_for_me()


def test_a_list_drafted_while_a_version_comes_into_force_waits_and_is_refused(study):
    version = approved(study, submitted(study, *ONE_TO_ONE), study.site, study.elsewhere)
    activate, written = activation(study, version), threading.Event()

    def draft_meanwhile():
        written.wait(timeout=30)
        return draft(study)

    waited, answer = at_once(partial(act_and_see_who_waits, activate, written), draft_meanwhile)

    assert waited == 1
    assert isinstance(answer, ListRefused)
    assert not RandomisationList.objects.exists()
    assert SealedAccess.objects.count() == 1  # the look that made a list nobody can use


def test_a_version_that_comes_into_force_while_a_list_is_drafted_waits_and_is_refused(
    study, monkeypatch
):
    version = approved(study, submitted(study, *ONE_TO_ONE), study.site, study.elsewhere)
    activate, written, waited = activation(study, version), threading.Event(), []
    publish = lists.publish

    def publish_when_another_waits(event, **when):
        written.set()
        waited.append(waiting_for_me())
        return publish(event, **when)

    def activate_meanwhile():
        written.wait(timeout=30)
        return activate()

    monkeypatch.setattr(lists, "publish", publish_when_another_waits)
    found, answer = at_once(partial(draft, study), activate_meanwhile)

    assert waited == [1]
    assert isinstance(answer, AmendmentRefused)
    assert (found.state, found.protocol_version.version) == ("draft", "1.0")


def test_a_list_that_goes_live_while_a_version_comes_into_force_waits(study):
    version = approved(study, submitted(study), study.site, study.elsewhere)
    found = draft(study)
    dry_run(list_id=found.pk, by=study.statistician)
    activate, written = activation(study, version), threading.Event()

    def approve_meanwhile():
        written.wait(timeout=30)
        return approve_list(
            list_id=found.pk, digest=found.digest, by=study.statistician, at=NOW
        ).approvals.count()

    assert at_once(partial(act_and_see_who_waits, activate, written), approve_meanwhile) == [1, 1]


def test_a_site_that_begins_while_a_list_is_drafted_waits(study, monkeypatch):
    late = study.planned_site("DE-03")
    approved(study, study.trial.current_version, late)
    study.person(Role.INVESTIGATOR, site=late, name="principal")
    written, waited, publish = threading.Event(), [], lists.publish

    def publish_when_another_waits(event, **when):
        written.set()
        waited.append(waiting_for_me())
        return publish(event, **when)

    def begin_meanwhile():
        written.wait(timeout=30)
        return activate_site(
            site_id=late.pk, on=TODAY, reason="initiation", by=study.admin, at=NOW
        ).status

    monkeypatch.setattr(lists, "publish", publish_when_another_waits)
    found, status = at_once(partial(draft, study), begin_meanwhile)

    assert (waited, found.state, status) == ([1], "draft", "active")
