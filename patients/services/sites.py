"""A site's name or time zone was entered wrongly."""

from datetime import datetime
from uuid import UUID
from zoneinfo import available_timezones

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import Subject, SubjectTransfer
from trials.errors import SiteCorrectionRefused
from trials.events import SiteCorrected
from trials.models import Site, SiteCorrection, User
from trials.services.sites import site_under_lock


@transaction.atomic
def correct_site(
    *,
    site_id: UUID,
    reason: str,
    name: str | None = None,
    time_zone: str | None = None,
    by: User,
    at: datetime,
) -> SiteCorrection:
    """Correct the name or the time zone of a site, with the reason; what is left out stays.

    A name can be corrected at any time. A time zone only while nobody has ever been at the site.
    Instants are stored in UTC, but the site's clock has made days of them: whether a day lay in
    the future, which protocol version was in force, how many days a pregnancy test was old. Under
    another clock the same records would give other days, and gates and reports would answer
    otherwise than they did. Once anybody was entered or came by transfer it is refused: add a site
    with the right time zone and transfer its subjects, so that each day keeps the clock it was
    made by.

    Locks the site: nobody is entered or comes meanwhile. Publishes ``SiteCorrected``. Raises
    ``SiteCorrectionRefused`` with every reason.
    """
    site = site_under_lock(by, site_id, reason=reason)
    sent = {"name": name, "time_zone": time_zone}
    corrected = {field: value for field, value in sent.items() if value is not None}
    found = {field: getattr(site, field) for field in corrected}
    reasons = [
        Reason("not_corrected", f"{field} is {value} already.")
        for field, value in corrected.items()
        if found[field] == value
    ]
    if not corrected:
        reasons.append(Reason("nothing_corrected", "Give the name, the time zone or both."))
    if not reason.strip():
        reasons.append(Reason("reason_missing", "reason: say why it was wrong."))
    if name is not None and not name.strip():
        reasons.append(Reason("site_name", "name: say which hospital or practice it is."))
    if time_zone is not None:
        reasons += _time_zone_reasons(site, time_zone)
    if reasons:
        raise SiteCorrectionRefused(*reasons)
    for field, value in corrected.items():
        setattr(site, field, value)
    site.save(update_fields=list(corrected))
    publish(
        SiteCorrected(stream=site.trial.code, site_id=site.pk, corrected=tuple(sorted(corrected))),
        at=at,
    )
    return SiteCorrection.objects.create(
        site=site, found=found, corrected=corrected, reason=reason, recorded_by=by, recorded_at=at
    )


def _time_zone_reasons(site: Site, time_zone: str) -> list[Reason]:
    reasons = []
    if time_zone not in available_timezones():
        reasons.append(Reason("time_zone_unknown", f"{time_zone} is not a time zone name."))
    if _anybody_was_at(site):
        detail = (
            f"time_zone: subjects have been at {site.code}, and its clock made the days of their "
            "records. Add a site with the right one and transfer them."
        )
        reasons.append(Reason("time_zone_in_use", detail))
    return reasons


def _anybody_was_at(site: Site) -> bool:
    with reading_as_system("whether anybody was ever at a site, whoever sets it up"):
        here = Subject.objects.filter(site=site).exists()
        came = SubjectTransfer.objects.filter(to_site=site).exists()
    return site.entered > 0 or here or came
