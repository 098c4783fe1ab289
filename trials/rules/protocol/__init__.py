"""The protocol as data: passed to the rules section by section.

A new file is judged by ``load_protocol``; one that was stored is read by ``read_protocol``.
"""

from trials.rules.protocol.eligibility import Criterion, Eligibility, Exclusion, Test, Timing
from trials.rules.protocol.factors import Factor, Level, Stratum
from trials.rules.protocol.factors import code_of as stratum_code_of
from trials.rules.protocol.loading import (
    Problem,
    ProtocolInvalid,
    digest,
    load_protocol,
    read_protocol,
    text_of,
)
from trials.rules.protocol.screening import Screening, Value, Variable
from trials.rules.protocol.sections import (
    Analysis,
    Arm,
    Blind,
    ConsentForm,
    Dosing,
    Endpoint,
    Endpoints,
    Interim,
    Minimisation,
    MinimisedFactor,
    Modification,
    PlannedDose,
    PregnancyPrevention,
    Protocol,
    Randomisation,
    ResponseScale,
    Safety,
    SocOfInterest,
    Trial,
    VisitSpec,
)
from trials.rules.protocol.sourced import Claim, Sourced, SourcedRange


__all__ = [
    "Analysis",
    "Arm",
    "Blind",
    "Claim",
    "ConsentForm",
    "Criterion",
    "Dosing",
    "Eligibility",
    "Endpoint",
    "Endpoints",
    "Exclusion",
    "Factor",
    "Interim",
    "Level",
    "Minimisation",
    "MinimisedFactor",
    "Modification",
    "PlannedDose",
    "PregnancyPrevention",
    "Problem",
    "Protocol",
    "ProtocolInvalid",
    "Randomisation",
    "ResponseScale",
    "Safety",
    "Screening",
    "SocOfInterest",
    "Sourced",
    "SourcedRange",
    "Stratum",
    "Test",
    "Timing",
    "Trial",
    "Value",
    "Variable",
    "VisitSpec",
    "digest",
    "load_protocol",
    "read_protocol",
    "stratum_code_of",
    "text_of",
]
