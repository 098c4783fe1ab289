"""From which batch a kit comes depends on how many were given: old and new kits tell no arm."""

import random
import uuid
from datetime import timedelta

import pytest
from django.db import transaction

from tests.factories import TODAY, Study
from tests.marks import on_postgres
from tests.postgres import ask, column


pytestmark = on_postgres

EARLY, LATE = TODAY + timedelta(100), TODAY + timedelta(200)
COMPLETE = ((4, 4, EARLY), (4, 2, EARLY), (3, 6, LATE))  # L, P and expiry; 4 + 2 + 3 are given


def site_with(*supplies) -> Study:
    study = Study(kits=0)
    for active, placebo, expires_on in supplies:
        study.receive(study.packed(active, placebo=placebo), expires_on=expires_on)
    return study


def given(study, arms, *, last_day=TODAY) -> list[tuple | None]:
    """Return the batch (expiry, supply) of each kit given to subjects of these arms in turn."""
    found = []
    for arm in arms:
        (kit,) = column(
            "SELECT sealed.new_kit(%s, %s, %s, 5, %s, 1, %s)",
            study.trial.pk, study.site.pk, arm, uuid.uuid4(), last_day,
        )  # fmt: skip
        row = ask(
            "SELECT expires_on, supply, arm FROM dosing_kit"
            " JOIN sealed.kit_content USING (number) WHERE id = %s",
            kit,
        )
        assert [one[2] for one in row] == ([arm] if kit else [])
        found.append(row[0][:2] if row else None)
    return found


def orders(count, *, seed=5):
    drawn = random.Random(seed)
    by_chance = [[drawn.choice("LLP") for _ in range(count)] for _ in range(20)]
    return [["L"] * count, ["P"] * count, *by_chance]


def test_whoever_gets_them_kits_come_from_the_same_batches_in_the_same_order():
    study = site_with(*COMPLETE)

    found = []
    for arms in orders(10):
        with transaction.atomic(using="owner"):
            found.append(given(study, arms))
            transaction.set_rollback(True, using="owner")

    assert all(one == found[0] for one in found)
    batches = list(dict.fromkeys(found[0][:9]))
    assert sorted(found[0].count(batch) for batch in batches) == [2, 3, 4]
    assert [batch[0] for batch in found[0][:9]] == [EARLY] * 6 + [LATE] * 3
    assert found[0][9] is None


def test_a_batch_that_expires_too_early_is_passed_over():
    study = site_with((2, 2, EARLY), (2, 2, LATE))

    found = given(study, "LP", last_day=EARLY + timedelta(1)) + given(study, "P", last_day=EARLY)

    assert [batch[0] for batch in found] == [LATE, LATE, EARLY]


@pytest.mark.parametrize("arm", ["L", "P"])
def test_when_a_batch_ends_does_not_tell_what_was_in_a_kit_put_aside(arm):
    study = site_with((3, 3, EARLY), (3, 3, LATE))
    (number,) = column(
        "SELECT number FROM dosing_kit JOIN sealed.kit_content USING (number)"
        " WHERE expires_on = %s AND arm = %s LIMIT 1",
        EARLY, arm,
    )  # fmt: skip
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        f"UPDATE dosing_kit SET status = 'quarantined' WHERE number = '{number}'"
    )

    assert [batch[0] for batch in given(study, "LLL")] == [EARLY, EARLY, LATE]


def test_kits_that_came_together_are_one_supply_and_others_another():
    study = site_with((2, 2, EARLY))
    study.receive(study.packed(2), expires_on=EARLY)

    supplies = column("SELECT supply FROM dosing_kit")

    assert sorted(supplies.count(one) for one in set(supplies)) == [4, 4]
