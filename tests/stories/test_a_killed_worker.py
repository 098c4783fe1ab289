"""The worker is killed in the middle of the trial, and every delivery still takes effect once."""

import os
import signal
import threading
from collections import Counter

import pytest

from config.demo import site
from config.processes import group_members
from events.chain import verify
from events.models import Delivery, OutboxEvent
from events.registry import subscribers_of
from reporting.models import Notice, SiteActivity
from tests.marks import on_postgres
from tests.stories.live import live_site, plan_of, replay, set_up


COUNTER = "reporting.subscribers.count_site_activity"

pytestmark = [on_postgres, pytest.mark.servers]


def test_killing_the_worker_in_mid_replay_loses_and_doubles_nothing(tmp_path):
    plan = plan_of(subjects=6)
    with live_site(tmp_path) as (group, address):
        keys = set_up(plan, tmp_path)
        trial = threading.Thread(target=replay, args=(plan, address, keys))
        trial.start()
        site.wait_until(_some_delivered, seconds=60, what="no delivery began")
        for pid in group_members(group.pid("worker")):
            os.kill(pid, signal.SIGKILL)
        killed_at = OutboxEvent.objects.count()
        group.restart("worker")
        trial.join()
        site.wait_until(_all_delivered, seconds=60, what="not everything was delivered")
    published = OutboxEvent.objects.count()

    assert 0 < killed_at < published
    assert _activity() == _events_by_site_and_type()
    assert Notice.objects.count() == _serious_events_and_deaths()
    assert not Delivery.objects.dead().exists()
    assert verify("CLLM1").length == published
    assert verify("CLLM1").faults == ()


def _some_delivered() -> bool:
    return Delivery.objects.exclude(delivered_at=None).count() >= 20


def _all_delivered() -> bool:
    unnumbered = OutboxEvent.objects.filter(link=None).exists()
    return not unnumbered and not Delivery.objects.waiting().exists()


def _activity() -> dict[tuple[str, str], int]:
    rows = SiteActivity.objects.values_list("site_id", "type", "count")
    return {(str(place), kind): count for place, kind, count in rows}


def _events_by_site_and_type() -> dict[tuple[str, str], int]:
    """The same from the log itself, for the types that are counted at all."""
    counted = {kind for kind in _types() if COUNTER in subscribers_of(kind)}
    events = OutboxEvent.objects.filter(type__in=counted).values_list("payload", "type")
    return dict(Counter((payload["site_id"], kind) for payload, kind in events))


def _types() -> set[str]:
    return set(OutboxEvent.objects.values_list("type", flat=True))


def _serious_events_and_deaths() -> int:
    serious = OutboxEvent.objects.filter(
        type="patients.AdverseEventRecorded", payload__serious=True
    )
    deaths = OutboxEvent.objects.filter(type="patients.DeathRecorded")
    return serious.count() + deaths.count()
