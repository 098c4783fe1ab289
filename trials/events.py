"""What happens in a trial as such."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from events.outcomes import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolActivated(Event):
    """A protocol version came into force."""

    type = "trials.ProtocolActivated"
    trial_id: UUID
    protocol_version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListLoaded(Event):
    """A sealed list is in use; the digest commits to it."""

    type = "trials.RandomisationListLoaded"
    list_id: UUID
    digest: str
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAllocated(Event):
    """A place on the sealed list was taken at a site."""

    type = "trials.SlotAllocated"
    allocation_id: UUID
    site_id: UUID
    stratum: str
    randomised_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindOpened(Event):
    """Somebody looked behind the blind: who and what for, never what was seen."""

    type = "trials.BlindOpened"
    access_id: UUID
    purpose: str
