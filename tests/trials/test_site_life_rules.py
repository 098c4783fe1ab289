from datetime import date, timedelta

import pytest

from trials.rules.site_life import TRANSITIONS, StepFacts, step_reasons


DAY = date(2026, 3, 10)
READY = {
    "site": "DE-01",
    "changed_on": date(2026, 3, 1),
    "on": DAY,
    "today": DAY,
    "reason": "as agreed",
    "approved": ("1.0",),
    "investigators": ("principal",),
}
STATUSES = ("planned", "active", "on_hold", "closed")


def codes(step, status, **changed):
    return [r.code for r in step_reasons(step, StepFacts(status=status, **{**READY, **changed}))]


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        ("activate", {"planned": "active"}),
        ("hold", {"active": "on_hold"}),
        ("resume", {"on_hold": "active"}),
        ("close", {"planned": "closed", "active": "closed", "on_hold": "closed"}),
    ],
)
@pytest.mark.parametrize("status", STATUSES)
def test_every_step_from_every_status(step, allowed, status):
    expected = [] if status in allowed else ["step_impossible"]

    assert codes(step, status) == expected
    assert TRANSITIONS[step].get(status) == allowed.get(status)


def test_there_are_no_other_steps_and_nothing_leads_out_of_closed():
    assert set(TRANSITIONS) == {"activate", "hold", "resume", "close"}
    assert [step for step, leads in TRANSITIONS.items() if "closed" in leads] == []


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (DAY, []),
        (DAY + timedelta(1), ["future_day"]),
        (READY["changed_on"], []),
        (READY["changed_on"] - timedelta(1), ["before_last_step"]),
    ],
)
def test_a_step_is_of_today_or_back_to_the_last_step(on, expected):
    assert codes("hold", "active", on=on) == expected


def test_a_first_step_has_no_step_before_it():
    assert codes("activate", "planned", changed_on=None, on=date(2012, 1, 1)) == []


@pytest.mark.parametrize("step", TRANSITIONS)
def test_every_step_says_why(step):
    status = next(iter(TRANSITIONS[step]))

    assert codes(step, status, reason=" ") == ["reason_missing"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"approved": ()}, ["approval_missing"]),
        ({"investigators": ()}, ["investigator_missing"]),
        ({"untrained": ("one", "two")}, ["training_missing", "training_missing"]),
        (
            {"approved": (), "investigators": (), "untrained": ("one",), "reason": ""},
            [
                "reason_missing",
                "approval_missing",
                "investigator_missing",
                "training_missing",
            ],
        ),
    ],
)
def test_an_activation_gives_everything_that_is_missing(changed, expected):
    assert codes("activate", "planned", **changed) == expected


@pytest.mark.parametrize("step", ["hold", "resume", "close"])
def test_only_an_activation_asks_for_approvals_and_people(step):
    status = next(s for s in TRANSITIONS[step] if s != "planned")

    assert codes(step, status, approved=(), investigators=(), untrained=("one",)) == []


@pytest.mark.parametrize(("step", "count"), [("close", 2), ("hold", 0)])
def test_only_a_closure_asks_who_is_on_treatment(step, count):
    assert codes(step, "active", treated=("DE-01-0001", "DE-01-0004")) == ["on_treatment"] * count
