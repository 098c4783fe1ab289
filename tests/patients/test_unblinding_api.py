"""An arm is in one answer, on the screen and over the interface, and in nothing that is kept."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from allauth.core import context
from allauth.mfa.webauthn.internal import auth
from django.conf import settings
from django.test import Client, RequestFactory
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
from tests.postgres import at_once
from tests.trials.test_log_ins import code, enrolled, enter
from tests.trials.test_passkeys import options_on, owner_of
from trials.log_in.requests import BEGAN
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
    client = Client(SERVER_NAME="localhost")
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


def test_a_repeated_request_with_its_code_is_refused_by_its_name_and_shuts_nothing(study):
    subject, investigator = study.randomised(), study.people[Role.INVESTIGATOR]
    secret = enrolled(investigator)
    caller = caller_for(investigator)
    request = {**EMERGENCY, "code": code(secret)}

    first = caller.post(emergency_of(subject), request, key="a")
    limit = settings.VIGIL_LOCK_FAILURES
    again = [caller.post(emergency_of(subject), request, key="a") for _ in range(limit)]
    later = caller.post(emergency_of(subject), {**EMERGENCY, "code": code(secret, 1)}, key="b")

    assert first.status_code == later.status_code == 201
    assert {answer.status_code for answer in again} == {409}
    assert reasons_of(again[-1]) == {("", "code_used")}
    assert RefusedLook.objects.latest("refused_at").reason == "code_used"


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


def test_failed_log_ins_of_anybody_do_not_shut_the_screen(study):
    subject = study.randomised()
    investigator = study.people[Role.INVESTIGATOR]
    client = browser(investigator)
    for _ in range(settings.VIGIL_LOCK_FAILURES + 1):
        door = Client(SERVER_NAME="localhost")
        refused = door.post("/admin/login/", {"login": investigator.username, "password": "guess"})
    assert "Too many failed attempts" in refused.content.decode()

    assert "Lenalidomide" in client.post(screen_of(subject), FORM).content.decode()


def test_too_many_wrong_passwords_on_the_screen_say_how_to_go_on(study):
    subject = study.randomised()
    client = browser(study.people[Role.INVESTIGATOR])
    for _ in range(settings.VIGIL_LOCK_FAILURES):
        client.post(screen_of(subject), {**FORM, "password": "wrong"})

    refused = client.post(screen_of(subject), FORM).content.decode()
    client.post(reverse("admin:logout"))
    enter(study.people[Role.INVESTIGATOR].username, WORD, client=client)
    again = client.post(screen_of(subject), {**FORM, "key": "again"})

    assert "Log in afresh to go on at once" in refused
    assert RefusedLook.objects.latest("refused_at").reason == "too_many_attempts"
    assert "Lenalidomide" in again.content.decode()


@pytest.fixture
def telephone(study):
    """The investigator's passkey."""
    return owner_of(study.people[Role.INVESTIGATOR])


def signed_on(client, subject, key):
    options = options_on(client.get(screen_of(subject)), "vg-passkey-options")
    rest = {name: value for name, value in FORM.items() if name not in ("password", "code")}
    return {**rest, "key": "by passkey", "credential": json.dumps(key.signs(options))}


def test_a_passkey_confirms_on_the_screen_without_a_password_and_once(study, telephone):
    subject, client = study.randomised(), browser(study.people[Role.INVESTIGATOR])
    form = signed_on(client, subject, telephone)

    first = client.post(screen_of(subject), form)
    again = client.post(screen_of(subject), {**form, "key": "another"})

    assert "Lenalidomide" in first.content.decode()
    assert "This passkey did not confirm it" in again.content.decode()
    assert Unblinding.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="somebody else's"),
        pytest.param({"verifies": False}, id="no finger, no face, no PIN"),
        pytest.param({"origin": "https://elsewhere.example"}, id="signed for another site"),
    ],
)
def test_a_passkey_that_is_not_theirs_or_asked_nobody_shows_nothing(study, telephone, other):
    subject, client = study.randomised(), browser(study.people[Role.INVESTIGATOR])
    key = replace(telephone, **other) if other else owner_of(study.people[Role.MEDICAL_MONITOR])

    answer = client.post(screen_of(subject), signed_on(client, subject, key))

    assert "This passkey did not confirm it" in answer.content.decode()
    assert not Unblinding.objects.exists()


def asked_by_the_library(client, person):
    request = RequestFactory(SERVER_NAME="localhost").get("/")
    request.session = client.session
    with context.request_context(request):
        asked = auth.begin_authentication(person)
    request.session.save()
    return asked


def test_what_the_library_asks_for_its_own_pages_confirms_nothing_here(study, telephone):
    """Its second step asks for a finger only where there is one, and so does its challenge."""
    subject, client = study.randomised(), browser(study.people[Role.INVESTIGATOR])
    form = signed_on(client, subject, telephone)
    asked = asked_by_the_library(client, study.people[Role.INVESTIGATOR])

    for key in (telephone, replace(telephone, verifies=False)):
        form["credential"] = json.dumps(key.signs(asked))
        answer = client.post(screen_of(subject), form)
        assert "This passkey did not confirm it" in answer.content.decode()

    assert not Unblinding.objects.exists()


def test_one_signature_confirms_one_of_two_acts_sent_at_the_same_moment(study, telephone):
    subjects = [study.randomised() for _ in range(2)]
    client = browser(study.people[Role.INVESTIGATOR])
    form = signed_on(client, subjects[0], telephone)

    def post(subject):
        other = Client(SERVER_NAME="localhost")
        other.cookies = client.cookies
        return other.post(screen_of(subject), {**form, "key": str(subject.pk)}).content.decode()

    answers = at_once(*[partial(post, subject) for subject in subjects])

    assert sum("This passkey did not confirm it" in answer for answer in answers) == 1
    assert Unblinding.objects.count() == 1


@pytest.mark.parametrize("sent", ["{}", "[]", "7", '"x"', '{"id": 1}', "no JSON"])
def test_what_is_no_passkeys_answer_is_refused_and_breaks_nothing(study, telephone, sent):
    subject, client = study.randomised(), browser(study.people[Role.INVESTIGATOR])
    form = {**signed_on(client, subject, telephone), "credential": sent}

    answer = client.post(screen_of(subject), form)

    assert answer.status_code == 200
    assert "Nothing was shown" in answer.content.decode()
    assert not Unblinding.objects.exists()


def test_whoever_has_neither_password_nor_passkey_is_told_to_come_afresh(study):
    subject, investigator = study.randomised(), study.people[Role.INVESTIGATOR]
    client = browser(investigator)
    investigator.set_unusable_password()
    investigator.save()
    client.force_login(investigator)  # as single sign-on lets in
    form = {name: value for name, value in FORM.items() if name not in ("password", "code")}

    def sent(key, *, began):
        session = client.session
        session[BEGAN] = (timezone.now() - timedelta(seconds=began)).timestamp()
        session.save()
        return client.post(screen_of(subject), {**form, "key": key}).content.decode()

    page = client.get(screen_of(subject)).content.decode()
    late, soon = sent("late", began=301), sent("soon", began=240)

    assert 'name="password"' not in page
    assert "Your log-in is too long ago" in late
    assert "Lenalidomide" in soon


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
