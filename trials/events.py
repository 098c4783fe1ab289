"""What happens in a trial as such."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from events.outcomes import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolActivated(Event):
    """A trial began, with its first protocol version."""

    type = "trials.ProtocolActivated"
    trial_id: UUID
    protocol_version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSubmitted(Event):
    """A new protocol version was stored; it is in force nowhere yet."""

    type = "trials.ProtocolSubmitted"
    trial_id: UUID
    protocol_version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteApprovalRecorded(Event):
    """A site may run a protocol version."""

    type = "trials.SiteApprovalRecorded"
    site_id: UUID
    protocol_version: str
    approved_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolInForce(Event):
    """A site runs a protocol version from a day of its calendar on."""

    type = "trials.ProtocolInForce"
    site_id: UUID
    protocol_version: str
    in_force_from: date


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListDrafted(Event):
    """A sealed list was made or loaded; nobody is randomised from it before two approvals."""

    type = "trials.RandomisationListDrafted"
    list_id: UUID
    number: int
    origin: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListApproved(Event):
    """One more person approved a draft by its digest; ``approvals`` is how many there are."""

    type = "trials.RandomisationListApproved"
    list_id: UUID
    number: int
    digest: str
    approvals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListLive(Event):
    """A list is in use. Its digest, published here, commits to contents that stay sealed."""

    type = "trials.RandomisationListLive"
    list_id: UUID
    number: int
    digest: str
    generator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListWithdrawn(Event):
    """A draft was set aside and will never be used."""

    type = "trials.RandomisationListWithdrawn"
    list_id: UUID
    number: int
    digest: str


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
