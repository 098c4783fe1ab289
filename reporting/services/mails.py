"""Notices by e-mail: whom each is mailed to, and the sending. See docs/decisions/0019.

The mails are written down with their notice, in its transaction. They are sent by a task of their
own, outside any transaction: an unreachable server holds up nothing else.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused, SMTPResponseException

import structlog
from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.db.models import QuerySet

from reporting.letters import letter
from reporting.models import Notice, NoticeMail, NoticeMailQuerySet
from trials.models import RoleAssignment, Trial, User
from trials.permissions import Permission


log = structlog.get_logger(__name__)

# What somebody must act on, or know, before they next log in. The others are shown in Vigil alone.
MAILED = frozenset(
    {"subject_unblinded", "trial_unblinded", "serious_adverse_event", "death", "pregnancy_test"}
)
AT_ONCE = 50
SENDING_FOR = timedelta(minutes=1)
CLAIMED_FOR = timedelta(minutes=3)  # longer than SENDING_FOR and the slowest single mail


def mail_notice(notice: Notice) -> int:
    """Write down a mail to everybody a notice is for; return how many. Nothing is sent yet.

    None without a mail server, for a kind that can wait, or in a replayed trial, whose events are
    years old.
    """
    live = notice.trial.conduct == Trial.Conduct.LIVE
    if not (settings.MAIL_ON and live and notice.kind in MAILED):
        return 0
    at = notice.created_at
    mails = [
        NoticeMail(
            event_id=notice.event_id,
            person=person,
            due_at=at,
            tried_until=at + NoticeMail.TRIED_FOR,
        )
        for person in _people_in(notice.trial, at=at)
        if _is_for(notice, person)
    ]
    return len(NoticeMail.objects.bulk_create(mails))


def _people_in(trial: Trial, *, at: datetime) -> "QuerySet[User]":
    held = RoleAssignment.objects.in_force(at).filter(trial=trial)
    return User.objects.filter(pk__in=held.values("user"))


def _is_for(notice: Notice, person: User) -> bool:
    """Return whether somebody can be mailed, and would see the notice in Vigil now."""
    if not (person.is_active and person.email) or person.is_machine:
        return False
    return Notice.objects.visible_to(person).filter(pk=notice.pk).exists()


def send_due(*, clock: Callable[[], datetime]) -> int:
    """Send the mails that are due, over one connection; return how many were sent.

    One process sends at a time: a server that does not answer holds up no second one. What is
    claimed is nobody else's for three minutes. Each is marked after it was sent: a crash in between
    sends that one again, under the same Message-ID.
    """
    with _alone() as alone:
        return _send_claimed(clock) if alone else 0


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Give whether no other process sends. The lock is the connection's, not a transaction's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended('sending mails', 0))")
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended('sending mails', 0))")


def _send_claimed(clock: Callable[[], datetime]) -> int:
    began = clock()
    claimed = _claim(at=began)
    if not claimed:
        return 0
    link = get_connection()
    try:
        link.open()
    except Exception as error:  # noqa: BLE001, RUF100 - any failure is recorded and tried again
        for mail in claimed:
            _note_failure(mail, error, at=clock())
        return 0
    else:
        return _send_all(claimed, link, clock=clock, until=began + SENDING_FOR)
    finally:
        with contextlib.suppress(OSError):  # all of smtplib's errors are such
            link.close()


def _send_all(
    mails: list[NoticeMail],
    link: BaseEmailBackend,
    *,
    clock: Callable[[], datetime],
    until: datetime,
) -> int:
    sent = 0
    for mail in mails:
        if clock() > until:
            break  # the rest is due again when its claim ends
        sent += _send(mail, link, clock=clock)
    return sent


@transaction.atomic
def _claim(*, at: datetime) -> list[NoticeMail]:
    due = NoticeMail.objects.due(at).select_for_update(of=["self"], skip_locked=True)
    claimed = list(due.select_related("person").order_by("due_at", "pk")[:AT_ONCE])
    mine = NoticeMail.objects.filter(pk__in=[mail.pk for mail in claimed])
    mine.update(due_at=at + CLAIMED_FOR)
    return claimed


def _send(mail: NoticeMail, link: BaseEmailBackend, *, clock: Callable[[], datetime]) -> bool:
    """Send one mail and mark it, or record why it was not sent; drop one of somebody who left."""
    notice = Notice.objects.select_related("trial", "site", "subject").get(event=mail.event_id)
    if not _is_for(notice, mail.person):
        mail.dropped_at = clock()
        mail.save(update_fields=["dropped_at"])
        return False
    try:
        letter(notice, mail, link).send()
    except Exception as error:  # noqa: BLE001, RUF100 - any failure is recorded and tried again
        _note_failure(mail, error, at=clock())
        return False
    mail.attempts += 1
    mail.sent_at, mail.last_error = clock(), ""
    mail.save(update_fields=["attempts", "sent_at", "last_error"])
    return True


def _note_failure(mail: NoticeMail, error: Exception, *, at: datetime) -> None:
    mail.fail(_told(error), final=_refused_for_good(error), at=at)
    mail.save(update_fields=["attempts", "due_at", "dead_at", "last_error"])
    log.warning(
        "mail.failed",
        event_id=mail.event_id,
        attempts=mail.attempts,
        dead=mail.dead_at is not None,
        error=type(error).__name__,
    )


def _refused_for_good(error: Exception) -> bool:
    """Return whether the server knows no such address, and will not tomorrow either.

    A full mailbox or a refused relay has another status, and may pass. Source: RFC 3463, 3.2.
    """
    return isinstance(error, SMTPRecipientsRefused) and all(
        said.startswith(b"5.1.") for _, said in error.recipients.values()
    )


def _told(error: Exception) -> str:
    """Return what failed, without the server's own words: they quote addresses."""
    name = type(error).__name__
    if isinstance(error, SMTPRecipientsRefused):
        return f"{name}: {', '.join(str(code) for code, _ in error.recipients.values())}"
    if isinstance(error, SMTPResponseException):
        return f"{name}: {error.smtp_code}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"[:300]
    return name


def mails_of(by: User) -> NoticeMailQuerySet:
    """Return the mails of the trials where somebody may replay deliveries."""
    held = by.may(Permission.MANAGE_DELIVERIES)
    return NoticeMail.objects.filter(event__stream__in={row.trial.code for row in held})


def send_again(mails: Iterable[NoticeMail], *, by: User, at: datetime) -> int:
    """Start dead mails afresh, of those ``by`` looks after; return how many there were."""
    with transaction.atomic():
        asked = mails_of(by).filter(pk__in=[mail.pk for mail in mails])
        dead = list(asked.dead().select_for_update(of=["self"]))
        for mail in dead:
            mail.start_afresh(at=at)
            mail.save()
    log.info("mail.sent_again", count=len(dead), actor=by.username)
    return len(dead)
