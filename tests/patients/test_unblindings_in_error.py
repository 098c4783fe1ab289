"""What cannot have become known is refused; what was entered in error is marked, and counts not."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dosing.errors import GateClosed
from events.models import OutboxEvent
from events.tasks import drain
from patients.errors import RecordRefused
from patients.models import Unblinding, UnblindingMistake
from patients.services.unblinding import (
    assess_unblinding,
    record_contingency_opening,
    record_inadvertent_unblinding,
    record_unblinding_mistake,
)
from reporting.models import Notice
from reporting.row_history import history_of
from tests.factories import NOW, Study
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import (
    ARMS,
    agree,
    ask_for,
    break_it,
    dispense,
    officer_looks,
    reaction,
    with_passwords,
)
from tests.postgres import contents, denied
from tests.worlds import as_application
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres

LONG_AGO = datetime(1990, 1, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WHY = "The sheet of the subject beside it was opened"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return with_passwords(Study(arms=ARMS))


def opening(study, subject, *, happened_at=None, by=None):
    at = timezone.now()
    return record_contingency_opening(
        subject_id=subject.pk, happened_at=happened_at or at, learned_by="Dr B.",
        reason="The system was down", by=by or study.coordinator, at=at,
    )  # fmt: skip


def accident(study, subject, *, happened_at=NOW, by=None):
    return record_inadvertent_unblinding(
        subject_id=subject.pk, happened_at=happened_at, learned_by="A nurse", reason="A label",
        by=by or study.coordinator, at=timezone.now(),
    )  # fmt: skip


def mark(study, unblinding, *, by=None, reason=WHY):
    return record_unblinding_mistake(
        unblinding_id=unblinding.pk, reason=reason, at=timezone.now(),
        by=by or study.people[Role.MEDICAL_MONITOR],
    )  # fmt: skip


def refused(act) -> set[str]:
    before = contents()
    with pytest.raises(RecordRefused) as refusal:
        act()
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


def text_of(study, role, address, *args) -> str:
    client = Client()
    client.force_login(study.people[role])
    return client.get(reverse(address, args=args)).content.decode()


# --- What cannot be true ----------------------------------------------------------------------


def test_a_sheet_that_was_never_made_was_not_opened_and_treatment_goes_on(study):
    subject = study.ready_for_first_kit()

    told = refused(lambda: opening(study, subject, happened_at=LONG_AGO))

    assert told == {"before_randomisation", "no_sheet_yet"}
    assert refused(lambda: opening(study, subject)) == {"no_sheet_yet"}
    assert dispense(study, subject).cycle == 1


def test_a_sheet_is_opened_at_the_earliest_when_the_first_one_was_made(study):
    first, later = study.randomised(), study.randomised()
    before = timezone.now() - MINUTE
    study.make_sheets()

    assert refused(lambda: opening(study, first, happened_at=before)) == {"no_sheet_yet"}
    assert [opening(study, one).kind for one in (first, later)] == ["contingency"] * 2


def test_a_sheet_of_the_others_at_the_site_is_not_the_subjects_own(study):
    study.randomised()
    study.make_sheets()
    without = study.randomised()

    assert refused(lambda: opening(study, without)) == {"no_sheet_yet"}


def test_nobody_learns_an_arm_before_there_is_one(study):
    subject, screened = study.randomised(), study.screened()

    told = refused(lambda: accident(study, subject, happened_at=NOW - MINUTE))

    assert told == {"before_randomisation"}
    assert refused(lambda: accident(study, screened)) == {"not_randomised"}
    assert accident(study, subject, happened_at=NOW).kind == "inadvertent"


def test_a_replay_knows_the_day_of_a_randomisation_and_no_more():
    study = Study(conduct=Trial.Conduct.REPLAY, kits=0)
    subject = study.randomised()
    midnight = study.site.midnight(subject.allocation.randomised_on)

    told = refused(lambda: accident(study, subject, happened_at=midnight - MINUTE))

    assert told == {"before_randomisation"}
    assert accident(study, subject, happened_at=midnight).kind == "inadvertent"


def test_when_a_sheet_was_made_is_told_to_those_who_read_the_subject(study):
    subject = study.randomised()
    study.make_sheets()
    elsewhere = study.person(Role.COORDINATOR, site=study.add_site("DE-02"))

    def told(person):
        question = f"SELECT sealed.first_sheet_at('{subject.pk}')"
        return as_application(question, reader=person.pk)[0]

    assert told(study.coordinator) is not None
    assert told(elsewhere) is told(study.supplier) is None


def test_the_pharmacy_records_what_became_known_there_and_the_sites_system_does_not(study):
    subject = study.randomised()
    now = timezone.now().isoformat()
    body = {"happened_at": now, "learned_by": "Pharmacist", "reason": "A torn label"}
    path = f"/subjects/{subject.pk}/inadvertent-unblindings"

    made = caller_for(study.pharmacist).post(path, body)

    assert (made.status_code, made.json().get("kind")) == (201, "inadvertent")
    assert caller_for(study.system).post(path, body).status_code == 403
    form = text_of(study, Role.PHARMACIST, "admin:patients_subject_change", subject.pk)
    assert "unblinding-by-accident" in form


# --- Entered in error -------------------------------------------------------------------------


def test_what_was_entered_in_error_shuts_no_gate_and_stays_visible(study):
    subject = study.ready_for_first_kit()
    study.make_sheets()
    wrong = opening(study, subject)
    with pytest.raises(GateClosed):
        dispense(study, subject)

    found = mark(study, wrong)

    assert (found.unblinding, found.recorded_by) == (wrong, study.people[Role.MEDICAL_MONITOR])
    assert dispense(study, subject).cycle == 1
    event = OutboxEvent.objects.get(type="patients.UnblindingMistakeRecorded")
    assert event.payload["unblinding_id"] == str(wrong.pk)
    told = caller_for(study.coordinator).get("/unblindings").json()["results"]
    assert [(row["id"], row["in_error"]) for row in told] == [(str(wrong.pk), True)]


def test_a_second_opening_that_is_true_shuts_the_gate_for_all_that(study):
    subject = study.ready_for_first_kit()
    study.make_sheets()
    wrong = opening(study, subject)
    mark(study, wrong)
    opening(study, subject)

    with pytest.raises(GateClosed):
        dispense(study, subject)


def test_only_what_was_written_afterwards_can_have_been_entered_in_error(study):
    subject = study.randomised()
    shown = break_it(study, subject)
    request = ask_for(study, reaction(study, subject))
    agree(study, request)
    to_the_officer = officer_looks(study, request)

    assert refused(lambda: mark(study, shown)) == {"shown_by_the_system"}
    assert refused(lambda: mark(study, to_the_officer)) == {"shown_by_the_system"}


def test_a_mark_says_why_once_and_is_of_another_person(study):
    monitor, officer = (study.people[r] for r in (Role.MEDICAL_MONITOR, Role.SAFETY_OFFICER))
    wrong = accident(study, study.randomised(), by=monitor)

    told = refused(lambda: mark(study, wrong, by=monitor, reason=" "))
    assert told == {"reason_missing", "same_person"}
    named = refused(lambda: mark(study, wrong, by=officer, reason=f"It was {ARMS[0]}"))
    assert named == {"names_an_arm"}
    mark(study, wrong, by=officer)
    assert refused(lambda: mark(study, wrong, by=officer)) == {"in_error_already"}


def test_a_responsible_person_marks_and_nobody_else(study):
    wrong, other = accident(study, study.randomised()), accident(study, study.randomised())
    responsible = {Role.MEDICAL_MONITOR: wrong, Role.SAFETY_OFFICER: other}

    for role in set(Role) - set(responsible):
        with pytest.raises((PermissionDenied, Unblinding.DoesNotExist)):
            mark(study, wrong, by=study.people[role])
    assert not UnblindingMistake.objects.exists()

    for role, row in responsible.items():
        assert mark(study, row, by=study.people[role])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE patients_unblindingmistake SET reason = 'x'",
        "DELETE FROM patients_unblindingmistake",
    ],
)
def test_a_mark_cannot_be_changed_or_deleted(statement):
    assert denied(statement)


def test_an_accident_that_was_none_need_not_be_reviewed(study):
    wrong, right = accident(study, study.randomised()), accident(study, study.randomised())
    mark(study, wrong)

    rows = caller_for(study.coordinator).get("/unblindings").json()["results"]

    told = {row["id"]: (row["in_error"], row["review_because"]) for row in rows}
    assert told == {str(wrong.pk): (True, None), str(right.pk): (False, "an accident")}


def test_the_mark_stands_in_the_history_and_those_who_were_told_are_told(study):
    subject = study.randomised()
    wrong = accident(study, subject)
    mark(study, wrong)
    drain()

    told = [one for one in history_of(subject) if one.record == "Unblinding entered in error"]
    assert [(one.actor, one.reason) for one in told] == [("medical_monitor", WHY)]
    notices = Notice.objects.filter(subject=subject, kind="subject_unblinded")
    seen = notices.visible_to(study.admin).values_list("text", flat=True)
    assert set(seen) == {
        f"{subject.number}: the treatment became known by accident",
        f"{subject.number}: an unblinding was recorded in error and counts no more",
    }


# --- Over the interface and in the admin ------------------------------------------------------


def test_a_mark_is_made_and_read_over_the_interface(study):
    subject = study.randomised()
    wrong = accident(study, subject)
    path = f"/unblindings/{wrong.pk}/mistakes"
    monitor = caller_for(study.people[Role.MEDICAL_MONITOR])

    made = monitor.post(path, {"reason": WHY})
    again = monitor.post(path, {"reason": WHY})

    assert made.status_code == 201
    assert (made.json()["unblinding"], made.json()["recorded_by"]) == (
        str(wrong.pk), "medical_monitor",
    )  # fmt: skip
    assert {code for _, code in reasons_of(again)} == {"in_error_already"}
    coordinator = caller_for(study.coordinator)
    assert coordinator.get(path).json()["results"] == [made.json()]
    (listed,) = coordinator.get(f"/subjects/{subject.pk}/inadvertent-unblindings").json()["results"]
    assert listed["in_error"] is True
    assert coordinator.get(f"/unblindings/{wrong.pk}").json()["in_error"] is True


def test_another_sites_marks_are_not_there(study):
    wrong = accident(study, study.randomised())
    mark(study, wrong)
    elsewhere = caller_for(study.person(Role.COORDINATOR, site=study.add_site("DE-02")))

    assert elsewhere.get(f"/unblindings/{wrong.pk}/mistakes").status_code == 404
    assert elsewhere.post(f"/unblindings/{wrong.pk}/mistakes", {"reason": WHY}).status_code == 404


def test_the_page_marks_and_shows_what_was_entered_in_error(study):
    wrong = accident(study, study.randomised())
    page, form = "admin:patients_unblinding_change", "admin:patients_unblinding_mistake"
    client = Client()
    client.force_login(study.people[Role.SAFETY_OFFICER])
    address = reverse(form, args=[wrong.pk])

    offered = text_of(study, Role.SAFETY_OFFICER, page, wrong.pk)
    not_offered = text_of(study, Role.COORDINATOR, page, wrong.pk)
    asked = client.get(address).content.decode()
    sent = client.post(address, {"key": "one", "reason": WHY})

    assert address in offered
    assert address not in not_offered
    assert wrong.subject.number in asked
    assert sent.status_code == 302
    assert UnblindingMistake.objects.get().reason == WHY
    after = text_of(study, Role.SAFETY_OFFICER, page, wrong.pk)
    assert "Entered in error" in after
    assert WHY in after
    assert address not in after
    assert "Entered in error" in text_of(
        study, Role.COORDINATOR, "admin:patients_unblinding_changelist"
    )


def test_the_page_of_the_mark_is_for_those_who_may_and_for_what_may_be_marked(study):
    subject = study.randomised()
    shown, wrong = break_it(study, subject), accident(study, subject)

    def status(role, row):
        client = Client()
        client.force_login(study.people[role])
        return client.get(reverse("admin:patients_unblinding_mistake", args=[row.pk])).status_code

    assert status(Role.MEDICAL_MONITOR, wrong) == 200
    assert status(Role.COORDINATOR, wrong) == 403
    assert status(Role.MEDICAL_MONITOR, shown) == 404
    text = text_of(study, Role.MEDICAL_MONITOR, "admin:patients_unblinding_change", shown.pk)
    assert "mistake/" not in text


def test_the_emergency_screen_says_what_was_entered_in_error(study):
    subject = study.randomised()
    wrong = accident(study, subject)
    assess_unblinding(
        unblinding_id=wrong.pk, impact="none", assessment="nothing follows", at=NOW,
        by=study.people[Role.MEDICAL_MONITOR],
    )  # fmt: skip
    mark(study, wrong)

    text = text_of(study, Role.INVESTIGATOR, "admin:patients_subject_emergency", subject.pk)

    assert "A nurse (entered in error)" in text
