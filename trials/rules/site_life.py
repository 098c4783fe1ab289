"""The life of a site: planned, active, on hold, closed; what each step asks and leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from events.outcomes import Reason


# step -> the statuses it may start from -> the status it leads to. What is not here cannot happen.
TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "activate": {"planned": "active"},
    "hold": {"active": "on_hold"},
    "resume": {"on_hold": "active"},
    "close": {"planned": "closed", "active": "closed", "on_hold": "closed"},
}
DONE = {"activate": "activated", "hold": "put on hold", "resume": "resumed", "close": "closed"}


@dataclass(frozen=True, slots=True)
class StepFacts:
    """A site on the day of a step. Days are calendar days of the site.

    ``approved`` are the protocol versions approved there by ``on``; ``untrained`` the people with
    a role there and no training recorded by ``on``; ``treated`` the subjects whose treatment has
    not ended. The first three matter to an activation, the last to a closure.
    """

    site: str
    status: str
    changed_on: date | None
    on: date
    today: date
    reason: str
    approved: tuple[str, ...] = ()
    investigators: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()
    treated: tuple[str, ...] = ()


def step_reasons(step: str, facts: StepFacts) -> tuple[Reason, ...]:
    """Return why a site cannot take a step; empty means it can.

    The day may lie in the past, back to the day of the last step, and not in the future: from the
    moment of recording, a hold holds.

    Source: ICH E6(R3) 3.9 (approval, training and delegation before a site begins).
    """
    reasons = []
    if facts.status not in TRANSITIONS[step]:
        said = facts.status.replace("_", " ")
        reasons.append(
            Reason("step_impossible", f"{facts.site} is {said}: it cannot be {DONE[step]}.")
        )
    if facts.on > facts.today:
        reasons.append(
            Reason("future_day", f"on {facts.on} lies in the future (today is {facts.today}).")
        )
    if facts.changed_on is not None and facts.on < facts.changed_on:
        reasons.append(
            Reason("before_last_step", f"on {facts.on} lies before the last step, on "
                                       f"{facts.changed_on}.")
        )  # fmt: skip
    if not facts.reason.strip():
        reasons.append(Reason("reason_missing", "reason: a step in a site's life says why."))
    if step == "activate":
        reasons += _not_ready(facts)
    if step == "close" and facts.treated:
        reasons += [
            Reason("on_treatment", f"{number} is on treatment: record its end or transfer it.")
            for number in facts.treated
        ]
    return tuple(reasons)


def _not_ready(facts: StepFacts) -> list[Reason]:
    reasons = []
    if not facts.approved:
        reasons.append(
            Reason("approval_missing", f"No protocol version was approved at {facts.site} by "
                                       f"{facts.on}.")
        )  # fmt: skip
    if not facts.investigators:
        reasons.append(
            Reason("investigator_missing", f"No investigator has a role at {facts.site}.")
        )
    reasons += [
        Reason("training_missing", f"No training of {name} by {facts.on} is recorded.")
        for name in facts.untrained
    ]
    return reasons
