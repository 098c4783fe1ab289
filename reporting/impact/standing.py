"""What is known of a subject, what an amendment brings, and what it can mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from trials.rules.protocol import Protocol
from trials.rules.protocol.amendment import Change, changes


class Effect(StrEnum):
    """What an amendment means for a subject. Values are stable: the interface shows them."""

    GATE_SHUT = "gate_shut"
    GATE_OPENED = "gate_opened"
    LIMIT_WITHOUT_VALUE = "limit_without_value"
    RECONSENT_DUE = "reconsent_due"
    JUDGE_ANEW = "judge_eligibility_anew"
    LEVEL_GONE = "dose_level_gone"
    DECISION_UNDONE = "dose_decision_undone"
    PLANNED_DOSE_CHANGED = "planned_dose_changed"
    RENAL_DOSE_CHANGED = "renal_dose_changed"
    DOSE_RULE_CHANGED = "dose_rule_changed"
    MODIFICATION_CHANGED = "dose_modification_changed"
    SUPPLY_CHANGED = "supply_limit_changed"
    PREVENTION_CHANGED = "pregnancy_prevention_changed"
    WINDOW_MOVED = "visit_window_moved"
    GRADING_CHANGED = "grading_changed"
    REPORTING_CHANGED = "safety_reporting_changed"
    RESPONSE_CHANGED = "response_criteria_changed"


LABELS = {
    Effect.GATE_SHUT: "Gate shut",
    Effect.GATE_OPENED: "Gate opened",
    Effect.LIMIT_WITHOUT_VALUE: "Limit changed, no value recorded",
    Effect.RECONSENT_DUE: "Re-consent due",
    Effect.JUDGE_ANEW: "Screening to be repeated",
    Effect.LEVEL_GONE: "Dose level gone",
    Effect.DECISION_UNDONE: "Dose to be decided anew",
    Effect.PLANNED_DOSE_CHANGED: "Planned dose changed",
    Effect.RENAL_DOSE_CHANGED: "Dose by kidney function changed",
    Effect.DOSE_RULE_CHANGED: "Rule for the dose changed",
    Effect.MODIFICATION_CHANGED: "Dose modification changed",
    Effect.SUPPLY_CHANGED: "Supply limit changed",
    Effect.PREVENTION_CHANGED: "Pregnancy prevention changed",
    Effect.WINDOW_MOVED: "Visit window moved",
    Effect.GRADING_CHANGED: "Grading of adverse events changed",
    Effect.REPORTING_CHANGED: "Reporting of serious events changed",
    Effect.RESPONSE_CHANGED: "Response criteria changed",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A laboratory value and the site's day it was taken on."""

    value: Decimal
    taken_on: date


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one subject. Days are the site's; a dose of 0 mg was held.

    ``decided`` are the doses decided for cycles that have no supply yet. ``next_cycle`` is the
    first cycle without a supply, ``runs_out_on`` the first day without drug. ``newest`` holds the
    latest value of each analyte, however old. ``category`` is the recorded risk category with what
    it rests on. ``unblinded`` are the ways in which the arm became known.
    """

    number: str
    sex: str = ""
    signed: tuple[str, ...] = ()
    out: bool = False
    screened_under: str = ""
    randomised_on: date | None = None
    treatment_ended_on: date | None = None
    dose_mg: Decimal | None = None
    decided: tuple[tuple[int, Decimal], ...] = ()
    next_cycle: int = 1
    cycle: int | None = None
    cycle_day_1: date | None = None
    runs_out_on: date | None = None
    newest: Mapping[str, Measured] = field(default_factory=dict)
    category: str = ""
    surgically_sterile: bool = False
    menopause_months: int | None = None
    evidence: str = ""
    unblinded: tuple[str, ...] = ()

    @property
    def treated(self) -> bool:
        """Whether study drug may still be asked for."""
        return self.randomised_on is not None and self.treatment_ended_on is None

    @property
    def child_bearing(self) -> bool:
        """Whether the gate treats the subject so: a woman without a category counts too."""
        return self.category == "FCBP" or (not self.category and self.sex != "male")


@dataclass(frozen=True)
class Amendment:
    """Two versions and the day from which the second holds; compared once for all subjects."""

    before: Protocol
    after: Protocol
    day: date

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What differs, other than where a value comes from."""
        found = changes(self.before, self.after)
        return tuple(change for change in found if not change.source_only)

    def under(self, key: str) -> tuple[Change, ...]:
        """Return the changes of a key and of all that stands below it."""
        return tuple(change for change in self.changes if f"{change.key}.".startswith(f"{key}."))

    def told(self, change: Change) -> str:
        """Return a change in words that say from when, to stand inside a sentence."""
        text = change.text
        if not text[:2].isupper():
            text = text[:1].lower() + text[1:]
        return f"{text}, from {self.day} on"


@dataclass(frozen=True, slots=True)
class Affected:
    """One effect on one subject, in words for the site."""

    effect: Effect
    detail: str


def by_effect(found: Sequence[Affected]) -> dict[Effect, int]:
    """Return how often each effect occurs, in the order of the list of effects."""
    return {
        effect: count for effect in Effect if (count := sum(row.effect is effect for row in found))
    }
