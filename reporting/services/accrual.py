"""How the trial fills up, blinded, at the sites a user may see."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery

from patients.models import Screening, Subject
from trials.models import Allocation, Site, Trial, User


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

    Screening counts in its month, randomisation in its own. Strata count the randomised alone. A
    subject counts at the site that entered or randomised it, wherever it moved later; the months
    of screening and those not eligible are of the subjects the user sees now.
    """
    sites = Site.objects.visible_to(by).filter(trial=trial).order_by("code")
    days = Subject.objects.filter(site__in=sites).values_list("screened_on", flat=True)
    randomised = list(
        Allocation.objects.filter(site__in=sites).values_list(
            "site__code", "randomised_on", "stratum"
        )
    )
    entered = {site.code: site.entered for site in sites}
    protocol = trial.protocol
    return Accrual(
        trial=trial.code,
        planned=protocol.trial.planned_accrual.value,
        screened=sum(entered.values()),
        not_eligible=_not_eligible(sites),
        randomised=len(randomised),
        by_month=_counts(
            (f"{day:%Y-%m}" for day in days), (f"{day:%Y-%m}" for _, day, _ in randomised)
        ),
        by_site=_counts(
            (code for code, count in entered.items() for _ in range(count)),
            (site for site, _, _ in randomised),
            names=list(entered),
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
