"""A site's name or time zone was wrong: corrected with a reason, and no past day with it."""

from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from events.history import history_model
from events.models import OutboxEvent
from patients.models import Subject
from patients.services.enrolment import enrol_subject
from patients.services.sites import correct_site
from patients.services.transfers import transfer_subject
from tests.factories import NOW, TODAY, Study
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.errors import SiteCorrectionRefused
from trials.models import Site, SiteCorrection
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(kits=0)


def correct(study, *, site=None, by=None, reason="misspelt", **sent):
    return correct_site(
        site_id=(site or study.site).pk, reason=reason, by=by or study.admin, at=NOW,
        **(sent or {"name": "Hospital"}),
    )  # fmt: skip


def refused(act):
    before = contents()
    with pytest.raises(SiteCorrectionRefused) as refusal:
        act()
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


def move(study, subject, code):
    transfer_subject(
        subject_id=subject.pk, to_site=code, transferred_on=TODAY, reason="moved house",
        agreed_by="Dr Example", agreement="letter", by=study.people[Role.DATA_MANAGER], at=NOW,
    )  # fmt: skip


def test_a_name_is_corrected_at_any_time_and_what_stood_there_is_kept_with_the_reason(study):
    study.randomised()

    found = correct(study, name="Hospital of the North")

    site = Site.objects.get()
    assert (site.name, site.time_zone) == ("Hospital of the North", "Europe/Berlin")
    assert found.found == {"name": "Site DE-01"}
    assert found.corrected == {"name": "Hospital of the North"}
    last = history_model(Site).objects.order_by("pgh_id").last()
    assert last.pgh_context["reason"] == "misspelt"
    assert last.pgh_context["actor"] == study.admin.username
    event = OutboxEvent.objects.get(type="trials.SiteCorrected")
    assert event.payload == {"site_id": str(site.pk), "corrected": ["name"]}


def test_a_time_zone_is_corrected_while_nobody_has_been_at_the_site(study):
    site = study.add_site("DE-02")

    correct(study, site=site, time_zone="Asia/Tokyo")
    subject = enrol_subject(
        trial="CLLM1", site="DE-02", year_of_birth=1950, sex="male", screened_on=TODAY,
        by=study.person(Role.COORDINATOR, site=site), at=NOW,
    )  # fmt: skip

    assert Site.objects.get(code="DE-02").time_zone == "Asia/Tokyo"
    assert subject.site.time_zone == "Asia/Tokyo"


def test_once_somebody_was_entered_the_clock_that_made_their_days_stays(study):
    study.enrolled()

    assert refused(partial(correct, study, time_zone="Asia/Tokyo")) == {"time_zone_in_use"}
    assert refused(partial(correct, study, name="Hospital", time_zone="Asia/Tokyo")) == {
        "time_zone_in_use"
    }
    assert Site.objects.get().time_zone == "Europe/Berlin"


def test_who_came_by_transfer_counts_and_who_went_away_counts_too(study):
    site = study.add_site("DE-02")
    subject = study.consented()
    act = partial(correct, study, time_zone="Asia/Tokyo")

    move(study, subject, "DE-02")

    assert refused(partial(act, site=site)) == {"time_zone_in_use"}
    assert refused(act) == {"time_zone_in_use"}
    move(study, subject, "DE-01")
    assert refused(partial(act, site=site)) == {"time_zone_in_use"}


def test_every_reason_is_given_and_nothing_is_changed(study):
    study.enrolled()
    act = partial(correct, study)

    assert refused(partial(act, name=" ", time_zone="Europe/Nowhere", reason=" ")) == {
        "site_name", "time_zone_unknown", "time_zone_in_use", "reason_missing",
    }  # fmt: skip
    assert refused(partial(act, name="Site DE-01")) == {"not_corrected"}
    assert refused(
        partial(correct_site, site_id=study.site.pk, reason="x", by=study.admin, at=NOW)
    ) == {"nothing_corrected"}


def test_only_who_sets_up_the_trial_may(study):
    before = contents()

    for role in set(Role) - {Role.SPONSOR_ADMINISTRATOR}:
        with pytest.raises(PermissionDenied):
            correct(study, by=study.people[role])

    assert contents() == before
    assert not SiteCorrection.objects.exists()


def test_an_entry_and_a_correction_of_the_clock_at_once_run_one_after_the_other(study):
    entered, corrected = at_once(study.enrolled, partial(correct, study, time_zone="Asia/Tokyo"))

    assert isinstance(entered, Subject)
    refused_ = isinstance(corrected, SiteCorrectionRefused)
    assert refused_ or isinstance(corrected, SiteCorrection)
    assert (Site.objects.get().time_zone == "Europe/Berlin") is refused_


def test_the_address_corrects_and_lists_for_those_who_know_the_site(study):
    admin = caller_for(study.admin)
    body = {"trial": "CLLM1", "site": "DE-01", "reason": "misspelt"}

    nothing = admin.post("/site-corrections", body)
    made = admin.post("/site-corrections", {**body, "name": "Hospital"})
    again = admin.post("/site-corrections", {**body, "name": "Hospital"})
    other = caller_for(study.coordinator).post("/site-corrections", {**body, "name": "Mine"})
    listed = caller_for(study.coordinator).get("/site-corrections").json()["results"]
    stranger = study.person(Role.COORDINATOR, site=study.add_site("DE-02"))

    statuses = [answer.status_code for answer in (nothing, made, again, other)]
    assert statuses == [400, 201, 409, 403]
    assert made.json()["corrected"] == {"name": "Hospital"}
    assert reasons_of(again) == {("", "not_corrected")}
    assert [row["reason"] for row in listed] == ["misspelt"]
    assert caller_for(stranger).get("/site-corrections").json()["results"] == []


def test_the_form_sends_what_changed_and_the_sites_page_tells_it(study):
    study.enrolled()
    client = Client()
    client.force_login(study.admin)
    page = reverse("admin:trials_site_change", args=[study.site.pk])
    form = reverse("admin:trials_site_step", args=[study.site.pk, "correct"])
    sent = {"name": "Hospital", "time_zone": "Europe/Berlin", "reason": "misspelt"}

    offered = form in client.get(page).content.decode()
    zone = client.post(form, {"key": "a", **sent, "time_zone": "Asia/Tokyo"})
    done = client.post(form, {"key": "b", **sent})
    after = client.get(page).content.decode()

    assert offered
    assert (zone.status_code, done.status_code) == (200, 302)
    assert "time_zone_in_use" in zone.content.decode()
    assert "name to Hospital" in after
    client.force_login(study.coordinator)
    assert client.post(form, {"key": "c", **sent}).status_code == 403
    assert form not in client.get(page).content.decode()
