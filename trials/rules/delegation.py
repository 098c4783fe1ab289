"""May this person be given this role, here, from then until then?"""

from dataclasses import dataclass
from datetime import date, datetime

from events.outcomes import Reason


@dataclass(frozen=True, slots=True)
class Period:
    """From an instant until just before another; without an end it goes on."""

    starts_at: datetime
    ends_at: datetime | None

    def overlaps(self, other: "Period") -> bool:
        mine = self.ends_at is None or other.starts_at < self.ends_at
        return mine and (other.ends_at is None or self.starts_at < other.ends_at)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a role is: its name, where it can be given, and whether whoever holds it sees arms."""

    label: str
    at_site: bool
    for_trial: bool
    unblinded: bool
    needs_training: bool
    for_machine: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A role as it is asked for. ``site`` is a code, or nothing for all sites of the trial.

    ``first_day`` and ``last_day`` are the calendar days of ``period`` at the site (of UTC for a
    role in the whole trial), both inclusive; ``today`` is the day on which it is given.
    """

    person: str
    kind: Kind
    site: str | None
    period: Period
    first_day: date
    last_day: date | None
    today: date


@dataclass(frozen=True, slots=True)
class Person:
    """Who is to get it: their trainings for the trial, and their roles in it, past ones too."""

    log_in_on: bool
    is_machine: bool
    is_giver: bool
    trained_on: tuple[date, ...]
    same_role: tuple[Period, ...]
    blinded: tuple[Period, ...]
    ever_unblinded: bool


def role_reasons(wanted: Wanted, person: Person) -> tuple[Reason, ...]:
    """Return why a role cannot be given; empty means it can.

    Training comes before access: one training for the trial must be completed on or before the
    role's first day. Somebody who has ever had a role that sees arms gets no blinded one; the
    other way round, the blinded role has to have ended.

    Source: ICH E6(R3) 2.3 (delegation, training), 3.16.1 (blinding).
    """
    return (*_place(wanted), *_days(wanted), *_training(wanted, person), *_person(wanted, person))


def _place(wanted: Wanted) -> list[Reason]:
    if wanted.site is None and not wanted.kind.for_trial:
        return [
            Reason("role_needs_site", f"{wanted.kind.label} is a role at a site: name the site.")
        ]
    if wanted.site is not None and not wanted.kind.at_site:
        detail = f"{wanted.kind.label} is a role in the whole trial, and not one at a site."
        return [Reason("role_has_no_site", detail)]
    return []


def _days(wanted: Wanted) -> list[Reason]:
    reasons = []
    if wanted.first_day < wanted.today:
        reasons.append(
            Reason("starts_in_past", f"starts_on {wanted.first_day} lies in the past (today is "
                                     f"{wanted.today}).")
        )  # fmt: skip
    if wanted.last_day is not None and wanted.last_day < wanted.first_day:
        reasons.append(
            Reason("ends_before_start", f"ends_on {wanted.last_day} lies before the start, "
                                        f"{wanted.first_day}.")
        )  # fmt: skip
    return reasons


def _training(wanted: Wanted, person: Person) -> list[Reason]:
    if not wanted.kind.needs_training or any(d <= wanted.first_day for d in person.trained_on):
        return []
    if not person.trained_on:
        return [Reason("not_trained", f"{wanted.person}: no training for this trial is recorded.")]
    first = min(person.trained_on)
    detail = f"{wanted.person} was trained on {first}, after the start on {wanted.first_day}."
    return [Reason("training_after_start", detail)]


def _person(wanted: Wanted, person: Person) -> list[Reason]:
    reasons = []
    if not person.log_in_on:
        reasons.append(Reason("log_in_off", f"The log-in of {wanted.person} is switched off."))
    if person.is_machine and not wanted.kind.for_machine:
        detail = f"{wanted.person} is a site's system, and {wanted.kind.label} a role of people."
        reasons.append(Reason("machine", detail))
    if wanted.kind.for_machine and not person.is_machine:
        detail = f"{wanted.person} is a person, and {wanted.kind.label} a role of sites' programs."
        reasons.append(Reason("not_a_machine", detail))
    if person.is_giver:
        reasons.append(Reason("own_role", "Nobody gives a role to themselves."))
    if any(wanted.period.overlaps(held) for held in person.same_role):
        reasons.append(
            Reason("role_held", f"{wanted.person} holds this role there already in that time.")
        )
    still_blinded = any(wanted.period.overlaps(held) for held in person.blinded)
    if person.ever_unblinded if not wanted.kind.unblinded else still_blinded:
        detail = f"{wanted.person} cannot hold a role that sees arms and one that must not."
        reasons.append(Reason("blinded_and_unblinded", detail))
    return reasons


@dataclass(frozen=True, slots=True)
class LeaverFacts:
    """Somebody whose log-in is to be switched off, seen by whoever switches it off."""

    person: str
    reason: str
    log_in_on: bool
    is_oneself: bool
    roles_elsewhere: bool
    last_administrator: bool


def leaver_reasons(facts: LeaverFacts) -> tuple[Reason, ...]:
    """Return why a log-in cannot be switched off; empty means it can."""
    reasons = []
    if not facts.reason.strip():
        reasons.append(Reason("reason_missing", "reason: say why the log-in is switched off."))
    if not facts.log_in_on:
        detail = f"The log-in of {facts.person} is switched off already."
        reasons.append(Reason("log_in_off", detail))
    if facts.is_oneself:
        reasons.append(Reason("oneself", "Nobody switches off their own log-in."))
    if facts.roles_elsewhere:
        detail = f"{facts.person} has roles in other trials: end the roles in yours instead."
        reasons.append(Reason("roles_elsewhere", detail))
    if facts.last_administrator:
        detail = f"{facts.person} is the last administrator of a trial: give the role on."
        reasons.append(Reason("last_administrator", detail))
    return tuple(reasons)
