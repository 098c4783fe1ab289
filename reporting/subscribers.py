"""What reporting does when something happened: count it, and tell people what they must see."""

from typing import Any

from django.db import connection

from dosing.events import (
    DoseDecided,
    KitDispensed,
    PregnancyTestRecorded,
    TreatmentEnded,
)
from events.models import OutboxEvent
from events.registry import subscribes_to
from patients.events import (
    AdverseEventRecorded,
    ConsentRecorded,
    ConsentWithdrawn,
    DeathRecorded,
    LabsRecorded,
    ResponseRecorded,
    ScreeningRecorded,
    SubjectCorrected,
    SubjectEnrolled,
    SubjectRandomised,
    SubjectUnblinded,
    UnblindingMistakeRecorded,
    VisitRecorded,
)
from patients.models import Subject
from reporting.models import Notice, SiteActivity
from reporting.services.mails import mail_notice
from trials.events import TrialUnblinded
from trials.models import Trial


@subscribes_to(
    SubjectEnrolled,
    ConsentRecorded,
    ConsentWithdrawn,
    ScreeningRecorded,
    SubjectRandomised,
    VisitRecorded,
    LabsRecorded,
    ResponseRecorded,
    AdverseEventRecorded,
    DeathRecorded,
    PregnancyTestRecorded,
    DoseDecided,
    KitDispensed,
    TreatmentEnded,
)
def count_site_activity(event: OutboxEvent) -> None:
    """Add one to the site's count of this type, in one statement that two relays can share."""
    table = SiteActivity._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (site_id, type, count) VALUES (%s, %s, 1)"  # noqa: S608  our own name
            f" ON CONFLICT (site_id, type) DO UPDATE SET count = {table}.count + 1",
            [event.payload["site_id"], event.type],
        )


@subscribes_to(AdverseEventRecorded)
def notice_serious_adverse_event(event: OutboxEvent) -> None:
    if event.payload["serious"]:
        text = f"Serious adverse event of grade {event.payload['grade']}"
        _notice(event, "serious_adverse_event", text)


@subscribes_to(DeathRecorded)
def notice_death(event: OutboxEvent) -> None:
    _notice(event, "death", "Death")


@subscribes_to(PregnancyTestRecorded)
def notice_pregnancy_test(event: OutboxEvent) -> None:
    result: str = event.payload["result"]
    if result != "negative":
        _notice(event, "pregnancy_test", f"Pregnancy test {result}")


@subscribes_to(ConsentWithdrawn)
def notice_consent_withdrawn(event: OutboxEvent) -> None:
    _notice(event, "consent_withdrawn", "Consent withdrawn")


@subscribes_to(SubjectCorrected)
def notice_subject_corrected(event: OutboxEvent) -> None:
    """Tell those who see the subject: what was judged from the old values stands no longer."""
    told = " and ".join(event.payload["corrected"]).replace("_", " ")
    against = "; not eligible by it" if event.payload["against"] else ""
    _notice(event, "subject_corrected", f"{told.capitalize()} corrected{against}")


UNBLINDED = "subject_unblinded"
HOW_UNBLINDED = {
    "emergency": "the blind was broken in an emergency",
    "safety": "unblinded for a safety report; the site keeps the blind",
    "contingency": "a contingency sheet was opened",
    "inadvertent": "the treatment became known by accident",
}


@subscribes_to(SubjectUnblinded)
def notice_subject_unblinded(event: OutboxEvent) -> None:
    """Tell the site, medical monitor, safety officer and sponsor that, and never what."""
    _notice(event, UNBLINDED, HOW_UNBLINDED[event.payload["kind"]])


@subscribes_to(UnblindingMistakeRecorded)
def notice_unblinding_in_error(event: OutboxEvent) -> None:
    """Tell those who were told of it: the notice has the kind of the first one."""
    _notice(event, UNBLINDED, "an unblinding was recorded in error and counts no more")


@subscribes_to(TrialUnblinded)
def notice_trial_unblinded(event: OutboxEvent) -> None:
    """Tell everybody who works in the trial that its arms were handed out, and no arm."""
    trial = Trial.objects.get(code=event.stream)
    fields: dict[str, Any] = {
        "trial": trial,
        "kind": "trial_unblinded",
        "text": f"{trial.code}: the whole trial was unblinded, as two people agreed",
        "created_at": event.recorded_at,
    }
    _make(event, fields)


def _notice(event: OutboxEvent, kind: str, text: str) -> None:
    subject = Subject.objects.get(pk=event.payload["subject_id"])
    fields: dict[str, Any] = {
        "trial_id": subject.trial_id,
        "site_id": subject.site_id,
        "subject": subject,
        "kind": kind,
        "text": f"{subject.number}: {text}",
        "created_at": event.recorded_at,
    }
    _make(event, fields)


def _make(event: OutboxEvent, fields: dict[str, Any]) -> None:
    """Make the event's one notice and its mails; a second delivery finds them there."""
    notice, made = Notice.objects.get_or_create(event=event, defaults=fields)
    if made:
        mail_notice(notice)
