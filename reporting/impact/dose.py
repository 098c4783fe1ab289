"""What an amendment means for the dose of a subject on treatment."""

from collections.abc import Iterator

from dosing.rules.escalation import dose_in_force_blocks
from reporting.impact.standing import Affected, Amendment, Effect, Standing
from trials.rules.protocol import Dosing
from trials.rules.protocol.words import shown, words_of


def dose_effects(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    """Yield what becomes of the level, the decisions and the plan of a subject on treatment.

    Of the plan the first coming cycle that differs is told, with its condition.
    """
    before, after = amendment.before.dosing, amendment.after.dosing
    yield from _ladder(subject, amendment)
    for cycle, decided in subject.decided:
        if dose_in_force_blocks(cycle, decided, after):
            detail = f"{shown(decided)} mg was decided for cycle {cycle} and cannot be given"
            yield Affected(Effect.DECISION_UNDONE, detail)
    for cycle in _coming_cycles(subject.next_cycle, before, after):
        was, now = (_planned(cycle, policy) for policy in (before, after))
        if was != now:
            detail = f"cycle {cycle} is planned with {now} instead of {was}"
            yield Affected(Effect.PLANNED_DOSE_CHANGED, detail)
            return


def _ladder(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    dose, levels = subject.dose_mg, amendment.after.dosing.ladder_mg
    gone = bool(dose) and dose not in levels
    if dose and gone:
        lower = max((level for level in levels if level < dose), default=None)
        way = f"the next lower is {shown(lower)} mg" if lower else "no lower level is left"
        yield Affected(Effect.LEVEL_GONE, f"takes {shown(dose)} mg, no longer a level; {way}")
    for change in amendment.under("dosing.ladder_mg"):
        if not (gone and change.before == shown(dose)):
            yield Affected(Effect.DOSE_RULE_CHANGED, amendment.told(change))


def _coming_cycles(first: int, *policies: Dosing) -> Iterator[int]:
    """Yield a cycle and every later one at which a row of some plan begins or has ended."""
    rows = [row for policy in policies for row in policy.planned]
    edges = {row.from_cycle for row in rows} | {row.to_cycle + 1 for row in rows if row.to_cycle}
    yield first
    yield from sorted(edge for edge in edges if edge > first)


def _planned(cycle: int, policy: Dosing) -> str:
    for row in policy.planned:
        if row.from_cycle <= cycle <= (row.to_cycle or cycle):
            condition = words_of((row.condition,), inside=True) if row.condition else ""
            return f"{shown(row.dose_mg)} mg" + (f" if {condition}" if condition else "")
    return "no drug"
