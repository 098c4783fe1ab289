"""Every minimised arm, decided again from the levels and the draw that its slot holds."""

from collections.abc import Iterator, Mapping, Sequence

from events.outcomes import Reason
from trials.rules.randomisation import DRAW_BITS, Minimisation, counted, minimised_arm
from trials.rules.verification.facts import HeldList, HeldSlot
from trials.rules.verification.lists import design_made_by


def again_minimised(held: Sequence[HeldList]) -> Iterator[Reason]:
    """Decide every minimised arm again, in order, each after all before it."""
    earlier: list[tuple[Mapping[str, str], int]] = []
    for each in held:
        design = design_made_by(each.contents)
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
