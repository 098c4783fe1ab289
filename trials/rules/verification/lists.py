"""The lists: what was committed to, who said yes, and how each row stands to its witnesses."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from events.outcomes import Reason
from trials.rules.commitment import Contents, digest_of
from trials.rules.list_parameters import design_from, parameters_of
from trials.rules.randomisation import GENERATOR, Design, Entry, generate
from trials.rules.verification.facts import Approval, HeldList, PublishedList


NEEDED = 2


def missing(
    held: Sequence[HeldList], known: Mapping[str, PublishedList], gone: Iterable[str]
) -> Iterator[Reason]:
    """Return the lists that are live on one side alone, or were and are not live any more."""
    sealed = {each.contents.list_id for each in held}
    for each in known.values():
        if each.list_id not in sealed:
            yield Reason("list_missing", f"List {each.number} is not in the sealed schema.")
    for found in held:
        if found.contents.list_id not in known:
            text = f"A sealed list {found.contents.number} is live and was never published."
            yield Reason("list_unknown", text)
    for number in gone:
        text = f"List {number} was put to use and is not live any more."
        yield Reason("list_gone", text)


def list_findings(held: HeldList, published: PublishedList | None) -> Iterator[Reason]:
    contents, name = held.contents, f"List {held.contents.number}"
    computed = digest_of(contents)
    if computed != held.digest:
        yield Reason("digest_differs", f"{name} has another digest than its contents give.")
    if published is not None:
        yield from _commitment(published, computed, name)
        yield from _as_published(held, published, name)
        yield from _witnessed(published, name)
        for each in published.approvals:
            yield from _approval(each, f"{name}: the approval by {each.person}")
        if published.approvals_gone:
            yield Reason("approval_gone", f"{name}: an approval was given and is not there now.")
    yield from _gaps(held, name)
    yield from _heads(held, name)
    yield from _again_generated(held, name)


def _commitment(published: PublishedList, computed: str, name: str) -> Iterator[Reason]:
    if published.digest != computed:
        yield Reason("commitment_broken", f"{name}: the published digest is not that of the list.")
    if tuple(digest for digest, _ in published.announced) != (computed,):
        text = f"{name}: the event that put it to use does not name its digest, once."
        yield Reason("commitment_not_announced", text)
    people = {each.person for each in published.approvals if each.digest == computed}
    if len(people) < NEEDED:
        text = f"{name} was approved under its digest by {len(people)}, not by two people."
        yield Reason("two_people_needed", text)


def _as_published(held: HeldList, published: PublishedList, name: str) -> Iterator[Reason]:
    contents = held.contents
    if (contents.number, contents.method, contents.generator) != (
        published.number,
        published.method,
        published.generator,
    ):
        yield Reason("list_differs", f"{name} is published as another list than is sealed.")
    if published.entries != len(held.slots):
        yield Reason("places_differ", f"{name} is published with other places than it has slots.")
    made, planned = design_made_by(contents), published.design
    if made and planned and not alike(made, planned):
        text = f"{name} was made by another design than its protocol version has."
        yield Reason("other_design", text)


def alike(one: Design, other: Design) -> bool:
    """Return whether two designs bring subjects to arms in one way, however long their lists."""
    return replace(one, length=0) == replace(other, length=0)


def _witnessed(published: PublishedList, name: str) -> Iterator[Reason]:
    """Compare a list's row with its history, its events, and the access log."""
    if not published.as_kept:
        yield Reason("list_changed", f"{name} is not as its history kept it when it went live.")
    if published.told != (published.made,):
        text = f"{name} differs from the event that told of its draft, once."
        yield Reason("list_not_announced", text)
    if any(moment != published.live_at for _, moment in published.announced):
        text = f"{name} is live since another moment than its event told."
        yield Reason("list_not_announced", text)
    if not published.logged:
        text = f"{name}: the access log has no look of its maker for its reason."
        yield Reason("list_not_logged", text)


def _approval(each: Approval, name: str) -> Iterator[Reason]:
    if not each.as_kept:
        yield Reason("approval_changed", f"{name} is not as its history first kept it.")
    if each.announced != (each.given,):
        text = f"{name} differs from the event that told of it, once."
        yield Reason("approval_not_announced", text)
    if not each.looked:
        text = f"{name} has no look at the dry run in the access log."
        yield Reason("approval_not_logged", text)


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


def _heads(held: HeldList, name: str) -> Iterator[Reason]:
    """Each stratum has one head, which says how many places there are. Numbers are not told."""
    count = Counter(slot.stratum for slot in held.slots)
    for stratum in sorted({*count, *held.sizes}):
        if stratum not in held.sizes:
            text = f"{name}: stratum {stratum or 'all'} has lost the row that counts its places."
            yield Reason("head_missing", text)
        elif held.sizes[stratum] != count[stratum]:
            text = f"{name}: stratum {stratum or 'all'} counts other places than it has slots."
            yield Reason("head_differs", text)


def _again_generated(held: HeldList, name: str) -> Iterator[Reason]:
    """Compare every slot with the one the named generator makes of the seed."""
    contents = held.contents
    design = design_made_by(contents)
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


def design_made_by(contents: Contents) -> Design | None:
    """Return the design a list was made by, or nothing for a text that was never written so."""
    try:
        design = design_from(contents.parameters)
    except (ValueError, KeyError, TypeError):
        return None
    return design if parameters_of(design) == contents.parameters else None
