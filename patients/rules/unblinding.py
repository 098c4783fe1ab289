"""When the arm of one subject may be shown, and what follows for its treatment."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from events.outcomes import Reason
from trials.rules.protocol import Arm, Blind


ENDS_TREATMENT = frozenset({"emergency", "contingency"})


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


def masked(text: str, arms: Sequence[Arm]) -> str:
    """Return a text with every name of an arm covered: blinded people will read it.

    Whoever breaks a blind in an emergency is not refused for a word. A label is found within a
    word too. A code is a word of its own, and one of a single letter stays: it is in other texts
    too, and tells nothing to somebody who does not know it.
    """
    labels = [rf"\w*{re.escape(arm.label)}\w*" for arm in arms]
    codes = [rf"(?<!\w){re.escape(arm.code)}(?!\w)" for arm in arms if len(arm.code) > 1]
    longest_first = sorted(labels + codes, key=len, reverse=True)
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


def why_review(kind: str, emergency_looks: int, policy: Blind) -> str | None:
    """Return why an unblinding has to be judged by a responsible person, if it has to be.

    ``emergency_looks`` are those at its subject until then, with itself.
    """
    if kind == "inadvertent":
        return "an accident"
    if kind == "emergency" and review_due(emergency_looks, policy):
        return f"look {emergency_looks} at this subject"
    return None


def review_due(emergency_looks: int, policy: Blind) -> bool:
    """Return whether so many emergency looks at one subject are more than pass unreviewed."""
    return emergency_looks > policy.looks_before_review.value
