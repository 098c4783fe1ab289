"""Protocol versions: submitted to a running trial, approved for sites, in force site by site."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from trials.errors import AmendmentRefused
from trials.events import ProtocolInForce, ProtocolSubmitted, SiteApprovalRecorded
from trials.models import ProtocolVersion, Site, SiteApproval, SiteVersion, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.activation import SiteFacts, activation_reasons
from trials.rules.one_design import Running, in_use, other_designs
from trials.rules.protocol import digest
from trials.services.protocol_files import (
    changes_of_randomisation,
    judged,
    problems_of_today,
    refuse_who_enrols,
)


@transaction.atomic
def submit_version(
    *, trial_id: uuid.UUID, protocol_text: str, by: User, at: datetime
) -> ProtocolVersion:
    """Store a new version of a trial's protocol; it is in force nowhere yet.

    Publishes ``ProtocolSubmitted``. Raises ``AmendmentRefused`` with every reason: each problem
    of the file, another trial's file, a version that is there already, a change of what the
    randomisation list was made from. ``PermissionDenied`` for whoever enrols in the trial too.
    """
    trial = Trial.objects.visible_to(by).select_for_update(no_key=True).get(pk=trial_id)
    authorise(by, Permission.MANAGE_TRIAL, trial=trial)
    refuse_who_enrols(by, trial)
    checked = judged(protocol_text, trial)
    if checked.protocol is None or checked.refused_for:
        raise AmendmentRefused(*checked.refused_for)
    version = ProtocolVersion.objects.create(
        trial=trial,
        version=checked.protocol.version,
        text=protocol_text,
        digest=digest(protocol_text),
        submitted_at=at,
        submitted_by=by,
    )
    publish(
        ProtocolSubmitted(
            stream=trial.code,
            trial_id=trial.pk,
            protocol_version=version.version,
            digest=version.digest,
        ),
        at=at,
    )
    return version


@transaction.atomic
def record_approval(
    *,
    site: Site,
    version: ProtocolVersion,
    approved_on: date,
    reference: str,
    by: User,
    at: datetime,
) -> SiteApproval:
    """Record that a site may run a version, with the reference of the committee's letter.

    Publishes ``SiteApprovalRecorded``. Raises ``AmendmentRefused``: a version of another trial, a
    day in the future, no reference, or recorded already.
    """
    place = _place(by, site.pk)
    authorise(by, Permission.MANAGE_TRIAL, trial=place.trial)
    today = place.local_day(at)
    reasons = []
    if version.trial_id != place.trial_id:
        detail = f"{place.code} is not a site of the trial of {version}."
        reasons.append(Reason("another_trial", detail))
    if approved_on > today:
        detail = f"approved_on {approved_on} lies in the future (today is {today})."
        reasons.append(Reason("future_day", detail))
    if not reference.strip():
        reasons.append(Reason("reference_missing", "reference names the letter of approval."))
    if place.approvals.filter(protocol_version=version).exists():
        detail = f"The approval of {version.version} at {place.code} is recorded already."
        reasons.append(Reason("approved_already", detail))
    if reasons:
        raise AmendmentRefused(*reasons)
    approval = SiteApproval.objects.create(
        site=place,
        protocol_version=version,
        approved_on=approved_on,
        reference=reference.strip(),
        recorded_by=by,
        recorded_at=at,
    )
    publish(
        SiteApprovalRecorded(
            stream=place.trial.code,
            site_id=place.pk,
            protocol_version=version.version,
            approved_on=approved_on,
        ),
        at=at,
    )
    return approval


@transaction.atomic
def put_in_force(
    *,
    version: ProtocolVersion,
    sites: Sequence[Site],
    in_force_from: date,
    impact_digest: str,
    by: User,
    at: datetime,
) -> list[SiteVersion]:
    """Put a version in force at sites from a day of their calendars, at all of them or at none.

    Called by ``reporting.services.amendments.activate_version`` alone, which has compared the
    impact report. Locks the trial and the sites. Publishes ``ProtocolInForce`` for each site.
    Raises ``AmendmentRefused`` with every reason at every site, and, for a version that was in
    force nowhere yet, with every problem that the rules of today find in its file.
    """
    trial = Trial.objects.select_for_update(no_key=True).get(pk=version.trial_id)
    authorise(by, Permission.MANAGE_TRIAL, trial=trial)
    refuse_who_enrols(by, trial)
    places = sites_under_lock(trial, sites)
    version.refresh_from_db(fields=["activated_at", "activated_by"])  # as it is under the lock
    replay = trial.conduct == Trial.Conduct.REPLAY
    reasons = [*problems_of_today(version), *changes_of_randomisation(trial, version.protocol)]
    if not places:
        reasons.append(Reason("no_site", "Name the sites at which the version comes into force."))
    for place in places:
        facts = site_facts(place, version, at=at)
        reasons += activation_reasons(
            version.version, facts, in_force_from=in_force_from, replay=replay
        )
    if reasons:
        raise AmendmentRefused(*reasons)
    if version.activated_at is None:
        version.activated_at, version.activated_by = at, by
        version.save(update_fields=["activated_at", "activated_by"])
    return [
        _begin(place, version, in_force_from, impact_digest=impact_digest, by=by, at=at)
        for place in places
    ]


def sites_under_lock(trial: Trial, sites: Sequence[Site]) -> list[Site]:
    """Return those of the sites that are the trial's, by code; its own row is locked before."""
    own = trial.sites.filter(pk__in=[site.pk for site in sites])
    return list(own.select_for_update(no_key=True).order_by("code"))


def site_facts(site: Site, version: ProtocolVersion, *, at: datetime) -> SiteFacts:
    """Return what an activation at a site is judged from."""
    approval = site.approvals.filter(protocol_version=version).first()
    rows = site.versions.select_related("protocol_version").order_by("in_force_from")
    latest = rows.last()
    return SiteFacts(
        code=site.code,
        closed=site.status == Site.Status.CLOSED,
        today=site.local_day(at),
        approved_on=approval.approved_on if approval else None,
        in_force=latest.protocol_version.version if latest else "",
        since=latest.in_force_from if latest else None,
        ran_it_already=rows.filter(protocol_version=version).exists(),
    )


def designs_against(made_for: ProtocolVersion, *, at: datetime) -> tuple[Reason, ...]:
    """Return every version in use in the trial that a list made for a version does not fit.

    The caller holds the trial's lock, under which versions come into force, if it acts by this.
    """
    trial = Trial.objects.get(pk=made_for.trial_id)
    rows = SiteVersion.objects.filter(site__trial=trial).exclude(site__status=Site.Status.CLOSED)
    ran: dict[Site, dict[date, ProtocolVersion]] = {}
    for row in rows.select_related("site", "protocol_version").order_by("site__code"):
        ran.setdefault(row.site, {})[row.in_force_from] = row.protocol_version
    replay = trial.conduct == Trial.Conduct.REPLAY
    running = [
        Running(site.code, versions[day].protocol, begins=day if day > today else None)
        for site, versions in ran.items()
        for today in [site.local_day(at)]
        for day in in_use(versions, today=today, replay=replay)
    ]
    return other_designs(made_for.protocol, running, trial.protocol)


def begin_at_site(*, site: Site, by: User, at: datetime) -> SiteVersion:
    """Put a version in force at a site that begins; the caller has authorised and judged.

    It holds the lock of the trial, under which a randomisation list is made. The newest activated
    version that is approved there, or the trial's current one where no approval is recorded at
    all. From the site's today; in a replay, from the opening of accrual if that is earlier, so
    that acts of the past find it. A site that runs one keeps it.

    Raises ``AmendmentRefused`` if no activated version is among those approved, or if it
    randomises otherwise than the list that was made.
    """
    running: SiteVersion | None = site.versions.order_by("in_force_from").last()
    if running is not None:
        return running
    version = _first_version(site)
    if reasons := changes_of_randomisation(site.trial, version.protocol):
        raise AmendmentRefused(*reasons)
    day = site.local_day(at)
    if site.trial.conduct == Trial.Conduct.REPLAY:
        day = min(day, version.protocol.trial.accrual_opens_on)
    row = _begin(site, version, day, impact_digest="", by=by, at=at)
    # Its last other start may have been withdrawn since it was read: it stands here now.
    taken_back = ProtocolVersion.objects.filter(pk=version.pk, activated_at=None)
    taken_back.update(activated_at=at, activated_by=by)
    return row


def _first_version(site: Site) -> ProtocolVersion:
    if not site.approvals.exists():
        return site.trial.current_version
    activated = site.trial.versions.exclude(activated_at=None)
    approved = activated.filter(approvals__site=site).order_by("activated_at").last()
    if approved is None:
        detail = f"No version approved at {site.code} was ever activated."
        raise AmendmentRefused(Reason("not_approved", detail))
    return approved


def _begin(
    site: Site,
    version: ProtocolVersion,
    day: date,
    *,
    impact_digest: str,
    by: User,
    at: datetime,
) -> SiteVersion:
    row: SiteVersion = SiteVersion.objects.create(
        site=site,
        protocol_version=version,
        in_force_from=day,
        impact_digest=impact_digest,
        activated_by=by,
        activated_at=at,
    )
    publish(
        ProtocolInForce(
            stream=site.trial.code,
            site_id=site.pk,
            protocol_version=version.version,
            in_force_from=day,
        ),
        at=at,
    )
    return row


def _place(by: User, site_id: uuid.UUID) -> Site:
    """Return a site of one's trials. Raises ``Site.DoesNotExist`` for anybody else's."""
    mine = Site.objects.filter(trial__in=Trial.objects.visible_to(by))
    return mine.select_related("trial").get(pk=site_id)
