import pytest

from dosing.errors import GateClosed
from dosing.models import Dispensation, Kit
from dosing.services.dispensing import dispense_kit
from events.models import OutboxEvent
from tests.factories import NOW, TODAY, Study
from tests.marks import on_postgres


pytestmark = on_postgres


def test_an_open_gate_hands_over_one_kit():
    study = Study()
    subject = study.ready_for_first_kit()

    dispensation = dispense_kit(
        subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
        by=study.pharmacist, at=NOW,
    )  # fmt: skip

    assert dispensation.kit.status == Kit.Status.DISPENSED
    assert Dispensation.objects.get().kit.number == dispensation.kit.number


def test_a_closed_gate_changes_nothing_and_says_why():
    study = Study()
    subject = study.randomised()
    before = OutboxEvent.objects.count()

    with pytest.raises(GateClosed) as refusal:
        dispense_kit(
            subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
            by=study.pharmacist, at=NOW,
        )  # fmt: skip

    codes = {reason.code for reason in refusal.value.reasons}
    assert {"dose_decision_missing", "counselling_missing", "risk_category_missing"} <= codes
    assert not Dispensation.objects.exists()
    assert not Kit.objects.filter(status=Kit.Status.DISPENSED).exists()
    assert OutboxEvent.objects.count() == before
