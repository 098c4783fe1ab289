"""The hash chain: one sequencer numbers committed events without gaps and links their digests."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection, transaction

from events.models import ChainLink, OutboxEvent


BATCH = 1000


@transaction.atomic
def lay_links() -> int:
    """Number what is committed and not yet numbered; return how many were added.

    One sequencer at a time: whoever does not get the advisory lock leaves it to who has it.
    Writers are never held up, because an event's place is a row beside it.
    """
    if not _sequencer_lock():
        return 0
    fresh = OutboxEvent.objects.filter(link=None).order_by("id")[:BATCH]
    heads: dict[str, tuple[int, str]] = {}
    links = []
    for event in fresh:
        seq, previous = heads.get(event.stream) or _head(event.stream)
        link = ChainLink(
            event=event,
            stream=event.stream,
            seq=seq + 1,
            previous=previous,
            digest=ChainLink.digest_of(previous, seq + 1, event.content()),
        )
        heads[event.stream] = (link.seq, link.digest)
        links.append(link)
    ChainLink.objects.bulk_create(links)
    return len(links)


def _sequencer_lock() -> bool:
    key = int.from_bytes(hashlib.sha256(b"vigil event sequencer").digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def _head(stream: str) -> tuple[int, str]:
    last = ChainLink.objects.filter(stream=stream).order_by("-seq").first()
    return (last.seq, last.digest) if last else (0, ChainLink.START)


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a chain does not hold, and how."""

    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along one stream's chain found."""

    stream: str
    length: int
    head: str
    unnumbered: int
    faults: tuple[Fault, ...]


def verify(stream: str) -> Verification:
    """Recompute every digest of a stream; report gaps, broken links and changed events."""
    links = ChainLink.objects.filter(stream=stream).select_related("event").order_by("seq")
    faults: list[Fault] = []
    seq, previous = 0, ChainLink.START
    for link in links.iterator(BATCH):
        faults.extend(_faults(link, after=seq, previous=previous))
        seq, previous = link.seq, link.digest
    unnumbered = OutboxEvent.objects.filter(stream=stream, link=None).count()
    return Verification(stream, seq, previous, unnumbered, tuple(faults))


def _faults(link: ChainLink, *, after: int, previous: str) -> Iterator[Fault]:
    if link.seq != after + 1:
        yield Fault(link.seq, f"numbers {after + 1} to {link.seq - 1} are missing")
    if link.previous != previous:
        yield Fault(link.seq, "does not follow from the event before it")
    if link.stream != link.event.stream:
        yield Fault(link.seq, "belongs to another stream")
    if link.digest != ChainLink.digest_of(link.previous, link.seq, link.event.content()):
        yield Fault(link.seq, "has been changed since it was recorded")
