"""The trial at a glance: accrual, sites, screening, notices. Pooled, of the user's own sites."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, F, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, TruncMonth
from django.http import HttpRequest

from events.models import Delivery
from patients.models import Screening, Subject
from reporting import drawings
from reporting.models import Notice, SafetySummary
from reporting.services.mails import mails_of
from trials.models import Allocation, Site, Trial, User
from trials.permissions import Permission
from trials.rules.protocol import Protocol
from trials.services.unblinding_requests import unblinded_since


NEWEST = 8


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site's accrual; ``share`` is its width against the busiest site, in per cent."""

    code: str
    name: str
    status: str
    screened: int
    randomised: int
    last_randomised_on: date | None
    screened_share: int
    randomised_share: int


@dataclass(frozen=True, slots=True)
class Step:
    """A count with its width against the largest, in per cent."""

    label: str
    count: int
    share: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What one user may see of one trial. ``whole`` when that is every site."""

    trial: Trial
    protocol: Protocol
    whole: bool
    sites: tuple[SiteRow, ...]
    screened: int
    randomised: int
    accrual: drawings.Accrual
    strata: tuple[Step, ...]
    funnel: tuple[Step, ...]
    reasons: tuple[Step, ...]


def context_for(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the admin's first page: the trial asked for, or the user's first one."""
    user: User = request.user  # type: ignore[assignment]  # the admin lets nobody else in
    trials = list(Trial.objects.visible_to(user).order_by("code"))
    wanted = request.GET.get("trial", "")
    trial = next((row for row in trials if row.code == wanted), trials[0])
    readable = Site.objects.visible_to(user).filter(trial=trial)
    reads_subjects = any(a.trial_id == trial.pk for a in user.may(Permission.READ_SUBJECTS))
    notices = Notice.objects.visible_to(user).filter(trial=trial).select_related("site")
    return {
        **context,
        "title": "Trial overview",
        "subtitle": None,
        "trial": trial,
        "trials": trials,
        "protocol": trial.protocol,
        "overview": overview(trial, readable) if reads_subjects else None,
        "reads_subjects": reads_subjects,
        "may_enrol": bool(user.may(Permission.ENROL)),
        "notices": notices[:NEWEST],
        "notice_count": notices.count(),
        "summaries": _summaries(user, trial),
        "dead": _dead(user, trial),
        "dead_mails": mails_of(user).dead().filter(event__stream=trial.code).count(),
        "unblinded_since": unblinded_since(trial),
    }


def overview(trial: Trial, sites: "QuerySet[Site]") -> Overview:
    """Return the numbers of these sites of one trial, in a fixed number of queries."""
    protocol = trial.protocol
    subjects = Subject.objects.filter(site__in=sites)
    rows = _site_rows(sites)
    screened = sum(row.screened for row in rows)
    randomised = sum(row.randomised for row in rows)
    whole = len(rows) == trial.sites.count()
    return Overview(
        trial=trial,
        protocol=protocol,
        whole=whole,
        sites=rows,
        screened=screened,
        randomised=randomised,
        accrual=_accrual(subjects, protocol, whole=whole),
        strata=_strata(subjects, protocol),
        funnel=_funnel(subjects, screened, randomised),
        reasons=_reasons(subjects, protocol),
    )


def _of_allocations(figure: Any) -> Subquery:
    """Return a figure over those randomised at a site, wherever they moved later."""
    rows = Allocation.objects.filter(site=OuterRef("pk")).order_by().values("site")
    return Subquery(rows.annotate(figure=figure).values("figure"))


def _site_rows(sites: "QuerySet[Site]") -> tuple[SiteRow, ...]:
    counted = list(
        sites.annotate(
            screened=F("entered"),
            randomised=Coalesce(_of_allocations(Count("pk")), 0),
            last_on=_of_allocations(Max("randomised_on")),
        ).order_by("code")
    )
    most_screened = max((row.screened for row in counted), default=0)
    most_randomised = max((row.randomised for row in counted), default=0)
    return tuple(
        SiteRow(
            code=row.code,
            name=row.name,
            status=row.get_status_display(),
            screened=row.screened,
            randomised=row.randomised,
            last_randomised_on=row.last_on,
            screened_share=_share(row.screened, most_screened),
            randomised_share=_share(row.randomised, most_randomised),
        )
        for row in counted
    )


def _accrual(subjects: "QuerySet[Subject]", protocol: Protocol, *, whole: bool) -> drawings.Accrual:
    months = (
        subjects.exclude(allocation=None)
        .annotate(month=TruncMonth("allocation__randomised_on"))
        .values("month")
        .annotate(count=Count("pk"))
        .order_by("month")
        .values_list("month", "count")
    )
    by_month = _with_empty_months(list(months))
    plan = protocol.trial
    last_month = by_month[-1][0] if by_month else plan.accrual_opens_on
    first_month = by_month[0][0] if by_month else plan.accrual_opens_on
    planned = plan.planned_accrual.value if whole else None
    return drawings.accrual(
        by_month,
        first=min(plan.accrual_opens_on, first_month),
        last=max(plan.accrual_closes_on, drawings.month_after(last_month)),
        planned=planned,
        opens=plan.accrual_opens_on,
        closes=plan.accrual_closes_on,
    )


def _with_empty_months(counted: list[tuple[date, int]]) -> list[tuple[date, int]]:
    found = dict(counted)
    if not found:
        return []
    month, last, filled = min(found), max(found), []
    while month <= last:
        filled.append((month, found.get(month, 0)))
        month = drawings.month_after(month)
    return filled


def _strata(subjects: "QuerySet[Subject]", protocol: Protocol) -> tuple[Step, ...]:
    rows = subjects.exclude(allocation=None).values_list("allocation__stratum")
    counts = dict(rows.annotate(count=Count("pk")).order_by("allocation__stratum"))
    labels = [(stratum.label, counts.get(stratum.code, 0)) for stratum in protocol.strata]
    return _steps(labels)


def _funnel(subjects: "QuerySet[Subject]", screened: int, randomised: int) -> tuple[Step, ...]:
    consented = subjects.filter(consents__isnull=False).distinct().count()
    eligible = Counter(_latest(subjects).values_list("eligible", flat=True))
    return _steps(
        [
            ("Entered for screening", screened),
            ("Consent signed", consented),
            ("Screening completed", sum(eligible.values())),
            ("Eligible", eligible[True]),
            ("Randomised", randomised),
        ]
    )


def _reasons(subjects: "QuerySet[Subject]", protocol: Protocol) -> tuple[Step, ...]:
    """Count reasons at the last screening; one subject may have several."""
    found = _latest(subjects).values_list("eligible", "reasons")
    codes = Counter(
        reason["code"] for eligible, reasons in found if not eligible for reason in reasons
    )
    policy = protocol.eligibility
    labels = {criterion.code: criterion.label for criterion in policy.criteria}
    labels |= {f"exclusion_{e.code}": e.label for e in policy.exclusions}
    return _steps([(labels.get(code, _words(code)), count) for code, count in codes.most_common()])


def _latest(subjects: "QuerySet[Subject]") -> "QuerySet[Any]":
    rows = Screening.objects.filter(subject__in=subjects)
    return rows.order_by("subject_id", "-recorded_at").distinct("subject_id")


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _steps(counted: list[tuple[str, int]]) -> tuple[Step, ...]:
    most = max((count for _, count in counted), default=0)
    return tuple(Step(label, count, _share(count, most)) for label, count in counted)


def _share(count: int, most: int) -> int:
    return round(100 * count / most) if most else 0


def _summaries(user: User, trial: Trial) -> "QuerySet[SafetySummary] | tuple[()]":
    if not user.may(Permission.READ_SAFETY):
        return ()
    return SafetySummary.objects.visible_to(user).filter(trial=trial).defer("content")[:NEWEST]


def _dead(user: User, trial: Trial) -> int | None:
    """Return how many deliveries are dead, for those who may replay them."""
    if not any(held.trial_id == trial.pk for held in user.may(Permission.MANAGE_DELIVERIES)):
        return None
    return Delivery.objects.dead().filter(event__stream=trial.code).count()
