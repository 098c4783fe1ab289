"""What the example needs before its first subject: the trial, its sites, people and clients."""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from django.db import transaction

from config.demo.steps import Plan
from trials.api.scopes import Scope
from trials.identity import Proof
from trials.models import Site, Trial, User
from trials.permissions import Role
from trials.rules.protocol import load_protocol
from trials.services.amendments import record_approval
from trials.services.clients import give_client, give_site_client
from trials.services.on_call import enter_duty
from trials.services.people import Trained, give_role, record_training
from trials.services.setup import add_site, create_trial
from trials.services.sites import activate_site


Credentials = tuple[str, str]

TRAINED_ON = ("Protocol and Vigil", "1.0")
PEOPLE: tuple[tuple[str, Role, str], ...] = (
    ("administrator", Role.SPONSOR_ADMINISTRATOR, "sets up trials, sites and roles"),
    ("coordinator", Role.COORDINATOR, "works at the first site"),
    ("investigator", Role.INVESTIGATOR, "decides doses at the first site"),
    ("pharmacist", Role.PHARMACIST, "dispenses at the first site"),
    ("data-manager", Role.DATA_MANAGER, "reads all sites' records and their history"),
    ("monitor", Role.MONITOR, "checks all sites' records"),
    ("medical-monitor", Role.MEDICAL_MONITOR, "is told of serious events"),
    ("safety-officer", Role.SAFETY_OFFICER, "reads and writes safety summaries"),
    ("statistician", Role.UNBLINDED_STATISTICIAN, "unblinded: drafts the list, reads by arm"),
    ("second-statistician", Role.UNBLINDED_STATISTICIAN, "unblinded: approves the list, too"),
    ("supplier", Role.UNBLINDED_SUPPLIER, "unblinded: loads the kits' contents"),
    ("committee", Role.COMMITTEE_MEMBER, "monitoring committee: reads by arm"),
    ("auditor", Role.AUDITOR, "reads everything blinded, and all history"),
)
OWN_CLIENTS = ("statistician", "second-statistician", "supplier", "safety-officer")
ON_CALL_FOR = timedelta(days=90)
AT_FIRST_SITE = {Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST}


class OtherReplay(Exception):
    """The database already holds the trial from another data set or protocol."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How the demo logs in: one password for people, an id and a secret for each client."""

    password: str
    input_digest: str
    clients: dict[str, Credentials]

    def credentials(self, name: str) -> Credentials:
        client_id, secret = self.clients[name]
        return client_id, secret


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
    password = f"vigil-{secrets.token_hex(5)}"
    with transaction.atomic():
        clients = _create(plan, protocol_text, password, at)
        keys = Keys(password=password, input_digest=digest, clients=clients)
        _write(keys_path, keys)
    return keys


def _create(plan: Plan, protocol_text: str, password: str, at: datetime) -> dict[str, Credentials]:
    people = {name: _person(name, role, password) for name, role, _ in PEOPLE}
    admin = people["administrator"]
    trial = create_trial(
        protocol_text=protocol_text,
        conduct=Trial.Conduct.REPLAY,
        administrator=admin,
        training=Trained(*TRAINED_ON, load_protocol(protocol_text).trial.accrual_opens_on),
        at=at,
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
        if site != first:
            principal = _person(f"investigator-{code}", Role.INVESTIGATOR, password)
            _give(principal, trial, site, Role.INVESTIGATOR, admin, at)
        _open(site, trial, admin, at)
    enter_duty(
        trial_id=trial.pk, person=people["medical-monitor"], telephone="+49 221 0000000",
        starts_at=at, ends_at=at + ON_CALL_FOR, by=admin, at=at,
    )  # fmt: skip
    last_day = at.date() + timedelta(days=365)
    clients = {
        code: give_site_client(
            site=site,
            name=f"Demo client {code}",
            scopes=[Scope.READ, Scope.SUBMIT, Scope.RANDOMISE, Scope.DISPENSE],
            by=admin,
            expires_on=last_day,
            proof=Proof(admin.pk),
            at=at,
        )
        for code, site in sites.items()
    }
    for name in OWN_CLIENTS:
        clients[name] = give_client(
            trial=trial,
            user=people[name],
            name=f"Demo client {name}",
            scopes=[Scope.READ, Scope.MANAGE],
            by=people[name],
            expires_on=last_day,
            proof=Proof(people[name].pk),
            at=at,
        )
    return {
        name: (client.application.client_id, secret) for name, (client, secret) in clients.items()
    }


def _person(name: str, role: Role, password: str) -> User:
    return User.objects.create_user(
        username=name,
        password=password,
        first_name="Demo",
        last_name=role.label.lower(),
        is_staff=True,
    )


def _give(user: User, trial: Trial, site: Site | None, role: Role, by: User, at: datetime) -> None:
    if not user.is_machine:
        record_training(
            user=user, trial_id=trial.pk, document=TRAINED_ON[0], version=TRAINED_ON[1],
            completed_on=_opens_on(trial), by=by, at=at,
        )  # fmt: skip
    give_role(user=user, trial_id=trial.pk, site=site, role=role, by=by, at=at)


def _open(site: Site, trial: Trial, by: User, at: datetime) -> None:
    """Activate a site on the day accrual opened, with an approval of that day."""
    record_approval(
        site=site, version=trial.current_version, approved_on=_opens_on(trial),
        reference=f"Example approval {site.code}", by=by, at=at,
    )  # fmt: skip
    activate_site(site_id=site.pk, on=_opens_on(trial), reason="Example start", by=by, at=at)


def _opens_on(trial: Trial) -> date:
    return trial.protocol.trial.accrual_opens_on


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
