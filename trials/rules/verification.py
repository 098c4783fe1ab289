"""Was every subject randomised as the sealed lists and the published commitments say?

Every finding names the row. A list is generated anew from its seed, every digest is computed anew,
and every minimised arm is decided again from the levels that were stored.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from events.outcomes import Reason
from trials.rules.commitment import Contents, digest_of
from trials.rules.list_parameters import design_from, parameters_of
from trials.rules.randomisation import (
    DRAW_BITS,
    GENERATOR,
    SITE,
    Design,
    Entry,
    Minimisation,
    counted,
    generate,
    minimised_arm,
)


NEEDED = 2


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
    """A live list in the sealed schema: what its digest covers, and how much of it is taken."""

    contents: Contents
    digest: str
    taken: Mapping[str, int]
    slots: tuple[HeldSlot, ...]


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A live list as everybody may know it. ``announced`` are the digests its event published."""

    list_id: str
    number: int
    method: str
    generator: str
    digest: str
    announced: tuple[str, ...]
    approvals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a randomisation was decided from."""

    stratum: str
    levels: Mapping[str, str]
    site: str
    randomised_on: str


@dataclass(frozen=True, slots=True)
class Allocated:
    """One allocation. ``derived`` is what its inputs give by its protocol version's factors.

    ``same_as_first_kept`` compares the row with what its history first kept, ``versions`` are how
    many the history has, ``announced`` is what its events said (stratum, site, day), ``subjects``
    are who point to it, and ``told_subjects`` whom the events of their randomisation named.
    """

    number: str
    list_id: str
    slot_id: str
    facts: Facts
    derived: tuple[Mapping[str, str], str] | None
    same_as_first_kept: bool
    versions: int
    announced: tuple[tuple[str, str, str], ...]
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


def verify(
    held: Sequence[HeldList],
    published: Sequence[PublishedList],
    allocated: Sequence[Allocated],
    gone: Sequence[str] = (),
    versions: Sequence[KeptVersion] = (),
) -> tuple[Reason, ...]:
    """Return everything that is not as it must be; empty means the randomisation is verified.

    ``held`` are in the order of their numbers. ``gone`` name the allocations that an event or the
    history tells of and that have no row any more. What cannot be read is a finding too: nobody
    hides a change behind an error.
    """
    known = {each.list_id: each for each in published}
    return tuple(
        chain(
            *(_version_findings(each) for each in versions),
            _missing(held, known),
            *(_list_findings(each, known.get(each.contents.list_id)) for each in held),
            _again_minimised(held),
            _slots_and_allocations(held, allocated),
            *(_allocation_findings(each) for each in allocated),
            _gone(gone),
        )
    )


def _version_findings(each: KeptVersion) -> Iterator[Reason]:
    name = f"Protocol version {each.version}"
    if not each.readable:
        yield Reason("protocol_unreadable", f"{name}: its stored text cannot be read.")
    if each.computed != each.digest:
        yield Reason("protocol_changed", f"{name} has another digest than its text gives.")
    if each.announced != (each.digest,):
        text = f"{name}: the event that told of it does not name its digest, once."
        yield Reason("protocol_not_announced", text)


def _missing(held: Sequence[HeldList], known: Mapping[str, PublishedList]) -> Iterator[Reason]:
    sealed = {each.contents.list_id for each in held}
    for each in known.values():
        if each.list_id not in sealed:
            yield Reason("list_missing", f"List {each.number} is not in the sealed schema.")
    for found in held:
        if found.contents.list_id not in known:
            text = f"A sealed list {found.contents.number} is live and was never published."
            yield Reason("list_unknown", text)


def _list_findings(held: HeldList, published: PublishedList | None) -> Iterator[Reason]:
    contents, name = held.contents, f"List {held.contents.number}"
    computed = digest_of(contents)
    if computed != held.digest:
        yield Reason("digest_differs", f"{name} has another digest than its contents give.")
    if published is not None:
        yield from _commitment(published, computed, name)
        if (contents.number, contents.method, contents.generator) != (
            published.number,
            published.method,
            published.generator,
        ):
            yield Reason("list_differs", f"{name} is published as another list than is sealed.")
    yield from _gaps(held, name)
    yield from _again_generated(held, name)


def _commitment(published: PublishedList, computed: str, name: str) -> Iterator[Reason]:
    if published.digest != computed:
        yield Reason("commitment_broken", f"{name}: the published digest is not that of the list.")
    if published.announced != (computed,):
        text = f"{name}: the event that put it to use does not name its digest, once."
        yield Reason("commitment_not_announced", text)
    people = {person for person, digest in published.approvals if digest == computed}
    if len(people) < NEEDED:
        text = f"{name} was approved under its digest by {len(people)}, not by two people."
        yield Reason("two_people_needed", text)


def _gaps(held: HeldList, name: str) -> Iterator[Reason]:
    positions: dict[str, list[int]] = defaultdict(list)
    for slot in held.slots:
        positions[slot.stratum].append(slot.position)
    for stratum, found in sorted(positions.items()):
        if sorted(found) != list(range(1, len(found) + 1)):
            text = f"{name}: stratum {stratum or 'all'} does not run from slot 1 without a gap."
            yield Reason("order_broken", text)
    for stratum, taken in sorted(held.taken.items()):
        if taken > len(positions[stratum]):
            text = f"{name}: stratum {stratum or 'all'} has fewer slots than taken."
            yield Reason("too_many_taken", text)


def _again_generated(held: HeldList, name: str) -> Iterator[Reason]:
    """Compare every slot with the one the named generator makes of the seed."""
    contents = held.contents
    design = _design(contents)
    if design is None:
        yield Reason("parameters_broken", f"{name}: its parameters are those of no design.")
    if design is None or contents.generator != GENERATOR:
        return
    made: dict[tuple[str, int], Entry] = {}
    count: Counter[str] = Counter()
    for entry in generate(design, seed=contents.seed):
        count[entry.stratum] += 1
        made[entry.stratum, count[entry.stratum]] = entry
    for slot in held.slots:
        entry = made.pop((slot.stratum, slot.position), Entry("", ""))
        expected = entry.arm if design.method != "minimisation" else entry.draw
        if expected != (slot.arm if design.method != "minimisation" else slot.draw):
            text = f"{name}, {slot.told}: the generator gives another content from the seed."
            yield Reason("slot_differs", text)
    if made:
        text = f"{name} has {len(made)} slots fewer than its seed gives."
        yield Reason("slots_missing", text)


def _design(contents: Contents) -> Design | None:
    """Return the design a list was made by, or nothing for a text that was never written so."""
    try:
        design = design_from(contents.parameters)
    except (ValueError, KeyError, TypeError):
        return None
    return design if parameters_of(design) == contents.parameters else None


def _again_minimised(held: Sequence[HeldList]) -> Iterator[Reason]:
    """Decide every minimised arm again, in order, each after all before it."""
    earlier: list[tuple[Mapping[str, str], int]] = []
    for each in held:
        design = _design(each.contents)
        if design is None or design.minimisation is None:
            continue
        for slot in sorted(each.slots, key=lambda slot: slot.position):
            told = f"List {each.contents.number}, {slot.told}"
            if slot.position > each.taken.get("", 0):
                yield from _untouched(slot, told)
            elif (inputs := _decided_from(slot, design.minimisation)) is None:
                yield Reason("slot_differs", f"{told} is taken and holds no levels or no draw.")
            else:
                levels, draw = inputs
                counts = counted(earlier, design)
                again = minimised_arm(design, counts=counts, levels=levels, draw=draw)
                if (again.place, again.arm) != (slot.place, slot.arm):
                    text = f"{told}: minimisation gives another arm from its inputs."
                    yield Reason("slot_differs", text)
                place = slot.place or again.place
                earlier.append((levels, place if 1 <= place <= design.unit else again.place))


def _untouched(slot: HeldSlot, told: str) -> Iterator[Reason]:
    if slot.arm or slot.place is not None or slot.levels is not None:
        yield Reason("arm_before_its_time", f"{told} is not taken and has an arm.")


def _decided_from(slot: HeldSlot, rule: Minimisation) -> tuple[dict[str, str], int] | None:
    """Return a level of each factor and the draw, or nothing where one is missing or is none."""
    held = slot.levels if isinstance(slot.levels, Mapping) else {}
    codes = [factor.code for factor in rule.factors]
    levels = {code: held[code] for code in codes if isinstance(held.get(code), str)}
    if slot.draw is None or not 0 <= slot.draw < 1 << DRAW_BITS or len(levels) < len(codes):
        return None
    return levels, slot.draw


def _slots_and_allocations(
    held: Sequence[HeldList], allocated: Sequence[Allocated]
) -> Iterator[Reason]:
    slots = {slot.id: (each, slot) for each in held for slot in each.slots}
    used = Counter(each.slot_id for each in allocated)
    for each in allocated:
        found = slots.get(each.slot_id)
        if found is None:
            yield Reason("slot_unknown", f"Allocation {each.number} has no slot in a live list.")
            continue
        sealed_list, slot = found
        if used[each.slot_id] > 1:
            yield Reason("slot_twice", f"Allocation {each.number} shares its slot with another.")
        if sealed_list.contents.list_id != each.list_id:
            yield Reason("other_list", f"Allocation {each.number} names another list.")
        if slot.stratum and slot.stratum != each.facts.stratum:
            yield Reason("other_stratum", f"Allocation {each.number} took another stratum's slot.")
        if slot.draw is not None and slot.levels != each.facts.levels:
            yield Reason("other_levels", f"Allocation {each.number} was minimised by other levels.")
    for each_list in held:
        yield from _taken_in_order(each_list, used)
    yield from _extensions_in_turn(held)


def _taken_in_order(held: HeldList, used: Mapping[str, int]) -> Iterator[Reason]:
    """The first slots of a stratum are taken, each by an allocation, and none after them is."""
    for slot in held.slots:
        taken = slot.position <= held.taken.get(slot.stratum, 0)
        if taken != bool(used.get(slot.id)):
            what = "is counted as taken and nobody has it" if taken else "is out of turn"
            yield Reason("order_broken", f"List {held.contents.number}, {slot.told} {what}.")


def _extensions_in_turn(held: Sequence[HeldList]) -> Iterator[Reason]:
    for i, later in enumerate(held):
        for stratum, taken in sorted(later.taken.items()):
            for before in held[:i]:
                size = sum(slot.stratum == stratum for slot in before.slots)
                if taken and before.taken.get(stratum, 0) < size:
                    text = (
                        f"List {later.contents.number} was used for stratum {stratum or 'all'}"
                        f" before list {before.contents.number} was used up."
                    )
                    yield Reason("order_broken", text)


def _allocation_findings(each: Allocated) -> Iterator[Reason]:
    facts, name = each.facts, f"Allocation {each.number}"
    if each.derived is None:
        yield Reason("inputs_differ", f"{name}: no level of the protocol holds its inputs.")
    else:
        levels, stratum = each.derived
        if {**levels, SITE: facts.site} != facts.levels:
            yield Reason("inputs_differ", f"{name}: its inputs give other levels than were used.")
        if stratum != facts.stratum:
            yield Reason("inputs_differ", f"{name}: its inputs give another stratum than was used.")
    if not each.same_as_first_kept or each.versions != 1:
        yield Reason("row_changed", f"{name} is not as its history first kept it.")
    if each.announced != ((facts.stratum, facts.site, facts.randomised_on),):
        yield Reason("not_announced", f"{name} differs from the event that told of it, once.")
    if len(each.subjects) != 1:
        yield Reason("subjects", f"{name} belongs to {len(each.subjects)} subjects, not to one.")
    elif each.subjects != each.told_subjects:
        yield Reason("other_subject", f"{name} belongs to another subject than its event told.")


def _gone(names: Iterable[str]) -> Iterator[Reason]:
    for name in names:
        yield Reason("allocation_gone", f"Allocation {name} was made and is not there any more.")
