"""What became of each look behind the blind: what it showed, and how it was judged."""

from collections.abc import Iterable
from typing import Any

from events.models import OutboxEvent
from events.reading import reading_as_system
from patients.models import Unblinding, UnblindingAssessment
from trials.events import BlindOpened
from trials.models import SealedAccess


SHOWN: dict[str, str] = {
    "emergency unblinding": "Treatment of the subject",
    "safety unblinding": "Treatment of the subject",
    "trial unblinding": "Treatment of every subject",
    "contingency sheets": "Sealed sheets of a site",
    "contingency passwords": "Passwords of sheets",
    "report by arm": "Results by arm",
    "check dry run": "A draft list",
    "verify randomisation": "The lists in use",
    "load randomisation list": "Nothing: a list was sealed",
    "load kit contents": "Nothing: contents were sealed",
    "read kit contents": "What the kits of a site hold",
}
"""What an access to the sealed schema shows, by its purpose."""

AFTER_THE_RECORD = {
    "emergency unblinding", "safety unblinding", "trial unblinding", "contingency sheets",
    "contingency passwords",
}  # fmt: skip
"""Purposes of which nothing is shown before the act is recorded: no record, nothing shown."""

BROKE_OFF = "Nothing: it broke off before"


def with_outcome(rows: Iterable[SealedAccess]) -> list[SealedAccess]:
    """Return looks that know whether they were completed and how they were judged.

    Two queries, however many rows.
    """
    looks = list(rows)
    ids = [str(look.pk) for look in looks]
    with reading_as_system("whoever reads the access log reads what became of each look"):
        opened = set(
            OutboxEvent.objects.filter(
                stream__in={look.trial.code for look in looks},
                type=BlindOpened.type,
                payload__access_id__in=ids,
            ).values_list("payload__access_id", flat=True)
        )
        unblindings = {
            one.access_id: one
            for one in Unblinding.objects.filter(access_id__in=ids).prefetch_related(
                "assessments__recorded_by"
            )
        }
    for look in looks:
        row: Any = look
        row.completed = str(look.pk) in opened
        row.unblinding = unblindings.get(look.pk)
    return looks


def shown_at(look: Any) -> str:
    """Return in words what a look ``with_outcome`` showed; never which arm."""
    if look.purpose in AFTER_THE_RECORD and not look.completed:
        return BROKE_OFF
    return SHOWN.get(look.purpose, "Not known")


def last_assessment(look: Any) -> UnblindingAssessment | None:
    """Return how a look ``with_outcome`` was last judged, or nothing."""
    made = list(look.unblinding.assessments.all()) if look.unblinding else []
    return made[-1] if made else None
