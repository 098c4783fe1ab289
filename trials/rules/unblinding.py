"""Two people for one look: may a request be made, and may this person agree to it?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from events.outcomes import Reason


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request to unblind as it stands; people by their ids.

    ``gave_the_role``: who made the asker what they must be to ask.
    """

    requested_by: int
    gave_the_role: frozenset[int]
    expires_at: datetime
    agreed: bool
    withdrawn: bool


def trial_request_reasons(reason: str, early_reason: str, recruiting: int) -> tuple[Reason, ...]:
    """Return why nobody may ask to unblind a whole trial; empty means somebody may.

    ``recruiting`` counts the sites that still recruit. While one does, the arms of those already
    there bias the choice of those to come, so a second reason has to say why it cannot wait.

    Source: EMA/INS/GCP/112288/2023, annex 5; ICH E6(R3) 4.1.
    """
    reasons = [*_reason_missing(reason)]
    if recruiting and not early_reason.strip():
        detail = f"{recruiting} site(s) still recruit: say in early_reason why it cannot wait."
        reasons.append(Reason("still_recruiting", detail))
    return tuple(reasons)


def agreement_reasons(facts: RequestFacts, by: int, at: datetime) -> tuple[Reason, ...]:
    """Return why a person cannot agree to a request; empty means they can.

    The one who asks never agrees, nor does who gave them the role: an administrator could make the
    asker and be both. A request holds until just before it expires.

    Source: ICH E6(R3) 4.1; EU CTR annex III 2.5 for the second person.
    """
    reasons = [*_closed(facts, at)]
    if by == facts.requested_by:
        reasons.append(Reason("same_person", "Another person than the one who asked must agree."))
    if by in facts.gave_the_role:
        text = "You gave the one who asked the role to ask: somebody else must agree."
        reasons.append(Reason("gave_the_role", text))
    if facts.agreed:
        reasons.append(Reason("agreed_already", "Somebody agreed to this request already."))
    return tuple(reasons)


def look_reasons(facts: RequestFacts, by: int, at: datetime) -> tuple[Reason, ...]:
    """Return why a person cannot look on a request; empty means they can. PostgreSQL asks again."""
    reasons = [*_closed(facts, at)]
    if by != facts.requested_by:
        reasons.append(Reason("not_the_requester", "Only the person who asked may look."))
    if not facts.agreed:
        detail = "Two people are needed and one has spoken: nobody has agreed yet."
        reasons.append(Reason("second_person_missing", detail))
    return tuple(reasons)


def _closed(facts: RequestFacts, at: datetime) -> Iterator[Reason]:
    if facts.withdrawn:
        yield Reason("request_withdrawn", "The request was withdrawn: make a new one.")
    if at >= facts.expires_at:
        yield Reason("request_expired", "The request has expired: make a new one.")


def _reason_missing(reason: str) -> Iterator[Reason]:
    if not reason.strip():
        yield Reason("reason_missing", "Say why.")
