"""What people do about people and sites, by page and by interface; and that an end ends access."""

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.acting import as_system
from tests.factories import Study
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import contents, denied, differing
from trials.errors import ReviewRefused
from trials.models import AccessReview, OnCall, RoleAssignment, Site, Training, User
from trials.permissions import GROUPS, Permission, Role
from trials.services.access_review import access_of, sign_off
from trials.services.on_call import on_call
from trials.services.people import deactivate_person, end_role, give_role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(kits=0)


def page(person):
    client = Client()
    client.force_login(person)
    return client


def today():
    return timezone.now().date()


def role_of(person):
    return RoleAssignment.objects.get(user=person)


# --- An end ends access -----------------------------------------------------------------------


def test_an_open_session_and_a_live_token_may_nothing_from_the_moment_a_role_ends(study):
    subject = study.consented()
    client, caller = page(study.coordinator), caller_for(study.coordinator)
    address = reverse("admin:patients_subject_change", args=[subject.pk])
    before = client.get(address).status_code, caller.get(f"/subjects/{subject.pk}").status_code

    end_role(
        role_id=role_of(study.coordinator).pk, reason="left", by=study.admin, at=timezone.now()
    )

    after = client.get(address), caller.get(f"/subjects/{subject.pk}").status_code
    assert before == (200, 200)
    assert (after[0].status_code, after[1]) == (302, 404)
    assert reverse("admin:login") in after[0].url


@pytest.mark.parametrize(
    ("left", "expected"), [(timedelta(hours=1), (200, 200)), (timedelta(0), (302, 404))]
)
def test_a_role_that_ends_by_its_day_ends_access_without_anybody_doing_anything(
    study, left, expected
):
    subject = study.consented()
    client, caller = page(study.coordinator), caller_for(study.coordinator)
    role = role_of(study.coordinator)
    set_end(role, timezone.now() + left)

    address = reverse("admin:patients_subject_change", args=[subject.pk])

    assert (
        client.get(address).status_code,
        caller.get(f"/subjects/{subject.pk}").status_code,
    ) == expected


def set_end(role, at):
    with as_system():
        RoleAssignment.objects.filter(pk=role.pk).update(ends_at=at)


def test_a_leavers_open_session_and_token_are_worth_nothing(study):
    client, caller = page(study.coordinator), caller_for(study.coordinator)

    deactivate_person(user=study.coordinator, reason="left", by=study.admin, at=timezone.now())

    assert client.get(reverse("admin:index")).status_code == 302
    assert caller.get("/subjects").status_code == 401


# --- The access review ------------------------------------------------------------------------


def found(study, name):
    review = access_of(study.trial, at=timezone.now())
    line = next(line for line in review.lines if line.facts.username == name)
    return [reason.code for reason in line.findings]


def test_a_review_finds_who_left_and_who_is_still_connected(study):
    coordinator, pharmacist = study.coordinator, study.pharmacist
    page(coordinator)
    caller_for(study.system)
    before = [found(study, p.username) for p in (coordinator, pharmacist, study.system)]
    end_role(role_id=role_of(coordinator).pk, reason="x", by=study.admin, at=timezone.now())
    end_role(role_id=role_of(study.system).pk, reason="x", by=study.admin, at=timezone.now())
    User.objects.filter(pk=pharmacist.pk).update(is_active=False)

    assert before == [[], [], []]
    assert found(study, coordinator.username) == ["connected_without_role"]
    assert found(study, study.system.username) == ["connected_without_role"]
    assert found(study, pharmacist.username) == ["leaver_with_role"]
    assert found(study, study.admin.username) == []  # trained before the trial began


def test_a_review_is_signed_as_it_was_read_and_never_changed(study):
    at = timezone.now()
    read = access_of(study.trial, at=at)

    signed = sign_off(
        trial_id=study.trial.pk, digest=read.digest, remark="all known", by=study.admin, at=at
    )
    before = contents()
    for digest, remark, expected in (
        ("0" * 64, "", ["review_changed", "remark_missing"]),
        (read.digest, " ", ["remark_missing"]),
    ):
        with pytest.raises(ReviewRefused) as refusal:
            sign_off(trial_id=study.trial.pk, digest=digest, remark=remark, by=study.admin, at=at)
        assert [reason.code for reason in refusal.value.reasons] == expected

    assert (signed.content, signed.findings) == (read.content, read.findings)
    assert contents() == before
    assert denied("UPDATE trials_accessreview SET remark = 'x'")
    assert denied("DELETE FROM trials_accessreview")


def test_a_review_is_done_on_its_page_by_the_administrator_and_read_by_the_auditor(study):
    address = reverse("admin:access_review_now", args=[study.trial.code])
    admin = page(study.admin)
    shown = admin.get(address)
    form = {"key": "one", "digest": shown.context["form"]["digest"].value(), "remark": "all known"}

    by_auditor = page(study.people[Role.AUDITOR]).post(address, form)
    answer = admin.post(address, form)

    review = AccessReview.objects.get()
    kept = page(study.people[Role.AUDITOR]).get(
        reverse("admin:trials_accessreview_change", args=[review.pk])
    )
    rows = list(csv.reader(io.StringIO(admin.get(
        reverse("admin:access_review_csv", args=[study.trial.code])
    ).content.decode())))  # fmt: skip
    assert (by_auditor.status_code, answer.status_code) == (403, 302)
    assert "all known" in kept.content.decode()
    assert len(rows) == 1 + RoleAssignment.objects.count()
    assert page(study.coordinator).get(address).status_code == 404


# --- The delegation log -----------------------------------------------------------------------


def test_an_investigator_trains_delegates_and_ends_on_the_pages(study):
    User.objects.create_user("newcomer")
    client = page(study.people[Role.INVESTIGATOR])
    trial = str(study.trial.pk)
    training = {
        "key": "t", "trial": trial, "person": "newcomer", "document": "Protocol",
        "version": "1.0", "completed_on": today().isoformat(),
    }  # fmt: skip
    role = {
        "key": "r", "trial": trial, "person": "newcomer", "role": "coordinator",
        "site": str(study.site.pk), "starts_on": "", "ends_on": "",
    }  # fmt: skip

    untrained = client.post(reverse("admin:trials_roleassignment_add"), {**role, "key": "u"})
    client.post(reverse("admin:trials_training_add"), training)
    client.post(reverse("admin:trials_roleassignment_add"), role)
    given = RoleAssignment.objects.get(user__username="newcomer")
    client.post(
        reverse("admin:trials_roleassignment_change", args=[given.pk]),
        {"key": "e", "reason": "left"},
    )

    given.refresh_from_db()
    assert "not_trained" in untrained.content.decode()
    assert given.given_by == given.ended_by == study.people[Role.INVESTIGATOR]
    assert given.end_reason == "left"


def test_the_log_of_a_site_is_shown_and_told_as_csv_to_those_who_keep_or_check_it(study):
    address = reverse("admin:delegation_log", args=[study.site.pk])
    elsewhere = study.add_site("DE-02")
    principal = page(study.people[Role.INVESTIGATOR])

    shown = principal.get(address).content.decode()
    rows = list(csv.DictReader(io.StringIO(principal.get(
        reverse("admin:delegation_log_csv", args=[study.site.pk])
    ).content.decode())))  # fmt: skip

    assert study.coordinator.username in shown
    assert {row["person"] for row in rows} >= {study.coordinator.username, "principal-DE-01"}
    assert {row["trainings"] for row in rows} != {""}
    assert page(study.coordinator).get(address).status_code == 404
    theirs = reverse("admin:delegation_log", args=[elsewhere.pk])
    assert principal.get(theirs).status_code == 404


def test_a_name_that_a_spreadsheet_would_reckon_is_written_as_text(study):
    evil = study.trained("evil")
    evil.first_name = "=HYPERLINK(1)"
    evil.save()
    give_role(
        user=evil, trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=timezone.now(),
    )  # fmt: skip

    told = page(study.admin).get(reverse("admin:delegation_log_csv", args=[study.site.pk]))

    assert "'=HYPERLINK" in told.content.decode()


def test_the_table_of_permissions_is_shown_to_everybody_with_every_permission_once():
    shown = [permission for group in GROUPS.values() for permission in group]

    assert sorted(shown) == sorted(Permission)


@pytest.mark.parametrize("role", [r for r in Role if r is not Role.SITE_SYSTEM])
def test_everybody_who_gets_in_reads_who_may_do_what(study, role):
    answer = page(study.people[role]).get(reverse("admin:who_may_do_what"))

    assert answer.status_code == 200
    assert "break the blind of one subject in an emergency" in answer.content.decode()


# --- By interface -----------------------------------------------------------------------------


def test_people_are_kept_over_the_interface_with_every_reason_of_a_refusal(study):
    User.objects.create_user("newcomer")
    admin = caller_for(study.admin)
    role = {"trial": "CLLM1", "person": "newcomer", "role": "coordinator", "site": "DE-01"}
    training = {
        "trial": "CLLM1", "person": "newcomer", "document": "Protocol", "version": "1",
        "completed_on": today().isoformat(),
    }  # fmt: skip

    before = contents()
    refused = admin.post("/roles", {**role, "site": None})
    nobody = admin.post("/roles", {**role, "person": "no-such-name"})
    kept = differing(before)
    admin.post("/trainings", training)
    given = admin.post("/roles", role)
    ended = admin.post(f"/roles/{given.json()['id']}/ends", {"reason": "left"})
    left = admin.post("/leavers", {"trial": "CLLM1", "person": "newcomer", "reason": "left"})

    assert (refused.status_code, nobody.status_code) == (409, 409)
    assert kept == {"public.events_idempotencyrecord"}  # the answers, for who asks again
    assert {code for _, code in reasons_of(refused)} == {"role_needs_site", "not_trained"}
    assert {code for _, code in reasons_of(nobody)} == {"person_unknown"}
    assert [a.status_code for a in (given, ended, left)] == [201, 201, 201]
    assert Training.objects.filter(user__username="newcomer").count() == 1
    assert admin.get("/roles").json()["count"] == RoleAssignment.objects.count()
    assert caller_for(study.coordinator).post("/roles", role).status_code == 403
    assert caller_for(study.coordinator).get("/roles").json()["count"] == 0


def test_a_sites_life_goes_over_the_interface(study):
    admin = caller_for(study.admin)
    step = {"trial": "CLLM1", "site": "DE-01", "on": today().isoformat(), "reason": "audit"}

    held = admin.post("/site-holds", step)
    again = admin.post("/site-holds", step)
    resumed = admin.post("/site-resumptions", step)
    closed = admin.post("/site-closures", step)
    added = admin.post(
        "/sites",
        {
            "trial": "CLLM1", "code": "DE-05", "name": "Five", "country": "DE",
            "time_zone": "Europe/Berlin",
        },
    )  # fmt: skip
    early = admin.post("/site-activations", {**step, "site": "DE-05"})

    assert [a.status_code for a in (held, resumed, closed, added)] == [201, 201, 201, 201]
    assert again.status_code == 409
    assert {c for _, c in reasons_of(early)} == {"approval_missing", "investigator_missing"}
    assert Site.objects.get(code="DE-01").status == Site.Status.CLOSED
    assert caller_for(study.coordinator).post("/site-holds", step).status_code == 403
    assert admin.get("/site-status-changes").json()["count"] == 4


def test_the_on_call_list_is_kept_over_the_interface_and_on_its_page(study):
    monitor, now = study.people[Role.MEDICAL_MONITOR], timezone.now()
    body = {
        "trial": "CLLM1", "person": monitor.username, "telephone": "+49 30 1234567",
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=8)).isoformat(),
    }  # fmt: skip
    keeper = caller_for(monitor)

    entered = keeper.post("/on-call-duties", body)
    told = caller_for(study.coordinator).get("/trials/CLLM1/on-call").json()
    shown = page(study.coordinator).get(reverse("admin:trials_oncall_changelist"))
    duty = OnCall.objects.get()
    cancelled = page(monitor).post(
        reverse("admin:trials_oncall_change", args=[duty.pk]), {"key": "c", "reason": "swapped"}
    )

    assert entered.status_code == 201
    assert [one["telephone"] for one in told] == ["+49 30 1234567"]
    assert "+49 30 1234567" in shown.content.decode()
    assert cancelled.status_code == 302
    assert on_call(study.trial, timezone.now()) == []
    assert caller_for(study.coordinator).post("/on-call-duties", body).status_code == 403


# --- The site's page --------------------------------------------------------------------------


def test_a_site_takes_its_steps_on_its_page(study):
    planned = study.planned_site("DE-05")
    admin = page(study.admin)
    step = {"key": "a", "on": today().isoformat(), "reason": "start"}
    address = reverse("admin:trials_site_change", args=[study.site.pk])

    refused = admin.post(reverse("admin:trials_site_step", args=[planned.pk, "activate"]), step)
    held = admin.post(
        reverse("admin:trials_site_step", args=[study.site.pk, "hold"]),
        {**step, "key": "h", "reason": "an audit"},
    )
    shown = admin.get(address).content.decode()

    assert "approval_missing" in refused.content.decode()
    assert held.status_code == 302
    assert "an audit" in shown
    assert "Resume site" in shown
    assert "/step/hold/" not in shown
    assert "principal-DE-01" in shown
    theirs = page(study.coordinator).get(address).content.decode()
    assert "Resume site" not in theirs
    forbidden = reverse("admin:trials_site_step", args=[study.site.pk, "resume"])
    assert page(study.coordinator).post(forbidden, step).status_code == 403
