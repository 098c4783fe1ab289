from trials.models.access import AccessReview
from trials.models.accounts import LogInRecord, MachineClient, UsedPassword
from trials.models.allocation import Allocation, ListApproval, RandomisationList
from trials.models.amendments import SiteApproval, SiteVersion
from trials.models.on_call import OnCall
from trials.models.people import Leaver, RoleAssignment, Training, User
from trials.models.protocol import ProtocolVersion, Trial
from trials.models.site_life import SiteCorrection, SiteStatusChange
from trials.models.sites import Site
from trials.models.unblinding import (
    RefusedLook,
    SealedAccess,
    UnblindingAnswer,
    UnblindingRequest,
)


__all__ = [
    "AccessReview",
    "Allocation",
    "Leaver",
    "ListApproval",
    "LogInRecord",
    "MachineClient",
    "OnCall",
    "ProtocolVersion",
    "RandomisationList",
    "RefusedLook",
    "RoleAssignment",
    "SealedAccess",
    "Site",
    "SiteApproval",
    "SiteCorrection",
    "SiteStatusChange",
    "SiteVersion",
    "Training",
    "Trial",
    "UnblindingAnswer",
    "UnblindingRequest",
    "UsedPassword",
    "User",
]
