"""Reads of the trial's own records, with a name."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core.exceptions import PermissionDenied

from trials.models import ProtocolVersion, Site, SiteApproval, SiteVersion, Trial, User
from trials.permissions import Permission
from trials.services.log_ins import lock_ends, name_key


READS_PROTOCOLS = (Permission.READ_HISTORY, Permission.MANAGE_TRIAL)
"""A protocol file tells the block sizes, so that nobody who enrols reads it."""

ENROLS = (Permission.ENROL, Permission.RANDOMISE)


@dataclass(frozen=True, slots=True)
class WithdrawnStart:
    """A start that was taken back before it came."""

    in_force_from: date
    withdrawn_at: datetime
    withdrawn_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class AtSite:
    """One version at one site: ``None`` for what has not happened. ``today`` is the site's own."""

    site: str
    name: str
    approved_on: date | None
    reference: str
    in_force_from: date | None
    in_force_until: date | None
    closed: bool
    today: date
    withdrawn: tuple[WithdrawnStart, ...]

    @property
    def scheduled(self) -> bool:
        return self.in_force_from is not None and self.in_force_from > self.today

    @property
    def replaced(self) -> bool:
        return self.in_force_until is not None and self.in_force_until <= self.today


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A protocol version with where it stands at each site."""

    version: ProtocolVersion
    sites: tuple[AtSite, ...]


def read_current_versions(trials: Sequence[Trial]) -> None:
    """Read ``current_version`` of all these trials at once."""
    activated = ProtocolVersion.objects.filter(trial__in=trials).exclude(activated_at=None)
    latest = activated.order_by("trial", "-activated_at").distinct("trial")
    versions = {version.trial_id: version for version in latest}
    for trial in trials:
        trial.current_version = versions[trial.pk]


def trials_with_protocol(by: User) -> set[UUID]:
    """Return the trials whose protocol files somebody may read.

    Whoever enrols in a trial does not, whatever other role they hold in it.
    """
    reads = {row.trial_id for permission in READS_PROTOCOLS for row in by.may(permission)}
    return reads - {row.trial_id for permission in ENROLS for row in by.may(permission)}


def version_for(by: User, code: str, version: str) -> ProtocolVersion:
    """Return a version of a trial's protocol for somebody who may read it.

    Raises ``Trial.DoesNotExist`` or ``ProtocolVersion.DoesNotExist``, and ``PermissionDenied``
    for a role that does not read protocol files.
    """
    trial = _trial(by, code)
    return ProtocolVersion.objects.select_related("trial").get(trial=trial, version=version)


def version_rows(by: User, code: str, *, at: datetime) -> list[VersionRow]:
    """Return a trial's versions, the newest first, with where each stands at an instant."""
    trial = _trial(by, code)
    versions = trial.versions.select_related("submitted_by").order_by("-submitted_at")
    return [VersionRow(version, at_sites(version, at=at)) for version in versions]


def at_sites(version: ProtocolVersion, *, at: datetime) -> tuple[AtSite, ...]:
    """Return where a version stands at each site of its trial."""
    sites = list(Site.objects.filter(trial=version.trial_id).order_by("code"))
    approvals = {row.site_id: row for row in SiteApproval.objects.filter(protocol_version=version)}
    starts: dict[object, list[SiteVersion]] = {site.pk: [] for site in sites}
    rows = SiteVersion.with_withdrawn.filter(site__in=sites).select_related("withdrawn_by")
    for row in rows.order_by("in_force_from", "withdrawn_at"):
        starts[row.site_id].append(row)
    return tuple(
        _at_site(site, version, approvals.get(site.pk), starts[site.pk], today=site.local_day(at))
        for site in sites
    )


def _at_site(
    site: Site,
    version: ProtocolVersion,
    approval: SiteApproval | None,
    starts: list[SiteVersion],
    *,
    today: date,
) -> AtSite:
    begun = [row for row in starts if row.withdrawn_at is None]
    own = next((row for row in begun if row.protocol_version_id == version.pk), None)
    after = [row.in_force_from for row in begun if own and row.in_force_from > own.in_force_from]
    return AtSite(
        site=site.code,
        name=site.name,
        approved_on=approval.approved_on if approval else None,
        reference=approval.reference if approval else "",
        in_force_from=own.in_force_from if own else None,
        in_force_until=min(after, default=None),
        closed=site.status == Site.Status.CLOSED,
        today=today,
        withdrawn=tuple(_withdrawn(starts, version)),
    )


def sites_to_come(version: ProtocolVersion, *, at: datetime) -> list[Site]:
    """Return the sites where a version is to begin on a day that has not come there."""
    rows = SiteVersion.objects.filter(protocol_version=version).select_related("site")
    to_come = [row.site for row in rows if row.in_force_from > row.site.local_day(at)]
    return sorted(to_come, key=lambda site: site.code)


def _withdrawn(starts: list[SiteVersion], version: ProtocolVersion) -> Iterator[WithdrawnStart]:
    for row in starts:
        if row.protocol_version_id == version.pk and row.withdrawn_at and row.withdrawn_by:
            yield WithdrawnStart(
                in_force_from=row.in_force_from,
                withdrawn_at=row.withdrawn_at,
                withdrawn_by=row.withdrawn_by.username,
                reason=row.withdrawn_because,
            )


def _trial(by: User, code: str) -> Trial:
    trial = Trial.objects.visible_to(by).get(code=code)
    if trial.pk not in trials_with_protocol(by):
        text = "Your roles here do not allow you to read protocol files."
        raise PermissionDenied(text)
    return trial


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a log-in is open, locked or switched off, and what else opens it but a password."""

    state: str
    factors: tuple[str, ...]
    signs_on: bool


FACTORS = {"totp": "authenticator application", "webauthn": "passkey"}


def standing_of(users: Iterable[User], *, at: datetime) -> dict[int, Standing]:
    """Return how each account stands, in three queries whatever their number."""
    users = list(users)
    ends = lock_ends((name_key(user.username) for user in users), at=at)
    locked = {key for key, _ in ends}
    factors: dict[int, list[str]] = defaultdict(list)
    held = Authenticator.objects.filter(user__in=users, type__in=FACTORS).order_by("type")
    for user_id, kind in held.values_list("user_id", "type"):
        factors[user_id].append(FACTORS[kind])
    bound = SocialAccount.objects.filter(provider=settings.OIDC_PROVIDER, user__in=users)
    signing_on = set(bound.values_list("user_id", flat=True))
    return {
        user.pk: Standing(
            _state(user, locked), tuple(factors[user.pk]), signs_on=user.pk in signing_on
        )
        for user in users
    }


def _state(user: User, locked: Set[str]) -> str:
    if not user.is_active:
        return "switched off"
    return "locked" if name_key(user.username) in locked else "open"
