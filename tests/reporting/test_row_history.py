"""The history on a subject's page: every kind of record, in the site's words, and never an arm."""

import pytest
from django.apps import apps
from django.db import models
from django.test import Client
from django.urls import reverse

from patients.models import Subject
from patients.models.subjects import Record
from patients.services.stratification import correct_screening, record_randomisation_mistake
from patients.services.unblinding import assess_unblinding, record_inadvertent_unblinding
from reporting.row_history import RECORDS, history_of
from tests.factories import NOW, Study
from tests.marks import on_postgres
from tests.patients.test_unblinding import ARMS, break_it, with_passwords
from trials.permissions import Permission, Role, allows


TREATMENTS = ("Lenalidomide", "Placebo")


def test_every_record_of_a_subject_is_in_the_history():
    records = {model for model in apps.get_models() if issubclass(model, Record)}

    assert set(RECORDS) == records
    assert len(RECORDS) == len(records)


def test_no_kept_table_of_ours_about_a_subject_is_something_else_than_a_record():
    kept = {
        model
        for model in apps.get_models()
        if is_about_a_subject(model) and has_history(model) and model is not Subject
    }

    assert kept == set(RECORDS)


def is_about_a_subject(model):
    return any(
        isinstance(field, models.ForeignKey) and field.related_model is Subject
        for field in model._meta.fields
    )


def has_history(model):
    return f"{model.__name__}History".lower() in apps.all_models[model._meta.app_label]


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return with_passwords(Study(arms=ARMS, kits=0))


@pytest.fixture
def troubled(study):
    """A subject whose stratum was wrong, who was randomised in error, and of whom much is known."""
    subject = study.randomised()
    doctor, monitor = study.people[Role.INVESTIGATOR], study.people[Role.MEDICAL_MONITOR]
    correct_screening(
        subject_id=subject.pk, values={"mrd_level": "0.002"}, reason="decimal point misread",
        by=study.system, at=NOW,
    )  # fmt: skip
    record_randomisation_mistake(
        subject_id=subject.pk, kind="not_eligible", reason="creatinine was too high", by=doctor,
        at=NOW,
    )  # fmt: skip
    break_it(study, subject, reason="neutropenic fever")
    overheard = record_inadvertent_unblinding(
        subject_id=subject.pk, happened_at=NOW, learned_by="the ward nurse",
        reason="overheard on the telephone", by=study.coordinator, at=NOW,
    )  # fmt: skip
    assess_unblinding(
        unblinding_id=overheard.pk, impact="limited", assessment="noted in the file", by=monitor,
        at=NOW,
    )  # fmt: skip
    return subject


WORDS = (
    ("Correction of the screening", "decimal point misread"),
    ("Randomisation in error", "creatinine was too high"),
    ("Unblinding", "neutropenic fever"),
    ("Unblinding", "overheard on the telephone"),
)


@on_postgres
def test_what_went_wrong_stands_in_the_history_in_the_words_of_a_site(study, troubled):
    told = history_of(troubled)

    assert {(one.record, one.reason) for one in told} >= set(WORDS)
    assessed = [one for one in told if one.record == "Assessment of an unblinding"]
    assert [(one.actor, one.role, one.act) for one in assessed] == [
        ("medical_monitor", "medical monitor", "recorded")
    ]
    assert {one.under for one in told if one.act == "recorded"} == {"1.0"}
    assert {one.under for one in told if one.act == "changed"} == {""}


@on_postgres
def test_its_words_are_for_those_who_read_the_history_and_name_no_arm(study, troubled):
    readers = [role for role in Role if allows(role, Permission.READ_SUBJECTS)]

    texts = {role: page_of(study.people[role], troubled) for role in readers}

    told = {role for role, text in texts.items() if all(why in text for _, why in WORDS[2:])}
    silent = {role for role, text in texts.items() if not any(why in text for _, why in WORDS[2:])}
    assert told == {role for role in readers if allows(role, Permission.READ_HISTORY)}
    assert silent == set(readers) - told
    assert not any(name in text for name in (*ARMS, *TREATMENTS) for text in texts.values())


def page_of(person, subject):
    client = Client()
    client.force_login(person)
    return client.get(reverse("admin:patients_subject_change", args=[subject.pk])).content.decode()
