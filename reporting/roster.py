"""Subjects with their state and how far they have come, in one query whatever their number."""

from datetime import date, datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    DateField,
    Exists,
    F,
    JSONField,
    OuterRef,
    QuerySet,
    SmallIntegerField,
    Subquery,
    TextChoices,
    Value,
    When,
)
from django.db.models.functions import Greatest

from dosing.models import Dispensation, TreatmentEnd
from patients.models import Death, ResponseAssessment, Screening, Subject, Visit
from reporting.due import Due, Progress, next_due


class State(TextChoices):
    """The furthest point reached; a later one hides those before it."""

    SCREENED = "screened", "Screened"
    NOT_ELIGIBLE = "not_eligible", "Not eligible"
    ELIGIBLE = "eligible", "Eligible"
    RANDOMISED = "randomised", "Randomised"
    ON_TREATMENT = "on_treatment", "On treatment"
    TREATMENT_ENDED = "treatment_ended", "Treatment ended"
    PROGRESSED = "progressed", "Progressed"
    DIED = "died", "Died"


TONES = {
    State.ELIGIBLE: "info",
    State.RANDOMISED: "primary",
    State.ON_TREATMENT: "success",
    State.TREATMENT_ENDED: "warning",
    State.PROGRESSED: "danger",
}


def with_state(subjects: "QuerySet[Subject]") -> "QuerySet[Any]":
    """Annotate ``state`` and what ``due_of`` asks for."""
    here = {"subject": OuterRef("pk")}
    judged = Screening.objects.filter(**here, subject_revision=OuterRef("revision"))
    screening = judged.order_by("-recorded_at")
    supply = Dispensation.objects.filter(**here).order_by("-cycle")
    cycle_visit = Visit.objects.filter(**here, kind=Visit.Kind.CYCLE).order_by("-cycle")
    visit = Visit.objects.filter(**here).order_by("-visited_on")
    end = TreatmentEnd.objects.filter(**here)
    return subjects.annotate(
        died=Exists(Death.objects.filter(**here)),
        progressed=Exists(ResponseAssessment.objects.filter(**here, response="PD")),
        eligible=_latest(screening, "eligible", BooleanField()),
        screened_values=_latest(screening, "values", JSONField()),
        supplied_cycle=_latest(supply, "cycle", SmallIntegerField()),
        supplied_on=_latest(supply, "dispensed_on", DateField()),
        visited_cycle=_latest(cycle_visit, "cycle", SmallIntegerField()),
        visited_cycle_on=_latest(cycle_visit, "visited_on", DateField()),
        last_visit_on=_latest(visit, "visited_on", DateField()),
        treatment_ended_on=_latest(end, "ended_on", DateField()),
        randomised_on=F("allocation__randomised_on"),
        last_cycle=Greatest("supplied_cycle", "visited_cycle"),
    ).annotate(state=_state())


def _latest(rows: "QuerySet[Any]", field: str, output: Any) -> Subquery:
    return Subquery(rows.values(field)[:1], output_field=output)


def _state() -> Case:
    return Case(
        When(died=True, then=Value(State.DIED)),
        When(progressed=True, then=Value(State.PROGRESSED)),
        When(treatment_ended_on__isnull=False, then=Value(State.TREATMENT_ENDED)),
        When(supplied_cycle__isnull=False, then=Value(State.ON_TREATMENT)),
        When(allocation__isnull=False, then=Value(State.RANDOMISED)),
        When(eligible=True, then=Value(State.ELIGIBLE)),
        When(eligible=False, then=Value(State.NOT_ELIGIBLE)),
        default=Value(State.SCREENED),
        output_field=CharField(),
    )


def due_of(subject: Any, *, at: datetime) -> Due | None:
    """Return what is due next for a subject of ``with_state``, by its site's protocol of today."""
    progress = Progress(
        died=subject.died,
        eligible=subject.eligible,
        screened=subject.screened_values or {},
        randomised_on=subject.randomised_on,
        cycle=subject.last_cycle,
        cycle_day_1=_cycle_day_1(subject),
        treatment_ended_on=subject.treatment_ended_on,
        last_visit_on=subject.last_visit_on,
    )
    return next_due(progress, subject.site.protocol_on(subject.site.local_day(at)))


def _cycle_day_1(subject: Any) -> date | None:
    by_supply = subject.supplied_cycle == subject.last_cycle
    day: date | None = subject.supplied_on if by_supply else subject.visited_cycle_on
    return day
