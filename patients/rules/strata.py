"""The stratum a subject is randomised in."""

from collections.abc import Sequence
from decimal import Decimal

from trials.rules.protocol import Stratum


def stratum_of(mrd: Decimal, strata: Sequence[Stratum]) -> str:
    """Return the code of the stratum that holds an MRD level, a fraction of leukocytes.

    A lower bound belongs to its stratum, an upper bound to the next one.

    Raises ``ValueError`` if no stratum holds it: such a subject is not eligible.
    """
    for stratum in strata:
        below = stratum.mrd_below
        if stratum.mrd_at_least.value <= mrd and (below is None or mrd < below.value):
            return stratum.code
    raise ValueError(f"no stratum holds an MRD of {mrd}")
