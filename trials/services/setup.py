"""Setting up: a trial from its protocol file, and its sites."""

import re
import uuid
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction

from events.acting import SYSTEM, attribute
from events.outbox import publish
from events.outcomes import Reason
from trials.errors import SetupRefused
from trials.events import ProtocolActivated
from trials.models import ProtocolVersion, RoleAssignment, Site, Trial, User
from trials.permissions import Permission, Role, authorise
from trials.rules.protocol import digest, load_protocol


_SITE_CODE = re.compile(r"(?=.{1,10}\Z)[A-Z0-9]+(-[A-Z0-9]+)*")


@transaction.atomic
def create_trial(*, protocol_text: str, conduct: str, administrator: User, at: datetime) -> Trial:
    """Create a trial from its protocol file and make ``administrator`` its first administrator.

    Run from the console by whoever installs Vigil: there is nobody in the trial yet to ask.
    Publishes ``ProtocolActivated``. Raises ``ProtocolInvalid`` with every problem of the file, or
    ``SetupRefused`` if the trial exists.
    """
    protocol = load_protocol(protocol_text)
    attribute(actor=SYSTEM, role="console", reason="trial created")
    if Trial.objects.filter(code=protocol.trial.code).exists():
        raise SetupRefused(Reason("trial_exists", f"{protocol.trial.code} exists already."))
    trial = Trial.objects.create(
        code=protocol.trial.code, title=protocol.trial.title, conduct=conduct, created_at=at
    )
    version = ProtocolVersion.objects.create(
        trial=trial,
        version=protocol.version,
        text=protocol_text,
        digest=digest(protocol_text),
        submitted_at=at,
        submitted_by=administrator,
        activated_at=at,
        activated_by=administrator,
    )
    RoleAssignment.objects.create(
        user=administrator,
        trial=trial,
        role=Role.SPONSOR_ADMINISTRATOR,
        starts_at=at,
        given_at=at,
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
