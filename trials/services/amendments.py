"""Protocol versions at the sites: which one a site runs from which day on."""

from datetime import datetime

from trials.models import Site, SiteVersion, Trial, User


def begin_at_site(*, site: Site, by: User, at: datetime) -> SiteVersion:
    """Put the trial's current version in force at a site that begins; the caller has authorised.

    From the site's today; in a replay, from the opening of accrual if that is earlier, so that
    acts of the past find it.
    """
    version = site.trial.current_version
    day = site.local_day(at)
    if site.trial.conduct == Trial.Conduct.REPLAY:
        day = min(day, version.protocol.trial.accrual_opens_on)
    return SiteVersion.objects.create(
        site=site, protocol_version=version, in_force_from=day, activated_by=by, activated_at=at
    )
