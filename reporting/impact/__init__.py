"""Whom an amendment affects, and how: a pure rule over what is known of each subject."""

from reporting.impact.effects import effects
from reporting.impact.standing import (
    LABELS,
    Affected,
    Amendment,
    Effect,
    Measured,
    Standing,
    by_effect,
)


__all__ = [
    "LABELS",
    "Affected",
    "Amendment",
    "Effect",
    "Measured",
    "Standing",
    "by_effect",
    "effects",
]
