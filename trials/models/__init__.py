from trials.models.accounts import LogInRecord, MachineClient, UsedPassword
from trials.models.allocation import Allocation, ListApproval, RandomisationList
from trials.models.amendments import SiteApproval, SiteVersion
from trials.models.people import RoleAssignment, User
from trials.models.protocol import ProtocolVersion, Trial
from trials.models.sites import Site
from trials.models.unblinding import SealedAccess


__all__ = [
    "Allocation",
    "ListApproval",
    "LogInRecord",
    "MachineClient",
    "ProtocolVersion",
    "RandomisationList",
    "RoleAssignment",
    "SealedAccess",
    "Site",
    "SiteApproval",
    "SiteVersion",
    "Trial",
    "UsedPassword",
    "User",
]
