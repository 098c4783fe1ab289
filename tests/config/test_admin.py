from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from dosing.services.dispensing import dispense_kit
from events.acting import as_system
from events.history import history_model
from events.models import Delivery, OutboxEvent
from patients.models import AdverseEvent, ResponseAssessment, Subject
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.response import record_response
from patients.services.visits import record_contact, record_visit
from reporting.models import SafetySummary
from tests.factories import NOW, TODAY, Study, user
from tests.marks import on_postgres
from tests.pages import questions
from trials.admin_site import site
from trials.models import Site, Trial
from trials.permissions import TABLE, Permission, Role


pytestmark = on_postgres

SUBJECT_LISTS = {
    "patients_subject",
    "patients_screening",
    "patients_visit",
    "patients_labresult",
    "patients_adverseevent",
    "patients_responseassessment",
    "dosing_dosedecision",
    "dosing_dispensation",
    "dosing_kit",
    "dosing_pregnancytest",
    "patients_unblinding",
}
NEEDS = {
    **{name: {Permission.READ_SUBJECTS} for name in SUBJECT_LISTS},
    "reporting_notice": set(Permission),
    "reporting_safetysummary": {Permission.READ_SAFETY},
    "events_outboxevent": {Permission.READ_HISTORY},
    "events_delivery": {Permission.MANAGE_DELIVERIES},
    "reporting_noticemail": {Permission.MANAGE_DELIVERIES},
    "dosing_kitnumberdraw": {Permission.SUPPLY_KITS},
    "trials_sealedaccess": {Permission.READ_ACCESS_LOG},
    "trials_refusedlook": {Permission.READ_ACCESS_LOG},
    "trials_unblindingrequest": {
        Permission.SAFETY_UNBLIND,
        Permission.UNBLIND_TRIAL,
        Permission.CONFIRM_UNBLINDING,
        Permission.READ_ACCESS_LOG,
    },
    "trials_user": {Permission.READ_PEOPLE},
    "trials_loginrecord": {Permission.READ_PEOPLE, Permission.READ_ACCESS_LOG},
    "trials_machineclient": set(Permission),
    "trials_roleassignment": {Permission.READ_PEOPLE, Permission.DELEGATE},
    "trials_training": {Permission.READ_PEOPLE, Permission.DELEGATE},
    "trials_leaver": {Permission.READ_PEOPLE},
    "trials_accessreview": {Permission.READ_PEOPLE},
    "trials_oncall": set(Permission),
    "trials_randomisationlist": set(Permission),
    "trials_allocation": {Permission.READ_RANDOMISATION},
    "trials_site": {Permission.READ_SUBJECTS, Permission.MANAGE_TRIAL},
    "trials_protocolversion": {Permission.READ_HISTORY, Permission.MANAGE_TRIAL},
    "django_celery_beat_periodictask": {Permission.MANAGE_TRIAL},
}
LATER = NOW + timedelta(30)
PEOPLE = [role for role in Role if role is not Role.SITE_SYSTEM]
SENT = {
    "key": "one",
    "term": "Neutropenia",
    "soc": "Blood and lymphatic system disorders",
    "grade": "3",
    "started_on": "2026-03",
    "ended_on": "",
    "outcome": "not_recovered",
    "related": "on",
    "narrative": "",
}


@pytest.fixture(autouse=True)
def _no_collected_files(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def study() -> Study:
    return Study(conduct=Trial.Conduct.REPLAY)


def logged_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(subject: Subject) -> str:
    return reverse("admin:patients_subject_change", args=[subject.pk])


def form_of(subject: Subject, kind: str) -> str:
    return reverse("admin:patients_subject_record", args=[subject.pk, kind])


def adverse_event(study: Study, subject: Subject, **changes) -> AdverseEvent:
    facts = {"term": "Rash", "soc": "Skin and subcutaneous tissue disorders", "grade": 2}
    return record_adverse_event(
        subject_id=subject.pk, started_on=PartialDate("2026-03"), outcome="recovered",
        related=True, serious=False, by=study.system, at=NOW, **{**facts, **changes},
    )  # fmt: skip


def a_course(study: Study) -> Subject:
    """Take a subject through one cycle, with an event and a response."""
    subject = study.ready_for_first_kit()
    record_visit(
        subject_id=subject.pk, kind="cycle", cycle=1, visited_on=TODAY, by=study.system, at=NOW
    )
    dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip
    adverse_event(study, subject)
    record_response(
        subject_id=subject.pk, assessed_on=TODAY, response="PR", assessor="investigator",
        by=study.system, at=NOW,
    )  # fmt: skip
    return subject


# --- Who gets in -----------------------------------------------------------------------------


def test_a_person_with_a_role_logs_in_without_being_django_staff(study):
    study.coordinator.set_password("a long pass phrase")
    study.coordinator.save()

    answer = Client().post(
        reverse("admin:login"),
        {
            "login": study.coordinator.username,
            "password": "a long pass phrase",
            "next": reverse("admin:index"),
        },
    )

    assert answer.status_code == 302
    assert answer.url == reverse("admin:index")


def test_somebody_without_a_role_is_told_what_a_wrong_password_is_told(study):
    user("stranger", password="a long pass phrase", is_staff=True)
    form = {"login": "stranger", "password": "a long pass phrase"}

    without_role = Client().post(reverse("admin:login"), form)
    wrong = Client().post(reverse("admin:login"), {**form, "password": "something else"})

    assert without_role.status_code == wrong.status_code == 200
    said = b"Please enter a correct user name and password"
    assert said in without_role.content
    assert said in wrong.content


@pytest.mark.parametrize("path", ["admin:index", "admin:patients_subject_changelist"])
def test_a_superuser_without_a_role_sees_nothing(study, path):
    root = user("root", is_superuser=True, is_staff=True)

    answer = logged_in(root).get(reverse(path))

    assert answer.status_code == 302
    assert answer.url.startswith(reverse("admin:login"))


def test_a_superuser_with_a_role_at_one_site_sees_that_site_alone(study):
    other = study.add_site("DE-02")
    theirs = study.enrolled(by=study.person(Role.SITE_SYSTEM, site=other), site=other)
    root = study.person(Role.COORDINATOR, site=study.site, name="root")
    root.is_superuser = root.is_staff = True
    root.save()

    assert logged_in(root).get(page_of(theirs)).status_code == 404


def test_a_site_system_does_not_enter_even_with_its_role(study):
    study.system.is_machine = True
    study.system.save()

    assert logged_in(study.system).get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("role", PEOPLE)
def test_every_list_answers_as_the_table_of_permissions_says(study, role):
    a_course(study)
    client = logged_in(study.people[role])

    answers = {name: client.get(reverse(f"admin:{name}_changelist")) for name in NEEDS}

    assert {name: answer.status_code for name, answer in answers.items()} == {
        name: 200 if needs & TABLE[role] else 403 for name, needs in NEEDS.items()
    }
    assert not any(b"<title>Select" in answer.content for answer in answers.values())


@pytest.mark.parametrize("role", PEOPLE)
def test_the_first_page_opens_for_every_role(study, role):
    assert logged_in(study.people[role]).get(reverse("admin:index")).status_code == 200


def test_every_registered_list_is_in_the_table_above():
    registered = {f"{m._meta.app_label}_{m._meta.model_name}" for m in site._registry}

    assert registered == set(NEEDS)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("trials_user", "password__startswith=p"),
        ("trials_user", "last_login__isnull=1"),
        ("trials_randomisationlist", "entries__gte=1"),
        ("patients_subject", "year_of_birth__lt=1960"),
    ],
)
def test_an_address_asks_for_nothing_that_the_pages_own_filters_do_not(study, name, asked):
    client, page = logged_in(study.admin), reverse(f"admin:{name}_changelist")
    if not NEEDS[name] & TABLE[Role.SPONSOR_ADMINISTRATOR]:
        client = logged_in(study.people[Role.DATA_MANAGER])

    assert client.get(page).status_code == 200
    assert client.get(f"{page}?{asked}").status_code == 400


def test_a_pages_own_filters_are_answered(study):
    people, lists = (
        reverse(f"admin:trials_{name}_changelist") for name in ("user", "randomisationlist")
    )

    assert logged_in(study.admin).get(f"{people}?is_active__exact=1").status_code == 200
    assert logged_in(study.admin).get(f"{lists}?state__exact=live").status_code == 200


# --- One's own, and nothing else -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adverse-event", "consent", "visit", "dispensation"])
def test_a_coordinator_of_one_site_finds_no_form_for_another_sites_subject(study, kind):
    other = study.add_site("DE-02")
    theirs = study.enrolled(by=study.person(Role.SITE_SYSTEM, site=other), site=other)

    client = logged_in(study.coordinator)

    assert client.get(form_of(theirs, kind)).status_code == 404
    assert client.post(form_of(theirs, kind), SENT).status_code == 404


def test_another_sites_subject_is_not_there_and_is_not_counted(study):
    other = study.add_site("DE-02")
    theirs = study.consented(by=study.person(Role.SITE_SYSTEM, site=other), site=other)

    client = logged_in(study.coordinator)

    assert client.get(page_of(theirs)).status_code == 404
    assert client.get(page_of(theirs).replace("change", "history")).status_code == 404
    listed = client.get(reverse("admin:patients_subject_changelist")).content.decode()
    assert theirs.number not in listed
    assert "DE-02" not in listed
    overview = client.get(reverse("admin:index")).content.decode()
    assert "DE-02" not in overview


def test_another_sites_adverse_event_cannot_be_read_or_corrected(study):
    other = study.add_site("DE-02")
    theirs = study.consented(by=study.person(Role.SITE_SYSTEM, site=other), site=other)
    event = record_adverse_event(
        subject_id=theirs.pk, term="Rash", soc="Skin", grade=2, started_on=PartialDate("2026-03"),
        outcome="recovered", related=True, serious=False,
        by=theirs.recorded_by, at=NOW,
    )  # fmt: skip
    address = reverse("admin:patients_adverseevent_change", args=[event.pk])

    client = logged_in(study.coordinator)

    assert client.get(address).status_code == 404
    assert client.post(address, SENT).status_code == 404


def test_a_monitor_of_one_site_reads_that_sites_events_alone(study):
    other = study.add_site("DE-02")
    study.enrolled(by=study.person(Role.SITE_SYSTEM, site=other), site=other)
    study.enrolled()
    monitor = study.person(Role.MONITOR, site=study.site, name="monitor-of-one")

    answer = logged_in(monitor).get(reverse("admin:events_outboxevent_changelist"))

    sites = {row.payload["site_id"] for row in answer.context["cl"].result_list}
    assert sites == {str(study.site.pk)}


@pytest.mark.parametrize("address", ["not-a-uuid", "6f7c3c5e-0000-4000-8000-000000000000"])
def test_what_is_not_there_is_a_404_and_never_a_redirect(study, address):
    client = logged_in(study.coordinator)

    answer = client.get(f"/admin/patients/subject/{address}/change/")

    assert answer.status_code == 404


@pytest.mark.parametrize("filtered", ["site=%00", "q=%00", "sex=%00", "o=x", "p=-1", "nonsense=1"])
def test_a_filter_nothing_can_have_is_no_error_of_ours(study, filtered):
    page = reverse("admin:patients_subject_changelist")

    assert logged_in(study.coordinator).get(f"{page}?{filtered}").status_code < 500


def test_no_page_about_a_subject_names_an_arm(study):
    subject = a_course(study)
    pages = [
        page_of(subject),
        reverse("admin:patients_subject_changelist"),
        reverse("admin:dosing_dispensation_changelist"),
        reverse("admin:dosing_kit_changelist"),
        reverse("admin:events_outboxevent_changelist"),
    ]

    client = logged_in(study.people[Role.AUDITOR])
    text = " ".join(client.get(page).content.decode() for page in pages)

    assert subject.number in text
    assert "Lenalidomide" not in text
    assert "Placebo" not in text
    assert str(subject.allocation.slot_id) not in text


# --- Doing things ----------------------------------------------------------------------------


def test_an_adverse_event_entered_in_the_form_names_its_actor_and_role_in_the_history(study):
    subject = study.consented()

    answer = logged_in(study.coordinator).post(form_of(subject, "adverse-event"), SENT)

    assert answer.status_code == 302
    event = AdverseEvent.objects.get()
    assert (event.term, event.grade, event.started_on) == ("Neutropenia", 3, "2026-03")
    said = history_model(AdverseEvent).objects.get().pgh_context
    assert said["actor"] == study.coordinator.username
    assert said["role"] == "coordinator"


def test_a_planned_site_is_added_by_its_form(study):
    sent = {"key": "s", "trial": study.trial.pk, "code": "DE-07", "name": "Kiel", "country": "DE",
            "time_zone": "Europe/Berlin"}  # fmt: skip

    answer = logged_in(study.admin).post(reverse("admin:trials_site_add"), sent)

    assert answer.status_code == 302
    assert Site.objects.get(code="DE-07").status == Site.Status.PLANNED


def test_a_form_sent_twice_takes_effect_once(study):
    subject = study.consented()
    client = logged_in(study.coordinator)

    first = client.post(form_of(subject, "adverse-event"), SENT)
    second = client.post(form_of(subject, "adverse-event"), SENT)

    assert first.status_code == second.status_code == 302
    assert AdverseEvent.objects.count() == 1


def test_a_form_already_sent_does_not_record_something_else(study):
    subject = study.consented()
    client = logged_in(study.coordinator)
    client.post(form_of(subject, "adverse-event"), SENT)

    answer = client.post(form_of(subject, "adverse-event"), {**SENT, "term": "Rash"})

    assert b"This form was sent already" in answer.content
    assert AdverseEvent.objects.get().term == "Neutropenia"


def test_a_refused_form_writes_nothing_and_gives_every_reason(study):
    subject = study.consented()
    before = OutboxEvent.objects.count()

    answer = logged_in(study.coordinator).post(
        form_of(subject, "adverse-event"), {**SENT, "grade": "5", "serious": "on"}
    )

    text = answer.content.decode()
    assert answer.status_code == 200
    assert "grade 5 means death, the outcome is not_recovered" in text
    assert "grade_5_not_fatal" in text
    assert "serious_without_criterion" in text
    assert answer.context["form"].errors["grade"]
    assert not AdverseEvent.objects.exists()
    assert OutboxEvent.objects.count() == before


def test_consent_comes_before_data_in_the_forms_too(study):
    subject = study.enrolled()

    answer = logged_in(study.coordinator).post(form_of(subject, "adverse-event"), SENT)

    assert b"record the consent first" in answer.content
    assert not AdverseEvent.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("started_on", "03/2026"), ("started_on", "2026-02-30"), ("grade", "6"), ("grade", "")],
)
def test_a_value_of_the_wrong_shape_is_shown_beside_its_field(study, field, value):
    subject = study.consented()

    answer = logged_in(study.coordinator).post(
        form_of(subject, "adverse-event"), {**SENT, field: value}
    )

    assert answer.context["form"].errors[field]
    assert not AdverseEvent.objects.exists()


def test_a_role_that_may_only_read_gets_no_form(study):
    subject = study.consented()
    client = logged_in(study.pharmacist)

    assert client.get(form_of(subject, "adverse-event")).status_code == 403
    assert client.post(form_of(subject, "adverse-event"), SENT).status_code == 403
    assert b"record/adverse-event" not in client.get(page_of(subject)).content


def test_a_subject_is_entered_consented_screened_and_randomised_by_forms(study):
    client = logged_in(study.coordinator)
    screened_on = TODAY - timedelta(7)

    client.post(
        reverse("admin:patients_subject_add"),
        {"key": "a", "site": study.site.pk, "year_of_birth": 1950, "sex": "female",
         "screened_on": screened_on},
    )  # fmt: skip
    subject = Subject.objects.get()
    client.post(
        form_of(subject, "consent"), {"key": "b", "version": "1.0", "signed_on": screened_on}
    )
    client.post(
        form_of(subject, "screening"),
        {"key": "c", "assessed_on": TODAY - timedelta(3), "last_cycle_on": TODAY - timedelta(90),
         "first_line_regimen": "FCR", "first_line_cycles": 6, "response": "PR",
         "mrd_level": "0.02", "ighv_unmutated": "true", "tp53_mutated": "unknown",
         "del17p": "false", "ecog": "0", "anc_10e9_l": "2.5", "platelets_10e9_l": "150",
         "creatinine_clearance_ml_min": "90"},
    )  # fmt: skip
    answer = client.post(form_of(subject, "randomisation"), {"key": "d", "randomised_on": TODAY})

    subject.refresh_from_db()
    assert answer.status_code == 302
    assert subject.number == "DE-01-0001"
    assert subject.allocation is not None
    assert subject.allocation.stratum == "H"


def test_visits_labs_contacts_and_responses_are_recorded_by_forms(study):
    subject = study.randomised()
    client = logged_in(study.coordinator)

    answers = [
        client.post(form_of(subject, kind), {"key": kind, **fields})
        for kind, fields in {
            "visit": {"kind": "cycle", "cycle": 1, "visited_on": TODAY},
            "labs": {"taken_on": TODAY, "anc": "2.1", "platelets": "140"},
            "contact": {"contacted_on": TODAY},
            "response": {
                "assessed_on": TODAY, "response": "PR", "assessor": "investigator",
            },
        }.items()
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [302, 302, 302, 302]
    assert subject.labresults.count() == 2
    assert subject.visits.get().cycle == 1


def test_the_pharmacist_hands_over_a_kit_by_form_or_reads_every_reason(study):
    ready = study.ready_for_first_kit()
    unready = study.randomised()
    client = logged_in(study.pharmacist)
    form = {"cycle": 1, "prescribed_at": "2026-03-10 09:00", "dispensed_on": TODAY, "days": 28}

    given = client.post(form_of(ready, "dispensation"), {"key": "a", **form})
    refused = client.post(form_of(unready, "dispensation"), {"key": "b", **form})

    assert given.status_code == 302
    assert ready.dispensations.count() == 1
    assert b"dose_decision_missing" in refused.content
    assert not unready.dispensations.exists()


def test_a_correction_keeps_the_old_value_its_reason_and_its_author(study):
    subject = study.consented()
    event = adverse_event(study, subject)
    address = reverse("admin:patients_adverseevent_change", args=[event.pk])

    logged_in(study.coordinator).post(
        address, {**SENT, "revision": 1, "reason": "source says grade 3"}
    )
    page = logged_in(study.people[Role.MONITOR]).get(page_of(subject)).content.decode()

    assert AdverseEvent.objects.get().grade == 3
    assert "source says grade 3" in page
    assert "grade: 2 → <b>3</b>" in page
    assert study.coordinator.username in page


@pytest.mark.parametrize("missing", ["reason", "revision"])
def test_a_correction_without_a_reason_or_revision_is_refused(study, missing):
    event = adverse_event(study, study.consented())
    sent = {**SENT, "revision": 1, "reason": "as in the source"}
    del sent[missing]

    logged_in(study.coordinator).post(
        reverse("admin:patients_adverseevent_change", args=[event.pk]), sent
    )

    assert AdverseEvent.objects.get().revision == 1


def test_a_correction_of_an_older_revision_is_refused_and_says_so(study):
    event = adverse_event(study, study.consented())
    client = logged_in(study.coordinator)
    address = reverse("admin:patients_adverseevent_change", args=[event.pk])
    client.post(address, {**SENT, "revision": 1, "reason": "first"})

    answer = client.post(address, {**SENT, "key": "two", "revision": 1, "reason": "second"})

    assert b"read it again" in answer.content
    assert AdverseEvent.objects.get().revision == 2


def test_a_response_is_corrected_with_its_reason(study):
    subject = study.consented()
    row = record_response(
        subject_id=subject.pk, assessed_on=TODAY, response="PR", assessor="investigator",
        by=study.system, at=NOW,
    )  # fmt: skip

    logged_in(study.coordinator).post(
        reverse("admin:patients_responseassessment_change", args=[row.pk]),
        {"key": "a", "assessed_on": TODAY, "response": "CR", "revision": 1, "reason": "recount"},
    )

    assert ResponseAssessment.objects.get().response == "CR"


@pytest.mark.parametrize("act", ["delete", "add"])
def test_nothing_can_be_deleted_and_no_record_added_past_the_services(study, act):
    event = adverse_event(study, study.consented())
    addresses = {
        "delete": reverse("admin:patients_adverseevent_delete", args=[event.pk]),
        "add": reverse("admin:patients_adverseevent_add"),
    }

    answer = logged_in(study.coordinator).post(addresses[act], {"post": "yes"})

    assert answer.status_code == 403
    assert AdverseEvent.objects.count() == 1


def test_an_administrator_replays_dead_deliveries(study):
    event = OutboxEvent.objects.earliest("pk")
    dead = Delivery.objects.create(
        event=event, subscriber="nobody", due_at=NOW, dead_at=NOW, attempts=8, last_error="x"
    )
    form = {"action": "replay_dead", "_selected_action": [dead.pk]}

    logged_in(study.admin).post(reverse("admin:events_delivery_changelist"), form)

    dead.refresh_from_db()
    assert dead.dead_at is None
    assert dead.attempts == 0


# --- What the pages say ----------------------------------------------------------------------


def test_markup_in_a_term_is_shown_and_not_run(study):
    subject = study.consented()
    adverse_event(study, subject, term="<script>alert(1)</script>")
    client = logged_in(study.coordinator)

    pages = [page_of(subject), reverse("admin:patients_adverseevent_changelist")]
    text = " ".join(client.get(page).content.decode() for page in pages)

    assert "<script>alert(1)</script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_subjects_page_lists_every_reason_of_the_closed_gate(study):
    subject = study.randomised()

    gate = logged_in(study.coordinator).get(page_of(subject)).context["gate"]

    codes = {reason.code for reason in gate.reasons}
    assert {"dose_decision_missing", "counselling_missing", "risk_category_missing"} <= codes


def test_a_safety_summary_is_read_as_tables(study):
    with as_system():
        summary = SafetySummary.objects.create(
            trial=study.trial, period_start=TODAY, period_end=TODAY, as_known_at=NOW,
            content={"by_soc": [{"soc": "Skin <i>", "events": 2}], "remarks": ["none"]},
            digest="0" * 64, written_by="vigil", written_at=NOW,
        )  # fmt: skip
    address = reverse("admin:reporting_safetysummary_change", args=[summary.pk])

    text = logged_in(study.people[Role.SAFETY_OFFICER]).get(address).content.decode()

    assert "<th>Events</th>" in text
    assert "Skin &lt;i&gt;" in text
    assert logged_in(study.coordinator).get(address).status_code == 403


def test_the_row_history_is_for_those_who_may_read_it(study):
    subject = study.consented()

    assert logged_in(study.coordinator).get(page_of(subject)).context["history"] is None
    assert logged_in(study.people[Role.MONITOR]).get(page_of(subject)).context["history"]


def test_subjects_are_listed_with_their_state_and_found_by_it(study):
    a_course(study)
    study.screened(found={"mrd_level": Decimal("0.00001")})
    study.enrolled()
    client = logged_in(study.coordinator)

    everyone = client.get(reverse("admin:patients_subject_changelist"))
    treated = client.get(reverse("admin:patients_subject_changelist"), {"state": "on_treatment"})

    assert [row.state for row in everyone.context["cl"].result_list] == [
        "on_treatment",
        "not_eligible",
        "screened",
    ]
    assert [row.number for row in treated.context["cl"].result_list] == ["DE-01-0001"]


def test_the_overview_counts_the_users_own_sites_and_draws_the_plan_for_the_whole_alone(study):
    other = study.add_site("DE-02")
    study.randomised(by=study.person(Role.SITE_SYSTEM, site=other), site=other)
    study.randomised()
    study.screened(found={"mrd_level": Decimal("0.00001")})

    own = logged_in(study.coordinator).get(reverse("admin:index")).context["overview"]
    all_of_it = logged_in(study.people[Role.MONITOR]).get(reverse("admin:index"))

    assert (own.screened, own.randomised, own.accrual.plan) == (2, 1, "")
    whole = all_of_it.context["overview"]
    assert (whole.screened, whole.randomised) == (3, 2)
    assert whole.accrual.plan
    assert [(step.label, step.count) for step in whole.reasons] == [
        ("Low risk, MRD below 0.0001", 1)
    ]


@pytest.mark.parametrize("page", ["admin:index", "admin:patients_subject_changelist"])
def test_a_list_asks_as_many_questions_for_ten_subjects_as_for_one(study, page):
    client = logged_in(study.coordinator)
    a_course(study)
    client.get(reverse(page))
    few = questions(client, reverse(page))
    for _ in range(9):
        study.screened()

    assert questions(client, reverse(page)) == few


def test_the_list_of_people_asks_as_many_questions_for_ten_more(study):
    client, page = logged_in(study.admin), reverse("admin:trials_user_changelist")
    client.get(page)
    few = questions(client, page)
    for number in range(10):
        user(f"somebody-{number}")

    assert questions(client, page) == few


def test_the_subjects_page_asks_as_many_questions_for_a_long_course_as_for_a_short_one(study):
    subject = a_course(study)
    client = logged_in(study.people[Role.MONITOR])
    client.get(page_of(subject))
    few = questions(client, page_of(subject))
    for day in range(1, 11):
        adverse_event(study, subject, term=f"Rash {day}")
        record_contact(
            subject_id=subject.pk, contacted_on=TODAY + timedelta(day), by=study.system, at=LATER
        )

    assert questions(client, page_of(subject)) == few
