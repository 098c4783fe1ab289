"""Refusals of the trial's own rules."""

from events.outcomes import Refused


class SiteNotRecruiting(Refused):
    code = "site_not_recruiting"
    title = "The site is not recruiting"


class ListRefused(Refused):
    code = "list_refused"
    title = "The randomisation list was not drafted"


class ApprovalRefused(Refused):
    code = "approval_refused"
    title = "The randomisation list stays as it is"


class ListExhausted(Refused):
    code = "list_exhausted"
    title = "No place is left on the randomisation list"


class StratumRefused(Refused):
    code = "stratum_refused"
    title = "The stratum is not one of the protocol"


class DayRefused(Refused):
    code = "day_refused"
    title = "The day is not possible"


class SetupRefused(Refused):
    code = "setup_refused"
    title = "The trial was not set up"


class NoVersionInForce(Refused):
    code = "no_version_in_force"
    title = "No protocol version was in force at the site"


class AmendmentRefused(Refused):
    code = "amendment_refused"
    title = "The protocol version was not taken"


class AccountRefused(Refused):
    code = "account_refused"
    title = "The account was not changed"


class ClientRefused(Refused):
    code = "client_refused"
    title = "The client's credentials were not changed"
