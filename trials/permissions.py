"""Who may do what: the whole table, and the one question asked of it.

``docs/reference/permissions.md`` is printed from ``TABLE``.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied

from events.acting import attribute
from trials.rules.delegation import Kind


if TYPE_CHECKING:
    from trials.models import Site, Trial, User


class Role(StrEnum):
    """The delegated roles of a trial, in its own words."""

    SITE_SYSTEM = "site_system"
    INVESTIGATOR = "investigator"
    COORDINATOR = "coordinator"
    PHARMACIST = "pharmacist"
    DATA_MANAGER = "data_manager"
    MONITOR = "monitor"
    MEDICAL_MONITOR = "medical_monitor"
    SAFETY_OFFICER = "safety_officer"
    UNBLINDED_STATISTICIAN = "unblinded_statistician"
    UNBLINDED_SUPPLIER = "unblinded_supplier"
    COMMITTEE_MEMBER = "committee_member"
    AUDITOR = "auditor"
    SPONSOR_ADMINISTRATOR = "sponsor_administrator"

    @property
    def label(self) -> str:
        own = {"committee_member": "Monitoring committee member", "coordinator": "Site coordinator"}
        return own.get(self.value, self.value.replace("_", " ").capitalize())


class Permission(StrEnum):
    """What can be done, in words a coordinator would use."""

    READ_SUBJECTS = "read subjects and their records"
    ENROL = "enrol subjects, record consent and screening"
    RANDOMISE = "randomise"
    RECORD_CLINICAL = "record visits, labs, responses, adverse events and deaths"
    CORRECT_CLINICAL = "correct a recorded value, with a reason"
    PRESCRIBE = "decide doses, assess pregnancy risk and counsel"
    DISPENSE = "dispense study drug"
    MANAGE_TRIAL = "set up trials, sites and protocol versions"
    MANAGE_PEOPLE = "give and end roles"
    READ_PEOPLE = "see who has which role"
    MANAGE_CLIENTS = "give, renew and end the credentials of site systems"
    DELEGATE = "keep a site's delegation log"
    TRANSFER = "transfer a subject to another site"
    ANNOTATE_RANDOMISATION = "record a mistake made in a randomisation"
    READ_RANDOMISATION = "read the randomisation log and the mis-stratification report"
    LOAD_LIST = "generate and load the sealed randomisation list"
    APPROVE_LIST = "check a sealed list's dry run and approve it"
    VERIFY_RANDOMISATION = "verify every allocation against the sealed list"
    SUPPLY_KITS = "load the sealed contents of kits"
    PRINT_CONTINGENCY = "make the sealed sheets for when the system is down"
    EMERGENCY_UNBLIND = "break the blind of one subject in an emergency"
    SAFETY_UNBLIND = "unblind one subject for a suspected unexpected serious adverse reaction"
    UNBLIND_TRIAL = "ask to unblind the whole trial"
    CONFIRM_UNBLINDING = "agree, as the second person, to an unblinding"
    RECORD_UNBLINDING = "record that an arm became known by accident or from a paper sheet"
    MANAGE_ON_CALL = "keep the medical monitors' on-call list"
    READ_UNBLINDED_REPORT = "read reports by arm"
    READ_SAFETY = "read the blinded safety summaries"
    WRITE_SAFETY = "write a blinded safety summary by hand"
    READ_HISTORY = "read the row history and the event log"
    MANAGE_DELIVERIES = "replay dead deliveries"
    READ_ACCESS_LOG = "read who looked behind the blind"


_P = Permission
_SITE_WORK = {_P.READ_SUBJECTS, _P.ENROL, _P.RECORD_CLINICAL, _P.CORRECT_CLINICAL}

TABLE: dict[Role, frozenset[Permission]] = {
    Role.SITE_SYSTEM: frozenset(_SITE_WORK | {_P.RANDOMISE, _P.PRESCRIBE, _P.DISPENSE}),
    Role.INVESTIGATOR: frozenset(
        _SITE_WORK
        | {_P.RANDOMISE, _P.PRESCRIBE, _P.READ_SAFETY, _P.DELEGATE}
        | {_P.EMERGENCY_UNBLIND, _P.ANNOTATE_RANDOMISATION, _P.RECORD_UNBLINDING}
    ),
    Role.COORDINATOR: frozenset(_SITE_WORK | {_P.RANDOMISE, _P.RECORD_UNBLINDING}),
    Role.PHARMACIST: frozenset({_P.READ_SUBJECTS, _P.DISPENSE, _P.RECORD_UNBLINDING}),
    Role.DATA_MANAGER: frozenset(
        {_P.READ_SUBJECTS, _P.READ_HISTORY, _P.READ_PEOPLE, _P.TRANSFER}
        | {_P.ANNOTATE_RANDOMISATION, _P.READ_RANDOMISATION}
    ),
    Role.MONITOR: frozenset(
        {_P.READ_SUBJECTS, _P.READ_HISTORY, _P.READ_RANDOMISATION, _P.RECORD_UNBLINDING}
    ),
    Role.MEDICAL_MONITOR: frozenset(
        {_P.READ_SUBJECTS, _P.READ_SAFETY, _P.READ_HISTORY}
        | {_P.CONFIRM_UNBLINDING, _P.MANAGE_ON_CALL, _P.RECORD_UNBLINDING}
    ),
    Role.SAFETY_OFFICER: frozenset(
        {_P.READ_SUBJECTS, _P.READ_SAFETY, _P.WRITE_SAFETY}
        | {_P.SAFETY_UNBLIND, _P.CONFIRM_UNBLINDING, _P.RECORD_UNBLINDING}
    ),
    Role.UNBLINDED_STATISTICIAN: frozenset(
        {_P.READ_SUBJECTS, _P.LOAD_LIST, _P.APPROVE_LIST, _P.VERIFY_RANDOMISATION}
        | {_P.READ_RANDOMISATION, _P.READ_UNBLINDED_REPORT, _P.READ_SAFETY, _P.UNBLIND_TRIAL}
    ),
    Role.UNBLINDED_SUPPLIER: frozenset({_P.SUPPLY_KITS, _P.PRINT_CONTINGENCY}),
    Role.COMMITTEE_MEMBER: frozenset({_P.READ_UNBLINDED_REPORT, _P.READ_SAFETY}),
    Role.AUDITOR: frozenset(
        {_P.READ_SUBJECTS, _P.READ_HISTORY, _P.READ_PEOPLE, _P.READ_SAFETY, _P.READ_ACCESS_LOG}
        | {_P.READ_RANDOMISATION}
    ),
    Role.SPONSOR_ADMINISTRATOR: frozenset(
        {_P.MANAGE_TRIAL, _P.MANAGE_PEOPLE, _P.READ_PEOPLE, _P.MANAGE_CLIENTS}
        | {_P.MANAGE_DELIVERIES, _P.READ_HISTORY, _P.READ_ACCESS_LOG, _P.READ_SAFETY}
        | {_P.MANAGE_ON_CALL, _P.CONFIRM_UNBLINDING}
    ),
}


# The same permissions by what they are about, as they are printed and shown.
GROUPS: dict[str, tuple[Permission, ...]] = {
    "Subjects": (
        _P.READ_SUBJECTS,
        _P.ENROL,
        _P.RECORD_CLINICAL,
        _P.CORRECT_CLINICAL,
        _P.TRANSFER,
    ),
    "Study drug": (_P.PRESCRIBE, _P.DISPENSE, _P.SUPPLY_KITS),
    "Randomisation": (
        _P.RANDOMISE,
        _P.READ_RANDOMISATION,
        _P.ANNOTATE_RANDOMISATION,
        _P.LOAD_LIST,
        _P.APPROVE_LIST,
        _P.VERIFY_RANDOMISATION,
    ),
    "The blind": (
        _P.EMERGENCY_UNBLIND,
        _P.SAFETY_UNBLIND,
        _P.RECORD_UNBLINDING,
        _P.UNBLIND_TRIAL,
        _P.CONFIRM_UNBLINDING,
        _P.PRINT_CONTINGENCY,
        _P.READ_UNBLINDED_REPORT,
        _P.READ_ACCESS_LOG,
    ),
    "Safety and oversight": (_P.READ_SAFETY, _P.WRITE_SAFETY, _P.READ_HISTORY),
    "People and sites": (
        _P.MANAGE_TRIAL,
        _P.MANAGE_PEOPLE,
        _P.READ_PEOPLE,
        _P.DELEGATE,
        _P.MANAGE_CLIENTS,
        _P.MANAGE_ON_CALL,
        _P.MANAGE_DELIVERIES,
    ),
}

# Where a role can be given. All others are roles in the whole trial alone.
AT_ONE_SITE = frozenset({Role.SITE_SYSTEM, Role.INVESTIGATOR, Role.COORDINATOR, Role.PHARMACIST})
AT_ONE_SITE_OR_ALL = frozenset({Role.DATA_MANAGER, Role.MONITOR, Role.AUDITOR})

# Whoever has held one of these knows arms, and is given no other role in the trial.
UNBLINDED = frozenset({Role.UNBLINDED_STATISTICIAN, Role.UNBLINDED_SUPPLIER, Role.COMMITTEE_MEMBER})

# What an investigator may delegate at their own site; the sponsor's administrator gives any role.
DELEGABLE = frozenset({Role.INVESTIGATOR, Role.COORDINATOR, Role.PHARMACIST})


def kind_of(role: Role) -> Kind:
    """Return what a role is to the rule that gives it."""
    return Kind(
        label=role.label,
        at_site=role in AT_ONE_SITE | AT_ONE_SITE_OR_ALL,
        for_trial=role not in AT_ONE_SITE,
        unblinded=role in UNBLINDED,
        needs_training=role is not Role.SITE_SYSTEM,
        for_machine=role is Role.SITE_SYSTEM,
    )


def allows(role: Role, permission: Permission) -> bool:
    return permission in TABLE[role]


def authorise(
    by: "User",
    permission: Permission,
    *,
    trial: "Trial | None" = None,
    site: "Site | None" = None,
    reason: str = "",
) -> Role:
    """Return the role under which ``by`` may act, and name them as this transaction's actor.

    A role given at one site holds there alone; a role without a site holds at every site of its
    trial. A service that does not ask cannot write: the row history refuses an unnamed actor.

    Raises ``PermissionDenied`` when no role in force holds the permission there, or the user's
    log-in is switched off.
    """
    trial_id = site.trial_id if site else (trial.pk if trial else None)
    for assignment in by.may(permission) if by.is_active else ():
        in_trial = trial_id is None or assignment.trial_id == trial_id
        at_site = site is None or assignment.site_id in (None, site.pk)
        if in_trial and at_site and (site or trial_id is None or assignment.site_id is None):
            attribute(actor=by.username, role=assignment.role, reason=reason)
            return Role(assignment.role)
    raise PermissionDenied(f"Your role here does not allow you to {permission.value}.")
