"""The blind of one subject is opened by the right person, shown once, and kept nowhere."""

import functools
import threading
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dosing.errors import DoseRefused, GateClosed
from dosing.services.decisions import decide_dose
from dosing.services.dispensing import dispense_kit
from events.acting import as_system
from events.models import OutboxEvent
from events.tasks import drain
from patients.errors import RecordRefused
from patients.models import Subject, Unblinding
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from patients.services.unblinding import (
    assess_unblinding,
    break_blind,
    list_of_arms,
    needs_review,
    open_safety_look,
    record_contingency_opening,
    record_inadvertent_unblinding,
    request_safety_unblinding,
    shown_arm,
)
from reporting.models import Notice
from tests.config.test_row_level_security import as_application
from tests.factories import NOW, TODAY, Study, user
from tests.marks import on_postgres
from tests.postgres import ask, at_once, column, contents, denied, differing
from trials import sealed
from trials.errors import IdentityNotConfirmed, ShownAlready, UnblindingRefused
from trials.identity import Shown
from trials.models import RefusedLook, RoleAssignment, SealedAccess, Site, Trial
from trials.permissions import Role
from trials.services import unblinding_requests
from trials.services.accounts import bind_sign_on, give_password
from trials.services.unblinding import prove
from trials.services.unblinding_requests import (
    agree_to_unblinding,
    open_trial_look,
    request_trial_unblinding,
    unblinded_since,
    withdraw_unblinding_request,
)


pytestmark = on_postgres

WORD = "a long pass phrase"
ARMS = ("QXACTIVE", "QXCONTR")
# What is kept of somebody who proved who they are, and was refused.
KEPT = {"public.trials_loginrecord", "public.trials_refusedlook"}


@pytest.fixture
def study():
    return with_passwords(Study(arms=ARMS))


def with_passwords(study):
    for person in study.people.values():
        with_password(person)
    return study


def with_password(person):
    person.password = hashed()
    person.save()


@functools.cache
def hashed():
    """Hashing is slow on purpose: once is enough."""
    return make_password(WORD)


@pytest.fixture
def investigator(study):
    return study.people[Role.INVESTIGATOR]


def proof_of(person, subject=None, password=WORD):
    subject_id = subject and subject.pk
    purpose = "emergency unblinding"
    return prove(person, Shown(password=password), purpose=purpose, subject_id=subject_id)


def break_it(study, subject, *, by=None, password=WORD, reason="Neutropenic fever", at=NOW):
    return break_blind(
        subject_id=subject.pk, would_change_treatment=True, reason=reason,
        proof=proof_of(by or study.people[Role.INVESTIGATOR], subject, password),
        by=by or study.people[Role.INVESTIGATOR], at=at,
    )  # fmt: skip


def break_it_and_fail(study, subject):
    by = study.people[Role.INVESTIGATOR]
    proof = proof_of(by, subject)
    with transaction.atomic():
        break_blind(
            subject_id=subject.pk, would_change_treatment=True, reason="Fever", proof=proof,
            by=by, at=NOW,
        )  # fmt: skip
        raise RuntimeError("afterwards")


def reasons_of(refusal):
    return {reason.code for reason in refusal.value.reasons}


def look_in_sql(person, subject, *, purpose="emergency unblinding", request=None):
    """Ask PostgreSQL itself, past every line of Python."""
    return sealed.open_unblinding(
        person_id=person.pk, purpose=purpose, trial_id=subject.trial_id, subject_id=subject.pk,
        request_id=request, detail="raw",
    )  # fmt: skip


def refused_inside(access):
    """Look while the access's own transaction is open; the savepoint takes the error back."""
    mark = transaction.savepoint(using="sealed")
    shown = sealed.subject_arms(access)
    transaction.savepoint_rollback(mark, using="sealed")
    return shown


def aged(access, interval):
    ask(
        "UPDATE trials_sealedaccess SET opened_at = clock_timestamp() - %s::interval WHERE id = %s",
        interval,
        access,
    )
    return access


def naming_an_arm(*schemas):
    return {name for name, rows in contents(*schemas).items() if any(arm in rows for arm in ARMS)}


# --- In an emergency --------------------------------------------------------------------------


def test_the_investigator_sees_the_arm_of_one_subject_once(study, investigator):
    subjects = [study.randomised() for _ in range(3)]

    shown = [shown_arm(break_it(study, s).pk, by=investigator).code for s in subjects]

    assert shown == ["QXACTIVE", "QXCONTR", "QXACTIVE"]


def test_what_was_shown_is_not_shown_again_and_another_look_needs_a_new_access(study, investigator):
    subject = study.randomised()
    first = break_it(study, subject)
    shown_arm(first.pk, by=investigator)

    with pytest.raises(ShownAlready):
        shown_arm(first.pk, by=investigator)

    assert shown_arm(break_it(study, subject).pk, by=investigator).code == "QXACTIVE"
    assert SealedAccess.objects.filter(purpose="emergency unblinding").count() == 2


def test_the_arm_is_in_no_table_after_it_was_shown(study, investigator):
    subject = study.randomised()
    before = naming_an_arm()

    shown_arm(break_it(study, subject).pk, by=investigator)
    drain()

    assert naming_an_arm("public") == {
        "public.trials_protocolversion", "public.trials_protocolversionhistory",
    }  # fmt: skip
    assert naming_an_arm() == before


def test_everybody_who_must_know_is_told_that_and_not_what(study, investigator):
    subject = study.randomised()
    break_it(study, subject)
    drain()

    notice = Notice.objects.get()
    event = OutboxEvent.objects.get(type="patients.SubjectUnblinded")
    assert notice.text == f"{subject.number}: the blind was broken in an emergency"
    assert set(event.payload) == {"subject_id", "site_id", "unblinding_id", "kind"}
    told = {role for role, p in study.people.items() if Notice.objects.visible_to(p).exists()}
    assert told >= {
        Role.INVESTIGATOR, Role.COORDINATOR, Role.MEDICAL_MONITOR, Role.SAFETY_OFFICER,
        Role.SPONSOR_ADMINISTRATOR,
    }  # fmt: skip
    assert Role.COMMITTEE_MEMBER not in told


def test_a_wrong_password_opens_nothing_and_the_attempt_is_kept(study):
    subject = study.randomised()
    looks = SealedAccess.objects.count()

    with pytest.raises(IdentityNotConfirmed):
        break_it(study, subject, password="wrong")

    attempt = RefusedLook.objects.get()
    assert (attempt.subject_number, attempt.reason) == (subject.number, "identity_not_confirmed")
    assert SealedAccess.objects.count() == looks
    assert not Unblinding.objects.exists()


@pytest.mark.parametrize("role", [r for r in Role if r is not Role.INVESTIGATOR])
def test_nobody_but_an_investigator_breaks_a_blind(study, role):
    subject = study.randomised()

    with pytest.raises((PermissionDenied, Subject.DoesNotExist)):
        break_it(study, subject, by=study.people[role])

    assert RefusedLook.objects.get().person == study.people[role]
    assert not Unblinding.objects.exists()
    assert look_in_sql(study.people[role], subject) is None


def test_an_investigator_of_another_site_finds_no_subject_and_postgresql_refuses_too(study):
    subject = study.randomised()
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"))
    with_password(stranger)

    with pytest.raises(Subject.DoesNotExist):
        break_it(study, subject, by=stranger)

    assert look_in_sql(stranger, subject) is None
    assert RefusedLook.objects.get().reason == "not_yours"


def test_the_present_site_counts_from_the_moment_a_subject_moved(study, investigator):
    subject = study.randomised()
    elsewhere = study.add_site("DE-02")
    theirs = study.person(Role.INVESTIGATOR, site=elsewhere)
    assert look_in_sql(investigator, subject) is not None

    ask("SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE patients_subject SET site_id = '{elsewhere.pk}'")  # fmt: skip

    assert look_in_sql(investigator, subject) is None
    assert look_in_sql(theirs, subject) is not None


def test_a_role_that_has_ended_opens_nothing(study, investigator):
    subject = study.randomised()
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_metadata', '{}', true)")
        RoleAssignment.objects.filter(user=investigator).update(ends_at=timezone.now())

    assert look_in_sql(investigator, subject) is None


def test_a_subject_that_is_not_randomised_has_no_arm_to_show(study):
    subject = study.screened()

    with pytest.raises(UnblindingRefused) as refusal:
        break_it(study, subject, reason=" ")

    assert reasons_of(refusal) == {"not_randomised", "reason_missing"}


def test_the_access_stays_when_everything_after_it_is_rolled_back(study):
    subject = study.randomised()

    with pytest.raises(RuntimeError):
        break_it_and_fail(study, subject)

    assert SealedAccess.objects.filter(subject_number=subject.number).count() == 1
    assert not Unblinding.objects.exists()


def test_an_access_is_fresh_for_ten_minutes_less_a_moment(study, investigator):
    subject = study.randomised()

    fresh = aged(look_in_sql(investigator, subject), "9 minutes 55 seconds")
    stale = aged(look_in_sql(investigator, subject), "10 minutes")

    assert sealed.subject_arms(fresh) == {subject.pk: "QXACTIVE"}
    assert sealed.subject_arms(stale) is None


def test_an_access_not_yet_committed_shows_nothing(study, investigator):
    subject = study.randomised()

    with transaction.atomic(using="sealed"):
        shown = refused_inside(look_in_sql(investigator, subject))

    assert shown is None


def test_a_look_of_somebody_else_is_not_there(study, investigator):
    unblinding = break_it(study, study.randomised())
    other = study.person(Role.INVESTIGATOR, site=study.site, name="second-investigator")

    with pytest.raises(Unblinding.DoesNotExist):
        shown_arm(unblinding.pk, by=other)


@pytest.mark.parametrize("purpose", ["report by arm", "contingency sheets", "", "curiosity"])
def test_an_access_for_another_purpose_is_not_opened_for_a_subject(study, investigator, purpose):
    subject = study.randomised()

    for person in (investigator, study.statistician, study.supplier):
        assert look_in_sql(person, subject, purpose=purpose) is None


@pytest.mark.parametrize("login", ["default"])
@pytest.mark.parametrize(
    "call",
    [
        "sealed.open_unblinding(1, '', gen_random_uuid(), gen_random_uuid(), NULL, NULL, '')",
        "sealed.subject_arms(gen_random_uuid())",
        "sealed.make_sheets(gen_random_uuid())",
        "sealed.sheet_passwords(gen_random_uuid())",
        "sealed.note_refused(1, '', NULL, NULL, '')",
        "sealed.choose_kit(gen_random_uuid(), 1, '2030-01-01')",
    ],
)
def test_the_application_may_call_none_of_it(call, login):
    assert denied(f"SELECT {call}", login=login)


@pytest.mark.parametrize("login", ["default", "sealed"])
@pytest.mark.parametrize("table", ["trials_refusedlook", "trials_sealedaccess"])
def test_neither_log_of_looks_is_written_by_a_log_in(table, login):
    assert denied(f"INSERT INTO {table} (id) VALUES (gen_random_uuid())", login=login)
    assert denied(f"DELETE FROM {table}", login=login)
    assert denied(f"UPDATE {table} SET id = id", login=login)


def test_a_second_look_is_marked_for_review_and_the_first_is_not(study):
    subject = study.randomised()
    break_it(study, subject)
    first = needs_review(subject)
    break_it(study, subject)

    assert (first, needs_review(subject)) == (False, True)


# --- What follows for treatment ---------------------------------------------------------------


def dispense(study, subject):
    return dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip


def test_after_an_emergency_unblinding_nothing_is_handed_over(study):
    before, after = study.ready_for_first_kit(), study.ready_for_first_kit()
    break_it(study, after)

    dispense(study, before)
    with pytest.raises(GateClosed) as refusal:
        dispense(study, after)

    assert reasons_of(refusal) == {"blind_broken"}


def test_after_it_no_dose_is_decided_but_a_cycle_may_be_held(study):
    subject = study.randomised()
    study.labs(subject)
    break_it(study, subject)
    how = {"subject_id": subject.pk, "decided_on": TODAY, "by": study.system, "at": NOW}

    with pytest.raises(DoseRefused) as refusal:
        decide_dose(cycle=1, dose_mg=Decimal(5), **how)

    assert reasons_of(refusal) == {"blind_broken"}
    assert decide_dose(cycle=1, dose_mg=Decimal(0), reason="unblinded", **how).dose_mg == 0


def test_an_accident_does_not_end_treatment_and_a_sheet_does(study):
    by_accident, by_sheet = study.ready_for_first_kit(), study.ready_for_first_kit()
    study.make_sheets()
    now = timezone.now()
    how = {"happened_at": now, "learned_by": "Dr B.", "reason": "A letter", "at": now}
    record_inadvertent_unblinding(subject_id=by_accident.pk, by=study.coordinator, **how)
    record_contingency_opening(subject_id=by_sheet.pk, by=study.coordinator, **how)

    dispense(study, by_accident)
    with pytest.raises(GateClosed):
        dispense(study, by_sheet)


# --- For one suspected reaction ---------------------------------------------------------------


def reaction(study, subject, **changed):
    facts = {"related": True, "serious": True, "seriousness": ["life_threatening"], **changed}
    return record_adverse_event(
        subject_id=subject.pk, term="Hepatic failure", soc="Hepatobiliary disorders", grade=4,
        started_on=PartialDate.of(TODAY), outcome="not_recovered", by=study.system, at=NOW, **facts,
    )  # fmt: skip


def ask_for(study, event, *, by=None, at=None, expectedness="Not in the reference text, 5.1"):
    return request_safety_unblinding(
        adverse_event_id=event.pk, expectedness=expectedness, reason="Expedited report",
        by=by or study.people[Role.SAFETY_OFFICER], at=at or timezone.now(),
    )  # fmt: skip


def agree(study, request, *, by=None, at=None, password=WORD):
    return agree_to_unblinding(
        request_id=request.pk,
        proof=proof_of(by or study.people[Role.MEDICAL_MONITOR], password=password),
        by=by or study.people[Role.MEDICAL_MONITOR], at=at or timezone.now(),
    )  # fmt: skip


def officer_looks(study, request, *, by=None, at=None):
    return open_safety_look(
        request_id=request.pk, proof=proof_of(by or study.people[Role.SAFETY_OFFICER]),
        by=by or study.people[Role.SAFETY_OFFICER],
        at=at or timezone.now(),
    )  # fmt: skip


def test_the_officer_learns_one_arm_after_another_person_agreed(study):
    study.randomised()
    subject = study.randomised()
    request = ask_for(study, reaction(study, subject))
    agree(study, request)

    look = officer_looks(study, request)

    officer = study.people[Role.SAFETY_OFFICER]
    assert shown_arm(look.pk, by=officer).code == "QXCONTR"
    with pytest.raises(UnblindingRefused):
        officer_looks(study, request)


def test_a_safety_unblinding_does_not_touch_the_treatment(study):
    subject = study.ready_for_first_kit()
    request = ask_for(study, reaction(study, subject))
    agree(study, request)
    officer_looks(study, request)

    assert dispense(study, subject).cycle == 1


@pytest.mark.parametrize(
    ("changed", "expectedness", "expected"),
    [
        ({"serious": False, "seriousness": []}, "Not listed", {"not_serious"}),
        ({"related": False}, "Not listed", {"not_related"}),
        ({}, " ", {"not_unexpected"}),
        (
            {"serious": False, "seriousness": [], "related": False},
            "",
            {"not_serious", "not_related", "not_unexpected"},
        ),
    ],
)
def test_only_a_suspected_unexpected_serious_reaction_is_a_ground(
    study, changed, expectedness, expected
):
    event = reaction(study, study.randomised(), **changed)

    with pytest.raises(UnblindingRefused) as refusal:
        ask_for(study, event, expectedness=expectedness)

    assert reasons_of(refusal) == expected


def test_one_person_is_not_two(study):
    subject = study.randomised()
    request = ask_for(study, reaction(study, subject))
    officer = study.people[Role.SAFETY_OFFICER]
    before = contents()

    with pytest.raises(UnblindingRefused) as alone:
        officer_looks(study, request)
    with pytest.raises(UnblindingRefused) as own:
        agree(study, request, by=officer)

    assert reasons_of(alone) == {"second_person_missing"}
    assert reasons_of(own) == {"same_person"}
    assert look_in_sql(officer, subject, purpose="safety unblinding", request=request.pk) is None
    assert RefusedLook.objects.count() == 2
    assert differing(before) == KEPT


def test_postgresql_does_not_take_an_agreement_of_the_asker_or_of_a_wrong_role(study):
    subject = study.randomised()
    request = ask_for(study, reaction(study, subject))
    officer = study.people[Role.SAFETY_OFFICER]
    for person in (officer, study.coordinator):
        ask(
            "SELECT set_config('pghistory.context_metadata', '{}', true);"
            "INSERT INTO trials_unblindinganswer (id, request_id, kind, reason, answered_by_id,"
            f" answered_at) VALUES (gen_random_uuid(), '{request.pk}', 'agreed', '', {person.pk},"
            " now()) ON CONFLICT (request_id, kind) DO UPDATE SET answered_by_id ="
            " excluded.answered_by_id"
        )

        look = look_in_sql(officer, subject, purpose="safety unblinding", request=request.pk)
        assert look is None


def test_a_request_opens_no_other_subject(study):
    first, second = study.randomised(), study.randomised()
    request = ask_for(study, reaction(study, first))
    agree(study, request)
    officer = study.people[Role.SAFETY_OFFICER]

    other = look_in_sql(officer, second, purpose="safety unblinding", request=request.pk)
    own = look_in_sql(officer, first, purpose="safety unblinding", request=request.pk)

    assert (other, own is None) == (None, False)


@pytest.mark.parametrize(
    ("moment", "expires"), [(timedelta(microseconds=-1), False), (timedelta(0), True)]
)
def test_a_request_holds_until_just_before_it_expires(study, moment, expires):
    request = ask_for(study, reaction(study, study.randomised()))

    if expires:
        with pytest.raises(UnblindingRefused) as refusal:
            agree(study, request, at=request.expires_at + moment)
        assert reasons_of(refusal) == {"request_expired"}
    else:
        assert agree(study, request, at=request.expires_at + moment).kind == "agreed"


def test_a_withdrawn_request_opens_nothing(study):
    subject = study.randomised()
    request = ask_for(study, reaction(study, subject))
    agree(study, request)
    officer = study.people[Role.SAFETY_OFFICER]

    withdraw_unblinding_request(
        request_id=request.pk, reason="Resolved", by=officer, at=timezone.now()
    )

    with pytest.raises(UnblindingRefused) as refusal:
        officer_looks(study, request)
    assert reasons_of(refusal) == {"request_withdrawn"}
    assert look_in_sql(officer, subject, purpose="safety unblinding", request=request.pk) is None


# --- The whole trial --------------------------------------------------------------------------


def ask_for_trial(study, *, early="", by=None):
    return request_trial_unblinding(
        trial_id=study.trial.pk, reason="Final analysis", early_reason=early,
        by=by or study.statistician, at=timezone.now(),
    )  # fmt: skip


def close_sites(study):
    ask("SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_site SET status = 'closed'")  # fmt: skip


def statistician_looks(study, request):
    return open_trial_look(
        request_id=request.pk,
        proof=proof_of(study.statistician),
        by=study.statistician,
        at=timezone.now(),
    )


def test_two_people_unblind_a_trial_that_recruits_no_more(study):
    subjects = [study.randomised() for _ in range(3)]
    close_sites(study)
    request = ask_for_trial(study)
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])
    before = unblinded_since(study.trial)

    rows = list_of_arms(statistician_looks(study, request))

    assert before is None
    assert unblinded_since(Trial.objects.get()) is not None
    assert [(row[1], row[3]) for row in rows] == [
        (subject.number, arm)
        for subject, arm in zip(subjects, ["QXACTIVE", "QXCONTR", "QXACTIVE"], strict=True)
    ]
    assert OutboxEvent.objects.filter(type="trials.TrialUnblinded").count() == 1


def test_a_look_that_broke_off_keeps_no_event_back(study, monkeypatch):
    """The access is committed first and outlives what followed it."""
    study.randomised()
    close_sites(study)
    request = ask_for_trial(study)
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])

    def breaks_off(*args, **how):
        raise RuntimeError("the process was killed")

    with monkeypatch.context() as broken:
        broken.setattr(unblinding_requests, "publish", breaks_off)
        with pytest.raises(RuntimeError):
            statistician_looks(study, request)
    told = OutboxEvent.objects.filter(type="trials.TrialUnblinded")
    assert (SealedAccess.objects.filter(request_id=request.pk).count(), told.count()) == (1, 0)

    for _ in range(2):
        list_of_arms(statistician_looks(study, request))

    assert told.count() == 1


def test_a_reason_that_names_the_treatment_is_covered_and_refused_nothing(study):
    subject = study.randomised()
    reason = "On lenalidomide, not QXCONTR: doses were escalated"

    unblinding = break_it(study, subject, reason=reason)

    assert unblinding.reason == "On [treatment], not [treatment]: doses were escalated"
    assert SealedAccess.objects.latest("opened_at").detail == unblinding.reason
    history = column("SELECT pgh_context::text FROM patients_unblindinghistory")
    assert not [row for row in history if "enalidomide" in row or "QX" in row]


def test_nobody_who_is_recording_about_the_subject_is_waited_for(study):
    subject, by = study.randomised(), study.people[Role.INVESTIGATOR]
    proof = proof_of(by, subject)

    with transaction.atomic(using="owner"):
        ask("SELECT 1 FROM patients_subject WHERE id = %s FOR NO KEY UPDATE", subject.pk)
        with transaction.atomic():
            ask("SET LOCAL lock_timeout = '1s'", login="default")
            unblinding = break_blind(
                subject_id=subject.pk, would_change_treatment=True, reason="Fever", proof=proof,
                by=by, at=NOW,
            )  # fmt: skip

    assert shown_arm(unblinding.pk, by=by).code in ARMS


@pytest.mark.parametrize(
    "service",
    [give_password, functools.partial(bind_sign_on, subject="subject-of-an-investigator")],
    ids=["password", "single sign-on"],
)
def test_an_administrator_at_work_on_the_account_is_not_waited_for(study, investigator, service):
    subject, admin = study.randomised(), study.admin
    proof = proof_of(investigator, subject)
    at_work, over = threading.Event(), threading.Event()

    def administers():
        with transaction.atomic():
            service(person=investigator, reason="telephoned", by=admin, at=timezone.now())
            at_work.set()
            assert over.wait(timeout=5), "the emergency waited"

    def breaks():
        try:
            assert at_work.wait(timeout=30)
            return break_blind(
                subject_id=subject.pk, would_change_treatment=True, reason="Fever",
                proof=proof, by=investigator, at=NOW,
            )  # fmt: skip
        finally:
            over.set()

    done, unblinding = at_once(administers, breaks)

    assert done is None
    assert shown_arm(unblinding.pk, by=investigator).code in ARMS


def unblind_trial(study):
    request = ask_for_trial(study, early="Stopped")
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])
    return list_of_arms(statistician_looks(study, request))


def first_page(person, **query):
    client = Client()
    client.force_login(person)
    return client.get(reverse("admin:index"), query)


def notices_page(person):
    client = Client()
    client.force_login(person)
    return client.get(reverse("admin:reporting_notice_changelist"))


def seen_in_sql(person):
    return as_application("SELECT kind FROM reporting_notice", reader=person.pk)


def test_everybody_who_works_in_an_unblinded_trial_is_told_that_and_not_what(study):
    study.randomised()
    outsider = user("outsider")
    unblind_trial(study)
    drain()
    drain()

    notice = Notice.objects.get()
    assert (notice.kind, notice.site, notice.subject) == ("trial_unblinded", None, None)
    assert notice.text == "CLLM1: the whole trial was unblinded, as two people agreed"
    told = {role for role, p in study.people.items() if Notice.objects.visible_to(p).exists()}
    assert told == set(Role)
    assert {role for role, p in study.people.items() if seen_in_sql(p)} == set(Role)
    assert not Notice.objects.visible_to(outsider).exists()
    assert seen_in_sql(outsider) == []
    event = OutboxEvent.objects.get(type="trials.TrialUnblinded")
    assert set(event.payload) == {"access_id", "request_id"}


def test_of_an_unblinding_of_another_trial_nobody_here_is_told(study):
    colleague = user("colleague")
    with as_system():
        other = Trial.objects.create(code="OTHER", title="Other", created_at=NOW)
        RoleAssignment.objects.create(
            user=colleague, trial=other, role=Role.MEDICAL_MONITOR, starts_at=NOW - timedelta(1)
        )
    study.randomised()
    unblind_trial(study)
    drain()

    assert not Notice.objects.visible_to(colleague).exists()
    assert seen_in_sql(colleague) == []


def test_no_notice_is_made_while_a_second_person_is_missing_or_nobody_has_looked(study):
    request = ask_for_trial(study, early="Stopped")
    with pytest.raises(UnblindingRefused):
        statistician_looks(study, request)
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])
    drain()

    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    "role", [Role.INVESTIGATOR, Role.SPONSOR_ADMINISTRATOR, Role.UNBLINDED_SUPPLIER]
)
def test_the_first_page_says_since_when_a_trial_is_unblinded_and_shows_the_notice(
    study, role, settings, tmp_path
):
    settings.STATIC_ROOT = tmp_path
    person = study.people[role]
    study.randomised()
    before = first_page(person).content.decode()

    unblind_trial(study)
    drain()
    after, listed = first_page(person).content.decode(), notices_page(person)

    day = unblinded_since(study.trial)
    assert "Unblinded since" not in before
    assert f"Unblinded since {timezone.localtime(day):%Y-%m-%d}" in after
    assert "the whole trial was unblinded" not in before
    assert "the whole trial was unblinded" in after
    assert listed.status_code == 200
    assert "the whole trial was unblinded" in listed.content.decode()
    for told in (after, listed.content.decode()):
        assert not any(arm in told for arm in ARMS)


def test_whoever_made_somebody_the_statistician_is_no_second_person(study):
    study.randomised()
    request = ask_for_trial(study, early="Stopped")

    with pytest.raises(UnblindingRefused) as refusal:
        agree(study, request, by=study.admin)

    assert reasons_of(refusal) == {"gave_the_role"}
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_metadata', '{}', true)")
        RoleAssignment.objects.filter(user=study.statistician).update(
            given_by=study.people[Role.MEDICAL_MONITOR]
        )
    with pytest.raises(UnblindingRefused):
        statistician_looks(study, request)


def test_while_sites_recruit_it_needs_a_reason_why_it_cannot_wait(study):
    with pytest.raises(UnblindingRefused) as refusal:
        ask_for_trial(study)

    assert reasons_of(refusal) == {"still_recruiting"}
    assert ask_for_trial(study, early="Stopped for harm").early_reason == "Stopped for harm"
    assert Site.objects.get().status == "active"


def test_a_list_is_given_out_once_an_access_and_again_with_a_new_one(study):
    study.randomised()
    request = ask_for_trial(study, early="Stopped")
    agree(study, request, by=study.people[Role.MEDICAL_MONITOR])
    access = statistician_looks(study, request)
    list_of_arms(access)

    with pytest.raises(ShownAlready):
        list_of_arms(access)

    assert len(list_of_arms(statistician_looks(study, request))) == 1
    assert OutboxEvent.objects.filter(type="trials.TrialUnblinded").count() == 1


def test_one_person_does_not_unblind_a_trial(study):
    request = ask_for_trial(study, early="Stopped")
    before = contents()

    with pytest.raises(UnblindingRefused) as refusal:
        statistician_looks(study, request)

    assert reasons_of(refusal) == {"second_person_missing"}
    assert unblinded_since(study.trial) is None
    assert RefusedLook.objects.get().reason == "second_person_missing"
    assert differing(before) == KEPT


# --- Afterwards -------------------------------------------------------------------------------


def test_an_accident_is_recorded_and_assessed(study):
    subject = study.randomised()
    accident = record_inadvertent_unblinding(
        subject_id=subject.pk, happened_at=NOW, learned_by="Site nurse", reason="Open letter",
        by=study.coordinator, at=NOW,
    )  # fmt: skip

    found = assess_unblinding(
        unblinding_id=accident.pk, impact="limited", assessment="No endpoint was open.",
        by=study.people[Role.MEDICAL_MONITOR], at=NOW,
    )  # fmt: skip

    assert (found.unblinding, found.impact) == (accident, "limited")


def test_what_others_read_does_not_name_the_treatment(study):
    subject = study.randomised()

    with pytest.raises(RecordRefused) as refusal:
        record_inadvertent_unblinding(
            subject_id=subject.pk, happened_at=NOW + timedelta(1), learned_by="Nurse",
            reason="The letter said placebo", by=study.coordinator, at=NOW,
        )  # fmt: skip

    assert reasons_of(refusal) == {"names_an_arm", "future_instant"}
    assert not Unblinding.objects.exists()


def test_an_unknown_person_or_subject_leaves_no_attempt(study):
    sealed.note_refused(
        person_id=0, purpose="x", trial_id=study.trial.pk, subject_id=uuid.uuid4(), reason="x"
    )

    assert not RefusedLook.objects.exists()
