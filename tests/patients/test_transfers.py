import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dosing.models import Kit
from dosing.services.decisions import end_treatment
from dosing.services.dispensing import dispense_kit
from dosing.services.sites import close_site
from events.chain import lay_links
from events.models import OutboxEvent
from events.relay import deliver_next
from patients.errors import TransferRefused
from patients.models import Subject, SubjectTransfer
from patients.queries import readable_events
from patients.rules.partial_dates import PartialDate
from patients.services.outcomes import record_death
from patients.services.transfers import transfer_subject
from patients.services.unblinding import break_blind
from patients.services.visits import record_visit
from reporting.models import Notice
from reporting.services.accrual import accrual
from tests.factories import NOW, TODAY, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.postgres import contents
from trials.errors import SiteStepRefused
from trials.identity import Shown
from trials.models import SealedAccess, Site, Trial, User
from trials.permissions import Role
from trials.services.sites import hold_site
from trials.services.unblinding import prove


pytestmark = on_postgres

WORD = "a long pass phrase"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    made = Study(conduct=Trial.Conduct.REPLAY)
    made.there = made.add_site("DE-02")
    made.system_there = made.person(Role.SITE_SYSTEM, site=made.there)
    made.manager = made.people[Role.DATA_MANAGER]
    return made


LOG = "admin:trials_allocation_changelist"
LOG_OF_THE_INTERFACE = "/trials/CLLM1/randomisations"


def log_of(person):
    """Return the numbers in the randomisation log, of the interface and of the page."""
    client = Client()
    client.force_login(person)
    rows = client.get(reverse(LOG)).context["cl"].result_list
    lines = caller_for(person).get(LOG_OF_THE_INTERFACE).json()["results"]
    found = [line["subject_number"] for line in lines], [row.subject_number for row in rows]
    return tuple(sorted(numbers) for numbers in found)  # both were randomised at one instant


def move(study, subject, *, by=None, **changed):
    fields = {
        "to_site": "DE-02",
        "transferred_on": TODAY,
        "reason": "moved to another city",
        "agreed_by": "the investigator there",
        "agreement": "letter of 2026-03-09",
    }
    return transfer_subject(
        subject_id=subject.pk, by=by or study.manager, at=NOW, **{**fields, **changed}
    )


def codes(refusal):
    return [reason.code for reason in refusal.value.reasons]


def fresh(person):
    return User.objects.get(pk=person.pk)


def deliver_all():
    while deliver_next(at=timezone.now()):
        pass


# --- What a transfer is -----------------------------------------------------------------------


def test_a_subject_keeps_its_number_and_its_past_and_is_elsewhere(study):
    subject = study.randomised()

    transfer = move(study, subject)

    subject.refresh_from_db()
    event = OutboxEvent.objects.get(type="patients.SubjectTransferred")
    assert (subject.number, subject.site) == ("DE-01-0001", study.there)
    assert subject.allocation.site == study.site
    assert (transfer.from_site, transfer.to_site) == (study.site, study.there)
    assert transfer.recorded_by == study.manager
    assert event.payload["site_id"] == str(study.there.pk)
    assert event.payload["from_site_id"] == str(study.site.pk)


def test_numbers_go_on_at_both_sites_past_a_subject_who_moved(study):
    move(study, study.consented())

    here = study.enrolled()
    there = study.enrolled(site=study.there, by=study.system_there)

    assert (here.number, there.number) == ("DE-01-0002", "DE-02-0001")


def test_a_subject_may_come_back(study):
    subject = study.consented()
    move(study, subject)
    move(study, subject, to_site="DE-01")

    subject.refresh_from_db()
    assert subject.site == study.site
    assert SubjectTransfer.objects.filter(subject=subject).count() == 2


# --- Who sees what ----------------------------------------------------------------------------


PATHS = ("", "/consents", "/screenings", "/randomisations", "/visits", "/transfers")


def statuses(caller, subject):
    return {caller.get(f"/subjects/{subject.pk}{path}").status_code for path in PATHS}


def test_the_old_site_sees_nothing_and_the_new_site_everything_from_that_moment(study):
    subject = study.randomised()
    old, new = caller_for(study.system), caller_for(study.system_there)
    before = statuses(old, subject), statuses(new, subject)

    move(study, subject)

    assert before == ({200}, {404})
    assert (statuses(old, subject), statuses(new, subject)) == ({404}, {200})
    assert old.get("/subjects").json()["count"] == 0
    assert new.get("/subjects").json()["count"] == 1


def test_the_pages_follow_the_subject_with_its_history(study):
    subject = study.randomised()
    page = reverse("admin:patients_subject_change", args=[subject.pk])
    people = [study.person(Role.MONITOR, site=s, name=f"monitor-{s.code}") for s in
              (study.site, study.there)]  # fmt: skip
    clients = [Client(), Client()]
    for client, person in zip(clients, people, strict=True):
        client.force_login(person)
    before = [client.get(page).status_code for client in clients]

    move(study, subject)

    answers = [client.get(page) for client in clients]
    lists = [client.get(reverse("admin:patients_screening_changelist")) for client in clients]
    assert before == [200, 404]
    assert [answer.status_code for answer in answers] == [404, 200]
    assert "moved to another city" in answers[1].content.decode()
    assert study.system.username in answers[1].content.decode()
    assert [subject.number in one.content.decode() for one in lists] == [False, True]


@pytest.mark.parametrize("role", [Role.MONITOR, Role.DATA_MANAGER])
def test_the_randomisation_log_follows_the_subject(study, role):
    subject = study.randomised()
    stays = study.randomised()
    old, new = (
        study.person(role, site=site, name=f"{role.value}-{site.code}")
        for site in (study.site, study.there)
    )
    readers = (old, new, study.people[role])
    before = [log_of(reader) for reader in readers]

    move(study, subject)

    here, gone, everywhere = [stays.number], [subject.number], [subject.number, stays.number]
    assert before == [(everywhere, everywhere), ([], []), (everywhere, everywhere)]
    assert [log_of(reader) for reader in readers] == [
        (here, here), (gone, gone), (everywhere, everywhere),
    ]  # fmt: skip


def test_the_randomisation_log_says_where_a_subject_was_randomised(study):
    subject = study.randomised()
    move(study, subject)
    monitor = study.person(Role.MONITOR, site=study.there, name="monitor-there")
    client = Client()
    client.force_login(monitor)

    page = client.get(reverse(LOG))
    line = client.get(reverse("admin:trials_allocation_change", args=[subject.allocation_id]))
    answer = caller_for(monitor).get(LOG_OF_THE_INTERFACE).json()

    assert "Randomised at" in page.content.decode()
    assert "elsewhere now" not in page.content.decode()
    assert ">DE-01<" in page.content.decode()
    assert (line.status_code, "Randomised at" in line.content.decode()) == (200, True)
    assert answer["results"] == [
        {
            "randomisation_number": subject.allocation.number,
            "stratum": "H",
            "randomised_on": TODAY.isoformat(),
            "allocated_at": "2026-03-10T12:00:00Z",
            "protocol_version": "1.0",
            "subject": str(subject.pk),
            "subject_number": "DE-01-0001",
            "site": "DE-01",
            "levels": subject.allocation.levels,
        }
    ]


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.SPONSOR_ADMINISTRATOR])
def test_the_randomisation_log_is_for_those_who_may_read_it(study, role):
    study.randomised()
    caller = caller_for(study.people[role])

    assert caller.get(LOG_OF_THE_INTERFACE).status_code == 403
    assert caller.get("/trials/CLLM2/randomisations").status_code == 404


def test_a_record_is_made_at_the_new_site_and_refused_at_the_old_one(study):
    subject = study.randomised()
    move(study, subject)

    with pytest.raises(Subject.DoesNotExist):
        record_visit(
            subject_id=subject.pk, kind="cycle", cycle=1, visited_on=TODAY, by=study.system, at=NOW
        )
    visit = record_visit(
        subject_id=subject.pk, kind="cycle", cycle=1, visited_on=TODAY,
        by=study.system_there, at=NOW,
    )  # fmt: skip

    assert visit.subject == subject


def test_events_of_before_follow_the_subject_in_the_log_and_in_the_feed(study):
    subject = study.randomised()
    stays = study.enrolled()
    old = study.person(Role.MONITOR, site=study.site, name="monitor-old")
    new = study.person(Role.MONITOR, site=study.there, name="monitor-new")

    def read(person):
        about = readable_events(fresh(person)).values_list("about", flat=True)
        return {one for one in about if one}

    before = read(old), read(new)
    move(study, subject)
    lay_links()

    assert before == ({str(subject.pk), str(stays.pk)}, set())
    assert (read(old), read(new)) == ({str(stays.pk)}, {str(subject.pk)})
    for person, there in ((old, str(stays.pk)), (new, str(subject.pk))):
        told = caller_for(person).get("/events?trial=CLLM1").json()["events"]
        found = {one["payload"]["subject_id"] for one in told if "subject_id" in one["payload"]}
        assert found == {there}
    everything = caller_for(study.manager).get("/events?trial=CLLM1").json()["events"]
    assert len(everything) == OutboxEvent.objects.count()


def test_notices_follow_the_subject(study):
    subject = study.randomised()
    caller_for(study.system).post(
        f"/subjects/{subject.pk}/deaths", {"died_on": TODAY.isoformat(), "cause": "infection"}
    )
    withdrawn = study.consented()
    caller_for(study.system).post(
        f"/subjects/{withdrawn.pk}/consent-withdrawals",
        {"withdrawn_on": TODAY.isoformat(), "reason": "moves away"},
    )
    deliver_all()
    sees = lambda person: Notice.objects.visible_to(fresh(person)).count()  # noqa: E731
    before = sees(study.system), sees(study.system_there)

    move(study, withdrawn)

    assert before == (2, 0)
    assert (sees(study.system), sees(study.system_there)) == (1, 1)


def breaks_blind(person, subject):
    person.set_password(WORD)
    person.save()
    purpose = "emergency unblinding"
    proof = prove(person, Shown(password=WORD), purpose=purpose, subject_id=subject.pk)
    break_blind(
        subject_id=subject.pk, would_change_treatment=True, reason="Neutropenic fever",
        proof=proof, by=person, at=NOW,
    )  # fmt: skip


def looks_told(person):
    """Return the looks at subjects that the interface tells of; PostgreSQL asks for itself too."""
    told = caller_for(person).get("/looks").json()["results"]
    return {uuid.UUID(row["id"]) for row in told if row["purpose"] == "emergency unblinding"}


def test_a_look_behind_the_blind_stays_with_the_site_where_the_subject_was(study):
    subject = study.randomised()
    old, new = (
        study.person(Role.AUDITOR, site=site, name=f"auditor-{site.code}")
        for site in (study.site, study.there)
    )
    whole = study.people[Role.AUDITOR]
    breaks_blind(study.people[Role.INVESTIGATOR], subject)

    move(study, subject)
    breaks_blind(User.objects.get(username="principal-DE-02"), subject)

    first, second = SealedAccess.objects.filter(subject_id=subject.pk).order_by("opened_at")
    assert (first.site_id, second.site_id) == (study.site.pk, study.there.pk)
    seen = [looks_told(person) for person in (old, new, whole)]
    assert seen == [{first.pk}, {second.pk}, {first.pk, second.pk}]


# --- Kits and counts --------------------------------------------------------------------------


def dispense(study, subject, cycle, *, by):
    return dispense_kit(
        subject_id=subject.pk, cycle=cycle, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=by, at=NOW,
    )  # fmt: skip


def test_the_next_kit_comes_from_the_new_site_and_the_old_ones_stay_on_account(study):
    study.supply(3, site=study.there)
    stays, subject = study.ready_for_first_kit(), study.ready_for_first_kit()
    first = dispense(study, stays, 1, by=study.pharmacist)
    pharmacist = study.person(Role.PHARMACIST, site=study.there)
    free = Kit.objects.filter(status="available")
    before = free.filter(site=study.site).count(), free.filter(site=study.there).count()

    move(study, subject)
    second = dispense(study, subject, 1, by=pharmacist)

    assert first.kit.site == study.site
    assert second.kit.site == study.there
    assert (free.filter(site=study.site).count(), free.filter(site=study.there).count()) == (
        before[0], before[1] - 1,
    )  # fmt: skip


def test_a_subject_counts_where_it_was_entered_and_randomised(study):
    subject = study.randomised()
    counted = lambda: {  # noqa: E731
        row.name: (row.screened, row.randomised)
        for row in accrual(trial=study.trial, by=fresh(study.manager)).by_site
    }
    before = counted()

    move(study, subject)

    assert before == counted() == {"DE-01": (1, 1), "DE-02": (0, 0)}


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"to_site": "DE-01"}, ["same_site"]),
        ({"to_site": "DE-77"}, ["foreign_site"]),
        ({"transferred_on": TODAY + timedelta(1)}, ["future_day"]),
        ({"transferred_on": TODAY - timedelta(8)}, ["before_entry"]),
        (
            {"reason": " ", "agreed_by": "", "agreement": ""},
            ["reason_missing", "agreed_by_missing", "agreement_missing"],
        ),
        (
            {"to_site": "DE-01", "reason": "", "transferred_on": TODAY + timedelta(1)},
            ["same_site", "future_day", "reason_missing"],
        ),
    ],
)
def test_a_refused_transfer_changes_nothing_and_gives_every_reason(study, changed, expected):
    subject = study.randomised()
    before = contents()

    with pytest.raises(TransferRefused) as refusal:
        move(study, subject, **changed)

    assert codes(refusal) == expected
    assert contents() == before


def test_the_day_of_entry_is_the_first_on_which_a_subject_moves(study):
    assert move(study, study.consented(), transferred_on=TODAY - timedelta(7)).pk


def test_a_subject_does_not_move_before_it_came(study):
    subject = study.consented()
    move(study, subject, transferred_on=TODAY - timedelta(2))
    before = contents()

    with pytest.raises(TransferRefused) as refusal:
        move(study, subject, to_site="DE-01", transferred_on=TODAY - timedelta(3))

    assert codes(refusal) == ["before_entry"]
    assert contents() == before
    assert move(study, subject, to_site="DE-01", transferred_on=TODAY - timedelta(2)).pk


def test_the_dead_do_not_move(study):
    alive, dead = study.consented(), study.consented()
    record_death(
        subject_id=dead.pk,
        died_on=PartialDate.of(TODAY),
        cause="infection",
        by=study.system,
        at=NOW,
    )
    before = contents()

    with pytest.raises(TransferRefused) as refusal:
        move(study, dead)

    assert codes(refusal) == ["dead"]
    assert contents() == before
    assert move(study, alive).pk


def test_a_site_that_does_not_recruit_receives_nobody(study):
    subject = study.randomised()
    planned = study.planned_site("DE-03")
    hold_site(site_id=study.there.pk, on=TODAY, reason="audit", by=study.admin, at=NOW)
    before = contents()

    for code in (planned.code, study.there.code):
        with pytest.raises(TransferRefused) as refusal:
            move(study, subject, to_site=code)
        assert codes(refusal) == ["site_status"]
        assert contents() == before


def test_only_a_data_manager_transfers(study):
    subject = study.randomised()
    before = contents()

    for role in (Role.INVESTIGATOR, Role.COORDINATOR, Role.MONITOR, Role.MEDICAL_MONITOR):
        with pytest.raises(PermissionDenied):
            move(study, subject, by=study.people[role])
    with pytest.raises(Subject.DoesNotExist):
        move(study, subject, by=study.admin)
    with pytest.raises(Subject.DoesNotExist):
        move(study, subject, by=study.system_there)

    assert contents() == before


def test_a_data_manager_of_one_site_sends_to_no_other(study):
    subject = study.randomised()
    manager = study.person(Role.DATA_MANAGER, site=study.site, name="manager-of-one")
    before = contents()

    with pytest.raises(TransferRefused) as refusal:
        move(study, subject, by=manager)

    assert codes(refusal) == ["foreign_site"]
    assert contents() == before


def test_the_data_managers_form_moves_a_subject(study):
    subject = study.randomised()
    client = Client()
    client.force_login(study.manager)
    address = reverse("admin:patients_subject_record", args=[subject.pk, "transfer"])
    form = {
        "key": "one", "to_site": "DE-02", "transferred_on": TODAY.isoformat(),
        "reason": "moved", "agreed_by": "them", "agreement": "letter",
    }  # fmt: skip

    refused = client.post(address, {**form, "key": "two", "transferred_on": "2026-01-01"})
    answer = client.post(address, form)

    subject.refresh_from_db()
    assert "before_entry" in refused.content.decode()
    assert (answer.status_code, subject.site) == (302, study.there)


def test_the_interface_moves_a_subject_for_a_data_manager_alone(study):
    subject = study.randomised()
    body = {
        "to_site": "DE-02", "transferred_on": TODAY.isoformat(), "reason": "moved",
        "agreed_by": "them", "agreement": "letter",
    }  # fmt: skip
    path = f"/subjects/{subject.pk}/transfers"

    answers = [caller_for(who).post(path, body) for who in (study.system, study.manager)]

    assert [answer.status_code for answer in answers] == [403, 201]
    assert answers[1].json()["to_site"] == "DE-02"


# --- Closing the site it left -----------------------------------------------------------------


def close(study, site):
    return close_site(site_id=site.pk, on=TODAY, reason="trial ends", by=study.admin, at=NOW)


def test_a_site_with_a_subject_on_treatment_is_not_closed(study):
    subject, other = study.randomised(), study.randomised()
    before = contents()

    with pytest.raises(SiteStepRefused) as refusal:
        close(study, study.site)
    unchanged = contents() == before
    move(study, subject)
    end_treatment(
        subject_id=other.pk, ended_on=TODAY, reason="progression", by=study.system, at=NOW
    )
    close(study, study.site)

    assert unchanged
    assert [str(reason.detail)[:10] for reason in refusal.value.reasons] == [
        subject.number, other.number,
    ]  # fmt: skip
    assert Site.objects.get(pk=study.site.pk).status == Site.Status.CLOSED


def test_who_closes_a_site_reads_no_subject_there_and_is_refused_all_the_same(study):
    subject = study.randomised()
    body = {"trial": "CLLM1", "site": "DE-01", "on": TODAY.isoformat(), "reason": "trial ends"}

    answer = caller_for(study.admin).post("/site-closures", body)

    assert answer.status_code == 409
    assert subject.number in answer.json()["reasons"][0]["detail"]
    assert Site.objects.get(pk=study.site.pk).status == Site.Status.ACTIVE


def test_a_site_system_counts_on_past_a_subject_it_no_longer_sees(study):
    move(study, study.consented())
    body = {
        "trial": "CLLM1", "site": "DE-01", "year_of_birth": 1950, "sex": "male",
        "screened_on": TODAY.isoformat(),
    }  # fmt: skip

    answer = caller_for(study.system).post("/subjects", body)

    assert answer.json()["number"] == "DE-01-0002"
