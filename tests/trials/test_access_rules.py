"""What a review of access finds about one person."""

from datetime import UTC, date, datetime, timedelta

import pytest

from trials.rules.access import AccessFacts, RoleFacts, findings


BEGAN = datetime(2026, 3, 10, 12, tzinfo=UTC)
FIRST = date(2026, 3, 10)


@pytest.mark.parametrize(
    ("trained_on", "needs_training", "expected"),
    [
        ((FIRST,), True, []),
        ((FIRST + timedelta(1),), True, ["role_without_training"]),
        ((), True, ["role_without_training"]),
        ((), False, []),
    ],
)
def test_a_role_needs_a_training_by_its_first_day(trained_on, needs_training, expected):
    role = RoleFacts(
        label="Monitor", site=None, starts_at=BEGAN, ends_at=None, first_day=FIRST, in_force=True,
        unblinded=False, needs_training=needs_training,
    )  # fmt: skip
    facts = AccessFacts(
        "somebody", log_in_on=True, connected=0, trained_on=trained_on, roles=(role,)
    )

    assert [reason.code for reason in findings(facts)] == expected
