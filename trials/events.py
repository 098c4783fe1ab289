"""What happens in a trial as such."""

from dataclasses import dataclass
from datetime import date, datetime
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
class ProtocolStartWithdrawn(Event):
    """A start that had not come was taken back: the version does not begin at the site then."""

    type = "trials.ProtocolStartWithdrawn"
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
    made_by: int
    protocol_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomisationListApproved(Event):
    """One more person approved a draft by its digest; ``approvals`` is how many there are."""

    type = "trials.RandomisationListApproved"
    list_id: UUID
    number: int
    digest: str
    approvals: int
    approval_id: UUID
    approved_by: int


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
    """A place on the sealed list was taken at a site; ``slot_digest`` binds it, and tells none."""

    type = "trials.SlotAllocated"
    allocation_id: UUID
    site_id: UUID
    stratum: str
    randomised_on: date
    slot_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindOpened(Event):
    """Somebody looked behind the blind: who and what for, never what was seen."""

    type = "trials.BlindOpened"
    access_id: UUID
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatusChanged(Event):
    """A site was activated, put on hold, resumed or closed."""

    type = "trials.SiteStatusChanged"
    site_id: UUID
    was: str
    status: str
    changed_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCorrected(Event):
    """A site's name or time zone was wrong; ``corrected`` says which."""

    type = "trials.SiteCorrected"
    site_id: UUID
    corrected: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGiven(Event):
    """A person or system was given a role; ``site_id`` is empty for the whole trial."""

    type = "trials.RoleGiven"
    assignment_id: UUID
    user_id: int
    role: str
    site_id: UUID | None
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleEnded(Event):
    """A role was ended before its time, or had no end and got one."""

    type = "trials.RoleEnded"
    assignment_id: UUID
    user_id: int
    role: str
    site_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecorded(Event):
    """A person completed a training for the trial."""

    type = "trials.TrainingRecorded"
    training_id: UUID
    user_id: int
    completed_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInSwitchedOff(Event):
    """A person left: their log-in was switched off and their roles ended."""

    type = "trials.LogInSwitchedOff"
    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInSwitchedOn(Event):
    """A log-in that was switched off is on again, without password and without any role."""

    type = "trials.LogInSwitchedOn"
    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCallChanged(Event):
    """A medical monitor's duty was entered on the on-call list, or cancelled."""

    type = "trials.OnCallChanged"
    duty_id: UUID
    cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessReviewed(Event):
    """Somebody signed that they reviewed who has access."""

    type = "trials.AccessReviewed"
    review_id: UUID
    digest: str
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblindingRequested(Event):
    """Somebody asked to unblind; a second person has to agree."""

    type = "trials.UnblindingRequested"
    request_id: UUID
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblindingAnswered(Event):
    """A request to unblind was agreed to by a second person, or withdrawn."""

    type = "trials.UnblindingAnswered"
    request_id: UUID
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialUnblinded(Event):
    """The arms of all subjects were handed out to those who asked: the trial is unblinded."""

    type = "trials.TrialUnblinded"
    access_id: UUID
    request_id: UUID
