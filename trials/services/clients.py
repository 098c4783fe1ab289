"""Credentials of programs: given, renewed beside the old ones, and ended at once.

A secret is returned once by the service that makes it. It is kept as a hash only. Who makes one
proved anew who they are: it outlasts the session it was made in.
"""

import secrets
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.db import transaction
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.scopes import get_scopes_backend

from events.acting import attribute
from events.outcomes import Reason
from trials.errors import ClientRefused
from trials.identity import Proof, require_proof
from trials.models import MachineClient, RoleAssignment, Site, Trial, User
from trials.permissions import Permission, Role, authorise
from trials.rules.log_ins import ClientPolicy, client_problems, expiry_problems, overlap_problems


@transaction.atomic
def give_site_client(
    *,
    site: Site,
    name: str,
    scopes: Sequence[str],
    expires_on: date,
    proof: Proof,
    by: User,
    at: datetime,
) -> tuple[MachineClient, str]:
    """Give a site's own system credentials, and its machine user with its role if it has none.

    Raises as ``give_client`` does.
    """
    authorise(by, Permission.MANAGE_CLIENTS, trial=site.trial, reason=f"client {name}")
    system, _ = User.objects.get_or_create(
        username=f"system-{site.trial.code}-{site.code}",
        defaults={"is_machine": True, "password": make_password(None)},
    )
    held = RoleAssignment.objects.in_force(at).filter(user=system, site=site, role=Role.SITE_SYSTEM)
    if not held.exists():
        RoleAssignment.objects.create(
            user=system, trial=site.trial, site=site, role=Role.SITE_SYSTEM, starts_at=at
        )
    return give_client(
        trial=site.trial, user=system, name=name, scopes=scopes, expires_on=expires_on,
        proof=proof, by=by, at=at,
    )  # fmt: skip


@transaction.atomic
def give_client(
    *,
    trial: Trial,
    user: User,
    name: str,
    scopes: Sequence[str],
    expires_on: date,
    proof: Proof,
    by: User,
    at: datetime,
) -> tuple[MachineClient, str]:
    """Give a program credentials to act as ``user``, and return them with the secret.

    A machine's are given by whoever manages clients; a person's by that person alone, or an
    administrator could act as somebody unblinded.

    Raises ``ClientRefused`` with every reason, ``PermissionDenied`` without the right.
    """
    require_proof(by, proof)
    if user.is_machine or user.pk != by.pk:
        authorise(by, Permission.MANAGE_CLIENTS, trial=trial, reason=f"client {name}")
    else:
        attribute(actor=by.username, role="oneself", reason=f"client {name}")
    held = RoleAssignment.objects.in_force(at).filter(user=user, trial=trial)
    reasons = list(
        client_problems(
            scopes=scopes,
            known=get_scopes_backend().get_all_scopes(),
            machine=user.is_machine,
            expires_on=expires_on,
            on=_day(at),
            policy=ClientPolicy(),
        )
    )
    if not user.is_machine and user.pk != by.pk:
        reasons.append(Reason("not_a_machine", f"{user.username} is a person, not a machine."))
    if not held.exists():
        reasons.append(Reason("no_role", f"{user.username} has no role in {trial.code}."))
    if MachineClient.objects.filter(trial=trial, name=name, ended_at=None).exists():
        reasons.append(Reason("name_taken", f"name {name} belongs to another client."))
    if reasons:
        raise ClientRefused(*reasons)
    secret = _secret()
    application = Application.objects.create(
        user=user,
        name=name,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        client_secret=secret,
    )
    client = MachineClient.objects.create(
        trial=trial,
        user=user,
        application=application,
        name=name,
        scopes=sorted(set(scopes)),
        expires_on=expires_on,
        given_by=by,
        given_at=at,
    )
    return client, secret


@transaction.atomic
def renew_client(
    *,
    client_id: uuid.UUID,
    expires_on: date,
    overlap: timedelta,
    proof: Proof,
    by: User,
    at: datetime,
) -> tuple[MachineClient, str]:
    """Return a client with a new secret; the one it had holds for ``overlap`` longer.

    So do the access tokens that are out: without an overlap they end at once. A secret still in
    the overlap of an earlier renewal ends now. Raises ``ClientRefused`` with every reason,
    ``PermissionDenied`` without the right.
    """
    require_proof(by, proof)
    client = _locked(client_id, by=by, reason="renewed")
    policy = ClientPolicy()
    reasons = [
        *expiry_problems(expires_on=expires_on, on=_day(at), policy=policy),
        *overlap_problems(overlap, policy),
    ]
    if client.ended_at is not None:
        reasons.append(Reason("client_ended", f"{client.name} was ended: give a new one."))
    if reasons:
        raise ClientRefused(*reasons)
    secret = _secret()
    client.previous_secret = client.application.client_secret
    client.previous_until = at + overlap
    client.expires_on = expires_on
    client.renewed_at = at
    client.application.client_secret = secret
    client.application.save()
    client.save()
    _end_tokens(client, until=client.previous_until, at=at)
    return client, secret


@transaction.atomic
def end_client(*, client_id: uuid.UUID, reason: str, by: User, at: datetime) -> MachineClient:
    """End a client at once, and every access token it holds.

    Raises ``ClientRefused`` if it has ended already, ``PermissionDenied`` without the right.
    """
    client = _locked(client_id, by=by, reason=reason)
    if client.ended_at is not None:
        raise ClientRefused(Reason("client_ended", f"{client.name} has ended already."))
    return _ended(client, by=by, at=at)


def end_clients_of(person: User, *, by: User, at: datetime) -> None:
    """End every client of a person, in the caller's transaction, who has asked for the right."""
    held = MachineClient.objects.select_for_update(of=["self"]).filter(user=person, ended_at=None)
    for client in held.select_related("application"):
        _ended(client, by=by, at=at)


def _ended(client: MachineClient, *, by: User, at: datetime) -> MachineClient:
    client.ended_at, client.ended_by = at, by
    client.previous_until = None
    client.save()
    AccessToken.objects.filter(application=client.application).delete()
    return client


def _end_tokens(client: MachineClient, *, until: datetime, at: datetime) -> None:
    """Let no access token that is out hold longer than ``until``; one that holds no more goes."""
    tokens = AccessToken.objects.filter(application=client.application)
    if until <= at:
        tokens.delete()
    else:
        tokens.filter(expires__gt=until).update(expires=until)


def _locked(client_id: uuid.UUID, *, by: User, reason: str) -> MachineClient:
    visible = MachineClient.objects.visible_to(by).filter(pk=client_id).values("pk")
    locked = MachineClient.objects.select_for_update(of=["self"])
    client = locked.select_related("application", "trial", "user").get(pk__in=visible)
    if client.user_id == by.pk:
        attribute(actor=by.username, role="oneself", reason=reason)
    elif any(held.trial_id == client.trial_id for held in by.may(Permission.MANAGE_CLIENTS)):
        authorise(by, Permission.MANAGE_CLIENTS, trial=client.trial, reason=reason)
    else:
        raise PermissionDenied("Your role here does not allow you to manage clients.")
    if not client.user.is_machine and client.user_id != by.pk and reason == "renewed":
        raise PermissionDenied("A person's own client is renewed by that person alone.")
    return client


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _secret() -> str:
    return secrets.token_urlsafe(32)
