"""Closing a site: only when nobody is treated there any more, which is known here."""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from dosing.models import TreatmentEnd
from events.reading import reading_as_system
from patients.models import Death, Subject
from trials.models import Site, SiteStatusChange, User
from trials.services.sites import site_under_lock, take_step


@transaction.atomic
def close_site(*, site_id: UUID, on: date, reason: str, by: User, at: datetime) -> SiteStatusChange:
    """Close a site for good: no subject is entered, randomised or treated there from now on.

    Visits, safety data and follow-up of its subjects can still be recorded. Publishes
    ``SiteStatusChanged``. Raises ``SiteStepRefused``, naming each subject still on treatment.
    """
    site = site_under_lock(by, site_id, reason=reason)
    with reading_as_system("a closure asks for every subject, whoever closes"):
        treated = [subject.number for subject in on_treatment(site)]
    return take_step("close", site_id=site_id, on=on, reason=reason, by=by, at=at, treated=treated)


def on_treatment(site: Site) -> list[Subject]:
    """Return the randomised subjects of a site, neither dead nor with an end of treatment."""
    over = [TreatmentEnd.objects.values("subject"), Death.objects.values("subject")]
    subjects = Subject.objects.filter(site=site).exclude(allocation=None)
    return list(subjects.exclude(pk__in=over[0]).exclude(pk__in=over[1]).order_by("number"))
