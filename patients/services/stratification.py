"""What is found out about a randomisation afterwards: wrong strata, and mistakes.

Neither re-randomises, moves a slot or judges eligibility again. Subjects are analysed as
randomised.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from patients.events import RandomisationMistakeRecorded, ScreeningCorrected
from patients.models import RandomisationMistake, Screening, ScreeningCorrection, Subject
from patients.queries import enrolled_values, screened_values
from patients.rules.screening import read_values, stored_form, value_problems
from patients.rules.strata import levels_of, stratum_code
from patients.services.recording import refuse_if, require_reason, store, subject_for
from trials.models import Allocation, User
from trials.permissions import Permission
from trials.rules.protocol import Factor, Protocol


@transaction.atomic
def correct_screening(
    *, subject_id: UUID, values: Mapping[str, object], reason: str, by: User, at: datetime
) -> ScreeningCorrection:
    """Record which screening values were wrong, and derive the stratum the right ones give.

    ``values`` are by the codes of the protocol's screening variables. The stratum of the
    allocation stays frozen and the subject keeps the slot; the corrected stratum is kept beside
    it, never typed. Later corrections go on from the earlier ones.

    Publishes ``ScreeningCorrected``. Raises ``RecordRefused`` with every reason: not randomised
    yet (screen again instead), nothing differs, no reason, or a value that cannot be.
    """
    subject = subject_for(by, subject_id, Permission.CORRECT_CLINICAL, at=at, reason=reason)
    require_reason(reason)
    allocation, screening = randomised_by(subject)
    if allocation is None or screening is None:
        text = "The subject is not randomised: record another screening instead."
        refuse_if([Reason("not_randomised", text)])
        raise AssertionError("refused above")
    protocol = screening.protocol_version.protocol
    known = as_known(subject, screening)
    refuse_if(_problems(values, known, protocol))
    asked = [each for each in protocol.screening.variables if each.code in values]
    corrected = read_values(values, asked)
    values = {**allocation.inputs, **enrolled_values(subject), **known, **corrected}
    levels, stratum = derived_levels(values, protocol)
    found = store(
        ScreeningCorrection,
        subject,
        by=by,
        at=at,
        screening=screening,
        found={code: known.get(code) for code in corrected},
        corrected=stored_form(corrected),
        levels=levels,
        stratum=stratum,
        reason=reason,
    )
    publish(
        ScreeningCorrected(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            correction_id=found.pk,
            variables=tuple(sorted(corrected)),
            other_stratum=stratum != allocation.stratum,
        ),
        at=at,
    )
    return found


def randomised_by(subject: Subject) -> tuple[Allocation | None, Screening | None]:
    """Return the subject's allocation and the screening it came from; nothing before it."""
    if (allocation := subject.allocation) is None:
        return None, None
    before = Screening.objects.filter(subject=subject, recorded_at__lte=allocation.allocated_at)
    return allocation, before.select_related("protocol_version").last()


def as_known(subject: Subject, screening: Screening) -> dict[str, Any]:
    """Return the screening's values with what was corrected since, as they are stored."""
    known = stored_form(screened_values(screening))
    for earlier in ScreeningCorrection.objects.filter(screening=screening):
        known |= earlier.corrected
    return dict(known)


def _problems(
    values: Mapping[str, object], known: Mapping[str, Any], protocol: Protocol
) -> list[Reason]:
    asked = [each for each in protocol.screening.variables if each.code in values]
    if problems := value_problems(values, asked):
        return list(problems)
    sent = stored_form(read_values(values, asked))
    same = [code for code, value in sent.items() if known.get(code) == value]
    reasons = [Reason("not_corrected", f"{code} is recorded like this already.") for code in same]
    if not sent:
        reasons.append(Reason("nothing_corrected", "Name at least one value that was wrong."))
    return reasons


def derived_levels(found: Mapping[str, Any], protocol: Protocol) -> tuple[dict[str, str], str]:
    """Return levels and stratum of values as stored or read; a factor no level holds has none."""
    asked = [each for each in protocol.screening.variables if each.code in found]
    read = read_values({each.code: found[each.code] for each in asked}, asked)
    values = {**found, **read}
    levels: dict[str, str] = {}
    for factor in protocol.factors:
        levels |= _level(values, factor)
    whole = len(levels) == len(protocol.factors)
    return levels, stratum_code(levels, protocol.factors) if whole else ""


def _level(values: Mapping[str, Any], factor: Factor) -> dict[str, str]:
    try:
        return levels_of(values, [factor])
    except ValueError:
        return {}


@transaction.atomic
def record_randomisation_mistake(
    *, subject_id: UUID, kind: str, reason: str, by: User, at: datetime
) -> RandomisationMistake:
    """Mark a subject as randomised in error, with the reason. Nothing is undone by it.

    Publishes ``RandomisationMistakeRecorded``. Raises ``RecordRefused`` for a subject that is not
    randomised, or without a reason.
    """
    subject = subject_for(by, subject_id, Permission.ANNOTATE_RANDOMISATION, at=at, reason=reason)
    require_reason(reason)
    reasons = []
    if subject.allocation_id is None:
        reasons.append(Reason("not_randomised", "The subject is not randomised."))
    if kind not in RandomisationMistake.Kind.values:
        reasons.append(Reason("unknown_kind", f"kind {kind} is not one of those there are."))
    refuse_if(reasons)
    found = store(RandomisationMistake, subject, by=by, at=at, kind=kind, reason=reason)
    publish(
        RandomisationMistakeRecorded(
            stream=subject.trial.code,
            subject_id=subject.pk,
            site_id=subject.site_id,
            mistake_id=found.pk,
            kind=kind,
        ),
        at=at,
    )
    return found
