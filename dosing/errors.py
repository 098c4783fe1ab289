"""Refusals around study drug."""

from events.outcomes import Refused


class GateClosed(Refused):
    code = "gate_closed"
    title = "Study drug cannot be handed over"


class DoseRefused(Refused):
    code = "dose_refused"
    title = "The dose cannot be decided"


class KitsRefused(Refused):
    code = "kits_refused"
    title = "The kits were not accepted"


class NoKit(Refused):
    code = "no_kit"
    title = "No kit can be handed over"
