"""Was every subject randomised as the sealed lists and the published commitments say?

Every finding names the row. A list is generated anew from its seed, every digest is computed anew,
and every minimised arm is decided again from the levels that were stored.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from events.outcomes import Reason
from trials.rules.verification.allocations import (
    allocation_findings,
    gone_findings,
    slots_and_allocations,
)
from trials.rules.verification.facts import (
    Allocated,
    Approval,
    Facts,
    HeldList,
    HeldSlot,
    KeptVersion,
    Made,
    PublishedList,
    Told,
)
from trials.rules.verification.lists import list_findings, missing
from trials.rules.verification.minimised import again_minimised


__all__ = [
    "Allocated",
    "Approval",
    "Facts",
    "HeldList",
    "HeldSlot",
    "KeptVersion",
    "Made",
    "PublishedList",
    "Told",
    "verify",
]


def verify(
    held: Sequence[HeldList],
    published: Sequence[PublishedList],
    allocated: Sequence[Allocated],
    gone: Sequence[str] = (),
    versions: Sequence[KeptVersion] = (),
    lists_gone: Sequence[str] = (),
) -> tuple[Reason, ...]:
    """Return everything that is not as it must be; empty means the randomisation is verified.

    ``held`` are in the order of their numbers. ``gone`` name the allocations that an event or the
    history tells of and that have no row any more, ``lists_gone`` the numbers of the lists that
    went live and are not. What cannot be read is a finding too: nobody hides a change behind an
    error.
    """
    known = {each.list_id: each for each in published}
    return tuple(
        chain(
            *(_version_findings(each) for each in versions),
            missing(held, known, lists_gone),
            *(list_findings(each, known.get(each.contents.list_id)) for each in held),
            again_minimised(held),
            slots_and_allocations(held, allocated),
            *(allocation_findings(each) for each in allocated),
            gone_findings(gone),
        )
    )


def _version_findings(each: KeptVersion) -> Iterator[Reason]:
    name = f"Protocol version {each.version}"
    if not each.readable:
        yield Reason("protocol_unreadable", f"{name}: its stored text cannot be read.")
    if each.computed != each.digest:
        yield Reason("protocol_changed", f"{name} has another digest than its text gives.")
    if each.announced != (each.digest,):
        text = f"{name}: the event that told of it does not name its digest, once."
        yield Reason("protocol_not_announced", text)
