"""Celery's side of reporting."""

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from events.outcomes import Refused
from reporting.services.mails import send_due
from reporting.services.safety_summaries import due_periods, write_scheduled_summary
from trials.models import Trial


log = structlog.get_logger(__name__)


@shared_task(name="reporting.tasks.write_due_safety_summaries")
def write_due_safety_summaries() -> int:
    """Write every scheduled summary that is missing; return how many. Safe to run at any time.

    What is refused now (records still being written) is logged and due again at the next sweep.
    """
    written = 0
    for trial in Trial.objects.order_by("code"):
        at = timezone.now()
        try:
            for period in due_periods(trial, at=at):
                made = write_scheduled_summary(trial=trial, period_start=period.start, at=at)
                written += made is not None
        except Refused as refused:
            log.warning("safety_summary.refused", trial=trial.code, reason=str(refused))
    return written


@shared_task(name="reporting.tasks.send_due_mails")
def send_due_mails() -> int:
    """Send the notices' mails that are due; return how many. Safe to run at any time."""
    return send_due(clock=timezone.now) if settings.MAIL_ON else 0
