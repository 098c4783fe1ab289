"""From the first entry to randomisation."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.errors import NotRandomisable, SubjectNotEnrolled
from patients.events import ScreeningRecorded, SubjectEnrolled, SubjectRandomised
from patients.models import Screening, Subject
from patients.queries import consent_active, consent_form_due, enrolled_values, screened_values
from patients.rules.corrections import can_be_born_in
from patients.rules.eligibility import (
    EligibilityFacts,
    RandomisationFacts,
    ineligible_reasons,
    randomisation_blocks,
)
from patients.rules.screening import read_values, stored_form, value_problems
from patients.rules.strata import levels_of, stratum_code
from patients.services.recording import (
    future_reasons,
    refuse_if,
    require_consent,
    store,
    subject_for,
    version_day,
)
from trials.models import Allocation, Site, User
from trials.permissions import Permission, authorise
from trials.rules.protocol.amendment import judges_otherwise
from trials.services.randomisation import allocate


@transaction.atomic
def enrol_subject(
    *,
    trial: str,
    site: str,
    year_of_birth: int,
    sex: str,
    screened_on: date,
    by: User,
    at: datetime,
) -> Subject:
    """Enter one person for screening and give the next number of the site.

    ``trial`` and ``site`` are codes. The site's row is locked, so numbers run without gaps or
    doubles, also past subjects who moved elsewhere. Publishes ``SubjectEnrolled``. Raises
    ``SubjectNotEnrolled`` with every reason.
    """
    place = (
        Site.objects.visible_to(by, Permission.READ_SUBJECTS)
        .select_for_update(of=("self",))
        .select_related("trial")
        .get(trial__code=trial, code=site)
    )
    authorise(by, Permission.ENROL, site=place)
    today = place.local_day(at)
    reasons = []
    if place.status != Site.Status.ACTIVE:
        reasons.append(Reason("site_status", f"Site {place.code} is {place.status}."))
    if screened_on > today:
        reasons.append(Reason("future_day", f"screened_on {screened_on} lies in the future."))
    if not can_be_born_in(year_of_birth, screened_on):
        reasons.append(Reason("year_of_birth", f"{year_of_birth} cannot be a year of birth."))
    if reasons:
        raise SubjectNotEnrolled(*reasons)
    place.entered += 1
    place.save(update_fields=["entered"])
    subject = Subject.objects.create(
        trial=place.trial,
        site=place,
        number=f"{place.code}-{place.entered:04d}",
        year_of_birth=year_of_birth,
        sex=sex,
        screened_on=screened_on,
        protocol_version=place.version_on(version_day(place, at, screened_on)),
        recorded_by=by,
        recorded_at=at,
    )
    publish(
        SubjectEnrolled(stream=place.trial.code, subject_id=subject.pk, site_id=place.pk), at=at
    )
    return subject


@transaction.atomic
def record_screening(
    *,
    subject_id: UUID,
    assessed_on: date,
    values: Mapping[str, object],
    exclusions: Sequence[str] = (),
    by: User,
    at: datetime,
) -> Screening:
    """Record what screening found; the rule judges eligibility and derives levels and stratum.

    ``values`` are by the codes of the protocol's screening variables; what is left out is not
    known. An ineligible subject is a record like any other, with its reasons. Publishes
    ``ScreeningRecorded``.

    Raises ``ConsentMissing``, or ``RecordRefused`` with every reason: a value that is not the
    protocol's, of another kind, out of bounds or missing, a day in the future, an exclusion the
    protocol does not know, or the subject randomised already.
    """
    subject = subject_for(by, subject_id, Permission.ENROL, at=at, on=assessed_on)
    require_consent(subject, on=assessed_on)
    protocol = subject.protocol
    variables = protocol.screening.variables
    reasons = [*value_problems(values, variables)]
    found = {} if reasons else read_values(values, variables)
    days = {code: value for code, value in found.items() if isinstance(value, date)}
    reasons += future_reasons(subject, at, **{"assessed_on": assessed_on, **days})
    if subject.allocation_id is not None:
        reasons.append(Reason("already_randomised", "Screening ended with randomisation."))
    known = {exclusion.code for exclusion in protocol.eligibility.exclusions}
    reasons += [
        Reason("unknown_exclusion", f"The protocol has no exclusion {code}.")
        for code in exclusions
        if code not in known
    ]
    refuse_if(reasons)
    facts = EligibilityFacts({**found, **enrolled_values(subject)}, tuple(exclusions))
    against = ineligible_reasons(facts, protocol)
    levels = {} if against else levels_of(facts.values, protocol.factors)
    screening = store(
        Screening,
        subject,
        by=by,
        at=at,
        assessed_on=assessed_on,
        values=stored_form(found),
        exclusions=list(exclusions),
        eligible=not against,
        reasons=[{"code": reason.code, "detail": reason.detail} for reason in against],
        levels=levels,
        stratum="" if against else stratum_code(levels, protocol.factors),
        subject_revision=subject.revision,
    )
    publish(
        ScreeningRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            eligible=not against,
            reasons=tuple(reason.code for reason in against),
        ),
        at=at,
    )
    return screening


@transaction.atomic
def randomise_subject(
    *, subject_id: UUID, randomised_on: date, by: User, at: datetime
) -> Allocation:
    """Take a place on the sealed list for one subject, once.

    Eligibility, consent and timing are judged here, under the subject's lock, in the transaction
    that takes the place. The stratum comes from the screening and is frozen with the allocation.

    Publishes ``SubjectRandomised`` (and ``SlotAllocated``). Raises ``NotRandomisable`` with every
    reason, and what ``allocate`` raises.
    """
    subject = subject_for(by, subject_id, Permission.RANDOMISE, at=at, on=randomised_on)
    screenings = Screening.objects.filter(subject=subject).select_related("protocol_version")
    screening = screenings.order_by("recorded_at").last()
    facts = RandomisationFacts(
        randomised_on=randomised_on,
        values=screened_values(screening) if screening else {},
        consent_active=consent_active(subject, on=randomised_on),
        eligible=screening.eligible if screening else None,
        already_randomised=subject.allocation_id is not None,
        form_due=consent_form_due(subject, on=randomised_on),
        judged_anew=screening is not None and _judged_anew(screening, subject),
        corrected_since=screening is not None and screening.subject_revision != subject.revision,
    )
    blocks = randomisation_blocks(facts, subject.protocol)
    if blocks or screening is None:
        raise NotRandomisable(*blocks)
    allocation = allocate(
        site=subject.site,
        stratum=screening.stratum,
        levels=screening.levels,
        inputs=_inputs(screening, subject),
        randomised_on=randomised_on,
        by=by,
        at=at,
    )
    subject.allocation = allocation
    subject.save(update_fields=["allocation"])
    publish(
        SubjectRandomised(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            allocation_id=allocation.pk,
            stratum=allocation.stratum,
            randomised_on=randomised_on,
        ),
        at=at,
    )
    return allocation


def _inputs(screening: Screening, subject: Subject) -> dict[str, Any]:
    """Return the recorded values that the levels came from, as they are stored."""
    values = stored_form({**screened_values(screening), **enrolled_values(subject)})
    factors = screening.protocol_version.protocol.factors
    return {factor.variable: values[factor.variable] for factor in factors}


def _judged_anew(screening: Screening, subject: Subject) -> bool:
    if screening.protocol_version_id == subject.version.pk:
        return False
    return judges_otherwise(screening.protocol_version.protocol, subject.protocol)
