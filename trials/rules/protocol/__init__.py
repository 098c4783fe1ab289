"""The protocol as data: read with ``load_protocol``, passed to the rules section by section."""

from trials.rules.protocol.loading import Problem, ProtocolInvalid, digest, load_protocol
from trials.rules.protocol.sections import (
    Analysis,
    Arm,
    Dosing,
    Eligibility,
    Endpoint,
    Endpoints,
    Exclusion,
    Interim,
    PlannedDose,
    PregnancyPrevention,
    Protocol,
    Randomisation,
    Safety,
    SocOfInterest,
    Stratum,
    Trial,
    VisitSpec,
)
from trials.rules.protocol.sourced import Claim, Sourced, SourcedRange


__all__ = [
    "Analysis",
    "Arm",
    "Claim",
    "Dosing",
    "Eligibility",
    "Endpoint",
    "Endpoints",
    "Exclusion",
    "Interim",
    "PlannedDose",
    "PregnancyPrevention",
    "Problem",
    "Protocol",
    "ProtocolInvalid",
    "Randomisation",
    "Safety",
    "SocOfInterest",
    "Sourced",
    "SourcedRange",
    "Stratum",
    "Trial",
    "VisitSpec",
    "digest",
    "load_protocol",
]
