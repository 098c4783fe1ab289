"""Accounts of people: made, given a password for once, freed of a lost second factor."""

import secrets
from datetime import datetime

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from events.acting import SYSTEM, attribute
from events.outbox import publish
from events.outcomes import Reason
from trials.errors import AccountRefused
from trials.events import LogInSwitchedOn
from trials.models import LogInRecord, RoleAssignment, Trial, UsedPassword, User
from trials.models.accounts import Kind
from trials.permissions import Permission, authorise
from trials.services.clients import end_clients_of
from trials.services.log_ins import address_lock_end, lock_ends, name_key, note, note_address


@transaction.atomic
def add_person(
    *, username: str, first_name: str, last_name: str, email: str, by: User, at: datetime
) -> tuple[User, str]:
    """Make an account without any role, and return it with a password for the first log-in.

    The password is returned once, is nowhere kept in clear, and must be changed when it is used.

    Raises ``AccountRefused`` with every reason: the name is taken or not possible.
    """
    authorise(by, Permission.MANAGE_PEOPLE)
    return _made(
        User(username=username, first_name=first_name, last_name=last_name, email=email),
        by=by,
        at=at,
    )


@transaction.atomic
def make_first_administrator(*, username: str, at: datetime) -> tuple[User, str]:
    """Make the account of a trial's first administrator, with a password for the first log-in.

    Run from the console by whoever installs Vigil: there is nobody yet to ask. Raises
    ``AccountRefused`` as ``add_person`` does.
    """
    attribute(actor=SYSTEM, role="console", reason="first administrator")
    return _made(User(username=username), by=None, at=at)


def _made(person: User, *, by: User | None, at: datetime) -> tuple[User, str]:
    _one_name_at_a_time()
    reasons = []
    if User.objects.filter(username__iexact=person.username).exists():
        reasons.append(Reason("username_taken", f"username {person.username} is taken."))
    try:
        UnicodeUsernameValidator()(person.username)
    except ValidationError as error:
        reasons.append(Reason("username_invalid", f"username: {error.message}"))
    if reasons:
        raise AccountRefused(*reasons)
    password = _password_for_once()
    person.set_password(password)
    person.must_change_password = True
    person.save()
    note(Kind.ACCOUNT_MADE, user=person, by=by, at=at)
    return person, password


@transaction.atomic
def give_password(*, person: User, reason: str, by: User, at: datetime) -> tuple[LogInRecord, str]:
    """Give a new password to somebody who lost theirs; it must be changed when it is used.

    The password is returned once, with the record of it, and is nowhere kept in clear.

    Ends all of the person's sessions. Raises ``AccountRefused`` for a machine or oneself,
    ``PermissionDenied`` without the right to manage this person's accounts.
    """
    person = _locked(person)
    answer_for(person, by=by, reason=reason)
    if person.is_machine:
        raise AccountRefused(Reason("machine", f"{person.username} is a machine: give a client."))
    if person.pk == by.pk:
        raise AccountRefused(Reason("oneself", "Change your own password on the security page."))
    password = _password_for_once()
    _set_password(person, password, must_change=True, at=at)
    return note(Kind.PASSWORD_GIVEN, user=person, by=by, reason=reason, at=at), password


@transaction.atomic
def change_password(*, user: User, password: str, at: datetime) -> None:
    """Set the password somebody chose for themselves; its rules were asked before.

    Ends their other sessions, because the session's own digest follows from the password.
    """
    _set_password(user, password, must_change=False, at=at)
    note(Kind.PASSWORD_CHANGED, user=user, by=user, at=at)


@transaction.atomic
def remove_second_factors(*, person: User, reason: str, by: User, at: datetime) -> LogInRecord:
    """Remove somebody's second factors, all of them, after they lost them.

    Raises ``AccountRefused`` without any or for oneself, ``PermissionDenied`` without the right to
    manage this person's accounts.
    """
    person = _locked(person)
    answer_for(person, by=by, reason=reason)
    if person.pk == by.pk:
        raise AccountRefused(Reason("oneself", "Remove your own on the security page."))
    held = Authenticator.objects.filter(user=person)
    if not held.exclude(type=Authenticator.Type.RECOVERY_CODES).exists():
        raise AccountRefused(Reason("no_factor", f"{person.username} has no second factor."))
    held.delete()
    return note(Kind.FACTOR_REMOVED, user=person, by=by, reason=reason, at=at)


@transaction.atomic
def bind_sign_on(*, person: User, subject: str, reason: str, by: User, at: datetime) -> LogInRecord:
    """Record which subject of the identity provider a person is; only this lets them in by it.

    Raises ``AccountRefused`` with every reason: the subject is somebody else's, the person has one,
    is a machine or oneself.
    """
    person = _locked(person)
    answer_for(person, by=by, reason=reason)
    provider = settings.OIDC_PROVIDER
    taken = Reason("subject_taken", "subject is bound to an account already.")
    reasons = []
    if person.is_machine:
        reasons.append(Reason("machine", f"{person.username} is a machine."))
    if person.pk == by.pk:
        reasons.append(Reason("oneself", "Another administrator must bind your own account."))
    if SocialAccount.objects.filter(provider=provider, user=person).exists():
        reasons.append(Reason("bound_already", f"{person.username} is bound to a subject."))
    if SocialAccount.objects.filter(provider=provider, uid=subject).exists():
        reasons.append(taken)
    if reasons:
        raise AccountRefused(*reasons)
    _, made = SocialAccount.objects.get_or_create(
        provider=provider, uid=subject, defaults={"user": person}
    )
    if not made:  # somebody else was bound to it at the same moment
        raise AccountRefused(taken)
    return note(Kind.SIGN_ON_BOUND, user=person, by=by, reason=reason, at=at)


@transaction.atomic
def end_lock(*, person: User, reason: str, by: User, at: datetime) -> LogInRecord:
    """End the lock of somebody's name before its time, in every browser.

    Raises ``AccountRefused`` if the log-in is not locked, ``PermissionDenied`` without the right to
    manage this person's accounts.
    """
    answer_for(person, by=by, reason=reason)
    if not lock_ends([name_key(person.username)], at=at):
        raise AccountRefused(Reason("not_locked", f"{person.username} is not locked."))
    return note(Kind.LOCK_ENDED, user=person, by=by, reason=reason, at=at)


@transaction.atomic
def end_address_lock(*, address: str, reason: str, by: User, at: datetime) -> LogInRecord:
    """End the lock of a network address before its time.

    An address is of no trial: whoever manages people in one may. Raises ``AccountRefused`` if the
    address is not locked, ``PermissionDenied`` without the right.
    """
    authorise(by, Permission.MANAGE_PEOPLE, reason=reason)
    if address_lock_end(address, at=at) is None:
        raise AccountRefused(Reason("address_not_locked", f"address {address} is not locked."))
    return note_address(Kind.ADDRESS_LOCK_ENDED, address=address, by=by, reason=reason, at=at)


@transaction.atomic
def switch_on_log_in(*, person: User, reason: str, by: User, at: datetime) -> LogInRecord:
    """Switch on again the log-in of somebody who left and came back.

    Nothing else comes back. The roles stay ended, and each is given anew. The old password and
    every old session are worth nothing, and clients of their own have ended: give a password next,
    or let single sign-on let them in. Second factors are the person's own and stay.

    Publishes ``LogInSwitchedOn``. Raises ``AccountRefused`` with every reason: a machine, the
    log-in is on, no reason; and ``PermissionDenied`` without the right to manage this person's
    accounts.
    """
    person = _locked(person)
    answer_for(person, by=by, reason=reason)
    reasons = []
    if person.is_machine:
        reasons.append(Reason("machine", f"{person.username} is a machine: give a client."))
    if person.is_active:
        reasons.append(Reason("switched_on", f"The log-in of {person.username} is on."))
    if not reason.strip():
        reasons.append(Reason("reason_missing", "reason: say why they have access again."))
    if reasons:
        raise AccountRefused(*reasons)
    if person.has_usable_password():
        UsedPassword.objects.create(user=person, hash=person.password, set_at=at)
    person.set_unusable_password()
    person.is_active = True
    person.save(update_fields=["password", "is_active"])
    end_clients_of(person, by=by, at=at)
    held = RoleAssignment.objects.filter(user=person).order_by("starts_at").select_related("trial")
    trial = (held.first() or by.may(Permission.MANAGE_PEOPLE)[0]).trial
    publish(LogInSwitchedOn(stream=trial.code, user_id=person.pk), at=at)
    return note(Kind.SWITCHED_ON, user=person, by=by, reason=reason, at=at)


def answer_for(person: User, *, by: User, reason: str = "") -> None:
    """Raise ``PermissionDenied`` unless ``by`` manages people in every trial ``person`` works in.

    Whoever manages one trial's people could otherwise become somebody in another.
    """
    roles = RoleAssignment.objects.filter(user=person)
    trials = list(Trial.objects.filter(pk__in=roles.values("trial")))
    for trial in trials:
        authorise(by, Permission.MANAGE_PEOPLE, trial=trial, reason=reason)
    if not trials:
        authorise(by, Permission.MANAGE_PEOPLE, reason=reason)


def _locked(person: User) -> User:
    """Return the account's row under a lock that keeps nobody from recording what they did."""
    return User.objects.select_for_update(no_key=True).get(pk=person.pk)


def _one_name_at_a_time() -> None:
    """Wait for whoever adds somebody now: names that differ in case alone are the same name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('a name', 0))")


def _set_password(user: User, password: str, *, must_change: bool, at: datetime) -> None:
    if user.has_usable_password():
        UsedPassword.objects.create(user=user, hash=user.password, set_at=at)
    user.set_password(password)
    user.must_change_password = must_change
    user.save(update_fields=["password", "must_change_password"])


def _password_for_once() -> str:
    return secrets.token_urlsafe(15)
