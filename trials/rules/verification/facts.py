"""What a verification is given: the sealed lists, and what rows, history, events and log tell."""

from collections.abc import Mapping
from dataclasses import dataclass

from trials.rules.commitment import Contents
from trials.rules.randomisation import Design


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot as the sealed schema holds it now. ``place`` is its equal arm in a minimisation."""

    id: str
    stratum: str
    position: int
    arm: str
    draw: int | None
    levels: Mapping[str, str] | None
    place: int | None

    @property
    def told(self) -> str:
        return f"slot {self.position} of stratum {self.stratum}" if self.stratum else (
            f"slot {self.position}"
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldList:
    """A live list in the sealed schema: what its digest covers, and how much of it is taken.

    ``taken`` and ``sizes`` are what its heads hold, by stratum.
    """

    contents: Contents
    digest: str
    taken: Mapping[str, int]
    sizes: Mapping[str, int]
    slots: tuple[HeldSlot, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to a list. ``given`` are the person's id, the digest, and the moment.

    ``as_kept`` says whether the row is as its history keeps it, ``announced`` are what the events
    of it said, and ``looked`` whether the access log has the person's look at the dry run.
    """

    person: str
    digest: str
    given: tuple[str, ...]
    as_kept: bool
    announced: tuple[tuple[str, ...], ...]
    looked: bool


@dataclass(frozen=True, slots=True)
class Made:
    """How a list came to be, as its row says it or as the event of its draft did."""

    number: int
    origin: str
    by: str
    protocol_version: str
    at: str


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A live list as everybody may know it.

    ``announced`` are the digests and the moments that the event that put it to use published;
    ``told`` what the events of its draft said. ``as_kept`` compares the row with its history,
    ``logged`` says whether the access log has the look of its maker. ``design`` is that of its
    protocol version, if that can be read. ``approvals_gone`` are how many were given by an event or
    the history and are not there.
    """

    list_id: str
    number: int
    method: str
    generator: str
    digest: str
    entries: int
    live_at: str
    announced: tuple[tuple[str, str], ...]
    made: Made
    told: tuple[Made, ...]
    as_kept: bool
    logged: bool
    design: Design | None
    approvals: tuple[Approval, ...]
    approvals_gone: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a randomisation was decided from."""

    stratum: str
    levels: Mapping[str, str]
    site: str
    randomised_on: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the event of an allocation said. ``event`` is its number, which rises with time."""

    stratum: str
    site: str
    randomised_on: str
    slot_digest: str
    event: int


@dataclass(frozen=True, slots=True)
class Allocated:
    """One allocation. ``derived`` is what its inputs give by its protocol version's factors.

    ``design`` is that of its protocol version, if that can be read. ``same_as_first_kept`` compares
    the row with what its history first kept, ``versions`` are how many the history has,
    ``announced`` is what its events said, ``subjects`` are who point to it, and ``told_subjects``
    whom the events of their randomisation named.
    """

    id: str
    number: str
    list_id: str
    slot_id: str
    facts: Facts
    derived: tuple[Mapping[str, str], str] | None
    design: Design | None
    same_as_first_kept: bool
    versions: int
    announced: tuple[Told, ...]
    subjects: tuple[str, ...]
    told_subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A protocol version as it is stored.

    ``computed`` is the digest of its text, ``announced`` are those that its events published.
    """

    version: str
    digest: str
    computed: str
    announced: tuple[str, ...]
    readable: bool = True
