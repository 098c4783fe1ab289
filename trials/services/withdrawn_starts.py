"""The withdrawal of a protocol version's start that has not come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from trials.errors import StartStands
from trials.events import ProtocolStartWithdrawn
from trials.models import ProtocolVersion, RandomisationList, Site, SiteVersion, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.activation import StartFacts, withdrawal_reasons
from trials.services.amendments import sites_under_lock
from trials.services.protocol_files import refuse_who_enrols


@transaction.atomic
def withdraw_start(
    *, version: ProtocolVersion, sites: Sequence[Site], reason: str, by: User, at: datetime
) -> list[SiteVersion]:
    """Take back a version's starts at sites where its first day has not come, or none of them.

    A version that then stands nowhere counts as never activated, and the one before it is the
    trial's current one again; both may be put in force afterwards. Locks the trial, the sites and
    the version. Publishes ``ProtocolStartWithdrawn`` for each site. Raises ``StartStands`` with
    every reason at every site, and ``PermissionDenied`` for whoever enrols in the trial too.
    """
    trial = Trial.objects.select_for_update(no_key=True).get(pk=version.trial_id)
    authorise(by, Permission.MANAGE_TRIAL, trial=trial, reason=reason)
    refuse_who_enrols(by, trial)
    places = sites_under_lock(trial, sites)
    # Whoever writes a row of this version meanwhile, as a list or a site's first, waits.
    locked = ProtocolVersion.objects.select_for_update().get(pk=version.pk)
    standing = SiteVersion.objects.filter(protocol_version=locked)
    starts = {row.site_id: row for row in standing.select_related("site", "protocol_version")}
    facts = _facts(places, starts, version=locked, at=at)
    stands_on = starts.keys() - {place.pk for place in places} or _is_the_trials_first(locked)
    lists = [] if stands_on else _lists_made(locked)
    if reasons := withdrawal_reasons(locked.version, facts, reason=reason, lists=lists):
        raise StartStands(*reasons)
    rows = [
        _withdraw(starts[place.pk], locked, stream=trial.code, reason=reason.strip(), by=by, at=at)
        for place in places
    ]
    _tell_activation(locked)
    return rows


def _facts(
    places: Sequence[Site],
    starts: Mapping[UUID, SiteVersion],
    *,
    version: ProtocolVersion,
    at: datetime,
) -> list[StartFacts]:
    others = SiteVersion.objects.filter(site__in=places).exclude(protocol_version=version)
    run_another = set(others.values_list("site_id", flat=True))
    return [
        StartFacts(
            code=place.code,
            today=place.local_day(at),
            in_force_from=starts[place.pk].in_force_from if place.pk in starts else None,
            needed=place.status != Site.Status.PLANNED and place.pk not in run_another,
        )
        for place in places
    ]


def _lists_made(version: ProtocolVersion) -> list[int]:
    """Return the numbers of the lists made for a version, but for drafts that were withdrawn."""
    made = RandomisationList.objects.filter(protocol_version=version)
    made = made.exclude(state=RandomisationList.State.WITHDRAWN)
    return sorted(made.values_list("number", flat=True))


def _withdraw(
    row: SiteVersion, version: ProtocolVersion, *, stream: str, reason: str, by: User, at: datetime
) -> SiteVersion:
    row.withdrawn_at, row.withdrawn_by, row.withdrawn_because = at, by, reason
    row.save(update_fields=["withdrawn_at", "withdrawn_by", "withdrawn_because"])
    publish(
        ProtocolStartWithdrawn(
            stream=stream,
            site_id=row.site_id,
            protocol_version=version.version,
            in_force_from=row.in_force_from,
        ),
        at=at,
    )
    return row


def _tell_activation(version: ProtocolVersion) -> None:
    """Say of a version that it was never activated, once it stands nowhere.

    A trial's first version was activated with the trial and stays so, wherever it is in force.
    """
    stands = SiteVersion.objects.filter(protocol_version=version).exists()
    if stands or _is_the_trials_first(version):
        return
    version.activated_at = version.activated_by = None
    version.save(update_fields=["activated_at", "activated_by"])


def _is_the_trials_first(version: ProtocolVersion) -> bool:
    first: ProtocolVersion = version.trial.versions.earliest("submitted_at")
    return first == version
