"""The allocations: each against its slot, its inputs, its history, and its events."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from events.outcomes import Reason
from trials.rules.commitment import slot_digest
from trials.rules.randomisation import SITE, Design
from trials.rules.verification.facts import Allocated, HeldList, HeldSlot
from trials.rules.verification.lists import alike, design_made_by


Place = tuple[HeldList, HeldSlot]


def slots_and_allocations(
    held: Sequence[HeldList], allocated: Sequence[Allocated]
) -> Iterator[Reason]:
    slots = {slot.id: (each, slot) for each in held for slot in each.slots}
    designs = {each.contents.list_id: design_made_by(each.contents) for each in held}
    used = Counter(each.slot_id for each in allocated)
    for each in allocated:
        found, name = slots.get(each.slot_id), f"Allocation {each.number}"
        if used[each.slot_id] > 1 and found:
            yield Reason("slot_twice", f"{name} shares its slot with another.")
        yield from _place(each, found, designs, name)
    for each_list in held:
        yield from _taken_in_order(each_list, used)
    yield from _in_order_of_allocation(allocated, slots)
    yield from _extensions_in_turn(held)


def _place(
    each: Allocated, found: Place | None, designs: Mapping[str, Design | None], name: str
) -> Iterator[Reason]:
    if found is None:
        yield Reason("slot_unknown", f"{name} has no slot in a live list.")
        return
    sealed_list, slot = found
    if sealed_list.contents.list_id != each.list_id:
        yield Reason("other_list", f"{name} names another list.")
    if slot.stratum and slot.stratum != each.facts.stratum:
        yield Reason("other_stratum", f"{name} took another stratum's slot.")
    if slot.draw is not None and slot.levels != each.facts.levels:
        yield Reason("other_levels", f"{name} was minimised by other levels.")
    made = designs[sealed_list.contents.list_id]
    if made and each.design and not alike(made, each.design):
        yield Reason("other_design", f"{name} was made under another design than its list.")


def _in_order_of_allocation(
    allocated: Iterable[Allocated], slots: Mapping[str, Place]
) -> Iterator[Reason]:
    """The events of a stratum's allocations follow one another as the slots do.

    Each is written under the lock of the stratum's head, so that a later slot has a later event,
    whatever the clocks say.
    """
    taken: dict[str, list[tuple[int, int, int, str]]] = defaultdict(list)
    for each in allocated:
        if each.slot_id in slots and len(each.announced) == 1:
            found, slot = slots[each.slot_id]
            place = (found.contents.number, slot.position, each.announced[0].event, each.number)
            taken[slot.stratum].append(place)
    for places in taken.values():
        ordered = sorted(places)
        for (*_, event, name), (*_, later, other) in pairwise(ordered):
            if later < event:
                text = f"Allocation {other} came before {name} and has a later slot."
                yield Reason("order_broken", text)


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


def allocation_findings(each: Allocated) -> Iterator[Reason]:
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
    yield from _as_told(each, name)
    if len(each.subjects) != 1:
        yield Reason("subjects", f"{name} belongs to {len(each.subjects)} subjects, not to one.")
    elif each.subjects != each.told_subjects:
        yield Reason("other_subject", f"{name} belongs to another subject than its event told.")


def _as_told(each: Allocated, name: str) -> Iterator[Reason]:
    facts = each.facts
    told = [(event.stratum, event.site, event.randomised_on) for event in each.announced]
    if told != [(facts.stratum, facts.site, facts.randomised_on)]:
        yield Reason("not_announced", f"{name} differs from the event that told of it, once.")
    bound = slot_digest(each.id, each.slot_id)
    if any(event.slot_digest != bound for event in each.announced):
        yield Reason("other_slot", f"{name} has another slot than its event bound it to.")


def gone_findings(names: Iterable[str]) -> Iterator[Reason]:
    for name in names:
        yield Reason("allocation_gone", f"Allocation {name} was made and is not there any more.")
