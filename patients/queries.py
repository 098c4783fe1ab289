"""Reads with a name."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import TypeVar
from uuid import UUID

from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from events.models import OutboxEvent
from patients.models import (
    Consent,
    ConsentWithdrawal,
    ResponseAssessment,
    Screening,
    ScreeningCorrection,
    Subject,
    SubjectCorrection,
    Unblinding,
    UnblindingAssessment,
    UnblindingMistake,
)
from patients.rules.consent import form_due
from patients.rules.eligibility import completed_years
from patients.rules.screening import read_values
from trials.models import Allocation, Site, User
from trials.permissions import Permission
from trials.rules.protocol import Value


Row = TypeVar("Row", bound=Model)


def consent_active(subject: Subject, *, on: date) -> bool:
    """Return whether a consent was signed by a day and not withdrawn by then; both days count."""
    signed = Consent.objects.filter(subject=subject, signed_on__lte=on).exists()
    withdrawn = ConsentWithdrawal.objects.filter(subject=subject, withdrawn_on__lte=on).exists()
    return signed and not withdrawn


def consent_form_due(subject: Subject, *, on: date) -> str:
    """Return the version of the consent form to be signed first, by ``subject.protocol``."""
    signed = Consent.objects.filter(subject=subject, signed_on__lte=on)
    return form_due(signed.values_list("version", flat=True), subject.protocol.consent)


def has_progressed(subject: Subject, *, on: date) -> bool:
    """Return whether any assessor found progression on or before a day."""
    return ResponseAssessment.objects.filter(
        subject=subject, response=ResponseAssessment.Response.PD, assessed_on__lte=on
    ).exists()


def screened_values(screening: Screening) -> dict[str, Value]:
    """Return what a screening found, read by the protocol version it was recorded under."""
    variables = screening.protocol_version.protocol.screening.variables
    return read_values(screening.values, variables)


def enrolled_values(subject: Subject) -> dict[str, Value]:
    """Return the variables that are known from the subject itself, after its first consent."""
    consent = Consent.objects.filter(subject=subject).earliest("signed_on")
    return {
        "age": completed_years(subject.year_of_birth, consent.signed_on),
        "sex": subject.sex,
    }


def strata_corrections(
    subjects: Sequence[Subject],
) -> dict[UUID, list[ScreeningCorrection | SubjectCorrection]]:
    """Return by subject what was corrected since its randomisation, oldest first.

    Each one goes on from those before it: the stratum of the last is the right one.
    """
    found: dict[UUID, list[ScreeningCorrection | SubjectCorrection]] = defaultdict(list)
    of_screenings = ScreeningCorrection.objects.filter(subject__in=subjects)
    of_subjects = SubjectCorrection.objects.filter(subject__in=subjects, allocation__isnull=False)
    rows = [row for each in (of_screenings, of_subjects) for row in with_author(each)]
    for row in sorted(rows, key=lambda row: row.recorded_at):
        found[row.subject_id].append(row)
    return found


def with_author(rows: QuerySet[Row]) -> QuerySet[Row]:
    return with_version(rows.select_related("recorded_by"))


def with_version(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Bring along which protocol version each row was made under, but not the protocol's text."""
    return rows.select_related("protocol_version").defer("protocol_version__text")


def randomisation_log(user: User) -> QuerySet[Allocation]:
    """Return who was randomised, as a user may read it: the subjects who are at their sites now.

    ``subject_id`` and ``subject_number`` stand beside each row. Like all that is known of a
    subject, its line moves with it to another site.
    """
    sites = Site.objects.visible_to(user, Permission.READ_RANDOMISATION)
    there_now = Subject.objects.filter(site__in=sites, allocation__isnull=False)
    whose = there_now.filter(allocation=OuterRef("pk"))
    rows = Allocation.objects.filter(pk__in=there_now.values("allocation")).annotate(
        subject_id=Subquery(whose.values("pk")), subject_number=Subquery(whose.values("number"))
    )
    return with_version(rows.select_related("site"))


def readable_events(user: User) -> "QuerySet[OutboxEvent]":
    """Return the events of the log that a user may read.

    Who reads the history of all sites reads a trial's whole stream. Who reads it at one site
    reads what happened there, and all that ever happened to the subjects who are there now; of a
    subject who moved away, nothing.
    """
    readable = Q(pk__in=[])
    for held in user.may(Permission.READ_HISTORY):
        here = Q(stream=held.trial.code)
        if held.site_id is not None:
            subjects = Subject.objects.filter(site=held.site_id)
            there_now = subjects.annotate(text=Cast("pk", TextField())).values("text")
            here &= Q(about__in=there_now) | Q(about=None, payload__site_id=str(held.site_id))
        readable |= here
    rows: QuerySet[OutboxEvent] = OutboxEvent.objects.annotate(
        about=KeyTextTransform("subject_id", "payload")
    )
    return rows.filter(readable)


def with_emergency_looks(rows: QuerySet[Subject]) -> QuerySet[Subject]:
    """Say of each subject, as ``emergency_looks``, how often its blind was broken in an emergency.

    The trials come along, each once, so that a list asks for its protocol once.
    """
    looks = _counted(Unblinding.objects.filter(subject=OuterRef("pk")))
    return rows.annotate(emergency_looks=looks).prefetch_related("trial")


def with_reviews(rows: QuerySet[Unblinding]) -> QuerySet[Unblinding]:
    """Say of each unblinding what was judged of it, and by what ``why_review`` decides.

    ``looks`` are the emergency looks at its subject until then, with itself; ``assessed`` whether
    there is an assessment, ``last_impact`` what the last one says; ``in_error`` whether it was
    entered in error.
    """
    made = UnblindingAssessment.objects.filter(unblinding=OuterRef("pk"))
    until_then = Unblinding.objects.filter(
        subject=OuterRef("subject"), happened_at__lte=OuterRef("happened_at")
    )
    return (
        with_mistakes(rows)
        .annotate(
            assessed=Exists(made),
            looks=_counted(until_then),
            last_impact=Subquery(made.order_by("-recorded_at").values("impact")[:1]),
        )
        .prefetch_related("subject__trial")
    )


def with_mistakes(rows: QuerySet[Unblinding]) -> QuerySet[Unblinding]:
    """Say of each unblinding, as ``in_error``, whether it was entered in error."""
    marks = UnblindingMistake.objects.filter(unblinding=OuterRef("pk"))
    return rows.annotate(in_error=Exists(marks))


def _counted(rows: QuerySet[Unblinding]) -> Coalesce:
    """Return how many emergency looks at one subject are among some unblindings of it."""
    looks = rows.filter(kind=Unblinding.Kind.EMERGENCY, mistake=None).order_by().values("subject")
    return Coalesce(Subquery(looks.annotate(count=Count("pk")).values("count")), 0)


def unblinding_kinds(subject: Subject) -> list[str]:
    """Return in which ways a subject's arm became known, as the gates ask it."""
    known = Unblinding.objects.that_count().filter(subject=subject)
    return list(known.values_list("kind", flat=True))
