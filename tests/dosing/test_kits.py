"""Kits arrive: with numbers of ours, holding what was dealt to them, and bad input goes nowhere."""

from datetime import date
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.db import Error, IntegrityError

from dosing.errors import KitsRefused
from dosing.models import Kit, KitNumberDraw
from dosing.rules.kits import with_check_digit
from dosing.services.kits import draw_kit_numbers, packing_list, supply_kits
from events.models import OutboxEvent
from tests.factories import NOW, Study, as_supplied
from tests.marks import on_postgres
from tests.postgres import ask, at_once, column, contents, differing
from trials import sealed
from trials.models import SealedAccess, Site, Trial
from trials.permissions import Role


pytestmark = on_postgres

LOOKED = {"public.trials_sealedaccess", "public.events_outboxevent", "sealed.used_access"}


@pytest.fixture
def study():
    return Study(kits=0)


def wanted(dose_mg="5", arm="L", count=1):
    return {"dose_mg": Decimal(dose_mg), "arm": arm, "count": count}


BOTH = (wanted(arm="L", count=2), wanted(arm="P", count=1))


def draw(study, *kits, site="DE-01", by=None):
    return draw_kit_numbers(
        trial="CLLM1", site=site, kits=kits or BOTH, by=by or study.supplier, at=NOW
    )


def packed(study, *kits, **how):
    """Return what a draw's packing list says, as the supplier would send it."""
    drawn = draw(study, *kits, **how)
    return [as_supplied(kit) for kit in packing_list(draw_id=drawn.pk, by=study.supplier)]


def supply(study, kits, site="DE-01", by=None):
    return supply_kits(trial="CLLM1", site=site, kits=kits, by=by or study.supplier, at=NOW)


def refused(act, *args, **how):
    """Return the codes of a refusal, having seen that nothing but a look was written."""
    before = contents()
    with pytest.raises(KitsRefused) as refusal:
        act(*args, **how)
    assert differing(before) <= LOOKED
    return {reason.code for reason in refusal.value.reasons}


def sealed_contents():
    return ask("SELECT number, dose_mg, arm FROM sealed.kit_content ORDER BY number")


# --- Numbers ----------------------------------------------------------------------------------


def test_a_draw_seals_what_each_number_is_for_and_shows_it_to_nobody_else(study):
    drawn = draw(study, *BOTH, wanted("10", "L"), wanted("10", "P"))

    event = OutboxEvent.objects.get(type="dosing.KitNumbersDrawn")
    dealt = sealed_contents()
    assert [number for number, _, _ in dealt] == drawn.numbers == sorted(drawn.numbers)
    assert sorted((dose, arm) for _, dose, arm in dealt) == [
        (5, "L"), (5, "L"), (5, "P"), (10, "L"), (10, "P"),
    ]  # fmt: skip
    assert all(with_check_digit(int(number[:8])) == number for number in drawn.numbers)
    assert event.payload == {
        "draw_id": str(drawn.pk), "site_id": str(study.site.pk), "count": 5,
    }  # fmt: skip


def test_the_packing_list_says_what_was_dealt_and_each_reading_is_in_the_access_log(study):
    first, other = draw(study), draw(study)
    looks = SealedAccess.objects.filter(purpose="read kit contents")

    shown = [packing_list(draw_id=first.pk, by=study.supplier) for _ in range(2)]

    kits = [(kit.number, kit.dose_mg, kit.arm) for kit in shown[0]]
    assert shown[0] == shown[1]
    assert kits == [kit for kit in sealed_contents() if kit[0] in first.numbers]
    assert not {number for number, _, _ in kits} & set(other.numbers)
    assert list(looks.values_list("detail", flat=True)) == ["packing list, 3 kits for DE-01"] * 2
    assert {look.person for look in looks} == {study.supplier}


@pytest.mark.parametrize(
    ("kits", "expected"),
    [
        ([wanted(count=0), wanted(arm="P")], {"count"}),
        ([wanted(count=9_999), wanted(arm="P", count=2)], {"count"}),
        ([wanted(), wanted(arm="X")], {"unknown_arm"}),
        ([wanted("7"), wanted("7", arm="P")], {"not_on_ladder"}),
        ([wanted()], {"kits_all_alike"}),
        ([wanted(), wanted(arm="P"), wanted("10")], {"kits_all_alike"}),
        ([wanted("7"), wanted(arm="X", count=-1)], {"not_on_ladder", "unknown_arm", "count"}),
    ],
)
def test_a_bad_draw_draws_nothing_and_looks_at_nothing(study, kits, expected):
    before = contents()

    assert refused(draw, study, *kits) == expected
    assert contents() == before


def test_as_many_as_one_supply_may_hold_are_drawn_at_once(study):
    assert len(draw(study, wanted(count=9_999), wanted(arm="P")).numbers) == 10_000


def test_draws_at_the_same_moment_share_no_number(study):
    at_once(*[partial(draw, study)] * 3)

    numbers = [number for one in KitNumberDraw.objects.all() for number in one.numbers]
    assert len(numbers) == len(set(numbers)) == 9


def test_a_number_is_dealt_once_whatever_python_says(study):
    number = draw(study).numbers[0]
    access = sealed.open_access(
        trial_id=study.trial.pk, person_id=study.supplier.pk, purpose="load kit contents", detail=""
    )

    with pytest.raises(IntegrityError):
        sealed.deal_kits(access, study.site.pk, [(number, Decimal(5), "P")])


def test_an_access_to_deal_reads_nothing_and_one_to_read_deals_nothing(study):
    for purpose, act in (
        ("load kit contents", lambda access: sealed.kits_dealt(access, study.site.pk)),
        (
            "read kit contents",
            lambda access: sealed.deal_kits(access, study.site.pk, [("1", Decimal(5), "L")]),
        ),
    ):
        access = sealed.open_access(
            trial_id=study.trial.pk, person_id=study.supplier.pk, purpose=purpose, detail=""
        )
        with pytest.raises(Error, match="no committed access"):
            act(access)


def test_the_contents_of_another_trials_site_are_neither_dealt_nor_read(study):
    access = partial(
        sealed.open_access, trial_id=study.trial.pk, person_id=study.supplier.pk, detail=""
    )
    draw(study)
    ask("UPDATE sealed.kit_content SET trial_id = gen_random_uuid()")

    assert sealed.kits_dealt(access(purpose="read kit contents"), study.site.pk) == []
    stranger = SealedAccess().pk
    assert (
        sealed.deal_kits(access(purpose="load kit contents"), stranger, [("1", Decimal(5), "L")])
        == 0
    )


# --- Arrival ----------------------------------------------------------------------------------


def test_a_supply_puts_kits_at_the_site(study):
    kits = packed(study)

    assert supply(study, kits) == 3

    event = OutboxEvent.objects.get(type="dosing.KitsSupplied")
    assert set(Kit.objects.values_list("number", "site", "status")) == {
        (kit["number"], study.site.pk, "available") for kit in kits
    }
    assert event.payload == {"site_id": str(study.site.pk), "count": 3}


def test_a_supply_is_in_the_log_of_looks(study):
    supply(study, packed(study))

    look = SealedAccess.objects.latest("opened_at")
    assert (look.purpose, look.detail) == ("read kit contents", "3 kits that arrived at DE-01")
    assert look.person == study.supplier


def outside_number(kits):
    return [{**kits[0], "number": "300001"}, *kits[1:]]


def other_arm(kits):
    return [{**kit, "arm": {"L": "P", "P": "L"}[kit["arm"]]} for kit in kits]


def other_dose(kits):
    return [kits[0], {**kits[1], "dose_mg": Decimal(10)}, *kits[2:]]


def one_arm(kits):
    return [kit for kit in kits if kit["arm"] == "L"]


def days_by_arm(kits):
    return [{**kit, "expires_on": date(2030 + (kit["arm"] == "P"), 1, 1)} for kit in kits]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda kits: [*kits, kits[0]], {"kit_number_twice"}),
        (outside_number, {"kit_number_unknown"}),
        (other_arm, {"kit_not_as_dealt"}),
        (other_dose, {"kit_not_as_dealt"}),
        (one_arm, {"kits_all_alike"}),
        (days_by_arm, {"kits_all_alike"}),
        (lambda kits: outside_number(other_dose(kits)), {"kit_number_unknown", "kit_not_as_dealt"}),
    ],
)
def test_a_bad_supply_stores_nothing(study, change, expected):
    kits = packed(study)

    assert refused(supply, study, change(kits)) == expected
    assert supply(study, kits) == 3


def test_one_supply_for_each_arm_is_refused_at_the_first(study):
    """The numbers of each arm would lie in a supply of their own."""
    kits = packed(study, wanted(count=40), wanted(arm="P", count=40))

    assert "kits_all_alike" in refused(supply, study, one_arm(kits))


def test_a_later_supply_in_other_shares_is_refused_beside_the_first(study):
    first = packed(study, wanted(count=40), wanted(arm="P", count=20))
    alike = packed(study, wanted(count=20), wanted(arm="P", count=10))
    other = packed(study, wanted(count=2), wanted(arm="P", count=28))
    supply(study, first)

    assert refused(supply, study, other) == {"kits_in_other_shares"}
    assert supply(study, alike) == 30


def test_a_part_of_a_draw_may_come_later(study):
    kits = packed(study, wanted(count=3), wanted(arm="P", count=3))
    early = [*[k for k in kits if k["arm"] == "L"][:2], *[k for k in kits if k["arm"] == "P"][:1]]

    assert supply(study, early) == 3
    assert supply(study, [kit for kit in kits if kit not in early]) == 3


def test_numbers_drawn_for_another_site_do_not_arrive_here(study):
    study.add_site("DE-02")

    assert refused(supply, study, packed(study), site="DE-02") == {"kit_number_unknown"}


def test_kits_that_arrived_do_not_arrive_again(study):
    kits = packed(study)
    supply(study, kits)

    assert refused(supply, study, kits) == {"kit_number_twice"}


def test_a_refusal_does_not_tell_what_a_kit_holds(study):
    kits = packed(study)

    with pytest.raises(KitsRefused) as refusal:
        supply(study, [{**kit, "arm": "QXARM"} for kit in kits])

    assert "QXARM" not in str(refusal.value)


def test_the_same_supply_twice_at_once_arrives_once(study):
    kits = packed(study)

    answers = at_once(*[partial(supply, study, kits)] * 2)

    assert 3 in answers
    assert column("SELECT number FROM dosing_kit ORDER BY 1") == [kit["number"] for kit in kits]


def test_only_the_unblinded_supplier_draws_reads_and_supplies(study):
    everybody_else = [p for role, p in study.people.items() if role is not Role.UNBLINDED_SUPPLIER]
    drawn, kits = draw(study), packed(study)
    before = contents()

    for person in everybody_else:
        for act in (
            partial(draw, study, by=person),
            partial(packing_list, draw_id=drawn.pk, by=person),
            partial(supply, study, kits, by=person),
        ):
            with pytest.raises((PermissionDenied, Trial.DoesNotExist, KitNumberDraw.DoesNotExist)):
                act()

    assert contents() == before


def test_kits_go_to_a_site_of_the_trial(study):
    with pytest.raises(Site.DoesNotExist):
        draw(study, site="FR-01")
    with pytest.raises(Site.DoesNotExist):
        supply(study, packed(study), site="FR-01")

    assert not Kit.objects.exists()
