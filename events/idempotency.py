"""A repeated request gets the first answer again and takes effect once."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from events.models import IdempotencyRecord


KEPT_FOR = timedelta(hours=48)  # the API promises 24 h; a margin for clocks and week-ends' retries
LONGEST_KEY = 128


class KeyReused(Exception):
    """The key came before with another request. Shown as 422."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a rendered body; ``again`` when it is the first answer repeated."""

    status: int
    body: str
    again: bool = False


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what tells one request from another, and nobody without the secret key anything else.

    A plain digest of a body that names kits and arms could be guessed back from the table.
    """
    request = f"{method} {path}\n".encode() + body
    return hmac.new(settings.SECRET_KEY.encode(), request, hashlib.sha256).hexdigest()


@transaction.atomic
def once(
    *, user_id: int, key: str, print_: str, at: datetime, act: Callable[[], tuple[int, str]]
) -> Answer:
    """Run ``act`` and keep its answer under the key, in one transaction; or repeat a kept one.

    A second request with the same key waits for the first to commit. Whatever ``act`` raises
    rolls the key back with everything else. Raises ``KeyReused`` for another request's key.
    """
    if (record_id := _claim(user_id, key, print_, at)) is None:
        return _kept(user_id, key, print_)
    status, body = act()
    IdempotencyRecord.objects.filter(pk=record_id).update(status=status, body=body)
    return Answer(status, body)


def keep_refusal(
    *, user_id: int, key: str, print_: str, at: datetime, status: int, body: str
) -> Answer:
    """Keep a refusal's answer after its transaction was rolled back; the first one kept wins."""
    return once(user_id=user_id, key=key, print_=print_, at=at, act=lambda: (status, body))


def forget_old_answers(*, at: datetime) -> int:
    count, _ = IdempotencyRecord.objects.filter(created_at__lt=at - KEPT_FOR).delete()
    return count


def _claim(user_id: int, key: str, print_: str, at: datetime) -> int | None:
    """Insert the key and return its row's id, or nothing when somebody else has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO events_idempotencyrecord (user_id, key, fingerprint, body, created_at)"
            " VALUES (%s, %s, %s, '', %s) ON CONFLICT (user_id, key) DO NOTHING RETURNING id",
            [user_id, key, print_, at],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _kept(user_id: int, key: str, print_: str) -> Answer:
    record = IdempotencyRecord.objects.get(user_id=user_id, key=key)
    if record.fingerprint != print_:
        raise KeyReused(key)
    return Answer(record.status or 500, record.body, again=True)
