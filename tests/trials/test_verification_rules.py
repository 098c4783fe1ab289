"""A verified randomisation, and each single thing that can be altered in one: found and named."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from config.reference.refusals import said_reasons
from trials.rules.commitment import Contents, digest_of, slot_digest
from trials.rules.list_parameters import design_from, parameters_of
from trials.rules.randomisation import (
    GENERATOR,
    BlockSize,
    Design,
    DesignArm,
    Entry,
    Minimisation,
    MinimisedFactor,
    counted,
    generate,
    minimised_arm,
)
from trials.rules.verification import (
    Allocated,
    Approval,
    Facts,
    HeldList,
    HeldSlot,
    KeptVersion,
    Made,
    PublishedList,
    Told,
    verify,
)


ARMS = (DesignArm("L", 2), DesignArm("P", 1))
MINIMISATION = Minimisation(
    (MinimisedFactor("mrd", 1, ("H", "I")), MinimisedFactor("site", 1, ())), "range", Fraction(4, 5)
)
BLOCKS = Design("permuted_blocks", ARMS, ("H", "I"), 6, (BlockSize(3, 1),))
SIMPLE = Design("simple", ARMS, ("H", "I"), 6)
MINIMISED = Design("minimisation", ARMS, (), 6, minimisation=MINIMISATION)
SUBJECTS = "HHIHHHHH"  # seven of stratum H: list 1 holds six of them, so the last is in list 2
SITES = ("DE-01", "FR-01", "FR-01")
DAY = "2026-03-10"


@dataclass(frozen=True)
class Randomised:
    """What a verification is given. Numbers of lists and allocations count from 1."""

    held: tuple[HeldList, ...]
    published: tuple[PublishedList, ...]
    allocated: tuple[Allocated, ...]
    gone: tuple[str, ...] = ()
    versions: tuple[KeptVersion, ...] = (
        KeptVersion("1.0", "text", "text", ("text",)),
        KeptVersion("1.1", "other text", "other text", ("other text",)),
    )
    lists_gone: tuple[str, ...] = ()

    def findings(self):
        found = verify(
            self.held, self.published, self.allocated, self.gone, self.versions, self.lists_gone
        )
        return [f"{each.code}: {each.detail}" for each in found]


# --- A trial by each method -----------------------------------------------------------------------


def randomised(design):
    """Eight subjects at two sites, by a list and its extension, as services and database do it."""
    lists = [drawn(design, number) for number in (1, 2)]
    allocated, taken = [], [Counter() for _ in lists]
    for number, mrd in enumerate(SUBJECTS, start=1):
        stratum = mrd if design.strata else ""
        levels = {"mrd": mrd, "site": SITES[number % 3]}
        i = next(i for i, each in enumerate(lists) if taken[i][stratum] < size(each, stratum))
        taken[i][stratum] += 1
        slot = slot_at(lists[i], stratum, taken[i][stratum])
        if design.minimisation:
            slot = minimised(design, lists, slot, levels)
            lists[i] = with_slot(lists[i], slot)
        allocated.append(allocation(number, lists[i], slot, mrd, levels, design))
    held = [replace(one, taken=dict(count)) for one, count in zip(lists, taken, strict=True)]
    return Randomised(tuple(held), tuple(map(published, held)), tuple(allocated))


def drawn(design, number):
    seed = f"the seed of list {number}"
    slots = tuple(
        HeldSlot(f"{number}-{entry.stratum}-{position}", entry.stratum, position, entry.arm,
                 entry.draw, None, None)
        for stratum in design.strata or ("",)
        for position, entry in enumerate(
            (each for each in generate(design, seed=seed) if each.stratum == stratum), start=1
        )
    )  # fmt: skip
    contents = Contents(
        list_id=f"list-{number}",
        trial_id="trial",
        number=number,
        method=design.method,
        generator=GENERATOR,
        seed=seed,
        parameters=parameters_of(design),
        salt=f"salt-{number}",
        entries=entries_of(slots),
    )
    sizes = Counter(slot.stratum for slot in slots)
    return HeldList(contents, digest_of(contents), {}, dict(sizes), slots)


def entries_of(slots):
    ordered = sorted(slots, key=lambda slot: (slot.stratum, slot.position))
    return tuple(
        Entry(slot.stratum, slot.arm if slot.draw is None else "", slot.draw) for slot in ordered
    )


def minimised(design, lists, slot, levels):
    """Take a slot as ``sealed.take_slot`` does: by all who have a place."""
    earlier = [
        (each.levels, each.place) for one in lists for each in one.slots if each.place is not None
    ]
    counts = counted(earlier, design)
    chosen = minimised_arm(design, counts=counts, levels=levels, draw=slot.draw)
    return replace(slot, levels=levels, place=chosen.place, arm=chosen.arm)


def allocation(number, held, slot, mrd, levels, design):
    facts = Facts(mrd, levels, levels["site"], DAY)
    return Allocated(
        id=f"allocation-{number}",
        number=f"R{number}",
        list_id=held.contents.list_id,
        slot_id=slot.id,
        facts=facts,
        derived=({"mrd": mrd}, mrd),
        design=replace(design, length=99),  # a list may be longer or shorter than the plan
        same_as_first_kept=True,
        versions=1,
        announced=(
            Told(mrd, levels["site"], DAY, slot_digest(f"allocation-{number}", slot.id), number),
        ),
        subjects=(f"subject-{number}",),
        told_subjects=(f"subject-{number}",),
    )


def published(held):
    contents = held.contents
    return PublishedList(
        list_id=contents.list_id,
        number=contents.number,
        method=contents.method,
        generator=contents.generator,
        digest=held.digest,
        entries=len(held.slots),
        live_at=DAY,
        announced=((held.digest, DAY),),
        made=MADE,
        told=(MADE,),
        as_kept=True,
        logged=True,
        design=replace(design_from(contents.parameters), length=99),
        approvals=(approval("one", held.digest), approval("other", held.digest)),
    )


MADE = Made(number=1, origin="generated", by="7", protocol_version="1.0", at=DAY)


def approval(person, digest):
    given = (person, digest, DAY)
    return Approval(person, digest, given, as_kept=True, announced=(given,), looked=True)


def size(held, stratum):
    return sum(slot.stratum == stratum for slot in held.slots)


def slot_at(held, stratum, position):
    (found,) = [slot for slot in held.slots if (slot.stratum, slot.position) == (stratum, position)]
    return found


def with_slot(held, changed):
    """Return the list with one slot otherwise, as the sealed schema would give it to read."""
    return with_slots(held, [changed if slot.id == changed.id else slot for slot in held.slots])


def with_slots(held, slots):
    contents = replace(held.contents, entries=entries_of(slots))
    return replace(held, contents=contents, slots=tuple(slots))


@pytest.mark.parametrize("design", [BLOCKS, SIMPLE, MINIMISED], ids=lambda each: each.method)
def test_an_untouched_randomisation_is_verified(design):
    assert randomised(design).findings() == []


# --- One thing altered ----------------------------------------------------------------------------

Alter = Callable[[Randomised], Randomised]


def in_list(number, alter) -> Alter:
    def altered(trial):
        held = [alter(one) if one.contents.number == number else one for one in trial.held]
        return replace(trial, held=tuple(held))

    return altered


def in_slot(position, number=1, stratum="", **changed) -> Alter:
    return in_list(
        number,
        lambda held: with_slot(held, replace(slot_at(held, stratum, position), **changed)),
    )


def in_contents(**changed) -> Alter:
    return in_list(2, lambda held: replace(held, contents=replace(held.contents, **changed)))


def in_published(**changed) -> Alter:
    return lambda trial: replace(
        trial, published=(replace(trial.published[0], **changed), *trial.published[1:])
    )


def in_approval(**changed) -> Alter:
    def altered(trial):
        first, *others = trial.published[0].approvals
        return in_published(approvals=(replace(first, **changed), *others))(trial)

    return altered


def in_sizes(**changed) -> Alter:
    return in_list(1, lambda held: replace(held, sizes={**held.sizes, **changed}))


def slot_of(trial, number, *, told_by) -> dict[str, object]:
    """Return the slot of an allocation for another one, as if that one's event had bound it."""
    slot, (event,) = row(trial, number).slot_id, row(trial, told_by).announced
    bound = slot_digest(row(trial, told_by).id, slot)
    return {"slot_id": slot, "announced": (replace(event, slot_digest=bound),)}


def in_allocation(number, **changed) -> Alter:
    def altered(trial):
        rows = list(trial.allocated)
        rows[number - 1] = replace(rows[number - 1], **changed)
        return replace(trial, allocated=tuple(rows))

    return altered


def in_version(**changed) -> Alter:
    return lambda trial: replace(
        trial, versions=(trial.versions[0], replace(trial.versions[1], **changed))
    )


def in_facts(number, **changed) -> Alter:
    return lambda trial: in_allocation(
        number, facts=replace(trial.allocated[number - 1].facts, **changed)
    )(trial)


def without_slot(position, stratum="") -> Alter:
    return in_list(
        1,
        lambda held: with_slots(
            held, [slot for slot in held.slots if slot != slot_at(held, stratum, position)]
        ),
    )


def another_slot(position, stratum) -> Alter:
    added = HeldSlot("added", stratum, position, "L", None, None, None)
    return in_list(1, lambda held: with_slots(held, [*held.slots, added]))


def taken(number, stratum, count) -> Alter:
    return in_list(number, lambda held: replace(held, taken={**held.taken, stratum: count}))


def without_allocation(number, **more) -> Alter:
    return lambda trial: replace(
        trial,
        allocated=tuple(each for each in trial.allocated if each.number != f"R{number}"),
        **more,
    )


def exchanged(first, second, stratum="") -> Alter:
    """Two slots of list 1 change places, as they are."""

    def altered(held):
        one, other = (slot_at(held, stratum, position) for position in (first, second))
        moved = with_slot(held, replace(one, position=second))
        return with_slot(moved, replace(other, position=first))

    return in_list(1, altered)


def replaced(trial):
    """Another list of its own digest in the place of list 2, as if it had been that from the start.

    Only the one who published the first digest knows that it was another.
    """
    first, second = trial.held
    contents = replace(second.contents, seed="another seed", salt="another salt")
    entries = generate(MINIMISED, seed=contents.seed)
    slots = [
        replace(slot, draw=entry.draw) for slot, entry in zip(second.slots, entries, strict=True)
    ]
    changed = with_slots(replace(second, contents=contents), slots)
    return replace(trial, held=(first, replace(changed, digest=digest_of(changed.contents))))


UNANNOUNCED = (
    "protocol_not_announced: Protocol version 1.1: the event that told of it does not name its"
    " digest, once."
)
NOTHING_HELD = "slot_differs: List 2, slot 2 is taken and holds no levels or no draw."
OTHER_LEVELS = "other_levels: Allocation R8 was minimised by other levels."
OTHER_DESIGN = "other_design: List {} was made by another design than its protocol version has."
UNDER_ANOTHER = "other_design: Allocation R{} was made under another design than its list."
OTHER_PLACES = "places_differ: List 1 is published with other places than it has slots."
OTHER_COUNT = "head_differs: List {}: stratum {} counts other places than it has slots."
OTHER_SLOT = "other_slot: Allocation R{} has another slot than its event bound it to."
OTHER_ARM = {"L": "P", "P": "L"}
BROKEN = (
    "digest_differs: List {} has another digest than its contents give.",
    "commitment_broken: List {}: the published digest is not that of the list.",
    (
        "commitment_not_announced: List {}: the event that put it to use does not name its"
        " digest, once."
    ),
    "two_people_needed: List {} was approved under its digest by 0, not by two people.",
)


def broken(number):
    """What is found whenever the contents of a list are not those it was committed to."""
    return [sentence.format(number) for sentence in BROKEN]


def by_seed(number, slot):
    return (
        f"slot_differs: List {number}, {slot}: the generator gives another content from the seed."
    )


def row(trial, number):
    return trial.allocated[number - 1]


MINIMISED_CASES = {
    "the arm of a taken slot": (
        lambda trial: in_slot(3, arm=OTHER_ARM[slot_at(trial.held[0], "", 3).arm])(trial),
        ["slot_differs: List 1, slot 3: minimisation gives another arm from its inputs."],
    ),
    "the arm of the last slot taken, with its place": (
        in_slot(2, 2, arm="P", place=3),
        ["slot_differs: List 2, slot 2: minimisation gives another arm from its inputs."],
    ),
    "the place of a slot among the equal arms": (
        lambda trial: in_slot(2, 2, place=3 - slot_at(trial.held[1], "", 2).place)(trial),
        ["slot_differs: List 2, slot 2: minimisation gives another arm from its inputs."],
    ),
    "a place that no equal arm has": (
        in_slot(2, 2, place=99),
        ["slot_differs: List 2, slot 2: minimisation gives another arm from its inputs."],
    ),
    "a place that no equal arm has, before others": (
        in_slot(5, place=99),
        ["slot_differs: List 1, slot 5: minimisation gives another arm from its inputs."],
    ),
    "a place taken away": (
        in_slot(2, 2, place=None),
        ["slot_differs: List 2, slot 2: minimisation gives another arm from its inputs."],
    ),
    "a level of a slot": (
        in_slot(2, 2, levels={"mrd": "H", "site": "XX-99"}),
        ["slot_differs: List 2, slot 2: minimisation gives another arm from its inputs.",
         OTHER_LEVELS],
    ),
    "a level taken out of a slot": (
        in_slot(2, 2, levels={"mrd": "H"}),
        [NOTHING_HELD, OTHER_LEVELS],
    ),
    "a level that is no text": (
        in_slot(2, 2, levels={"mrd": "H", "site": ["DE-01"]}),
        [NOTHING_HELD, OTHER_LEVELS],
    ),
    "levels that are none": (
        in_slot(2, 2, levels=["H"]),
        [NOTHING_HELD, OTHER_LEVELS],
    ),
    "the levels of an allocation": (
        in_facts(8, levels={"mrd": "H", "site": "XX-99"}),
        [
            OTHER_LEVELS,
            "inputs_differ: Allocation R8: its inputs give other levels than were used.",
        ],
    ),
    "an arm before its slot is taken": (
        in_slot(3, 2, arm="L"),
        ["arm_before_its_time: List 2, slot 3 is not taken and has an arm."],
    ),
    "a place before its slot is taken": (
        in_slot(3, 2, place=1),
        ["arm_before_its_time: List 2, slot 3 is not taken and has an arm."],
    ),
    "levels before their slot is taken": (
        in_slot(3, 2, levels={"mrd": "H", "site": "DE-01"}),
        ["arm_before_its_time: List 2, slot 3 is not taken and has an arm."],
    ),
    "a draw to come": (
        in_slot(5, 2, draw=12345),
        [*broken(2), by_seed(2, "slot 5")],
    ),
    "a draw that is no number of 32 bits": (
        in_slot(2, 2, draw=1 << 32),
        [*broken(2), by_seed(2, "slot 2"), NOTHING_HELD],
    ),
    "a draw taken away": (
        in_slot(5, 2, draw=None),
        [*broken(2), by_seed(2, "slot 5")],
    ),
    "the seed": (
        in_contents(seed="another seed"),
        [*broken(2), *(by_seed(2, f"slot {position}") for position in range(1, 7))],
    ),
    "the probability of the preferred arm": (
        lambda trial: in_contents(parameters=parameters_of(replace(
            MINIMISED, minimisation=replace(MINIMISATION, probability=Fraction(1))
        )))(trial),
        [*broken(2), OTHER_DESIGN.format(2),
         UNDER_ANOTHER.format(7), UNDER_ANOTHER.format(8)],
    ),
    "parameters that are none": (
        in_contents(parameters="{}"),
        [*broken(2), "parameters_broken: List 2: its parameters are those of no design."],
    ),
    "parameters that are no text of a design": (
        in_contents(parameters="nothing"),
        [*broken(2), "parameters_broken: List 2: its parameters are those of no design."],
    ),
    "parameters with something added": (
        in_contents(parameters=parameters_of(MINIMISED)[:-1] + ',"z":1}'),
        [*broken(2), "parameters_broken: List 2: its parameters are those of no design."],
    ),
    "another list, with its own digest": (
        replaced,
        [
            *broken(2)[1:],
            "slot_differs: List 2, slot 1: minimisation gives another arm from its inputs.",
        ],
    ),
    "a slot skipped": (
        taken(2, "", 3),
        [
            "slot_differs: List 2, slot 3 is taken and holds no levels or no draw.",
            "order_broken: List 2, slot 3 is counted as taken and nobody has it.",
        ],
    ),
    "more taken than there are slots": (
        taken(2, "", 7),
        [
            "too_many_taken: List 2: stratum all has fewer slots than taken.",
            *(f"slot_differs: List 2, slot {position} is taken and holds no levels or no draw."
              for position in range(3, 7)),
            *(f"order_broken: List 2, slot {position} is counted as taken and nobody has it."
              for position in range(3, 7)),
        ],
    ),
    "an allocation deleted and its slot freed": (
        lambda trial: without_allocation(8, gone=("R8",))(
            in_slot(2, 2, levels=None, place=None, arm="")(taken(2, "", 1)(trial))
        ),
        ["allocation_gone: Allocation R8 was made and is not there any more."],
    ),
}  # fmt: skip
BLOCK_CASES = {
    "the arm of a taken slot": (
        lambda trial: in_slot(
            2, 1, "H", arm=OTHER_ARM[slot_at(trial.held[0], "H", 2).arm]
        )(trial),
        [*broken(1), by_seed(1, "slot 2 of stratum H")],
    ),
    "the arm of a slot to come": (
        lambda trial: in_slot(
            5, 2, "I", arm=OTHER_ARM[slot_at(trial.held[1], "I", 5).arm]
        )(trial),
        [*broken(2), by_seed(2, "slot 5 of stratum I")],
    ),
    "a slot deleted": (
        without_slot(6, "I"),
        [*broken(1), OTHER_PLACES, OTHER_COUNT.format(1, "I"),
         "slots_missing: List 1 has 1 slots fewer than its seed gives."],
    ),
    "a slot in the middle deleted": (
        without_slot(3, "I"),
        [*broken(1), OTHER_PLACES,
         "order_broken: List 1: stratum I does not run from slot 1 without a gap.",
         OTHER_COUNT.format(1, "I"),
         "slots_missing: List 1 has 1 slots fewer than its seed gives."],
    ),
    "a slot added": (
        another_slot(7, "I"),
        [*broken(1), OTHER_PLACES, OTHER_COUNT.format(1, "I"), by_seed(1, "slot 7 of stratum I")],
    ),
    "a list deleted": (
        lambda trial: replace(trial, held=trial.held[:1]),
        ["list_missing: List 2 is not in the sealed schema.",
         "slot_unknown: Allocation R8 has no slot in a live list."],
    ),
    "a list that nobody published": (
        lambda trial: replace(trial, published=trial.published[:1]),
        ["list_unknown: A sealed list 2 is live and was never published."],
    ),
    "the number of the published list": (
        in_published(number=7),
        ["list_differs: List 1 is published as another list than is sealed."],
    ),
    "the method of the published list": (
        in_published(method="another"),
        ["list_differs: List 1 is published as another list than is sealed."],
    ),
    "the generator of the published list": (
        in_published(generator="made elsewhere"),
        ["list_differs: List 1 is published as another list than is sealed."],
    ),
    "the published digest": (
        in_published(digest="0" * 64),
        ["commitment_broken: List 1: the published digest is not that of the list."],
    ),
    "the digest in the event": (
        in_published(announced=(("0" * 64, DAY),)),
        [BROKEN[2].format(1)],
    ),
    "a second event that names the same digest": (
        lambda trial: in_published(announced=trial.published[0].announced * 2)(trial),
        [BROKEN[2].format(1)],
    ),
    "the sealed digest": (
        in_list(1, lambda held: replace(held, digest="0" * 64)),
        ["digest_differs: List 1 has another digest than its contents give."],
    ),
    "one of the two approvals": (
        lambda trial: in_published(approvals=trial.published[0].approvals[:1])(trial),
        ["two_people_needed: List 1 was approved under its digest by 1, not by two people."],
    ),
    "one person who approved twice": (
        lambda trial: in_published(approvals=trial.published[0].approvals[:1] * 2)(trial),
        ["two_people_needed: List 1 was approved under its digest by 1, not by two people."],
    ),
    "a slot skipped": (
        taken(1, "I", 2),
        ["order_broken: List 1, slot 2 of stratum I is counted as taken and nobody has it."],
    ),
    "a slot given back that somebody has": (
        taken(1, "I", 0),
        ["order_broken: List 1, slot 1 of stratum I is out of turn."],
    ),
    "an extension used too early": (
        taken(2, "I", 1),
        ["order_broken: List 2, slot 1 of stratum I is counted as taken and nobody has it.",
         "order_broken: List 2 was used for stratum I before list 1 was used up."],
    ),
    "more taken than there are slots": (
        taken(1, "H", 7),
        ["too_many_taken: List 1: stratum H has fewer slots than taken."],
    ),
    "the slot of another allocation": (
        in_allocation(2, slot_id="1-H-1"),
        ["slot_twice: Allocation R1 shares its slot with another.",
         "slot_twice: Allocation R2 shares its slot with another.",
         "order_broken: List 1, slot 2 of stratum H is counted as taken and nobody has it.",
         OTHER_SLOT.format(2)],
    ),
    "a slot of no list": (
        in_allocation(2, slot_id="none"),
        ["slot_unknown: Allocation R2 has no slot in a live list.",
         "order_broken: List 1, slot 2 of stratum H is counted as taken and nobody has it.",
         OTHER_SLOT.format(2)],
    ),
    "a slot out of turn": (
        in_allocation(2, slot_id="2-H-4", list_id="list-2"),
        ["order_broken: List 1, slot 2 of stratum H is counted as taken and nobody has it.",
         "order_broken: List 2, slot 4 of stratum H is out of turn.",
         "order_broken: Allocation R2 came before R8 and has a later slot.", OTHER_SLOT.format(2)],
    ),
    "the list of an allocation": (
        in_allocation(2, list_id="list-2"),
        ["other_list: Allocation R2 names another list."],
    ),
    "the stratum of an allocation": (
        in_facts(2, stratum="I"),
        ["other_stratum: Allocation R2 took another stratum's slot.",
         "inputs_differ: Allocation R2: its inputs give another stratum than was used.",
         "not_announced: Allocation R2 differs from the event that told of it, once."],
    ),
    "the levels of an allocation": (
        in_facts(2, levels={"mrd": "I", "site": "FR-01"}),
        ["inputs_differ: Allocation R2: its inputs give other levels than were used."],
    ),
    "the site of an allocation": (
        in_facts(2, site="XX-99"),
        ["inputs_differ: Allocation R2: its inputs give other levels than were used.",
         "not_announced: Allocation R2 differs from the event that told of it, once."],
    ),
    "the day of an allocation": (
        in_facts(2, randomised_on="2020-01-01"),
        ["not_announced: Allocation R2 differs from the event that told of it, once."],
    ),
    "inputs that no level holds": (
        in_allocation(2, derived=None),
        ["inputs_differ: Allocation R2: no level of the protocol holds its inputs."],
    ),
    "a row that is not as it was kept": (
        in_allocation(2, same_as_first_kept=False),
        ["row_changed: Allocation R2 is not as its history first kept it."],
    ),
    "a row that was changed and changed back": (
        in_allocation(2, versions=3),
        ["row_changed: Allocation R2 is not as its history first kept it."],
    ),
    "an allocation no event told of": (
        in_allocation(2, announced=()),
        ["not_announced: Allocation R2 differs from the event that told of it, once."],
    ),
    "an allocation told of twice": (
        lambda trial: in_allocation(2, announced=row(trial, 2).announced * 2)(trial),
        ["not_announced: Allocation R2 differs from the event that told of it, once."],
    ),
    "an allocation of nobody": (
        in_allocation(2, subjects=()),
        ["subjects: Allocation R2 belongs to 0 subjects, not to one."],
    ),
    "an allocation of two": (
        in_allocation(2, subjects=("subject-2", "subject-3")),
        ["subjects: Allocation R2 belongs to 2 subjects, not to one."],
    ),
    "two subjects who changed places": (
        lambda trial: in_allocation(2, subjects=row(trial, 1).subjects)(
            in_allocation(1, subjects=row(trial, 2).subjects)(trial)
        ),
        ["other_subject: Allocation R1 belongs to another subject than its event told.",
         "other_subject: Allocation R2 belongs to another subject than its event told."],
    ),
    "the text of a protocol version": (
        in_version(computed="text"),
        ["protocol_changed: Protocol version 1.1 has another digest than its text gives."],
    ),
    "the text of a protocol version, with its digest": (
        in_version(computed="text", digest="text"),
        [UNANNOUNCED],
    ),
    "a protocol version told of twice": (
        in_version(announced=("other text", "other text")),
        [UNANNOUNCED],
    ),
    "a protocol version that cannot be read": (
        in_version(readable=False),
        ["protocol_unreadable: Protocol version 1.1: its stored text cannot be read."],
    ),
    "an allocation deleted": (
        without_allocation(2, gone=("R2",)),
        ["order_broken: List 1, slot 2 of stratum H is counted as taken and nobody has it.",
         "allocation_gone: Allocation R2 was made and is not there any more."],
    ),
    "the last allocation deleted and its slot freed": (
        lambda trial: without_allocation(8, gone=("R8",))(taken(2, "H", 0)(trial)),
        ["allocation_gone: Allocation R8 was made and is not there any more."],
    ),
}  # fmt: skip
OF_APPROVAL = "List 1: the approval by one"
BY_WITNESS = {
    "the places of a published list": (in_published(entries=1), [OTHER_PLACES]),
    "the design of its protocol version": (
        in_published(design=replace(SIMPLE, arms=(DesignArm("L", 1), DesignArm("P", 1)))),
        [OTHER_DESIGN.format(1)],
    ),
    "a protocol version no design can be read in": (in_published(design=None), []),
    "an allocation by a protocol version of another design": (
        in_allocation(2, design=replace(SIMPLE, strata=("H", "HI"))),
        [UNDER_ANOTHER.format(2)],
    ),
    "an allocation by a protocol version no design can be read in": (
        in_allocation(2, design=None),
        [],
    ),
    "a row of a list that is not as it was kept": (
        in_published(as_kept=False),
        ["list_changed: List 1 is not as its history kept it when it went live."],
    ),
    "a row of a list that is not as it was told": (
        in_published(made=replace(MADE, by="8")),
        ["list_not_announced: List 1 differs from the event that told of its draft, once."],
    ),
    "a draft no event told of": (
        in_published(told=()),
        ["list_not_announced: List 1 differs from the event that told of its draft, once."],
    ),
    "the moment a list went live": (
        in_published(live_at="2020-01-01"),
        ["list_not_announced: List 1 is live since another moment than its event told."],
    ),
    "a list whose maker is not in the access log": (
        in_published(logged=False),
        ["list_not_logged: List 1: the access log has no look of its maker for its reason."],
    ),
    "a list that is not live any more": (
        lambda trial: replace(trial, lists_gone=("3",)),
        ["list_gone: List 3 was put to use and is not live any more."],
    ),
    "an approval that is not as it was kept": (
        in_approval(as_kept=False),
        [f"approval_changed: {OF_APPROVAL} is not as its history first kept it."],
    ),
    "an approval that is not as it was told": (
        in_approval(given=("other", "digest", DAY)),
        [f"approval_not_announced: {OF_APPROVAL} differs from the event that told of it, once."],
    ),
    "an approval no event told of": (
        in_approval(announced=()),
        [f"approval_not_announced: {OF_APPROVAL} differs from the event that told of it, once."],
    ),
    "an approval without a look": (
        in_approval(looked=False),
        [f"approval_not_logged: {OF_APPROVAL} has no look at the dry run in the access log."],
    ),
    "an approval that is gone": (
        in_published(approvals_gone=1),
        ["approval_gone: List 1: an approval was given and is not there now."],
    ),
    "a head that counts fewer places": (
        in_sizes(H=5),
        [OTHER_COUNT.format(1, "H")],
    ),
    "a head of a stratum without slots": (
        in_sizes(Z=1),
        [OTHER_COUNT.format(1, "Z")],
    ),
    "a head that is gone": (
        in_list(2, lambda held: replace(held, sizes={"H": held.sizes["H"]})),
        ["head_missing: List 2: stratum I has lost the row that counts its places."],
    ),
    "two allocations that changed their slots": (
        lambda trial: in_allocation(1, slot_id=row(trial, 2).slot_id)(
            in_allocation(2, slot_id=row(trial, 1).slot_id)(trial)
        ),
        ["order_broken: Allocation R1 came before R2 and has a later slot.",
         OTHER_SLOT.format(1), OTHER_SLOT.format(2)],
    ),
    "two allocations that changed their slots, and their events too": (
        lambda trial: in_allocation(1, **slot_of(trial, 2, told_by=1))(
            in_allocation(2, **slot_of(trial, 1, told_by=2))(trial)
        ),
        ["order_broken: Allocation R1 came before R2 and has a later slot."],
    ),
    "an allocation whose event binds it to no slot": (
        lambda trial: in_allocation(
            2, announced=(replace(row(trial, 2).announced[0], slot_digest=""),)
        )(trial),
        [OTHER_SLOT.format(2)],
    ),
}  # fmt: skip
OF_EACH = (
    (MINIMISED, MINIMISED_CASES),
    (BLOCKS, BLOCK_CASES),
    (SIMPLE, BLOCK_CASES),
    (SIMPLE, BY_WITNESS),
)
CASES = [
    pytest.param(design, *case, id=f"{design.method}: {name}")
    for design, cases in OF_EACH
    for name, case in cases.items()
]


@pytest.mark.parametrize(("design", "alter", "found"), CASES)
def test_one_thing_altered_is_found_and_named_and_nothing_else(design, alter, found):
    assert alter(randomised(design)).findings() == found


def test_slots_that_changed_places_are_both_named():
    trial = exchanged(5, 6)(randomised(MINIMISED))

    differ = "slot_differs: List 1, slot {}: the generator gives another content from the seed."
    assert trial.findings()[:6] == [*broken(1), differ.format(6), differ.format(5)]


def test_a_list_made_elsewhere_is_held_to_its_digest_and_not_to_a_seed():
    elsewhere = in_list(
        1,
        lambda held: replace(
            held, contents=replace(held.contents, generator="made elsewhere", seed="")
        ),
    )(randomised(BLOCKS))
    first, second = elsewhere.held
    first = replace(first, digest=digest_of(first.contents))
    trial = replace(
        elsewhere, held=(first, second), published=(published(first), published(second))
    )

    arm = OTHER_ARM[slot_at(first, "H", 2).arm]
    assert trial.findings() == []
    assert in_slot(2, 1, "H", arm=arm)(trial).findings() == broken(1)


def test_every_sentence_of_the_rule_is_found_in_one_of_these_cases():
    said = {
        f"{each.code}: {each.says}"
        for each in said_reasons()
        if each.module.startswith("trials.rules.verification")
    }
    told = [sentence for case in CASES for sentence in case.values[2]]

    unsaid = {each for each in said if not any(pattern(each).fullmatch(one) for one in told)}

    assert len(said) > 25
    assert unsaid == set()


def pattern(template):
    return re.compile(".*".join(map(re.escape, re.split(r"\{.*?\}", template))))
