"""Loading a sealed list, and taking places from it."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import date, datetime

from django.db import IntegrityError, transaction

from events.outbox import publish
from events.outcomes import Reason
from trials import sealed
from trials.errors import DayRefused, ListExhausted, ListRefused, SiteNotRecruiting
from trials.events import RandomisationListLoaded, SlotAllocated
from trials.models import Allocation, RandomisationList, Site, Trial, User
from trials.permissions import Permission, authorise
from trials.rules.conduct import day_reasons
from trials.rules.randomisation import list_problems
from trials.services.sites import standing_status
from trials.services.unblinding import open_blind


def load_list(
    *, trial_id: uuid.UUID, entries: Sequence[tuple[str, str]], reason: str, by: User, at: datetime
) -> RandomisationList:
    """Store a pre-generated list sealed and put it to use.

    ``entries`` are (stratum, arm) in the order of allocation within each stratum. The sealed part
    is written first, over its own log-in; without the row that names it here it is never used.

    Publishes ``RandomisationListLoaded``. Raises ``ListRefused`` with every problem, and if the
    trial has a list already.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    protocol = trial.protocol
    reasons = list_problems(entries, protocol)
    if RandomisationList.objects.filter(trial=trial).exists():
        reasons += (Reason("list_exists", f"{trial.code} has a list in use."),)
    if reasons:
        raise ListRefused(*reasons)
    access = open_blind(
        trial=trial,
        by=by,
        permission=Permission.LOAD_LIST,
        purpose="load randomisation list",
        detail=reason,
    )
    list_id = uuid.uuid4()
    digest = sealed.load_list(access, list_id, entries)
    try:
        return _put_to_use(trial, list_id, digest, len(entries), reason=reason, by=by, at=at)
    except IntegrityError as error:
        raise ListRefused(
            Reason("list_exists", f"A list of {trial.code} was loaded at the same moment.")
        ) from error


@transaction.atomic
def _put_to_use(
    trial: Trial, list_id: uuid.UUID, digest: str, entries: int, *, reason: str, by: User,
    at: datetime,
) -> RandomisationList:  # fmt: skip
    authorise(by, Permission.LOAD_LIST, trial=trial, reason=reason)
    stored = RandomisationList.objects.create(
        pk=list_id,
        trial=trial,
        digest=digest,
        entries=entries,
        reason=reason,
        loaded_by=by,
        loaded_at=at,
    )
    publish(
        RandomisationListLoaded(stream=trial.code, list_id=list_id, digest=digest, entries=entries),
        at=at,
    )
    return stored


@transaction.atomic
def allocate(
    *, site: Site, stratum: str, randomised_on: date, by: User, at: datetime
) -> Allocation:
    """Take the next place of a stratum for a site. Knows nothing of subjects, returns no arm.

    The caller holds the subject's lock and has passed the eligibility and consent gates. The
    sealed schema takes the place under its own lock; a roll-back gives it back.

    Publishes ``SlotAllocated``. Raises ``SiteNotRecruiting``, ``DayRefused`` or ``ListExhausted``.
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
    sealed_list = RandomisationList.objects.filter(trial=trial).first()
    slot = sealed.take_slot(sealed_list.pk, stratum) if sealed_list else None
    if sealed_list is None or slot is None:
        raise ListExhausted(
            Reason("no_place_left", "The list has no place left: tell the trial's statistician.")
        )
    allocation = Allocation.objects.create(
        list=sealed_list,
        slot_id=slot,
        site=site,
        number=f"R{secrets.randbelow(10**8):08d}",
        stratum=stratum,
        randomised_on=randomised_on,
        allocated_by=by,
        allocated_at=at,
        protocol_version=site.version_on(randomised_on),
    )
    publish(
        SlotAllocated(
            stream=trial.code,
            allocation_id=allocation.pk,
            site_id=site.pk,
            stratum=stratum,
            randomised_on=randomised_on,
        ),
        at=at,
    )
    return allocation
