"""Setting up: a trial from its protocol file, and its sites."""

import re
import uuid
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from django.db import IntegrityError, transaction

from events.acting import SYSTEM, attribute
from events.outbox import publish
from events.outcomes import Reason
from trials.errors import SetupRefused
from trials.events import ProtocolActivated
from trials.models import ProtocolVersion, RoleAssignment, Site, Trial, User
from trials.permissions import Permission, Role, authorise
from trials.rules.protocol import digest
from trials.services.people import Trained, keep_training, training_problems
from trials.services.protocol_files import judged, trial_exists


_SITE_CODE = re.compile(r"(?=.{1,10}\Z)[A-Z0-9]+(-[A-Z0-9]+)*")


@transaction.atomic
def create_trial(
    *, protocol_text: str, conduct: str, administrator: User, training: Trained, at: datetime
) -> Trial:
    """Create a trial from its protocol file and make ``administrator`` its first administrator.

    Run from the console by whoever installs Vigil: there is nobody in any trial yet to ask. The
    administrator's own training is recorded before the role is given, as everybody's is.

    Publishes ``ProtocolActivated`` and ``TrainingRecorded``. Raises ``SetupRefused`` with every
    reason: each problem of the file, a trial that exists, a training that cannot be.
    """
    attribute(actor=SYSTEM, role="console", reason="trial created")
    return _begun(protocol_text, conduct, administrator, training, given_by=None, at=at)


@transaction.atomic
def start_trial(
    *, protocol_text: str, conduct: str, training: Trained, by: User, at: datetime
) -> Trial:
    """Start another trial from its protocol file, with oneself as its first administrator.

    Asked of whoever administers a trial here already; the first one is ``create_trial``'s.
    Publishes and raises as ``create_trial`` does, and ``PermissionDenied``.
    """
    authorise(by, Permission.MANAGE_TRIAL, reason="trial started")
    return _begun(protocol_text, conduct, by, training, given_by=by, at=at)


def _begun(
    text: str,
    conduct: str,
    administrator: User,
    training: Trained,
    *,
    given_by: User | None,
    at: datetime,
) -> Trial:
    checked = judged(text, None)
    reasons = [*checked.refused_for, *training_problems(training, at=at)]
    if checked.protocol is None or reasons:
        raise SetupRefused(*reasons)
    named = checked.protocol.trial
    trial = _stored(named.code, title=named.title, conduct=conduct, at=at)
    version = ProtocolVersion.objects.create(
        trial=trial,
        version=checked.protocol.version,
        text=text,
        digest=digest(text),
        submitted_at=at,
        submitted_by=administrator,
        activated_at=at,
        activated_by=administrator,
    )
    keep_training(administrator, trial, training, by=administrator, at=at)
    RoleAssignment.objects.create(
        user=administrator,
        trial=trial,
        role=Role.SPONSOR_ADMINISTRATOR,
        starts_at=at,
        given_at=at,
        given_by=given_by,
    )
    publish(
        ProtocolActivated(
            stream=trial.code,
            trial_id=trial.pk,
            protocol_version=version.version,
            digest=version.digest,
        ),
        at=at,
    )
    return trial


def _stored(code: str, *, title: str, conduct: str, at: datetime) -> Trial:
    """Store the trial's row, unless somebody else has just stored one of that code."""
    try:
        with transaction.atomic():
            return Trial.objects.create(code=code, title=title, conduct=conduct, created_at=at)
    except IntegrityError:
        raise SetupRefused(trial_exists(code)) from None


@transaction.atomic
def add_site(
    *,
    trial_id: uuid.UUID,
    code: str,
    name: str,
    country: str,
    time_zone: str,
    by: User,
    at: datetime,
) -> Site:
    """Add a planned site: ``trials.services.sites.activate_site`` opens it.

    Raises ``SetupRefused`` with every reason: code, name, country, time zone.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    authorise(by, Permission.MANAGE_TRIAL, trial=trial)
    reasons = []
    if not _SITE_CODE.fullmatch(code):
        reasons.append(Reason("site_code", "code: up to ten capitals, digits and inner hyphens."))
    if not name.strip():
        reasons.append(Reason("site_name", "name: say which hospital or practice it is."))
    if trial.sites.filter(code=code).exists():
        reasons.append(Reason("site_exists", f"{trial.code} has a site {code} already."))
    if country not in trial.protocol.trial.countries:
        reasons.append(Reason("country_not_planned", f"{country} is not in the protocol."))
    if time_zone not in available_timezones():
        reasons.append(Reason("time_zone_unknown", f"{time_zone} is not a time zone name."))
    if reasons:
        raise SetupRefused(*reasons)
    return Site.objects.create(
        trial=trial, code=code, name=name, country=country, time_zone=ZoneInfo(time_zone).key
    )
