"""Protocol files before they are stored: for a running trial, or for one to be started."""

import uuid

from django.core.exceptions import PermissionDenied
from django.db import transaction

from events.outcomes import Reason
from trials.models import Allocation, ProtocolVersion, RandomisationList, Trial, User
from trials.permissions import Permission, authorise
from trials.queries import trials_with_protocol
from trials.rules.activation import fixed_by_randomisation
from trials.rules.protocol import Protocol, ProtocolInvalid, load_protocol
from trials.rules.protocol_check import Checked


@transaction.atomic
def check_protocol(*, trial_id: uuid.UUID | None, protocol_text: str, by: User) -> Checked:
    """Return all that a protocol file would be refused for, and what it would bring.

    For the trial of ``trial_id``, or, without one, for a trial that is not there yet. Stores and
    publishes nothing. Raises ``Trial.DoesNotExist``, or ``PermissionDenied`` for whoever could
    not submit the file afterwards.
    """
    trial = None if trial_id is None else Trial.objects.visible_to(by).get(pk=trial_id)
    authorise(by, Permission.MANAGE_TRIAL, trial=trial)
    if trial is not None:
        refuse_who_enrols(by, trial)
    return judged(protocol_text, trial)


def refuse_who_enrols(by: User, trial: Trial) -> None:
    """Refuse whoever enrols in a trial, whatever other role they hold there.

    What a file would change tells the design it has now, and so the block sizes. Raises
    ``PermissionDenied``.
    """
    if trial.pk not in trials_with_protocol(by):
        raise PermissionDenied("Whoever enrols in a trial takes no protocol file of it further.")


def judged(text: str, trial: Trial | None) -> Checked:
    """Return what ``submit_version`` (or, without a trial, ``start_trial``) decides by."""
    try:
        protocol = load_protocol(text)
    except ProtocolInvalid as invalid:
        return Checked(problems=invalid.problems)
    if trial is None:
        there = Trial.objects.filter(code=protocol.trial.code).exists()
        reasons = (trial_exists(protocol.trial.code),) if there else ()
        return Checked(protocol=protocol, reasons=reasons)
    against = tuple(_against(trial, protocol))
    return Checked(protocol=protocol, reasons=against, since=trial.protocol)


def problems_of_today(version: ProtocolVersion) -> tuple[Reason, ...]:
    """Return what today's rules find wrong in a stored version that was never in force."""
    if version.activated_at is not None:
        return ()
    try:
        load_protocol(version.text)
    except ProtocolInvalid as invalid:
        return Checked(problems=invalid.problems).refused_for
    return ()


def changes_of_randomisation(trial: Trial, protocol: Protocol) -> tuple[Reason, ...]:
    """Return what of the randomisation an amendment would change, once a list stands."""
    lists = RandomisationList.objects.filter(trial=trial)
    made = (
        lists.exclude(state=RandomisationList.State.WITHDRAWN).exists()
        or Allocation.objects.filter(site__trial=trial).exists()
    )
    return fixed_by_randomisation(trial.protocol, protocol) if made else ()


def trial_exists(code: str) -> Reason:
    return Reason("trial_exists", f"{code} exists already.")


def _against(trial: Trial, protocol: Protocol) -> list[Reason]:
    reasons = []
    if protocol.trial.code != trial.code:
        detail = f"The file is for {protocol.trial.code}, not for {trial.code}."
        reasons.append(Reason("another_trial", detail))
    if trial.versions.filter(version=protocol.version).exists():
        detail = f"{trial.code} has a version {protocol.version} already."
        reasons.append(Reason("version_exists", detail))
    return [*reasons, *changes_of_randomisation(trial, protocol)]
