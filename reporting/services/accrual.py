"""How the trial fills up, blinded, at the sites a user may see."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery

from patients.models import Screening, Subject
from trials.models import Site, Trial, User


@dataclass(frozen=True, slots=True)
class Count:
    """Subjects of one month (``2014-03``), site or stratum."""

    name: str
    screened: int
    randomised: int


@dataclass(frozen=True, slots=True)
class Accrual:
    """``planned`` is the whole trial's; the counts are those of the user's sites."""

    trial: str
    planned: int
    screened: int
    not_eligible: int
    randomised: int
    by_month: tuple[Count, ...]
    by_site: tuple[Count, ...]
    by_stratum: tuple[Count, ...]


def accrual(*, trial: Trial, by: User) -> Accrual:
    """Return screened and randomised subjects by month, site and stratum.

    Screening counts in its month, randomisation in its own. Strata count the randomised alone.
    """
    sites = Site.objects.visible_to(by).filter(trial=trial).order_by("code")
    rows = Subject.objects.filter(site__in=sites).values_list(
        "site__code", "screened_on", "allocation__randomised_on", "allocation__stratum"
    )
    screened = [(site, day) for site, day, _, _ in rows]
    randomised = [(site, day, stratum) for site, _, day, stratum in rows if day]
    protocol = trial.protocol
    return Accrual(
        trial=trial.code,
        planned=protocol.trial.planned_accrual.value,
        screened=len(screened),
        not_eligible=_not_eligible(sites),
        randomised=len(randomised),
        by_month=_counts(
            (f"{day:%Y-%m}" for _, day in screened), (f"{day:%Y-%m}" for _, day, _ in randomised)
        ),
        by_site=_counts(
            (site for site, _ in screened),
            (site for site, _, _ in randomised),
            names=[site.code for site in sites],
        ),
        by_stratum=_counts(
            (),
            (stratum for _, _, stratum in randomised),
            names=[stratum.code for stratum in protocol.strata],
        ),
    )


def _not_eligible(sites: QuerySet[Site]) -> int:
    """Return how many subjects' last screening found reasons against them."""
    last = Screening.objects.filter(subject=OuterRef("pk")).order_by("-recorded_at")
    judged = Subject.objects.filter(site__in=sites).annotate(
        is_eligible=Subquery(last.values("eligible")[:1])
    )
    return judged.filter(is_eligible=False).count()


def _counts(
    screened: Iterable[str], randomised: Iterable[str], names: Iterable[str] = ()
) -> tuple[Count, ...]:
    first, second = Counter(screened), Counter(randomised)
    found = sorted({*names, *first, *second})
    return tuple(Count(name, first[name], second[name]) for name in found)
