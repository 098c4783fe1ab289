"""The life of a site: activated, put on hold, resumed, closed; each step with its day and reason.

Closing needs to know whose treatment goes on: see ``dosing.services.sites.close_site``.
"""

import uuid
from collections.abc import Sequence
from datetime import date, datetime

from django.db import connection, transaction

from events.outbox import publish
from trials.errors import SiteStepRefused
from trials.events import SiteStatusChanged
from trials.models import (
    RoleAssignment,
    Site,
    SiteApproval,
    SiteStatusChange,
    Training,
    Trial,
    User,
)
from trials.permissions import Permission, Role, authorise
from trials.rules.site_life import TRANSITIONS, StepFacts, step_reasons
from trials.services.amendments import begin_at_site


def activate_site(
    *, site_id: uuid.UUID, on: date, reason: str, by: User, at: datetime
) -> SiteStatusChange:
    """Open a planned site: approval, investigator and trainings are there. See ``take_step``."""
    return take_step("activate", site_id=site_id, on=on, reason=reason, by=by, at=at)


def hold_site(
    *, site_id: uuid.UUID, on: date, reason: str, by: User, at: datetime
) -> SiteStatusChange:
    """Stop a site's recruitment; its subjects are treated on. See ``take_step``."""
    return take_step("hold", site_id=site_id, on=on, reason=reason, by=by, at=at)


def resume_site(
    *, site_id: uuid.UUID, on: date, reason: str, by: User, at: datetime
) -> SiteStatusChange:
    """Let a site on hold recruit again. See ``take_step``."""
    return take_step("resume", site_id=site_id, on=on, reason=reason, by=by, at=at)


@transaction.atomic
def take_step(
    step: str,
    *,
    site_id: uuid.UUID,
    on: date,
    reason: str,
    by: User,
    at: datetime,
    treated: Sequence[str] = (),
) -> SiteStatusChange:
    """Take a site one step on. ``treated`` are subjects on treatment, of whom a closure asks.

    Locks the site: no subject is entered or randomised there meanwhile. A site that begins locks
    its trial before: no version comes into force and no list is made meanwhile. Publishes
    ``SiteStatusChanged``. Raises ``SiteStepRefused`` with every reason, and ``AmendmentRefused``
    for a site that no version could begin at.
    """
    if step == "activate":
        Trial.objects.visible_to(by).select_for_update(no_key=True, of=("self",)).filter(
            sites=site_id
        ).first()
    site = site_under_lock(by, site_id, reason=reason)
    facts = _facts(site, step, on=on, reason=reason, at=at, treated=treated)
    if reasons := step_reasons(step, facts):
        raise SiteStepRefused(*reasons)
    was, site.status = site.status, TRANSITIONS[step][site.status]
    site.save(update_fields=["status"])
    if step == "activate":
        begin_at_site(site=site, by=by, at=at)
    change = SiteStatusChange.objects.create(
        site=site,
        was=was,
        status=site.status,
        changed_on=on,
        reason=reason,
        recorded_by=by,
        recorded_at=at,
    )
    publish(
        SiteStatusChanged(
            stream=site.trial.code,
            site_id=site.pk,
            was=was,
            status=site.status,
            changed_on=on,
        ),
        at=at,
    )
    return change


def site_under_lock(by: User, site_id: uuid.UUID, *, reason: str = "") -> Site:
    """Return a site under lock, for whoever sets up its trial.

    Raises ``Site.DoesNotExist`` for somebody without a role there, ``PermissionDenied`` for one
    who may not set it up.
    """
    site = (
        Site.objects.known_to(by)
        .select_for_update(of=("self",))
        .select_related("trial")
        .get(pk=site_id)
    )
    authorise(by, Permission.MANAGE_TRIAL, trial=site.trial, reason=reason)
    return site


def standing_status(site: Site) -> str:
    """Return a site's status as it is now, and stays until the caller's transaction ends.

    A shared lock: subjects of one site do not wait for one another, a hold waits for them.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM trials_site WHERE id = %s FOR SHARE", [site.pk])
        return str(cursor.fetchone()[0])


def _facts(
    site: Site, step: str, *, on: date, reason: str, at: datetime, treated: Sequence[str]
) -> StepFacts:
    last = site.status_changes.order_by("recorded_at").last()
    ready = _readiness(site, on=on, at=at) if step == "activate" else {}
    return StepFacts(
        site=site.code,
        status=site.status,
        changed_on=last.changed_on if last else None,
        on=on,
        today=site.local_day(at),
        reason=reason,
        treated=tuple(treated),
        **ready,
    )


def _readiness(site: Site, *, on: date, at: datetime) -> dict[str, tuple[str, ...]]:
    """Return what an activation asks for: approvals, investigators, and who is not trained."""
    roles = RoleAssignment.objects.in_force(at).filter(site=site, user__is_active=True)
    people = roles.exclude(role=Role.SITE_SYSTEM).values_list("user__username", "role")
    trained = Training.objects.filter(trial=site.trial_id, completed_on__lte=on)
    names = {name for name, _ in people} - set(trained.values_list("user__username", flat=True))
    approved = SiteApproval.objects.filter(site=site, approved_on__lte=on)
    return {
        "approved": tuple(approved.values_list("protocol_version__version", flat=True)),
        "investigators": tuple(name for name, role in people if role == Role.INVESTIGATOR),
        "untrained": tuple(sorted(names)),
    }
