"""Taking places from the sealed lists."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from trials import sealed
from trials.errors import DayRefused, ListExhausted, SiteNotRecruiting, StratumRefused
from trials.events import SlotAllocated
from trials.models import Allocation, RandomisationList, Site, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.commitment import slot_digest
from trials.rules.conduct import day_reasons
from trials.rules.randomisation import SITE
from trials.services.sites import standing_status


ALGORITHMS = {
    "permuted_blocks": "next_of_stratum/1",
    "simple": "next_of_stratum/1",
    "minimisation": "pocock_simon/1",
}
"""How a slot is found, by method. The number rises when the way changes."""


@transaction.atomic
def allocate(
    *,
    site: Site,
    stratum: str,
    levels: Mapping[str, str],
    inputs: Mapping[str, Any],
    randomised_on: date,
    by: User,
    at: datetime,
) -> Allocation:
    """Take the next place for a subject of a stratum. Knows nothing of subjects, returns no arm.

    ``levels`` are the levels of the stratification factors, to which the site is added, and
    ``inputs`` the recorded values they came from: both stay with the allocation. The
    caller holds the subject's lock and has passed the eligibility and consent gates. The sealed
    schema takes the place under its own lock; a roll-back gives it back. An extension takes over
    when the lists before it hold no place for the stratum.

    Publishes ``SlotAllocated``. Raises ``SiteNotRecruiting``, ``DayRefused``,
    ``StratumRefused`` or ``ListExhausted``.
    """
    trial = site.trial
    authorise(by, Permission.RANDOMISE, site=site)
    if (status := standing_status(site)) != Site.Status.ACTIVE:
        raise SiteNotRecruiting(Reason("site_status", f"{site.code} is {status}."))
    replay = trial.conduct == Trial.Conduct.REPLAY
    if reasons := day_reasons(
        randomised_on, today=site.local_day(at), replay=replay, field="randomised_on"
    ):
        raise DayRefused(*reasons)
    version = site.version_on(randomised_on)
    if stratum not in {known.code for known in version.protocol.strata}:
        raise StratumRefused(
            Reason("unknown_stratum", f"{stratum} is not a stratum of protocol {version.version}.")
        )
    placed = {**levels, SITE: site.code}
    found, slot = _next_slot(trial, stratum, placed)
    allocation = Allocation.objects.create(
        list=found,
        slot_id=slot,
        site=site,
        number=f"R{secrets.randbelow(10**8):08d}",
        stratum=stratum,
        levels=placed,
        inputs=dict(inputs),
        algorithm=ALGORITHMS[found.method],
        randomised_on=randomised_on,
        allocated_by=by,
        allocated_at=at,
        protocol_version=version,
    )
    publish(
        SlotAllocated(
            stream=trial.code,
            allocation_id=allocation.pk,
            site_id=site.pk,
            stratum=stratum,
            randomised_on=randomised_on,
            slot_digest=slot_digest(str(allocation.pk), str(slot)),
        ),
        at=at,
    )
    return allocation


def _next_slot(
    trial: Trial, stratum: str, levels: Mapping[str, str]
) -> tuple[RandomisationList, uuid.UUID]:
    """Return a slot of the first live list that has one. Raises ``ListExhausted`` if none has."""
    for found in trial.randomisation_lists.live():
        if slot := sealed.take_slot(found.pk, stratum, levels):
            return found, slot
    raise ListExhausted(
        Reason("no_place_left", "No live list has a place left: tell the trial's statistician.")
    )
