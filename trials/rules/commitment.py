"""What the digest of a sealed list commits to, as text. ``sealed.canonical_text`` builds the same.

Whoever has a list's contents and salt can compute its digest with ``sha256sum`` alone, and nobody
can change a place of the list without changing the digest that was published.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from trials.rules.randomisation import Entry


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a digest covers. ``entries`` are in the order of allocation within a stratum."""

    list_id: str
    trial_id: str
    number: int
    method: str
    generator: str
    seed: str
    parameters: str
    salt: str
    entries: tuple[Entry, ...]


def canonical_text(contents: Contents) -> str:
    """Return the text: a fact a line, then a line for each place, by stratum and position."""
    head = [
        "vigil randomisation list 1",
        f"list {contents.list_id}",
        f"trial {contents.trial_id}",
        f"number {contents.number}",
        f"method {contents.method}",
        f"generator {contents.generator}",
        f"seed {contents.seed}",
        f"parameters {contents.parameters}",
        f"salt {contents.salt}",
    ]
    return "\n".join((*head, *_places(contents.entries)))


def digest_of(contents: Contents) -> str:
    """Return the SHA-256 of the canonical text, in hexadecimal."""
    return sha256(canonical_text(contents).encode()).hexdigest()


def slot_digest(allocation_id: str, slot_id: str) -> str:
    """Return what binds an allocation to its slot in an event, and tells nothing of the slot.

    A slot's id is a random UUID, of 122 bits that nobody who reads events knows: the digest says
    neither which slot it is nor what comes before it, and no two of them can be compared.
    """
    return sha256(f"vigil slot 1\nallocation {allocation_id}\nslot {slot_id}".encode()).hexdigest()


def _places(entries: Iterable[Entry]) -> list[str]:
    position: dict[str, int] = {}
    placed = []
    for stratum, arm, draw in entries:
        position[stratum] = position.get(stratum, 0) + 1
        held = arm if draw is None else str(draw)
        placed.append((stratum.encode(), position[stratum], f"{stratum} {held}"))
    return [f"slot {place} {text}" for _, place, text in sorted(placed)]
