"""Counts printed as proportions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends of a confidence interval, as fractions between 0 and 1."""

    lower: float
    upper: float


def percent_half_up(count: int, n: int) -> int:
    """Return ``count`` out of ``n`` as a whole percentage, halves rounded up.

    Integer arithmetic throughout: 35 of 56 is 62.5 % and prints as 63, where rounding half to even
    prints 62.

    Raises
    ------
    ValueError
        If ``n`` is not positive, or ``count`` lies outside 0 to ``n``.
    """
    _check_count(count, n)
    return (200 * count + n) // (2 * n)


def clopper_pearson(count: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the exact two-sided interval for a proportion.

    Raises
    ------
    ValueError
        If ``n`` is not positive, or ``count`` lies outside 0 to ``n``.

    References
    ----------
    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413.
    """
    _check_count(count, n)
    from scipy.stats import beta  # loaded here: percentages alone should not pay for it

    tail = (1 - confidence) / 2
    return Interval(
        lower=0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1)),
        upper=1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count)),
    )


def _check_count(count: int, n: int) -> None:
    if n <= 0:
        raise ValueError(f"a percentage needs somebody to count, not n = {n}")
    if not 0 <= count <= n:
        raise ValueError(f"{count} is not a count out of {n}")
