"""The medical monitors' on-call list: a duty entered, a duty cancelled, and who answers now."""

import uuid
from datetime import datetime

from django.db import transaction

from events.outbox import publish
from events.outcomes import Reason
from trials.errors import DutyRefused
from trials.events import OnCallChanged
from trials.models import OnCall, RoleAssignment, Trial, User
from trials.permissions import Permission, Role, authorise
from trials.rules.delegation import Period
from trials.rules.on_call import DutyFacts, duty_reasons
from trials.services.people import period_of


def on_call(trial: Trial, at: datetime) -> list[OnCall]:
    """Return who is on call at an instant, the duty that ends last first; empty is a gap.

    Somebody whose role has ended, or whose log-in is off, is not on call, whatever the list says.
    """
    monitors = RoleAssignment.objects.in_force(at).filter(
        trial=trial, role=Role.MEDICAL_MONITOR, user__is_active=True
    )
    duties = OnCall.objects.covering(at).filter(trial=trial, person__in=monitors.values("user"))
    return list(duties.select_related("person").order_by("-ends_at", "pk"))


@transaction.atomic
def enter_duty(
    *,
    trial_id: uuid.UUID,
    person: User,
    telephone: str,
    starts_at: datetime,
    ends_at: datetime,
    by: User,
    at: datetime,
) -> OnCall:
    """Put a medical monitor on call from an instant until just before another.

    Publishes ``OnCallChanged``. Raises ``DutyRefused`` with every reason.
    """
    trial = Trial.objects.visible_to(by).select_for_update(no_key=True).get(pk=trial_id)
    authorise(by, Permission.MANAGE_ON_CALL, trial=trial)
    roles = RoleAssignment.objects.filter(trial=trial, user=person, role=Role.MEDICAL_MONITOR)
    duties = OnCall.objects.standing().filter(trial=trial, person=person)
    facts = DutyFacts(
        person=person.username,
        telephone=telephone,
        period=Period(starts_at, ends_at),
        now=at,
        roles=tuple(period_of(role) for role in roles),
        duties=tuple(Period(duty.starts_at, duty.ends_at) for duty in duties),
        log_in_on=person.is_active,
    )
    if reasons := duty_reasons(facts):
        raise DutyRefused(*reasons)
    duty = OnCall.objects.create(
        trial=trial,
        person=person,
        telephone=telephone.strip(),
        starts_at=starts_at,
        ends_at=ends_at,
        recorded_by=by,
        recorded_at=at,
    )
    publish(OnCallChanged(stream=trial.code, duty_id=duty.pk, cancelled=False), at=at)
    return duty


@transaction.atomic
def cancel_duty(*, duty_id: uuid.UUID, reason: str, by: User, at: datetime) -> OnCall:
    """Take a duty off the list, with a reason; it stays on record.

    Publishes ``OnCallChanged``. Raises ``DutyRefused``: cancelled already, over, or no reason.
    """
    duty = (
        OnCall.objects.visible_to(by)
        .select_for_update(of=("self",), no_key=True)
        .select_related("trial")
        .get(pk=duty_id)
    )
    authorise(by, Permission.MANAGE_ON_CALL, trial=duty.trial, reason=reason)
    reasons = []
    if not reason.strip():
        reasons.append(Reason("reason_missing", "reason: say why the duty is cancelled."))
    if duty.cancelled_at is not None:
        reasons.append(Reason("duty_cancelled", "This duty is cancelled already."))
    elif duty.ends_at <= at:
        reasons.append(Reason("duty_is_over", "This duty is over."))
    if reasons:
        raise DutyRefused(*reasons)
    duty.cancelled_by, duty.cancelled_at, duty.cancel_reason = by, at, reason
    duty.save(update_fields=["cancelled_by", "cancelled_at", "cancel_reason"])
    publish(OnCallChanged(stream=duty.trial.code, duty_id=duty.pk, cancelled=True), at=at)
    return duty
