"""Does a randomisation list fit every protocol version under which subjects would come to it?"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from events.outcomes import Reason
from trials.rules.activation import fixed_by_randomisation
from trials.rules.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Running:
    """A version that a site runs. ``begins`` is its first day there if that is still to come."""

    site: str
    protocol: Protocol
    begins: date | None = None


def in_use(begins: Iterable[date], *, today: date, replay: bool) -> list[date]:
    """Return the first days, in order, of what a site runs now or is to run, by its calendar day.

    In a replay subjects come on days of the past too: all that was ever in force counts.
    """
    days = sorted(begins)
    begun = [day for day in days if day <= today]
    return days if replay else days[max(len(begun) - 1, 0) :]


def other_designs(
    made_for: Protocol, running: Iterable[Running], newest: Protocol
) -> tuple[Reason, ...]:
    """Return every version that randomises otherwise than the one a list is made for.

    Arms, ratio, design and strata are what a list is made from. ``newest`` is the version of the
    trial as a whole, by which a site that is still to come begins.
    """
    reasons = []
    unlike = f"does not randomise like version {made_for.version}, for which the list is made"
    for each in running:
        if fixed_by_randomisation(made_for, each.protocol):
            runs = f"is to run from {each.begins} on" if each.begins else "runs"
            text = (
                f"Version {each.protocol.version}, which {each.site} {runs}, {unlike}."
                " All sites need one design first."
            )
            reasons.append(Reason("other_design", text))
    if fixed_by_randomisation(made_for, newest):
        text = f"Version {newest.version}, with which a new site begins, {unlike}."
        reasons.append(Reason("other_design", text))
    return tuple(reasons)
