"""When log-in is refused, and how long credentials may last: rules, without a database."""

from datetime import UTC, date, datetime, timedelta

import pytest

from trials.rules.log_ins import (
    ClientPolicy,
    LockPolicy,
    client_problems,
    locked_until,
    overlap_problems,
)


NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
POLICY = LockPolicy(failures=3, lasts=timedelta(minutes=10))
DAY = date(2026, 3, 10)


def minutes(*numbers: int) -> list[datetime]:
    return [NOON + timedelta(minutes=number) for number in numbers]


@pytest.mark.parametrize(
    ("failed", "end"),
    [
        ((), None),
        ((0, 1), None),
        ((0, 1, 2), 12),
        ((0, 1, 10), None),
        ((0, 1, 9), 19),
        ((0, 1, 2, 13, 14), 12),
        ((0, 1, 2, 13, 14, 15), 25),
    ],
    ids=[
        "no failure",
        "one less than the limit",
        "the limit",
        "the first is too long ago",
        "the first just counts",
        "what led to a lock does not count again",
        "a second lock",
    ],
)
def test_failures_close_together_lock(failed, end):
    expected = None if end is None else NOON + timedelta(minutes=end)

    assert locked_until(minutes(*failed), POLICY) == expected


@pytest.mark.parametrize(
    ("days", "codes"),
    [(-1, {"expires_in_the_past"}), (0, set()), (366, set()), (367, {"expires_too_late"})],
)
def test_credentials_last_from_today_to_a_year_from_now(days, codes):
    reasons = client_problems(
        scopes=["read"], known=["read"], machine=True, expires_on=DAY + timedelta(days), on=DAY,
        policy=ClientPolicy(),
    )  # fmt: skip

    assert {reason.code for reason in reasons} == codes


def test_every_reason_against_a_client_is_named():
    reasons = client_problems(
        scopes=["write", "read"], known=["read"], machine=True, expires_on=DAY - timedelta(1),
        on=DAY, policy=ClientPolicy(),
    )  # fmt: skip

    assert [reason.code for reason in reasons] == ["unknown_scope", "expires_in_the_past"]


@pytest.mark.parametrize(("machine", "codes"), [(True, {"scope_for_people"}), (False, set())])
def test_a_look_behind_the_blind_is_for_programs_of_people_alone(machine, codes):
    reasons = client_problems(
        scopes=["read", "unblind"], known=["read", "unblind"], machine=machine, expires_on=DAY,
        on=DAY, policy=ClientPolicy(),
    )  # fmt: skip

    assert {reason.code for reason in reasons} == codes


@pytest.mark.parametrize(
    ("overlap", "codes"),
    [
        (timedelta(seconds=-1), {"overlap_negative"}),
        (timedelta(0), set()),
        (timedelta(days=14), set()),
        (timedelta(days=14, seconds=1), {"overlap_too_long"}),
    ],
)
def test_old_and_new_secret_hold_together_for_two_weeks_at_most(overlap, codes):
    assert {reason.code for reason in overlap_problems(overlap, ClientPolicy())} == codes
