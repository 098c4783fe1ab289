"""What a review of access finds: people who can do what they should not, or no longer should."""

from dataclasses import dataclass
from datetime import date, datetime

from events.outcomes import Reason


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One role of the person in the trial. ``first_day`` is the day it began, at its site."""

    label: str
    site: str | None
    starts_at: datetime
    ends_at: datetime | None
    first_day: date
    in_force: bool
    unblinded: bool
    needs_training: bool


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """One person or system, as the review sees them. ``connected`` counts sessions and tokens."""

    username: str
    log_in_on: bool
    connected: int
    trained_on: tuple[date, ...]
    roles: tuple[RoleFacts, ...]


def findings(facts: AccessFacts) -> tuple[Reason, ...]:
    """Return what a reviewer should look into; empty means nothing."""
    held = [role for role in facts.roles if role.in_force]
    found = []
    if held and not facts.log_in_on:
        found.append(Reason("leaver_with_role", "The log-in is off and a role is in force."))
    if not held and facts.connected and facts.log_in_on:
        found.append(Reason("connected_without_role", "Every role has ended and a session or "
                                                      "token is still open."))  # fmt: skip
    if not facts.log_in_on and facts.connected:
        found.append(Reason("leaver_connected", "The log-in is off and a session or token is "
                                                "still open."))  # fmt: skip
    found += [
        Reason("role_without_training", f"{role.label}: no training by {role.first_day}.")
        for role in held
        if role.needs_training and not any(day <= role.first_day for day in facts.trained_on)
    ]
    if any(role.unblinded for role in facts.roles) and any(not role.unblinded for role in held):
        found.append(Reason("blinded_and_unblinded", "Has or had a role that sees arms, and holds "
                                                     "one that must not."))  # fmt: skip
    return tuple(found)
