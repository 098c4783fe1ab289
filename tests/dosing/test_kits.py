"""Kits arrive: what each holds goes behind the blind, and bad input goes nowhere."""

from datetime import date
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied

from dosing.errors import KitsRefused
from dosing.models import Kit
from dosing.services.dispensing import supply_kits
from events.models import OutboxEvent
from tests.factories import NOW, Study
from tests.marks import on_postgres
from tests.postgres import ask, at_once, column, contents
from trials import sealed
from trials.models import SealedAccess, Site, Trial
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study():
    return Study(kits=0)


def kit(number="300001", **changed):
    return {
        "number": number, "dose_mg": Decimal(5), "arm": "L", "expires_on": date(2027, 1, 1),
        **changed,
    }  # fmt: skip


def supply(study, *kits, site="DE-01", by=None):
    return supply_kits(trial="CLLM1", site=site, kits=list(kits), by=by or study.supplier, at=NOW)


def sealed_contents():
    return ask("SELECT number, arm FROM sealed.kit_content ORDER BY number")


def test_a_supply_puts_kits_at_the_site_and_their_contents_behind_the_blind(study):
    assert supply(study, kit("300001"), kit("300002", arm="P")) == 2

    event = OutboxEvent.objects.get(type="dosing.KitsSupplied")
    assert set(Kit.objects.values_list("number", "site", "status")) == {
        ("300001", study.site.pk, "available"),
        ("300002", study.site.pk, "available"),
    }
    assert sealed_contents() == [("300001", "L"), ("300002", "P")]
    assert event.payload == {"site_id": str(study.site.pk), "count": 2}


def test_a_supply_is_in_the_log_of_looks(study):
    supply(study, kit())

    look = SealedAccess.objects.latest("opened_at")
    assert (look.purpose, look.detail) == ("load kit contents", "1 kits for DE-01")
    assert look.person == study.supplier


@pytest.mark.parametrize(
    ("kits", "expected"),
    [
        ([kit(), kit()], {"kit_number_twice"}),
        ([kit(arm="X")], {"unknown_arm"}),
        ([kit(dose_mg=Decimal(7))], {"not_on_ladder"}),
        (
            [kit(), kit(arm="X", dose_mg=Decimal(7))],
            {"kit_number_twice", "unknown_arm", "not_on_ladder"},
        ),
        ([kit("300009"), kit("300001", arm="X")], {"unknown_arm"}),
    ],
)
def test_a_bad_supply_stores_nothing_not_even_a_look(study, kits, expected):
    before = contents()

    with pytest.raises(KitsRefused) as refusal:
        supply(study, *kits)

    assert {reason.code for reason in refusal.value.reasons} == expected
    assert contents() == before


def test_a_number_is_used_once_in_all_the_world(study):
    supply(study, kit())
    study.add_site("DE-02")

    with pytest.raises(KitsRefused, match="300001"):
        supply(study, kit(arm="P"), site="DE-02")

    assert sealed_contents() == [("300001", "L")]


def test_a_refusal_does_not_tell_what_a_kit_holds(study):
    with pytest.raises(KitsRefused) as refusal:
        supply(study, kit(arm="QXARM"))

    assert "QXARM" not in str(refusal.value)


def test_a_supply_whose_public_half_was_lost_can_be_sent_again(study):
    access = sealed.open_access(
        trial_id=study.trial.pk, person_id=study.supplier.pk, purpose="load kit contents", detail=""
    )
    sealed.supply_kits(access, [("300001", "L")])

    assert supply(study, kit()) == 1
    assert sealed_contents() == [("300001", "L")]


def test_the_same_supply_twice_at_once_arrives_once(study):
    answers = at_once(*[partial(supply, study, kit("300001"), kit("300002"))] * 2)

    assert 2 in answers
    assert column("SELECT number FROM dosing_kit ORDER BY 1") == ["300001", "300002"]


def test_two_supplies_that_disagree_at_once_leave_one_of_them_whole(study):
    at_once(partial(supply, study, kit(arm="L")), partial(supply, study, kit(arm="P")))

    assert Kit.objects.count() == 1
    assert len(sealed_contents()) == 1


def test_only_the_unblinded_supplier_supplies(study):
    everybody_else = [p for role, p in study.people.items() if role is not Role.UNBLINDED_SUPPLIER]
    before = contents()

    for person in everybody_else:
        with pytest.raises((PermissionDenied, Trial.DoesNotExist)):
            supply(study, kit(), by=person)

    assert contents() == before


def test_kits_go_to_a_site_of_the_trial(study):
    with pytest.raises(Site.DoesNotExist):
        supply(study, kit(), site="FR-01")

    assert not Kit.objects.exists()
