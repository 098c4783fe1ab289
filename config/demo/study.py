"""What the example needs before its first subject: the trial, its sites, people and clients."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction
from oauth2_provider.models import Application

from config.demo.steps import Plan
from trials.models import Site, Trial, User
from trials.permissions import Role
from trials.services.setup import add_site, create_trial, give_role


Credentials = tuple[str, str]

PEOPLE: tuple[tuple[str, Role, str], ...] = (
    ("administrator", Role.SPONSOR_ADMINISTRATOR, "sets up trials, sites and roles"),
    ("coordinator", Role.COORDINATOR, "works at the first site"),
    ("investigator", Role.INVESTIGATOR, "decides doses at the first site"),
    ("pharmacist", Role.PHARMACIST, "dispenses at the first site"),
    ("data-manager", Role.DATA_MANAGER, "reads all sites' records and their history"),
    ("monitor", Role.MONITOR, "checks all sites' records"),
    ("medical-monitor", Role.MEDICAL_MONITOR, "is told of serious events"),
    ("safety-officer", Role.SAFETY_OFFICER, "reads and writes safety summaries"),
    ("statistician", Role.UNBLINDED_STATISTICIAN, "unblinded: loads the list, reads by arm"),
    ("supplier", Role.UNBLINDED_SUPPLIER, "unblinded: loads the kits' contents"),
    ("committee", Role.COMMITTEE_MEMBER, "monitoring committee: reads by arm"),
    ("auditor", Role.AUDITOR, "reads everything blinded, and all history"),
)
AT_FIRST_SITE = {Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST}


class OtherReplay(Exception):
    """The database already holds the trial from another data set or protocol."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How the demo logs in: one password for people, a secret for each client."""

    password: str
    input_digest: str
    clients: dict[str, str]

    def credentials(self, name: str) -> Credentials:
        return f"demo-{name}", self.clients[name]


def input_digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def set_up(plan: Plan, *, protocol_text: str, digest: str, keys_path: Path, at: datetime) -> Keys:
    """Return the keys of the demo's people and clients, making what is missing.

    A second call finds everything there. Raises ``OtherReplay`` if the database's trial came from
    another input, or its keys are gone.
    """
    keys = _read(keys_path)
    exists = Trial.objects.filter(code=plan.trial).exists()
    if exists and (keys is None or keys.input_digest != digest):
        raise OtherReplay(
            f"The database already holds {plan.trial} from other input than this checkout has. "
            "`make reset` deletes the local database and starts afresh."
        )
    if exists and keys is not None:
        return keys
    keys = Keys(
        password=f"vigil-{secrets.token_hex(5)}",
        input_digest=digest,
        clients={name: secrets.token_urlsafe(24) for name in _client_names(plan)},
    )
    _write(keys_path, keys)
    with transaction.atomic():
        _create(plan, protocol_text, keys, at)
    return keys


def _client_names(plan: Plan) -> Iterator[str]:
    yield from (site.code for site in plan.sites)
    yield from ("statistician", "supplier", "safety-officer")


def _create(plan: Plan, protocol_text: str, keys: Keys, at: datetime) -> None:
    people = {name: _person(name, role, keys.password) for name, role, _ in PEOPLE}
    admin = people["administrator"]
    trial = create_trial(
        protocol_text=protocol_text, conduct=Trial.Conduct.REPLAY, administrator=admin, at=at
    )
    admin.forget_assignments()
    sites = {
        site.code: add_site(
            trial_id=trial.pk,
            code=site.code,
            name=site.name,
            country=site.country,
            time_zone=site.time_zone,
            by=admin,
            at=at,
        )
        for site in plan.sites
    }
    first = sites[plan.sites[0].code]
    for name, role, _ in PEOPLE:
        if name != "administrator":
            place = first if role in AT_FIRST_SITE else None
            _give(people[name], trial, place, role, admin, at)
    for code, site in sites.items():
        system = User(username=f"system-{code}", is_machine=True)
        system.set_unusable_password()
        system.save()
        _give(system, trial, site, Role.SITE_SYSTEM, admin, at)
        _client(code, system, keys)
    for name in ("statistician", "supplier", "safety-officer"):
        _client(name, people[name], keys)


def _person(name: str, role: Role, password: str) -> User:
    return User.objects.create_user(
        username=name,
        password=password,
        first_name="Demo",
        last_name=role.label.lower(),
        is_staff=True,
    )


def _give(user: User, trial: Trial, site: Site | None, role: Role, by: User, at: datetime) -> None:
    give_role(user=user, trial_id=trial.pk, site=site, role=role, by=by, at=at)


def _client(name: str, user: User, keys: Keys) -> None:
    client_id, secret = keys.credentials(name)
    Application.objects.create(
        name=f"Demo client {name}",
        user=user,
        client_id=client_id,
        client_secret=secret,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


def _read(path: Path) -> Keys | None:
    try:
        return Keys(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, keys: Keys) -> None:
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(
            {"password": keys.password, "input_digest": keys.input_digest, "clients": keys.clients},
            file,
        )
