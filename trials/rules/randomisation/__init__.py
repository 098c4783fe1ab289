"""Randomisation: the design, its lists from a seed, minimisation, and what can be guessed."""

from trials.rules.randomisation.design import (
    SITE,
    BlockSize,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
    design_of,
)
from trials.rules.randomisation.generation import DRAW_BITS, GENERATOR, Entry, generate
from trials.rules.randomisation.lists import (
    Structure,
    list_problems,
    longest,
    sizes_alone,
    structure,
)
from trials.rules.randomisation.minimisation import Minimised, counted, minimised_arm
from trials.rules.randomisation.predictability import GuessRate, Rate, guess_rate


__all__ = [
    "DRAW_BITS",
    "GENERATOR",
    "SITE",
    "BlockSize",
    "Design",
    "DesignArm",
    "Entry",
    "GuessRate",
    "Minimisation",
    "Minimised",
    "MinimisedFactor",
    "Rate",
    "Structure",
    "counted",
    "design_of",
    "generate",
    "guess_rate",
    "list_problems",
    "longest",
    "minimised_arm",
    "sizes_alone",
    "structure",
]
