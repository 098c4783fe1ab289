"""When the arm of one subject may be shown, and what follows for its treatment."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from events.outcomes import Reason
from trials.rules.protocol import Arm, Blind


ENDS_TREATMENT = frozenset({"emergency", "contingency"})
WRITTEN_AFTERWARDS = frozenset({"contingency", "inadvertent"})


def emergency_reasons(*, randomised: bool, reason: str) -> tuple[Reason, ...]:
    """Return why an emergency unblinding has nothing to show or nothing to say; empty means go on.

    Neither the sponsor's leave nor a doctor on call is asked for, and no number of earlier looks
    stands in the way: a subject's safety comes before the blind.

    Source: ICH E6(R3) annex 1, 2.9 and 4.1; EMA/INS/GCP/112288/2023, A5.2.2.
    """
    reasons = []
    if not randomised:
        reasons.append(Reason("not_randomised", "The subject is not randomised: there is no arm."))
    if not reason.strip():
        reasons.append(Reason("reason_missing", "Say why the treatment has to be known."))
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class AfterwardsFacts:
    """What somebody says became known, and what is known of the subject.

    ``randomised_at`` is nothing for one who is not randomised, ``first_sheet_at`` for one of whom
    no contingency sheet was ever made.
    """

    kind: str
    happened_at: datetime
    recorded_at: datetime
    reason: str
    randomised_at: datetime | None
    first_sheet_at: datetime | None


def afterwards_reasons(facts: AfterwardsFacts) -> tuple[Reason, ...]:
    """Return why it cannot have become known like this; empty means it can.

    Instants are compared as people write them, by the minute: what happened in the minute of the
    randomisation, or in that of the first sheet, happened after it.
    """
    reasons = []
    if facts.happened_at > facts.recorded_at:
        told = f"happened_at {facts.happened_at} is in the future."
        reasons.append(Reason("future_instant", told))
    if not facts.reason.strip():
        reasons.append(Reason("reason_missing", "Say how it came to be known."))
    if facts.randomised_at is None:
        reasons.append(Reason("not_randomised", "The subject is not randomised: there is no arm."))
    elif facts.happened_at < _minute(facts.randomised_at):
        told = f"happened_at {facts.happened_at} is before the subject was randomised."
        reasons.append(Reason("before_randomisation", told))
    first = facts.first_sheet_at
    if facts.kind == "contingency" and (first is None or facts.happened_at < _minute(first)):
        told = "No contingency sheet of this subject had been made by then."
        reasons.append(Reason("no_sheet_yet", told))
    return tuple(reasons)


def _minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def in_error_reasons(
    kind: str, *, already: bool, same_person: bool, reason: str
) -> tuple[Reason, ...]:
    """Return why an unblinding is not marked as entered in error; empty means it may be.

    What the system itself showed was seen, whatever is written later.
    """
    reasons = []
    if kind not in WRITTEN_AFTERWARDS:
        told = "The system showed this arm itself: that cannot have been entered in error."
        reasons.append(Reason("shown_by_the_system", told))
    if already:
        reasons.append(Reason("in_error_already", "It is marked as entered in error already."))
    if same_person:
        reasons.append(Reason("same_person", "Somebody else than who entered it judges this."))
    if not reason.strip():
        reasons.append(Reason("reason_missing", "Say what was wrong."))
    return tuple(reasons)


def masked(text: str, arms: Sequence[Arm]) -> str:
    """Return a text with every name of an arm covered: blinded people will read it.

    Whoever breaks a blind in an emergency is not refused for a word. A label of four letters or
    more is found within a word too. A shorter one, and a code, is a word of its own; a code of a
    single letter stays: it is in other texts too, and tells nothing to who does not know it.
    """
    labels = [arm.label for arm in arms]
    within = [rf"\w*{re.escape(label)}\w*" for label in labels if len(label) > 3]
    alone = [label for label in labels if len(label) <= 3]
    alone += [arm.code for arm in arms if len(arm.code) > 1]
    of_words = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in alone]
    longest_first = sorted(within + of_words, key=len, reverse=True)
    return re.sub("|".join(longest_first), "[treatment]", text, flags=re.IGNORECASE)


def names_an_arm(text: str, arms: Sequence[Arm]) -> bool:
    """Return whether there is anything in a text that ``masked`` would cover."""
    return masked(text, arms) != text


def susar_reasons(*, serious: bool, related: bool, expectedness: str) -> tuple[Reason, ...]:
    """Return why an adverse event is no ground to unblind its subject; empty means it is one.

    It has to be serious, related and unexpected; why it is unexpected is recorded in words.

    Source: Regulation (EU) 536/2014, annex III 2.5; CT-3 7.11.
    """
    reasons = []
    if not serious:
        reasons.append(Reason("not_serious", "The adverse event is not serious."))
    if not related:
        reasons.append(Reason("not_related", "The adverse event is not related to study drug."))
    if not expectedness.strip():
        detail = "Say against which reference text the event is unexpected."
        reasons.append(Reason("not_unexpected", detail))
    return tuple(reasons)


def treatment_blocks(
    kinds: Iterable[str], policy: Blind, *, dose_mg: Decimal | None = None
) -> tuple[Reason, ...]:
    """Return why study drug stops after these unblindings of a subject; empty means it need not.

    Only those by which the site learned the arm for treatment count: an emergency, on the screen
    or on paper. A cycle may still be held: ``dose_mg`` 0. The same in every arm.

    Source: protocol file, ``blind.after_emergency_unblinding``.
    """
    ends = policy.after_emergency_unblinding.value == "end_treatment"
    if dose_mg == 0 or not ends or not ENDS_TREATMENT & set(kinds):
        return ()
    detail = "the blind was broken for treatment; by the protocol study drug ends with it"
    return (Reason("blind_broken", detail),)


def why_review(
    kind: str, emergency_looks: int, policy: Blind, *, in_error: bool = False
) -> str | None:
    """Return why an unblinding has to be judged by a responsible person, if it has to be.

    ``emergency_looks`` are those at its subject until then, with itself. What was entered
    ``in_error`` has been judged.
    """
    if in_error:
        return None
    if kind == "inadvertent":
        return "an accident"
    if kind == "emergency" and review_due(emergency_looks, policy):
        return f"look {emergency_looks} at this subject"
    return None


def review_due(emergency_looks: int, policy: Blind) -> bool:
    """Return whether so many emergency looks at one subject are more than pass unreviewed."""
    return emergency_looks > policy.looks_before_review.value
