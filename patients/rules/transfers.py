"""May this subject move to that site?"""

from dataclasses import dataclass
from datetime import date

from events.outcomes import Reason


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """A transfer as it is asked for. Sites are codes; days are the sending site's own.

    ``receiving_status`` is nothing when the receiving site is not one of the trial.
    """

    number: str
    from_site: str
    to_site: str
    receiving_status: str | None
    transferred_on: date
    entered_on: date
    last_moved_on: date | None
    today: date
    reason: str
    agreed_by: str
    agreement: str
    dead: bool


def transfer_reasons(facts: TransferFacts) -> tuple[Reason, ...]:
    """Return why a subject cannot move; empty means it can.

    The day may lie in the past, not before the entry or the last move, and not in the future:
    who sees the subject changes when the transfer is recorded.
    """
    reasons = []
    if facts.to_site == facts.from_site:
        detail = f"to_site: {facts.number} is at {facts.from_site} already."
        reasons.append(Reason("same_site", detail))
    elif facts.receiving_status is None:
        reasons.append(Reason("foreign_site", f"to_site: the trial has no site {facts.to_site}."))
    elif facts.receiving_status != "active":
        said = facts.receiving_status.replace("_", " ")
        reasons.append(Reason("site_status", f"to_site: {facts.to_site} is {said}, not active."))
    first = facts.last_moved_on or facts.entered_on
    if facts.transferred_on > facts.today:
        detail = f"transferred_on {facts.transferred_on} lies in the future."
        reasons.append(Reason("future_day", detail))
    if facts.transferred_on < first:
        detail = f"transferred_on {facts.transferred_on} lies before {first}, when it came."
        reasons.append(Reason("before_entry", detail))
    if facts.dead:
        reasons.append(Reason("dead", f"{facts.number} has died: its records stay where they are."))
    return (*reasons, *_unsaid(facts))


def _unsaid(facts: TransferFacts) -> list[Reason]:
    asked = (
        (facts.reason, Reason("reason_missing", "reason: say why the subject moves.")),
        (facts.agreed_by, Reason("agreed_by_missing", "agreed_by: name who takes them on.")),
        (facts.agreement, Reason("agreement_missing", "agreement: name its document.")),
    )
    return [reason for text, reason in asked if not text.strip()]
