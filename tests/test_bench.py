"""A benchmark that no longer runs measures nothing, and nobody would see it."""

import pytest

from bench import row_level_security
from bench.adverse_events import prepare
from patients.models import AdverseEvent, Subject
from tests.marks import on_postgres


pytestmark = on_postgres


@pytest.fixture
def _small(monkeypatch, settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    monkeypatch.setattr(row_level_security, "SUBJECTS", 3)
    monkeypatch.setattr(row_level_security, "EVENTS_EACH", 2)


@pytest.mark.usefixtures("_small")
def test_each_act_that_the_wall_is_measured_by_is_still_done(tmp_path):
    subjects, _, code = prepare(tmp_path)
    row_level_security._fill(subjects[0])
    before = AdverseEvent.objects.count()

    for act in row_level_security._acts(subjects[0], code).values():
        act()

    assert Subject.objects.count() == len(subjects) + 3
    assert before == 2 * Subject.objects.count()
    assert AdverseEvent.objects.count() == before + 1
