"""An arm is in one answer, on the screen and over the interface, and in nothing that is kept."""

import io
import zipfile
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader
from redis.exceptions import ConnectionError as NoValkey

from events import wake
from patients.models import Unblinding
from tests.factories import Study
from tests.interface import caller_for, reasons_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import ARMS, WORD, naming_an_arm, with_passwords
from trials.models import RefusedLook, SealedAccess
from trials.permissions import Role
from trials.services.on_call import enter_duty


pytestmark = on_postgres

EMERGENCY = {
    "would_change_treatment": True,
    "reason": "Neutropenic fever",
    "password": WORD,
}
FORM = {**EMERGENCY, "key": "one", "would_change_treatment": "yes"}


@pytest.fixture(autouse=True)
def _no_collected_files(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def study():
    return with_passwords(Study(arms=ARMS, kits=0))


def browser(person):
    client = Client()
    client.force_login(person)
    return client


def screen_of(subject):
    return reverse("admin:patients_subject_emergency", args=[subject.pk])


def emergency_of(subject):
    return f"/subjects/{subject.pk}/emergency-unblindings"


def test_the_interface_shows_the_arm_once_and_refuses_the_repeated_request(study):
    subject = study.randomised()
    caller = caller_for(study.people[Role.INVESTIGATOR])

    first = caller.post(emergency_of(subject), EMERGENCY, key="a")
    again = caller.post(emergency_of(subject), EMERGENCY, key="a")

    assert (first.status_code, first.json()["arm"]) == (201, "QXACTIVE")
    assert first["Cache-Control"] == "no-store"
    assert again.status_code == 409
    assert reasons_of(again) == {("", "shown_already")}
    assert naming_an_arm("public") == {
        "public.trials_protocolversion", "public.trials_protocolversionhistory",
    }  # fmt: skip
    assert "arm" not in caller.get(emergency_of(subject)).json()["results"][0]


def test_the_screen_shows_the_treatment_once_and_keeps_it_nowhere(study):
    subject = study.randomised()
    client = browser(study.people[Role.INVESTIGATOR])

    asked = client.get(screen_of(subject))
    first = client.post(screen_of(subject), FORM)
    again = client.post(screen_of(subject), FORM)

    assert study.people[Role.MEDICAL_MONITOR].username in asked.content.decode()
    assert "Lenalidomide" in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert "Lenalidomide" not in again.content.decode()
    assert "shown already" in again.content.decode()
    assert Unblinding.objects.count() == 1
    assert "public.django_session" not in naming_an_arm("public")


def test_the_screen_shows_who_is_on_call_and_the_number_to_ring(study):
    subject, now = study.randomised(), timezone.now()
    enter_duty(
        trial_id=study.trial.pk, person=study.people[Role.MEDICAL_MONITOR],
        telephone="+49 221 0000", starts_at=now, ends_at=now + timedelta(hours=12),
        by=study.admin, at=now,
    )  # fmt: skip

    text = browser(study.people[Role.INVESTIGATOR]).get(screen_of(subject)).content.decode()

    assert "Medical monitor on call" in text
    assert "tel:+49 221 0000" in text


def test_the_screen_needs_neither_valkey_nor_anybody_on_call(study, monkeypatch):
    subject = study.randomised()
    study.people[Role.MEDICAL_MONITOR].is_active = False
    study.people[Role.MEDICAL_MONITOR].save()

    def stopped():
        raise NoValkey

    monkeypatch.setattr(wake, "own_connection", stopped)
    client = browser(study.people[Role.INVESTIGATOR])

    assert "Nobody is on call" in client.get(screen_of(subject)).content.decode()
    assert "Lenalidomide" in client.post(screen_of(subject), FORM).content.decode()


def test_a_wrong_password_on_the_screen_shows_nothing_and_is_kept(study):
    subject = study.randomised()
    client = browser(study.people[Role.INVESTIGATOR])

    answer = client.post(screen_of(subject), {**FORM, "password": "wrong"})

    assert "Nothing was shown" in answer.content.decode()
    assert RefusedLook.objects.get().reason == "identity_not_confirmed"


def test_sheets_open_with_their_own_password_and_no_other(study):
    subjects = [study.randomised() for _ in range(3)]
    supplier, keeper = caller_for(study.supplier), caller_for(study.people[Role.MEDICAL_MONITOR])
    body = {"trial": "CLLM1", "site": "DE-01", "reason": "Quarterly", "password": WORD}

    made = supplier.post("/contingency-sheets", body, key="s")
    making = SealedAccess.objects.get(purpose="contingency sheets")
    own = supplier.post("/contingency-passwords", {"making": str(making.pk), "password": WORD})
    kept = keeper.post("/contingency-passwords", {"making": str(making.pk), "password": WORD})
    again = supplier.post("/contingency-sheets", body, key="s")

    files = zipfile.ZipFile(io.BytesIO(made.content))
    passwords = dict(row.split(",") for row in kept.content.decode().split()[1:])
    assert files.namelist() == [f"{subject.number}.pdf" for subject in subjects]
    assert [treatment(files, s, passwords) for s in subjects] == [
        "Lenalidomide", "Placebo", "Lenalidomide",
    ]  # fmt: skip
    assert not opens(files, subjects[0], passwords[subjects[1].number])
    assert not opens(files, subjects[0], "")
    assert own.status_code == 404
    assert again.status_code == 409
    assert made["Cache-Control"] == kept["Cache-Control"] == "no-store"


def opened(files, subject, password):
    reader = PdfReader(io.BytesIO(files.read(f"{subject.number}.pdf")))
    return reader, reader.decrypt(password)


def opens(files, subject, password):
    return bool(opened(files, subject, password)[1])


def treatment(files, subject, passwords):
    reader, _ = opened(files, subject, passwords[subject.number])
    text = reader.pages[0].extract_text()
    return "Lenalidomide" if "Lenalidomide" in text else "Placebo" if "Placebo" in text else ""
