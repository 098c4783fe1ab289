from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from trials.rules.activation import (
    SiteFacts,
    StartFacts,
    activation_reasons,
    fixed_by_randomisation,
    withdrawal_reasons,
)
from trials.rules.protocol import load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
LENGTH = (
    'list_length = { value = 150, unit = "subjects per list", source = "Invented",'
    ' flag = "assumed" }'
)
DAY = date(2026, 4, 1)
DAY_BEFORE, DAY_AFTER = DAY - timedelta(1), DAY + timedelta(1)
READY = SiteFacts(
    code="DE-01",
    closed=False,
    today=DAY,
    approved_on=DAY,
    in_force="1.0",
    since=DAY_BEFORE,
)


def codes(facts: SiteFacts, *, replay: bool = False) -> list[str]:
    reasons = activation_reasons("1.1", facts, in_force_from=DAY, replay=replay)
    return [reason.code for reason in reasons]


def changed(*replacements: tuple[str, str]):
    text = TEXT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_protocol(text)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"approved_on": None}, ["not_approved"]),
        ({"approved_on": DAY_AFTER}, ["approved_later"]),
        ({"since": DAY}, ["before_version_in_force"]),
        ({"since": DAY_AFTER}, ["before_version_in_force"]),
        ({"since": None, "in_force": ""}, []),
        ({"today": DAY_AFTER}, ["day_is_past"]),
        ({"today": DAY_BEFORE}, []),
        ({"closed": True}, ["site_closed"]),
        ({"ran_it_already": True}, ["in_force_already"]),
        (
            {"closed": True, "approved_on": None, "since": DAY, "today": DAY_AFTER},
            ["site_closed", "not_approved", "before_version_in_force", "day_is_past"],
        ),
    ],
)
def test_a_version_comes_into_force_at_a_site_or_every_reason_says_why_not(change, expected):
    assert codes(replace(READY, **change)) == expected


def test_a_replay_may_choose_a_day_of_the_past():
    assert codes(replace(READY, today=DAY + timedelta(400)), replay=True) == []


@pytest.mark.parametrize(
    ("since", "today", "way_out"),
    [(DAY_AFTER, DAY, True), (DAY_AFTER, DAY_AFTER, False), (DAY, DAY, False)],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_start_in_the_way_that_has_not_come_is_told_to_be_withdrawn(
    version, since, today, way_out
):
    facts = replace(READY, since=since, today=today, ran_it_already=version == READY.in_force)

    found = activation_reasons(version, facts, in_force_from=DAY, replay=True)

    assert ("withdraw it first" in found[0].detail) == way_out


def start(day, code="DE-01", today=DAY):
    return StartFacts(code=code, today=today, in_force_from=day)


@pytest.mark.parametrize(
    ("starts", "reason", "lists", "expected"),
    [
        ([start(DAY_AFTER)], "too early", [], []),
        ([start(DAY)], "too early", [], ["begun_already"]),
        ([start(DAY_BEFORE)], "too early", [], ["begun_already"]),
        ([start(None)], "too early", [], ["no_start"]),
        ([start(DAY_AFTER)], " ", [], ["reason_missing"]),
        ([], "too early", [], ["no_site"]),
        ([start(DAY_AFTER)], "too early", [2], ["list_made"]),
        (
            [start(DAY_AFTER), start(DAY, "DE-02"), start(None, "DE-03")], "", [1, 2],
            ["reason_missing", "begun_already", "no_start", "list_made", "list_made"],
        ),
    ],
)  # fmt: skip
def test_a_start_is_withdrawn_or_every_reason_says_why_not(starts, reason, lists, expected):
    found = withdrawal_reasons("1.1", starts, reason=reason, lists=lists)

    assert [one.code for one in found] == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("ratio = 1", "ratio = 4"), "ratio"),
        (("value = [3]", "value = [6]"), "Block sizes"),
        (('code = "L"', 'code = "M"'), "(M)"),
        (('label = "Placebo"', 'label = "Placebo capsules"'), "label"),
    ],
)
def test_what_the_list_was_made_from_cannot_be_amended_and_each_change_is_named(change, named):
    reasons = fixed_by_randomisation(changed(), changed(change))

    assert reasons
    assert {reason.code for reason in reasons} == {"fixed_by_randomisation"}
    assert any(named in reason.detail for reason in reasons)


@pytest.mark.parametrize(
    "change",
    [
        ('label = "High MRD"', 'label = "High residual disease"'),
        ('label = "MRD level"', 'label = "Residual disease"'),
        ("start_platelets = { value = 50", "start_platelets = { value = 75"),
        ("[randomisation]", f"[randomisation]\n{LENGTH}"),
        ("ratio = 1\n", "ratio = 1\n# the same\n"),
    ],
)
def test_other_words_and_other_sections_can_be_amended(change):
    assert fixed_by_randomisation(changed(), changed(change)) == ()


@pytest.mark.parametrize(
    ("one", "other"), [("Lenalidomide", "Placebo"), ("High MRD", "Intermediate MRD")]
)
def test_rows_that_exchange_their_labels_are_another_trial(one, other):
    swapped = changed(
        (f'label = "{one}"', 'label = "between"'),
        (f'label = "{other}"', f'label = "{one}"'),
        ('label = "between"', f'label = "{other}"'),
    )

    assert len(fixed_by_randomisation(changed(), swapped)) == 2


def test_a_factor_is_no_label_whatever_its_code():
    factor = """
[[factors]]
code = "label"
label = "Sex"
variable = "sex"
levels = [
  { code = "F", label = "Women", any_of = ["female"] },
  { code = "M", label = "Men", any_of = ["male"] },
]
source = "Invented"
flag = "assumed"

[[factors]]
"""

    (reason,) = fixed_by_randomisation(changed(), changed(("[[factors]]\n", factor[1:])))

    assert "New stratification factor" in reason.detail
