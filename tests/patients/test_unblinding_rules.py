"""Which words of a text name an arm; what can have become known; what was entered in error."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from patients.rules.unblinding import (
    AfterwardsFacts,
    afterwards_reasons,
    in_error_reasons,
    masked,
    names_an_arm,
    why_review,
)


ARMS = [
    SimpleNamespace(code="LEN", label="Lenalidomide"),
    SimpleNamespace(code="P", label="Placebo"),
    SimpleNamespace(code="LEN 2", label="Lenalidomide (low dose)"),
]


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("On lenalidomide.", "On [treatment]."),
        ("The placebos were mixed up", "The [treatment] were mixed up"),
        ("She takes LEN now", "She takes [treatment] now"),
        ("len, not Placebo", "[treatment], not [treatment]"),
        ("Lenalidomide (low dose) it was", "[treatment] it was"),
        ("LEN 2 it was", "[treatment] it was"),
    ],
)
def test_a_name_of_an_arm_is_covered_and_refused(text, covered):
    assert masked(text, ARMS) == covered
    assert names_an_arm(text, ARMS)


@pytest.mark.parametrize(
    "text", ["", "P = 0.05", "A lens was lent", "Silence", "Neutropenic fever"]
)
def test_other_words_stay(text):
    assert masked(text, ARMS) == text
    assert not names_an_arm(text, ARMS)


# --- What can have become known ---------------------------------------------------------------

RANDOMISED = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
SHEET = datetime(2026, 3, 20, 9, 15, 59, tzinfo=UTC)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SHEET_OPENED = AfterwardsFacts("contingency", NOW, NOW, "Power cut", RANDOMISED, SHEET)
ACCIDENT = replace(SHEET_OPENED, kind="inadvertent", first_sheet_at=None)


def by_the_minute(instant):
    return instant.replace(second=0)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(SHEET_OPENED, set(), id="a sheet"),
        pytest.param(ACCIDENT, set(), id="an accident needs no sheet"),
        pytest.param(replace(ACCIDENT, happened_at=NOW + SECOND), {"future_instant"}, id="future"),
        pytest.param(replace(ACCIDENT, reason=" "), {"reason_missing"}, id="no reason"),
        pytest.param(replace(ACCIDENT, randomised_at=None), {"not_randomised"}, id="no arm"),
        pytest.param(
            replace(ACCIDENT, happened_at=by_the_minute(RANDOMISED)), set(), id="minute of it"
        ),
        pytest.param(
            replace(ACCIDENT, happened_at=by_the_minute(RANDOMISED) - SECOND),
            {"before_randomisation"},
            id="second before that minute",
        ),
        pytest.param(
            replace(SHEET_OPENED, happened_at=by_the_minute(SHEET)), set(), id="minute of the sheet"
        ),
        pytest.param(
            replace(SHEET_OPENED, happened_at=by_the_minute(SHEET) - SECOND),
            {"no_sheet_yet"},
            id="second before the sheet's minute",
        ),
        pytest.param(replace(SHEET_OPENED, first_sheet_at=None), {"no_sheet_yet"}, id="no sheet"),
        pytest.param(
            AfterwardsFacts("contingency", RANDOMISED - SECOND * 90, NOW, "", RANDOMISED, None),
            {"reason_missing", "before_randomisation", "no_sheet_yet"},
            id="every reason",
        ),
    ],
)
def test_only_what_can_be_true_is_kept(facts, expected):
    assert {reason.code for reason in afterwards_reasons(facts)} == expected


@pytest.mark.parametrize(
    ("kind", "already", "same_person", "reason", "expected"),
    [
        ("contingency", False, False, "Wrong subject", set()),
        ("inadvertent", False, False, "Wrong subject", set()),
        ("emergency", False, False, "Wrong subject", {"shown_by_the_system"}),
        ("safety", False, False, "Wrong subject", {"shown_by_the_system"}),
        ("inadvertent", True, True, "", {"in_error_already", "same_person", "reason_missing"}),
    ],
)
def test_what_is_marked_as_entered_in_error(kind, already, same_person, reason, expected):
    found = in_error_reasons(kind, already=already, same_person=same_person, reason=reason)

    assert {one.code for one in found} == expected


def test_what_was_entered_in_error_need_not_be_reviewed():
    policy = SimpleNamespace(looks_before_review=SimpleNamespace(value=1))

    assert why_review("inadvertent", 0, policy) == "an accident"
    assert why_review("inadvertent", 0, policy, in_error=True) is None


def test_a_short_label_is_a_word_of_its_own():
    arms = [SimpleNamespace(code="X", label="A"), SimpleNamespace(code="Y", label="BSC")]

    assert masked("A fever after bsc, and back again", arms) == (
        "[treatment] fever after [treatment], and back again"
    )
