"""Who has access to a trial, what a reviewer should look into, and the review signed off."""

import hashlib
import json
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from oauth2_provider.models import get_access_token_model

from events.outbox import publish
from events.outcomes import Reason
from trials.errors import ReviewRefused
from trials.events import AccessReviewed
from trials.models import AccessReview, RoleAssignment, Training, Trial, User
from trials.permissions import Permission, Role, authorise, kind_of
from trials.rules.access import AccessFacts, RoleFacts, findings


@dataclass(frozen=True, slots=True)
class PersonAccess:
    """One line of the review."""

    user: User
    facts: AccessFacts
    findings: tuple[Reason, ...]

    @property
    def in_force(self) -> bool:
        return any(role.in_force for role in self.facts.roles)


@dataclass(frozen=True, slots=True)
class Review:
    """Everybody who has or had a role in a trial. ``digest`` tells whether it is still the same."""

    lines: tuple[PersonAccess, ...]
    content: list[dict[str, Any]]
    digest: str

    @property
    def findings(self) -> int:
        return sum(len(line.findings) for line in self.lines)


def access_of(trial: Trial, *, at: datetime) -> Review:
    """Return who has access to a trial at an instant; those without any more come last."""
    roles = RoleAssignment.objects.filter(trial=trial).select_related("user", "site")
    by_person: dict[User, list[RoleAssignment]] = {}
    for row in roles.order_by("starts_at", "pk"):
        by_person.setdefault(row.user, []).append(row)
    trained: dict[int, list[Any]] = {}
    for training in Training.objects.filter(trial=trial):
        trained.setdefault(training.user_id, []).append(training.completed_on)
    connected = open_sessions(at) + live_tokens(at)
    lines = []
    for person, held in by_person.items():
        facts = AccessFacts(
            username=person.username,
            log_in_on=person.is_active,
            connected=connected[person.pk],
            trained_on=tuple(sorted(trained.get(person.pk, ()))),
            roles=tuple(_role(row, at) for row in held),
        )
        lines.append(PersonAccess(person, facts, findings(facts)))
    lines.sort(key=lambda line: (not line.in_force, line.facts.username))
    content = [_told(line) for line in lines]
    return Review(tuple(lines), content, _digest(content))


def _digest(content: list[dict[str, Any]]) -> str:
    """Return what tells one list from another. Somebody's next log-in does not make a new one."""
    said = [{k: v for k, v in line.items() if k != "last_log_in"} for line in content]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@transaction.atomic
def sign_off(
    *, trial_id: uuid.UUID, digest: str, remark: str, by: User, at: datetime
) -> AccessReview:
    """Sign that the list was reviewed as it was read; what was decided is in ``remark``.

    The list is kept as it is now. Publishes ``AccessReviewed``. Raises ``ReviewRefused``: changed
    since it was read (``digest``), or no remark.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    authorise(by, Permission.MANAGE_PEOPLE, trial=trial)
    review = access_of(trial, at=at)
    reasons = []
    if digest != review.digest:
        reasons.append(Reason("review_changed", "digest: the list has changed: read it again."))
    if not remark.strip():
        reasons.append(Reason("remark_missing", "remark: say what you found and what follows."))
    if reasons:
        raise ReviewRefused(*reasons)
    signed = AccessReview.objects.create(
        trial=trial,
        content=review.content,
        digest=review.digest,
        findings=review.findings,
        remark=remark,
        signed_by=by,
        signed_at=at,
    )
    publish(
        AccessReviewed(
            stream=trial.code,
            review_id=signed.pk,
            digest=review.digest,
            findings=review.findings,
        ),
        at=at,
    )
    return signed


def open_sessions(at: datetime) -> Counter[int]:
    """Return how many sessions of each person have not expired."""
    sessions = Session.objects.filter(expire_date__gt=at)
    owners = (session.get_decoded().get(SESSION_KEY) for session in sessions)
    return Counter(int(owner) for owner in owners if owner)


def live_tokens(at: datetime) -> Counter[int]:
    """Return how many access tokens of each user's clients have not expired."""
    tokens = get_access_token_model().objects.filter(expires__gt=at)
    pairs = tokens.values_list("user", "application__user")
    owners = (user or of_client for user, of_client in pairs)
    return Counter(owner for owner in owners if owner)


def _role(row: RoleAssignment, at: datetime) -> RoleFacts:
    kind = kind_of(Role(row.role))
    day = row.site.local_day(row.starts_at) if row.site else row.starts_at.astimezone(UTC).date()
    return RoleFacts(
        label=kind.label,
        site=row.site.code if row.site else None,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        first_day=day,
        in_force=row.starts_at <= at and (row.ends_at is None or row.ends_at > at),
        unblinded=kind.unblinded,
        needs_training=kind.needs_training and not row.user.is_machine,
    )


def _told(line: PersonAccess) -> dict[str, Any]:
    """Return a line as it is kept and printed."""
    facts, user = line.facts, line.user
    return {
        "person": facts.username,
        "name": user.get_full_name(),
        "machine": user.is_machine,
        "log_in": "on" if facts.log_in_on else "off",
        "last_log_in": user.last_login.date().isoformat() if user.last_login else None,
        "trained_on": [day.isoformat() for day in facts.trained_on],
        "roles": [
            {
                "role": role.label,
                "site": role.site,
                "from": role.starts_at.isoformat(),
                "until": role.ends_at.isoformat() if role.ends_at else None,
                "in_force": role.in_force,
            }
            for role in facts.roles
        ],
        "findings": [reason.detail for reason in line.findings],
    }
