"""What the scheduler keeps of the settings."""

import pytest
from django.conf import settings
from django_celery_beat.schedulers import ModelEntry

from config.celery import app


pytestmark = pytest.mark.django_db

EVERY_FEW_SECONDS = ["sweep the outbox", "send due mails"]


@pytest.mark.parametrize("name", EVERY_FEW_SECONDS)
def test_what_is_asked_for_every_few_seconds_does_not_pile_up_while_no_worker_runs(name):
    entry = ModelEntry.from_entry(name, app=app, **settings.CELERY_BEAT_SCHEDULE[name])

    assert entry.model.expire_seconds == 5


def test_whatever_is_asked_for_more_than_once_a_minute_is_named_here():
    often = [n for n, one in settings.CELERY_BEAT_SCHEDULE.items() if one["schedule"] < 60]

    assert often == EVERY_FEW_SECONDS
