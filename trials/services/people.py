"""Who may do what: trainings, roles given and ended, and log-ins switched off."""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet

from events.outbox import publish
from events.outcomes import Reason
from trials.errors import LeaverRefused, RoleRefused, SetupRefused, TrainingRefused
from trials.events import LogInSwitchedOff, RoleEnded, RoleGiven, TrainingRecorded
from trials.models import Leaver, RoleAssignment, Site, Training, Trial, User
from trials.permissions import (
    DELEGABLE,
    UNBLINDED,
    Permission,
    Role,
    authorise,
    kind_of,
)
from trials.rules.delegation import (
    LeaverFacts,
    Period,
    Person,
    Wanted,
    leaver_reasons,
    role_reasons,
)


EARLIEST_ZONE = timedelta(hours=14)  # where a day begins first


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training was on, in which version, and when it was completed."""

    document: str
    version: str
    completed_on: date


@transaction.atomic
def record_training(
    *,
    user: User,
    trial_id: uuid.UUID,
    document: str,
    version: str,
    completed_on: date,
    by: User,
    at: datetime,
) -> Training:
    """Record that somebody completed a training for a trial: on which document, in which version.

    Asked of the sponsor's administrator, or of an investigator for those who will work with them.
    Publishes ``TrainingRecorded``. Raises ``TrainingRefused``: a day in the future, or recorded
    already.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    _authorise_for_people(by, trial, site=None)
    _lock(user)
    return keep_training(user, trial, Trained(document, version, completed_on), by=by, at=at)


def keep_training(
    user: User, trial: Trial, trained: Trained, *, by: User, at: datetime
) -> Training:
    """Keep a training of somebody whom the caller has locked and may record one of.

    Publishes and raises as ``record_training`` does.
    """
    rows = Training.objects.filter(trial=trial, user=user)
    same = rows.filter(
        document=trained.document, version=trained.version, completed_on=trained.completed_on
    )
    reasons = training_problems(trained, at=at)
    if same.exists():
        reasons.append(Reason("training_recorded", f"This training of {user} is recorded already."))
    if reasons:
        raise TrainingRefused(*reasons)
    training = Training.objects.create(
        trial=trial,
        user=user,
        document=trained.document,
        version=trained.version,
        completed_on=trained.completed_on,
        recorded_by=by,
        recorded_at=at,
    )
    publish(
        TrainingRecorded(
            stream=trial.code,
            training_id=training.pk,
            user_id=user.pk,
            completed_on=trained.completed_on,
        ),
        at=at,
    )
    return training


def training_problems(trained: Trained, *, at: datetime) -> list[Reason]:
    """Return every reason not to believe a training; empty means none."""
    reasons = []
    if trained.completed_on > (at.astimezone(UTC) + EARLIEST_ZONE).date():
        told = f"completed_on {trained.completed_on} lies in the future."
        reasons.append(Reason("future_day", told))
    if not trained.document.strip():
        reasons.append(Reason("document_missing", "document: name what was trained."))
    if not trained.version.strip():
        reasons.append(Reason("version_missing", "version: name the document's version."))
    return reasons


@transaction.atomic
def give_role(
    *,
    user: User,
    trial_id: uuid.UUID,
    site: Site | None,
    role: Role,
    by: User,
    at: datetime,
    starts_on: date | None = None,
    ends_on: date | None = None,
) -> RoleAssignment:
    """Give a role: a new line of the delegation log, now or from a later day on.

    Days are the site's (of UTC for a role in the whole trial); ``ends_on`` is the last day that
    counts. The sponsor's administrator gives any role, an investigator those of their own site's
    staff. Locks the person, so that the same role is not given twice at once.

    Publishes ``RoleGiven``. Raises ``RoleRefused`` with every reason, ``SetupRefused`` for a site
    of another trial, and ``PermissionDenied``.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    role = Role(role)
    if site is not None and site.trial_id != trial.pk:
        raise SetupRefused(Reason("foreign_site", f"{site.code} is not a site of {trial.code}."))
    _authorise_for_role(by, trial, site, role)
    person = _lock(user)
    today = _day(site, at)
    first_day = starts_on or today
    starts_at = at if first_day == today else _midnight(site, first_day)
    ends_at = None if ends_on is None else _midnight(site, ends_on + timedelta(1))
    period = Period(starts_at, ends_at)
    wanted = Wanted(
        person=user.username,
        kind=kind_of(role),
        site=site.code if site else None,
        period=period,
        first_day=first_day,
        last_day=ends_on,
        today=today,
    )
    if reasons := role_reasons(wanted, _facts(person, trial, site, role, by=by)):
        raise RoleRefused(*reasons)
    given = RoleAssignment.objects.create(
        user=user,
        trial=trial,
        site=site,
        role=role,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        given_by=by,
        given_at=at,
    )
    publish(
        RoleGiven(
            stream=trial.code,
            assignment_id=given.pk,
            user_id=user.pk,
            role=role.value,
            site_id=given.site_id,
            starts_at=given.starts_at,
            ends_at=given.ends_at,
        ),
        at=at,
    )
    return given


@transaction.atomic
def end_role(*, role_id: uuid.UUID, reason: str, by: User, at: datetime) -> RoleAssignment:
    """End a role now, before its time or without one; it is asked of at every request.

    A role that has not begun never does. Publishes ``RoleEnded``. Raises ``RoleRefused``: ended
    already, no reason, or the trial's last administrator.
    """
    held = RoleAssignment.objects.visible_to(by).select_related("trial", "site").get(pk=role_id)
    _authorise_for_role(by, held.trial, held.site, Role(held.role), reason=reason)
    _lock(held.user)
    held.refresh_from_db(fields=["ends_at", "ended_at"])
    reasons = []
    if not reason.strip():
        reasons.append(Reason("reason_missing", "reason: a role that ends early says why."))
    if held.ends_at is not None and held.ends_at <= at:
        reasons.append(Reason("role_ended", "This role has ended already."))
    elif _is_last_administrator(held, at):
        detail = f"{held.user} is the last administrator of {held.trial.code}: give the role on."
        reasons.append(Reason("last_administrator", detail))
    if reasons:
        raise RoleRefused(*reasons)
    _end(held, reason=reason, by=by, at=at)
    return held


@transaction.atomic
def deactivate_person(*, user: User, reason: str, by: User, at: datetime) -> Leaver:
    """Switch off the log-in of somebody who left, and end their roles, at once.

    Publishes ``LogInSwitchedOff`` and one ``RoleEnded`` a role. Raises ``LeaverRefused`` with
    every reason: off already, no reason, oneself, the last administrator of a trial, or a role in
    a trial where ``by`` does not give roles; and ``PermissionDenied`` for somebody who never had
    a role in a trial of theirs.
    """
    managed = {a.trial_id: a.trial for a in by.may(Permission.MANAGE_PEOPLE) if not a.site_id}
    held = RoleAssignment.objects.filter(user=user)
    known = held.filter(trial__in=managed).order_by("starts_at").first()
    if known is None:
        raise PermissionDenied(
            f"Your role here does not allow you to {Permission.MANAGE_PEOPLE.value}."
        )
    trial = managed[known.trial_id]
    authorise(by, Permission.MANAGE_PEOPLE, trial=trial, reason=reason)
    person = _lock(user)
    standing = list(_not_over(held, at).select_related("trial", "site", "user"))
    facts = LeaverFacts(
        person=user.username,
        reason=reason,
        log_in_on=person.is_active,
        is_oneself=user.pk == by.pk,
        roles_elsewhere=any(row.trial_id not in managed for row in standing),
        last_administrator=any(_is_last_administrator(row, at) for row in standing),
    )
    if reasons := leaver_reasons(facts):
        raise LeaverRefused(*reasons)
    for row in standing:
        _end(row, reason=reason, by=by, at=at)
    person.is_active = False
    person.save(update_fields=["is_active"])
    user.is_active = False
    publish(LogInSwitchedOff(stream=trial.code, user_id=user.pk), at=at)
    return Leaver.objects.create(user=user, reason=reason, recorded_by=by, recorded_at=at)


def person_named(username: str) -> User:
    """Return the person with a log-in name. Raises ``RoleRefused`` when there is none."""
    found = User.objects.filter(username=username).first()
    if found is None:
        raise RoleRefused(Reason("person_unknown", "person: nobody has this log-in name."))
    return found


def _end(held: RoleAssignment, *, reason: str, by: User, at: datetime) -> None:
    held.ends_at = max(at, held.starts_at)
    held.ended_by, held.ended_at, held.end_reason = by, at, reason
    held.save(update_fields=["ends_at", "ended_by", "ended_at", "end_reason"])
    publish(
        RoleEnded(
            stream=held.trial.code,
            assignment_id=held.pk,
            user_id=held.user_id,
            role=held.role,
            site_id=held.site_id,
        ),
        at=at,
    )


def _authorise_for_role(
    by: User, trial: Trial, site: Site | None, role: Role, *, reason: str = ""
) -> None:
    """Ask for the administrator's permission, or for the investigator's, who gives fewer roles."""
    if role not in DELEGABLE or site is None:
        authorise(by, Permission.MANAGE_PEOPLE, trial=trial, reason=reason)
    else:
        _authorise_for_people(by, trial, site=site, reason=reason)


def _authorise_for_people(by: User, trial: Trial, *, site: Site | None, reason: str = "") -> None:
    """Ask for the administrator's permission, or for the investigator's at a site (or any)."""
    delegates = [a for a in by.may(Permission.DELEGATE) if a.trial_id == trial.pk and a.site]
    own = site or (delegates[0].site if delegates else None)
    if own is None or any(a.trial_id == trial.pk for a in by.may(Permission.MANAGE_PEOPLE)):
        authorise(by, Permission.MANAGE_PEOPLE, trial=trial, reason=reason)
    else:
        authorise(by, Permission.DELEGATE, site=own, reason=reason)


def _lock(user: User) -> User:
    """Return the person's row under lock: what is decided about one person is decided in turn."""
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _facts(person: User, trial: Trial, site: Site | None, role: Role, *, by: User) -> Person:
    held = list(RoleAssignment.objects.filter(user=person, trial=trial))
    trainings = Training.objects.filter(user=person, trial=trial)
    return Person(
        log_in_on=person.is_active,
        is_machine=person.is_machine,
        is_giver=person.pk == by.pk,
        trained_on=tuple(trainings.values_list("completed_on", flat=True)),
        same_role=tuple(
            period_of(row)
            for row in held
            if row.role == role and row.site_id == (site.pk if site else None)
        ),
        blinded=tuple(period_of(row) for row in held if row.role not in UNBLINDED),
        ever_unblinded=any(row.role in UNBLINDED for row in held),
    )


def period_of(held: RoleAssignment) -> Period:
    return Period(held.starts_at, held.ends_at)


def _is_last_administrator(held: RoleAssignment, at: datetime) -> bool:
    if held.role != Role.SPONSOR_ADMINISTRATOR:
        return False
    same = RoleAssignment.objects.in_force(at).filter(trial=held.trial_id, role=held.role)
    return not same.exclude(user=held.user_id).filter(user__is_active=True).exists()


def _not_over(rows: QuerySet[RoleAssignment], at: datetime) -> QuerySet[RoleAssignment]:
    return rows.filter(Q(ends_at=None) | Q(ends_at__gt=at))


def _day(site: Site | None, at: datetime) -> date:
    return site.local_day(at) if site else at.astimezone(UTC).date()


def _midnight(site: Site | None, on: date) -> datetime:
    return site.midnight(on) if site else datetime(on.year, on.month, on.day, tzinfo=UTC)
