"""Whoever must know of an unblinding is mailed: that, and never what; once, and not in vain."""

import io
import logging
import socket
import time
from datetime import timedelta
from functools import partial
from urllib.parse import quote

import pytest
from django.core.mail.backends.smtp import EmailBackend
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.acting import as_system
from events.models import Delivery, OutboxEvent
from events.tasks import drain
from patients.models import Unblinding
from patients.services.consent import withdraw_consent
from patients.services.unblinding import record_inadvertent_unblinding
from reporting.models import Notice, NoticeMail
from reporting.services.mails import send_again, send_due
from reporting.tasks import send_due_mails
from tests.config.test_row_level_security import as_application
from tests.factories import NOW, TODAY, Study, user
from tests.mail_server import HOST, LOG_IN, certificate_in, free_port, mail_server, mail_through
from tests.marks import on_postgres
from tests.patients.test_unblinding import ARMS, break_it, unblind_trial, with_passwords
from tests.postgres import at_once, denied
from tests.reporting.test_subscribers import adverse_event
from trials.models import RoleAssignment, Trial, User
from trials.permissions import Role


pytestmark = on_postgres

REASON = "Neutropenic fever after QXACTIVE"
NOT_ADMINISTRATORS = [r for r in Role if r not in (Role.SPONSOR_ADMINISTRATOR, Role.SITE_SYSTEM)]
TREATMENT = (*ARMS, "Lenalidomide", "Placebo", "mg")


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return with_addresses(with_passwords(Study(arms=ARMS)))


@pytest.fixture
def box(settings):
    with mail_server() as running:
        mail_through(settings, clear(running.port))
        yield running


@pytest.fixture
def lines(monkeypatch):
    """Return what is written to the log, from here on, as text."""
    written = io.StringIO()
    for handler in logging.getLogger().handlers:
        if handler.get_name() == "out":
            monkeypatch.setattr(handler, "stream", written)
    return written.getvalue


def clear(port):
    return f"smtp://{HOST}:{port}/?tls=false"


def with_addresses(study):
    for person in User.objects.all():
        person.email = f"{person.username.lower()}@site.example"
        person.save()
    for person in study.people.values():
        person.refresh_from_db()
    return study


def unblinded(study):
    """One subject whose blind is broken, after Vigil has told everybody in its own pages."""
    subject = study.randomised()
    drain()
    break_it(study, subject, reason=REASON)
    drain()
    return subject


def told(study):
    """The addresses of the people to whom Vigil shows the one notice."""
    return sorted(
        p.email for p in User.objects.filter(is_machine=False)
        if p.email and Notice.objects.visible_to(p).exists()
    )  # fmt: skip


def send(after=timedelta(0)):
    at = timezone.now() + after
    return send_due(clock=lambda: at)


def only_to(person):
    """Leave one mail of those that wait."""
    NoticeMail.objects.exclude(person=person).update(sent_at=timezone.now())
    return NoticeMail.objects.get(person=person)


# --- To whom, and what --------------------------------------------------------------------------


def test_everybody_the_notice_is_shown_to_is_mailed_and_nobody_else(study, box):
    there = study.add_site("DE-02")
    elsewhere = study.person(Role.COORDINATOR, site=there)
    with_addresses(study)
    User.objects.filter(pk=study.pharmacist.pk).update(email="")
    user("outsider", email="outsider@site.example")
    unblinded(study)

    count = send_due_mails()

    monitor, officer = study.people[Role.MEDICAL_MONITOR], study.people[Role.SAFETY_OFFICER]
    assert box.addresses == told(study)
    assert count == len(box.mails) == NoticeMail.objects.exclude(sent_at=None).count()
    assert {monitor.email, officer.email, study.admin.email} < set(box.addresses)
    assert elsewhere.email not in box.addresses
    assert study.pharmacist.email not in box.addresses
    assert not {a for a in box.addresses if a.startswith(("outsider", "site_system", "committee"))}


def test_each_mail_says_that_where_when_and_how_and_never_what(study, box):
    subject = unblinded(study)
    notice = Notice.objects.get()
    send()

    mail = box.mails[0]
    text = mail.get_content().replace("\r\n", "\n")
    assert mail["Subject"] == f"Notice: CLLM1, subject {subject.number}"
    assert mail["From"] == "Vigil <vigil@vigil.example>"
    assert (mail.get_content_type(), mail["Auto-Submitted"]) == ("text/plain", "auto-generated")
    assert text.startswith(f"{subject.number}: the blind was broken in an emergency\n")
    assert "Site:      DE-01" in text
    assert f"{notice.created_at:%Y-%m-%d %H:%M} UTC" in text
    assert f"https://vigil.example/admin/reporting/notice/{notice.pk}/change/" in text
    for each in box.mails:
        whole = each.as_string()
        assert [word for word in (*TREATMENT, "fever", "Neutropenic") if word in whole] == []
        assert whole.count("@site.example") == 1


def test_the_link_shows_the_notice_only_after_a_log_in(study, box):
    unblinded(study)
    send()
    path = reverse("admin:reporting_notice_change", args=[Notice.objects.get().pk])
    client = Client()

    before = client.get(path)
    client.force_login(study.people[Role.MEDICAL_MONITOR])
    after = client.get(path)

    assert (before.status_code, after.status_code) == (302, 200)
    assert path in box.mails[0].get_content()
    assert "the blind was broken in an emergency" in after.content.decode()


def test_of_a_whole_trials_unblinding_everybody_who_works_in_it_is_mailed(study, box):
    study.randomised()
    unblind_trial(study)
    drain()
    send()

    mail = box.mails[0]
    people = User.objects.filter(is_machine=False, role_assignments__isnull=False).distinct()
    assert box.addresses == sorted(person.email for person in people)
    assert mail["Subject"] == "Notice: CLLM1"
    assert "Site:      all sites" in mail.get_content()
    assert not any(word in each.as_string() for each in box.mails for word in TREATMENT)


def test_an_unblinding_by_accident_is_mailed_without_what_was_written_about_it(study, box):
    subject = study.randomised()
    record_inadvertent_unblinding(
        subject_id=subject.pk, happened_at=NOW, learned_by="the ward", reason="A letter was open",
        by=study.coordinator, at=timezone.now(),
    )  # fmt: skip
    drain()
    send()

    text = box.mails[0].get_content()
    assert "the treatment became known by accident" in text
    assert not any(word in text for word in ("ward", "letter"))


def test_what_can_wait_until_the_next_log_in_is_shown_and_not_mailed(study, box):
    subject = study.consented()
    withdraw_consent(
        subject_id=subject.pk, withdrawn_on=TODAY, by=study.coordinator, at=timezone.now(),
    )  # fmt: skip
    drain()

    assert Notice.objects.get().kind == "consent_withdrawn"
    assert not NoticeMail.objects.exists()


def test_a_serious_adverse_event_is_mailed(study, box):
    adverse_event(study, study.consented(), serious=True)
    drain()

    assert send() == len(told(study)) > 0
    assert "Serious adverse event of grade 3" in box.mails[0].get_content()


def test_the_events_of_a_replayed_trial_are_mailed_to_nobody(box):
    study = with_addresses(with_passwords(Study(arms=ARMS, conduct=Trial.Conduct.REPLAY)))
    unblinded(study)

    assert Notice.objects.exists()
    assert not NoticeMail.objects.exists()


def test_without_a_mail_server_the_notice_is_made_and_nothing_is_sent(study):
    unblinded(study)

    assert Notice.objects.exists()
    assert not NoticeMail.objects.exists()
    assert send_due_mails() == 0


# --- Once -----------------------------------------------------------------------------------------


def test_what_was_sent_is_not_sent_again_by_a_second_run_or_a_second_delivery(study, box):
    unblinded(study)
    sent = send()
    Delivery.objects.filter(subscriber__contains="unblinded").update(delivered_at=None)
    drain()

    assert send(after=timedelta(days=1)) == 0
    assert len(box.mails) == sent == NoticeMail.objects.count()


def test_two_workers_send_each_mail_once(study, box):
    unblinded(study)

    counts = at_once(*[partial(send_due, clock=timezone.now)] * 3)

    assert sum(counts) == len(box.mails)
    assert box.addresses == told(study)


def test_a_crash_between_sending_and_marking_sends_one_again_under_the_same_id(
    study, box, monkeypatch
):
    unblinded(study)
    mail = only_to(study.admin)

    def dies(*args, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(NoticeMail, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            send()
    early, late = send(), send(after=timedelta(minutes=3))

    assert (early, late) == (0, 1)
    assert [each["Message-ID"] for each in box.mails] == [f"<{mail.pk}@vigil.example>"] * 2


def test_a_slow_server_is_left_for_others_before_the_claim_ends(study, box):
    unblinded(study)
    began = timezone.now()
    minutes = iter(range(100))

    sent = send_due(clock=lambda: began + timedelta(minutes=next(minutes)))

    waiting = NoticeMail.objects.waiting()
    assert sent == len(box.mails) == 1
    assert not waiting.due(began + timedelta(minutes=3) - timedelta(seconds=1)).exists()
    assert waiting.due(began + timedelta(minutes=3)).count() == waiting.count() > 1


# --- A server that is away, or says no ------------------------------------------------------------


def test_a_server_that_is_away_delays_mails_alone_and_gets_them_when_it_is_back(study, settings):
    port = free_port()
    mail_through(settings, clear(port))
    unblinded(study)

    refused = send()
    failed = NoticeMail.objects.first()
    with mail_server(port) as box:
        at_once_, later = send(), send(after=timedelta(seconds=2))

    assert Unblinding.objects.exists()
    assert not Delivery.objects.filter(delivered_at=None).exists()
    assert (refused, at_once_, failed.attempts) == (0, 0, 1)
    assert failed.last_error == "ConnectionRefusedError: Connection refused"
    assert later == len(box.mails) > 0
    assert box.addresses == told(study)
    assert set(NoticeMail.objects.values_list("attempts", "last_error")) == {(2, "")}


def test_a_server_that_takes_the_call_and_says_nothing_is_waited_for_once_for_all(study, settings):
    with socket.create_server((HOST, 0)) as deaf:
        mail_through(settings, clear(deaf.getsockname()[1]))
        began = time.monotonic()
        unblinded(study)
        told_after = time.monotonic() - began

        began = time.monotonic()
        assert send() == 0
        tried_for = time.monotonic() - began

    assert settings.EMAIL_TIMEOUT <= tried_for < 2 * settings.EMAIL_TIMEOUT
    assert told_after < 10
    assert set(NoticeMail.objects.values_list("last_error", flat=True)) == {
        "SMTPServerDisconnected"
    }
    assert NoticeMail.objects.count() > 5


def fail_at(at, mail):
    assert send_due(clock=partial(timezone.localtime, at)) == 0
    mail.refresh_from_db()
    return mail


def test_no_transaction_is_open_while_a_server_is_waited_for(study, box, monkeypatch):
    unblinded(study)
    opened, sent = EmailBackend.open, EmailBackend.send_messages
    inside = []

    def watching(act):
        def watched(*args):
            inside.append(connection.in_atomic_block)
            return act(*args)

        return watched

    monkeypatch.setattr(EmailBackend, "open", watching(opened))
    monkeypatch.setattr(EmailBackend, "send_messages", watching(sent))
    count = send()

    assert len(inside) > count > 0
    assert set(inside) == {False}


def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(study, settings):
    mail_through(settings, clear(free_port()))
    unblinded(study)
    mail, waits = only_to(study.admin), []
    for _ in range(11):
        at = mail.due_at
        waits.append((fail_at(at, mail).due_at - at).total_seconds())

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    late = NoticeMail(attempts=300, tried_until=at)
    late.fail("away", final=False, at=NOW)
    assert late.due_at - NOW == timedelta(minutes=15)


def test_a_mail_is_tried_for_three_days_and_is_then_dead(study, settings):
    mail_through(settings, clear(free_port()))
    unblinded(study)
    mail = only_to(study.admin)
    end = Notice.objects.get().created_at + timedelta(days=3)

    before = fail_at(end - timedelta(microseconds=1), mail).dead_at
    NoticeMail.objects.filter(pk=mail.pk).update(due_at=end)

    assert (before, fail_at(end, mail).dead_at) == (None, end)
    assert send(after=timedelta(days=9)) == 0


@pytest.mark.parametrize(
    ("answer", "dead"),
    [
        ("550 5.1.1 No such user here", True),
        ("550 5.7.1 Relaying denied", False),
        ("552 5.2.2 Mailbox full", False),
        ("451 Try again later", False),
    ],
)
def test_an_address_that_is_refused_stops_nobody_elses_mail(study, box, answer, dead):
    monitor = study.people[Role.MEDICAL_MONITOR]
    box.answers[monitor.email] = answer
    unblinded(study)

    send()

    mail = NoticeMail.objects.get(sent_at=None)
    assert (mail.person, mail.dead_at is not None) == (monitor, dead)
    assert mail.last_error == f"SMTPRecipientsRefused: {answer[:3]}"
    assert sorted([*box.addresses, monitor.email]) == told(study)


def test_whoever_may_no_longer_read_the_notice_is_not_mailed_after_all(study, box):
    unblinded(study)
    monitor, officer = study.people[Role.MEDICAL_MONITOR], study.people[Role.SAFETY_OFFICER]
    with as_system():
        RoleAssignment.objects.filter(user=monitor).update(ends_at=timezone.now())
    User.objects.filter(pk=officer.pk).update(is_active=False)

    send()

    dropped = NoticeMail.objects.exclude(dropped_at=None)
    assert {mail.person for mail in dropped} == {monitor, officer}
    assert not {monitor.email, officer.email} & set(box.addresses)
    assert not NoticeMail.objects.dead().exists()
    assert Notice.objects.with_mails().get().unsent_mails == 0
    assert send(after=timedelta(days=1)) == 0


def test_a_dead_mail_of_somebody_who_left_is_cleared_by_sending_it_again(study, box):
    unblinded(study)
    NoticeMail.objects.update(dead_at=timezone.now())
    User.objects.update(email="")

    send_again(NoticeMail.objects.all(), by=study.admin, at=timezone.now())
    sent = send()

    assert (sent, NoticeMail.objects.dead().count(), NoticeMail.objects.waiting().count()) == (
        0, 0, 0,
    )  # fmt: skip


@pytest.mark.parametrize("state", ["waiting", "sent", "dead", "dropped"])
def test_mails_are_found_by_their_state(study, box, state):
    unblinded(study)
    ends = (None, "sent_at", "dead_at", "dropped_at")
    for mail, end in zip(NoticeMail.objects.order_by("pk"), ends, strict=False):
        NoticeMail.objects.filter(pk=mail.pk).update(**{end: timezone.now()} if end else {})
    NoticeMail.objects.filter(pk__in=NoticeMail.objects.order_by("pk")[4:]).update(
        dropped_at=None, dead_at=None, sent_at=timezone.now()
    )

    page = page_for(study.admin, "admin:reporting_noticemail_changelist", state=state)

    shown = page.context["cl"].result_list
    states = {page.context["cl"].model_admin.state(mail) for mail in shown}
    assert states == {state}
    assert state == "sent" or len(shown) == 1


def test_an_address_stands_in_no_event_no_log_line_and_no_recorded_error(study, box, lines):
    monitor = study.people[Role.MEDICAL_MONITOR]
    box.answers[monitor.email] = f"550 5.1.1 <{monitor.email}> unknown"
    unblinded(study)
    send()

    payloads = str(list(OutboxEvent.objects.values_list("payload", flat=True)))
    errors = str(list(NoticeMail.objects.values_list("last_error", flat=True)))
    assert "mail.failed" in lines()
    assert "site.example" not in payloads + errors + lines()


# --- Over TLS, with a log-in ----------------------------------------------------------------------


def secured(port, password=LOG_IN[1]):
    return f"smtp://{LOG_IN[0]}:{quote(password)}@{HOST}:{port}"


@pytest.fixture
def certificate(tmp_path):
    return certificate_in(tmp_path)


def test_a_server_is_spoken_to_encrypted_and_with_the_log_in(
    study, settings, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate=certificate) as box:
        mail_through(settings, secured(box.port))
        unblinded(study)

        assert send() == len(box.mails) == len(told(study)) > 0


def test_a_certificate_that_nobody_vouches_for_gets_neither_log_in_nor_mail(
    study, settings, certificate
):
    with mail_server(certificate=certificate) as box:
        mail_through(settings, secured(box.port))
        unblinded(study)

        assert send() == len(box.mails) == 0
    assert "SSLCertVerificationError" in NoticeMail.objects.first().last_error


def test_a_wrong_password_is_tried_again_and_told_by_its_code(
    study, settings, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate=certificate) as box:
        mail_through(settings, secured(box.port, "wrong"))
        unblinded(study)

        assert send() == len(box.mails) == 0
    mail = NoticeMail.objects.first()
    assert (mail.last_error, mail.dead_at) == ("SMTPAuthenticationError: 535", None)


def test_nothing_is_sent_in_the_clear_unless_the_setting_says_so(study, settings):
    with mail_server() as box:
        mail_through(settings, f"smtp://{HOST}:{box.port}")
        unblinded(study)

        assert send() == len(box.mails) == 0
    assert NoticeMail.objects.first().last_error == "SMTPNotSupportedError"


# --- Where it is seen -----------------------------------------------------------------------------


def page_for(person, name, **query):
    client = Client()
    client.force_login(person)
    return client.get(reverse(name), query)


def test_the_administrator_sees_what_was_sent_to_whom_and_starts_dead_mails_afresh(study, box):
    monitor = study.people[Role.MEDICAL_MONITOR]
    box.answers[monitor.email] = "550 5.1.1 No such user here"
    adverse_event(study, study.consented(), serious=True)
    drain()
    send()
    dead = NoticeMail.objects.dead().get()
    first = page_for(study.admin, "admin:index").content.decode()
    page = page_for(study.admin, "admin:reporting_noticemail_changelist")
    listed = page.content.decode()

    del box.answers[monitor.email]
    action = {"action": "send_again", "_selected_action": [str(dead.pk)]}
    page.client.post(reverse("admin:reporting_noticemail_changelist"), action)
    sent = send()

    assert "1 e-mail about notices could not be sent" in first
    assert page.context["cl"].result_count == NoticeMail.objects.count()
    assert "SMTPRecipientsRefused: 550" in listed
    assert monitor.username in listed
    assert monitor.email not in listed
    assert (sent, box.mails[-1]["To"]) == (1, monitor.email)


def test_a_mail_that_was_given_up_is_tried_for_another_three_days(study, box):
    unblinded(study)
    mail, later = only_to(study.admin), timezone.now() + timedelta(days=9)
    NoticeMail.objects.filter(pk=mail.pk).update(dead_at=timezone.now(), attempts=290)

    count = send_again(NoticeMail.objects.all(), by=study.admin, at=later)

    mail.refresh_from_db()
    assert count == 1
    assert (mail.dead_at, mail.attempts, mail.due_at) == (None, 0, later)
    assert mail.tried_until == later + timedelta(days=3)


@pytest.mark.parametrize("role", NOT_ADMINISTRATORS)
def test_nobody_else_sees_whom_a_notice_was_mailed_to_or_starts_it_again(study, box, role):
    unblinded(study)
    NoticeMail.objects.update(dead_at=timezone.now())
    person = study.people[role]

    count = send_again(NoticeMail.objects.all(), by=person, at=timezone.now())

    page = page_for(person, "admin:reporting_noticemail_changelist")
    assert (page.status_code, count) == (403, 0)


def test_without_a_mail_server_the_page_of_mails_says_so(study):
    page = page_for(study.admin, "admin:reporting_noticemail_changelist")

    assert "No mail server is set" in page.content.decode()


def test_the_notices_say_whether_they_were_mailed(study, box):
    box.answers[study.admin.email] = "451 Try again later"
    unblinded(study)
    people = len(told(study))
    before = page_for(study.coordinator, "admin:reporting_notice_changelist").content.decode()

    send()

    after = page_for(study.coordinator, "admin:reporting_notice_changelist").content.decode()
    assert f"Sent to 0, {people} not sent" in before
    assert f"Sent to {people - 1}, 1 not sent" in after


# --- In the database ------------------------------------------------------------------------------


def test_postgresql_shows_a_mail_with_its_event_and_lets_nobody_delete_one(study, box):
    adverse_event(study, study.consented(), serious=True)
    drain()
    rows = NoticeMail.objects.count()
    other = user("outsider")

    def seen(person):
        return len(as_application("SELECT id FROM reporting_noticemail", reader=person.pk))

    assert rows > 0
    assert (seen(study.admin), seen(study.coordinator), seen(other)) == (rows, rows, 0)
    assert denied("DELETE FROM reporting_noticemail")
