"""Whom an amendment affects, and how: a pure rule over what is known of each subject."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from dosing.rules.escalation import dose_in_force_blocks, planned_dose
from patients.rules.consent import form_due
from trials.rules.protocol import Dosing, Protocol, VisitSpec
from trials.rules.protocol.amendment import Change, changes, judges_otherwise
from trials.rules.protocol.words import shown


class Effect(StrEnum):
    """What an amendment means for a subject. Values are stable: the interface shows them."""

    RECONSENT_DUE = "reconsent_due"
    JUDGE_ANEW = "judge_eligibility_anew"
    LEVEL_GONE = "dose_level_gone"
    DECISION_UNDONE = "dose_decision_undone"
    PLANNED_DOSE_CHANGED = "planned_dose_changed"
    WINDOW_MOVED = "visit_window_moved"
    PREVENTION_CHANGED = "pregnancy_prevention_changed"


LABELS = {
    Effect.RECONSENT_DUE: "Re-consent due",
    Effect.JUDGE_ANEW: "Screening to be repeated",
    Effect.LEVEL_GONE: "Dose level gone",
    Effect.DECISION_UNDONE: "Dose to be decided anew",
    Effect.PLANNED_DOSE_CHANGED: "Planned dose changed",
    Effect.WINDOW_MOVED: "Visit window moved",
    Effect.PREVENTION_CHANGED: "Pregnancy prevention changed",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one subject. Days are the site's; a dose of 0 mg was held.

    ``decided`` are the doses decided for cycles that have no supply yet. ``next_cycle`` is the
    first cycle without a supply. ``child_bearing`` is whether she is tested for pregnancy.
    """

    number: str
    signed: tuple[str, ...] = ()
    out: bool = False
    screened_under: str = ""
    randomised_on: date | None = None
    treatment_ended_on: date | None = None
    dose_mg: Decimal | None = None
    decided: tuple[tuple[int, Decimal], ...] = ()
    next_cycle: int = 1
    cycle: int | None = None
    cycle_day_1: date | None = None
    child_bearing: bool = False


@dataclass(frozen=True, slots=True)
class Affected:
    """One effect on one subject, in words for the site."""

    effect: Effect
    detail: str


@dataclass(frozen=True, slots=True)
class Visited:
    """When a visit is next: its planned day and its window, both ends included."""

    label: str
    planned_on: date
    opens_on: date
    closes_on: date

    def __str__(self) -> str:
        return f"{self.planned_on} ({self.opens_on} to {self.closes_on})"


def effects(
    subject: Standing, before: Protocol, after: Protocol, *, in_force_from: date
) -> tuple[Affected, ...]:
    """Return everything an amendment means for a subject from the day it is in force.

    Who died, withdrew or was found not eligible is not affected. Before randomisation consent and
    eligibility count; on treatment the dose, the pregnancy-prevention programme and the visits;
    after it the visits. Empty means that the subject goes on as before.
    """
    if subject.out:
        return ()
    return tuple(_effects(subject, before, after, in_force_from))


def _effects(subject: Standing, before: Protocol, after: Protocol, day: date) -> Iterator[Affected]:
    treated = subject.randomised_on is not None and subject.treatment_ended_on is None
    yield from _consent(subject, after)
    if subject.randomised_on is None:
        yield from _screening(subject, before, after)
    if treated:
        yield from _dose(subject, before.dosing, after.dosing)
        yield from _prevention(subject, before, after)
    yield from _windows(subject, before, after, day)


def _consent(subject: Standing, after: Protocol) -> Iterator[Affected]:
    due = form_due(subject.signed, after.consent)
    if not due or subject.treatment_ended_on is not None:
        return
    signed = f"signed form {subject.signed[-1]}" if subject.signed else "has signed no form"
    before = "more drug" if subject.randomised_on else "randomisation"
    yield Affected(Effect.RECONSENT_DUE, f"{signed}; form {due} is to be signed before {before}")


def _screening(subject: Standing, before: Protocol, after: Protocol) -> Iterator[Affected]:
    if subject.screened_under and judges_otherwise(before, after):
        detail = (
            f"screened under version {subject.screened_under}; eligibility or strata have changed"
        )
        yield Affected(Effect.JUDGE_ANEW, detail)


def _dose(subject: Standing, before: Dosing, after: Dosing) -> Iterator[Affected]:
    dose = subject.dose_mg
    if dose and dose not in after.ladder_mg:
        lower = max((level for level in after.ladder_mg if level < dose), default=None)
        way = f"the next lower is {shown(lower)} mg" if lower else "no lower level is left"
        yield Affected(Effect.LEVEL_GONE, f"takes {shown(dose)} mg, no longer a level; {way}")
    for cycle, decided in subject.decided:
        if dose_in_force_blocks(cycle, decided, after):
            detail = f"{shown(decided)} mg was decided for cycle {cycle} and cannot be given"
            yield Affected(Effect.DECISION_UNDONE, detail)
    was, now = (_planned(subject.next_cycle, policy) for policy in (before, after))
    if was != now:
        detail = f"cycle {subject.next_cycle} is planned with {now} instead of {was}"
        yield Affected(Effect.PLANNED_DOSE_CHANGED, detail)


def _planned(cycle: int, policy: Dosing) -> str:
    try:
        return f"{shown(planned_dose(cycle, policy))} mg"
    except ValueError:
        return "no drug"


OF_TESTS = {
    "menopause_months",
    "test_sensitivity_miu_ml",
    "first_test_days",
    "second_test_hours",
    "weekly_test_days",
    "weekly_test_interval_days",
    "later_test_interval_days",
    "irregular_test_interval_days",
    "later_test_hours",
    "female_after_stop_days",
}


def _prevention(subject: Standing, before: Protocol, after: Protocol) -> Iterator[Affected]:
    for change in _of_prevention(before, after):
        key = change.key.split(".")[-1]
        if subject.child_bearing or key not in OF_TESTS:
            text = change.text[:1].lower() + change.text[1:]
            yield Affected(Effect.PREVENTION_CHANGED, text)


def _of_prevention(before: Protocol, after: Protocol) -> list[Change]:
    found = changes(before, after)
    return [c for c in found if c.key.startswith("pregnancy_prevention") and not c.source_only]


# --- Visits -----------------------------------------------------------------------------------


def _windows(subject: Standing, before: Protocol, after: Protocol, day: date) -> Iterator[Affected]:
    was, now = (coming_visits(subject, protocol, day) for protocol in (before, after))
    for code in dict.fromkeys([*was, *now]):
        old, new = was.get(code), now.get(code)
        if old is None and new is not None:
            yield Affected(Effect.WINDOW_MOVED, f"{new.label}: new visit, {new}")
        elif old is not None and new is None:
            yield Affected(Effect.WINDOW_MOVED, f"{old.label}: no longer planned, was {old}")
        elif old and new and _days(old) != _days(new):
            yield Affected(Effect.WINDOW_MOVED, f"{new.label}: now {new}, was {old}")


def _days(visit: Visited) -> tuple[date, date, date]:
    return visit.planned_on, visit.opens_on, visit.closes_on


def coming_visits(subject: Standing, protocol: Protocol, day: date) -> dict[str, Visited]:
    """Return the next visit of each kind whose window is not over on a day, by its code.

    Days of cycles to come are counted from the first day of the last one that began, or from
    randomisation.
    """
    found = {}
    for spec in protocol.visits:
        days = _planned_days(spec, subject, protocol)
        open_ = (visit for visit in (_visit(spec, on) for on in days) if visit.closes_on >= day)
        if (visit := next(iter(open_), None)) is not None:
            found[spec.code] = visit
    return found


def _visit(spec: VisitSpec, on: date) -> Visited:
    before, after = (timedelta(d) for d in (spec.window_before_days, spec.window_after_days))
    return Visited(spec.label, on, on - before, on + after)


FARTHEST_DAYS = 10 * 365
"""How far ahead repeated visits are looked for; the next one is what is told."""


def _planned_days(spec: VisitSpec, subject: Standing, protocol: Protocol) -> Iterator[date]:
    if spec.anchor == "cycle_day_1":
        yield from _cycle_days(spec, subject, protocol)
        return
    anchor = {
        "randomisation": subject.randomised_on,
        "end_of_treatment": subject.treatment_ended_on,
    }[spec.anchor]
    if anchor is None:
        return
    first = anchor + timedelta(spec.offset_days)
    yield first
    if spec.every_days is not None:
        for ahead in range(spec.every_days, FARTHEST_DAYS, spec.every_days):
            yield first + timedelta(ahead)


def _cycle_days(spec: VisitSpec, subject: Standing, protocol: Protocol) -> Iterator[date]:
    """Yield the days of the coming cycles that have the visit, while treatment goes on."""
    if subject.randomised_on is None or subject.treatment_ended_on is not None:
        return
    first, every = spec.from_cycle or 1, spec.every_cycles or 1
    length = protocol.dosing.cycle_days.value
    known, began = subject.cycle or 1, subject.cycle_day_1 or subject.randomised_on
    begin = known if subject.cycle is None else known + 1
    for cycle in range(begin, begin + first + every + FARTHEST_DAYS // length):
        if cycle >= first and (cycle - first) % every == 0:
            yield began + timedelta((cycle - known) * length + spec.offset_days)


def by_effect(found: Sequence[Affected]) -> dict[Effect, int]:
    """Return how often each effect occurs, in the order of the list of effects."""
    return {
        effect: count for effect in Effect if (count := sum(row.effect is effect for row in found))
    }
