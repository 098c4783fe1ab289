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


class StartStands(Refused):
    code = "start_stands"
    title = "The start was not withdrawn"


class AccountRefused(Refused):
    code = "account_refused"
    title = "The account was not changed"


class ClientRefused(Refused):
    code = "client_refused"
    title = "The client's credentials were not changed"


class SiteStepRefused(Refused):
    code = "site_step_refused"
    title = "The site's status was not changed"


class SiteCorrectionRefused(Refused):
    code = "site_correction_refused"
    title = "The site was not corrected"


class RoleRefused(Refused):
    code = "role_refused"
    title = "The role was not given or ended"


class TrainingRefused(Refused):
    code = "training_refused"
    title = "The training was not recorded"


class DutyRefused(Refused):
    code = "duty_refused"
    title = "The on-call list was not changed"


class LeaverRefused(Refused):
    code = "leaver_refused"
    title = "The log-in was not switched off"


class ReviewRefused(Refused):
    code = "review_refused"
    title = "The access review was not signed off"


class IdentityNotConfirmed(Refused):
    code = "identity_not_confirmed"
    title = "It was not confirmed who you are"


class UnblindingRefused(Refused):
    code = "unblinding_refused"
    title = "The blind was not opened"


class ShownAlready(Refused):
    code = "shown_already"
    title = "It was shown already"
