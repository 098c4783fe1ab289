"""The words of a mailed notice: what the notice says and nothing more, and where it is read."""

from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import reverse

from reporting.models import Notice, NoticeMail


UNBLINDINGS = {"subject_unblinded", "trial_unblinded"}


def letter(notice: Notice, mail: NoticeMail, link: BaseEmailBackend) -> EmailMessage:
    """Return the mail of a notice to its person, under an id that a second sending shares."""
    host = urlsplit(settings.VIGIL_ADDRESS).hostname
    return EmailMessage(
        subject=subject_line(notice),
        body=body(notice),
        to=[mail.person.email],
        headers={
            "Message-ID": f"<{mail.pk}@{host}>",
            "Auto-Submitted": "auto-generated",  # no absence is answered to it
        },
        connection=link,
    )


def subject_line(notice: Notice) -> str:
    """Return the trial and the subject's number: what may be read on a locked screen."""
    about = f", subject {notice.subject.number}" if notice.subject else ""
    return f"Notice: {notice.trial.code}{about}"


def body(notice: Notice) -> str:
    page = reverse("admin:reporting_notice_change", args=[notice.pk])
    lines = [
        notice.text,
        "",
        f"Trial:     {notice.trial.code}",
        f"Site:      {notice.site or 'all sites'}",
        f"Recorded:  {_recorded(notice)}",
        "",
        "In Vigil, after logging in:",
        f"{settings.VIGIL_ADDRESS}{page}",
        "",
    ]
    if notice.kind in UNBLINDINGS:
        lines += ["Neither this message nor the notice says what the treatment is.", ""]
    lines += ["You are told because of your role in the trial. Replies are not read.", ""]
    return "\n".join(lines)


def _recorded(notice: Notice) -> str:
    """Return the instant by the site's clock and in UTC, for readers elsewhere."""
    utc = f"{notice.created_at:%Y-%m-%d %H:%M} UTC"
    if notice.site is None:
        return utc
    there = notice.created_at.astimezone(ZoneInfo(notice.site.time_zone))
    return f"{there:%Y-%m-%d %H:%M} at the site ({utc})"
