"""Safety summaries: written once a period by the schedule, and again by hand when asked for."""

from datetime import UTC, date, datetime

import structlog
from django.db import connection, models, transaction

from dosing.models import Dispensation
from events.acting import SYSTEM, attribute
from events.outbox import publish
from events.outcomes import Reason
from patients.models import Contact, ResponseAssessment, Subject, Visit
from reporting.cuts import DataCut, take_cut
from reporting.errors import SummaryRefused
from reporting.events import SafetySummaryWritten
from reporting.models import SafetySummary
from reporting.services.periods import Period, PeriodKind, period_of, periods_between
from reporting.services.safety_content import content_digest, summary_content
from trials.models import Trial, User
from trials.permissions import Permission, authorise


log = structlog.get_logger(__name__)

SCHEDULED_EDITION = 1
LOCK_SPACE = 0x5AFE  # advisory locks of summaries; the second key is the trial and period


def write_safety_summary(
    *, trial: Trial, period_start: date, by: User, at: datetime
) -> SafetySummary:
    """Write the next edition of a period's summary by hand; the first one is edition 1.

    A period that has not ended is summarised up to today (UTC). Publishes
    ``SafetySummaryWritten``. Raises ``PermissionDenied``, ``CutRefused``, or ``SummaryRefused``:
    a day that begins no period, or a period that has not begun.
    """
    with transaction.atomic():
        authorise(by, Permission.WRITE_SAFETY, trial=trial)
    period = _period_starting(trial, period_start, at)
    draft = _draft(trial, period, at)
    with transaction.atomic():
        authorise(by, Permission.WRITE_SAFETY, trial=trial, reason="safety summary by hand")
        _lock(trial, period)
        editions = _editions(trial, period).aggregate(models.Max("edition"))
        draft.edition = (editions["edition__max"] or 0) + 1
        return _store(draft, written_by=by.username, at=at)


def write_scheduled_summary(
    *, trial: Trial, period_start: date, at: datetime
) -> SafetySummary | None:
    """Write edition 1 of a period, or nothing if it is there: one, however many workers try.

    Publishes ``SafetySummaryWritten``. Raises ``CutRefused`` while writers are busy.
    """
    period = _period_starting(trial, period_start, at)
    if _editions(trial, period).exists():
        _say_written(trial, period)
        return None
    draft = _draft(trial, period, at)
    with transaction.atomic():
        attribute(actor=SYSTEM, role="schedule", reason="period ended")
        _lock(trial, period)
        if _editions(trial, period).exists():
            _say_written(trial, period)
            return None
        draft.edition = SCHEDULED_EDITION
        return _store(draft, written_by=SYSTEM, at=at)


def due_periods(trial: Trial, *, at: datetime) -> tuple[Period, ...]:
    """Return the periods whose scheduled summary is missing, oldest first.

    Days are UTC. In a live trial these are the periods that have ended since the first subject
    was screened. In a replay, whose acts lie in the past, only one is ever due: the period of
    the latest clinical day on record, or the last one that has ended if that is still running.
    So a replay of four years gets one summary, and another once its records reach a new period.
    """
    kind = PeriodKind(trial.protocol.safety.summary_period)
    first = trial.subjects.aggregate(first=models.Min("screened_on"))["first"]
    ended = period_of(at.astimezone(UTC).date(), kind).previous()
    if first is None or first > ended.end:
        return ()
    periods = tuple(periods_between(first, ended.end, kind))
    if trial.conduct == Trial.Conduct.REPLAY:
        latest = max(first, _latest_clinical_day(trial))
        periods = tuple(period for period in periods if period.start <= latest)[-1:]
    written = set(
        trial.safety_summaries.filter(period_start__gte=periods[0].start).values_list(
            "period_start", flat=True
        )
    )
    return tuple(period for period in periods if period.start not in written)


def recomputed_digest(summary: SafetySummary, *, at: datetime) -> str:
    """Return the digest of the summary's own cut, read and counted again."""
    content = summary.content
    cut = take_cut(
        trial=summary.trial,
        cutoff_on=date.fromisoformat(content["cutoff_on"]),
        as_known_at=summary.as_known_at,
        now=at,
    )
    period = period_of(summary.period_start, PeriodKind(content["period_kind"]))
    return content_digest(summary_content(cut, period).as_json())


def latest_period(trial: Trial, *, at: datetime) -> Period | None:
    """Return the period a person most likely means: the last due or written one, if any."""
    kind = PeriodKind(trial.protocol.safety.summary_period)
    written = trial.safety_summaries.order_by("-period_start").first()
    starts = [period.start for period in due_periods(trial, at=at)]
    starts += [written.period_start] if written else []
    return period_of(max(starts), kind) if starts else None


def _draft(trial: Trial, period: Period, at: datetime) -> SafetySummary:
    """Return the summary unsaved. The cut is taken here, outside the transaction that writes."""
    cut = _cut(trial, period, at)
    content = summary_content(cut, period).as_json()
    return SafetySummary(
        trial=trial,
        period_start=period.start,
        period_end=period.end,
        as_known_at=cut.as_known_at,
        content=content,
        digest=content_digest(content),
    )


def _cut(trial: Trial, period: Period, at: datetime) -> DataCut:
    cutoff_on = min(period.end, at.astimezone(UTC).date())
    return take_cut(trial=trial, cutoff_on=cutoff_on, now=at)


def _store(draft: SafetySummary, *, written_by: str, at: datetime) -> SafetySummary:
    draft.written_by, draft.written_at = written_by, at
    draft.save(force_insert=True)
    publish(
        SafetySummaryWritten(
            stream=draft.trial.code,
            summary_id=draft.pk,
            period_start=draft.period_start,
            period_end=draft.period_end,
            edition=draft.edition,
            digest=draft.digest,
        ),
        at=at,
    )
    return draft


def _lock(trial: Trial, period: Period) -> None:
    """Let one transaction at a time write a trial's summaries of a period."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))",
            [LOCK_SPACE, f"{trial.pk} {period.start}"],
        )


def _editions(trial: Trial, period: Period) -> "models.QuerySet[SafetySummary]":
    return SafetySummary.objects.filter(trial=trial, period_start=period.start)


def _say_written(trial: Trial, period: Period) -> None:
    log.info("safety_summary.written_already", trial=trial.code, period=period.name)


def _period_starting(trial: Trial, start: date, at: datetime) -> Period:
    period = period_of(start, PeriodKind(trial.protocol.safety.summary_period))
    reasons = []
    if period.start != start:
        detail = f"{start} begins no {period.kind} period: {period.name} begins on {period.start}."
        reasons.append(Reason("no_period", detail))
    if start > at.astimezone(UTC).date():
        reasons.append(Reason("period_not_begun", f"{period.name} has not begun."))
    if reasons:
        raise SummaryRefused(*reasons)
    return period


def _latest_clinical_day(trial: Trial) -> date:
    """Return the last complete clinical day on record; partial days are too vague to end on."""
    of_trial = {"subject__trial": trial}
    found = [
        Subject.objects.filter(trial=trial).aggregate(day=models.Max("screened_on"))["day"],
        *(
            model._default_manager.filter(**of_trial).aggregate(day=models.Max(field))["day"]
            for model, field in _DAYS.items()
        ),
    ]
    return max((day for day in found if day is not None), default=date.min)


_DAYS: dict[type[models.Model], str] = {
    Visit: "visited_on",
    Contact: "contacted_on",
    ResponseAssessment: "assessed_on",
    Dispensation: "dispensed_on",
}
