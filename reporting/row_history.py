"""Who changed what about one subject, when and why, told from the row history."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models

from dosing.models import (
    Counselling,
    Dispensation,
    DoseDecision,
    PregnancyRisk,
    PregnancyTest,
    TreatmentEnd,
)
from events.history import history_model
from patients.models import (
    AdverseEvent,
    Consent,
    ConsentWithdrawal,
    Contact,
    Death,
    FurtherTreatment,
    LabResult,
    RandomisationMistake,
    ResponseAssessment,
    Screening,
    ScreeningCorrection,
    Subject,
    SubjectCorrection,
    SubjectTransfer,
    Unblinding,
    UnblindingAssessment,
    UnblindingMistake,
    Visit,
)
from trials.models import ProtocolVersion


RECORDS: tuple[type[models.Model], ...] = (
    Consent,
    ConsentWithdrawal,
    Screening,
    ScreeningCorrection,
    SubjectCorrection,
    RandomisationMistake,
    Visit,
    LabResult,
    AdverseEvent,
    ResponseAssessment,
    Contact,
    FurtherTreatment,
    Death,
    PregnancyRisk,
    Counselling,
    PregnancyTest,
    DoseDecision,
    Dispensation,
    TreatmentEnd,
    SubjectTransfer,
    Unblinding,
    UnblindingAssessment,
    UnblindingMistake,
)

# What a coordinator calls a record, where the model's own name is another.
NAMES: dict[type[models.Model], str] = {
    ScreeningCorrection: "Correction of the screening",
    SubjectCorrection: "Correction of sex or year of birth",
    RandomisationMistake: "Randomisation in error",
    UnblindingAssessment: "Assessment of an unblinding",
    UnblindingMistake: "Unblinding entered in error",
    SubjectTransfer: "Transfer to another site",
    TreatmentEnd: "End of treatment",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One value of one field before and after."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Version:
    """One row as it was written: by whom, in which role, and what differs from the one before.

    ``under`` is the protocol version of a record that is new; it keeps it through all changes.
    """

    at: datetime
    actor: str
    role: str
    reason: str
    record: str
    act: str
    under: str
    changes: tuple[Change, ...]


def history_of(subject: Subject) -> list[Version]:
    """Return every version of every record of a subject, the newest first.

    One query a kind of record. Whatever points to another row is left out: identifiers say
    nothing to a reader, and the list's slot is nobody's business. What a record that is new says
    is left out too, but for the reason its author gave.
    """
    made = ProtocolVersion.objects.filter(trial=subject.trial_id)
    under = dict(made.values_list("pk", "version"))
    versions = [*_told(Subject, under, {"pgh_obj_id": subject.pk})]
    for model in RECORDS:
        versions += _told(model, under, {"subject_id": subject.pk})
    return sorted(versions, key=lambda version: version.at, reverse=True)


def _told(
    model: type[models.Model], under: dict[UUID, str], which: dict[str, Any]
) -> Iterator[Version]:
    rows = history_model(model)._default_manager.filter(**which).order_by("pgh_obj_id", "pgh_id")
    before: dict[Any, Any] = {}
    row: Any
    for row in rows:
        yield _version(model, under, row, before.get(row.pgh_obj_id))
        before[row.pgh_obj_id] = row


def _version(model: type[models.Model], under: dict[UUID, str], row: Any, before: Any) -> Version:
    said = row.pgh_context or {}
    changes = () if before is None else tuple(_changes(model, before, row))
    return Version(
        at=row.pgh_created_at,
        actor=said.get("actor", ""),
        role=said.get("role", "").replace("_", " "),
        reason=said.get("reason", ""),
        record=NAMES.get(model, str(model._meta.verbose_name).capitalize()),
        act={"insert": "recorded", "update": "changed", "delete": "deleted"}[row.pgh_label],
        under=under[row.protocol_version_id] if before is None else "",
        changes=changes,
    )


def _changes(model: type[models.Model], before: Any, after: Any) -> Iterator[Change]:
    for field in model._meta.fields:
        if field.primary_key or field.name == "revision":
            continue
        old, new = getattr(before, field.attname), getattr(after, field.attname)
        if old == new:
            continue
        if field.is_relation:
            yield Change(str(field.verbose_name), "–" if old is None else "set", "set")
        else:
            yield Change(str(field.verbose_name), _text(old), _text(new))


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )
