from datetime import date
from pathlib import Path

import pytest

from trials.rules.one_design import Running, in_use, other_designs
from trials.rules.protocol import load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
APRIL, MAY, JUNE = (date(2026, month, 1) for month in (4, 5, 6))


@pytest.mark.parametrize(
    ("today", "replay", "expected"),
    [
        pytest.param(date(2026, 3, 31), False, [APRIL, MAY, JUNE], id="before the first"),
        pytest.param(APRIL, False, [APRIL, MAY, JUNE], id="on the day of the first"),
        pytest.param(date(2026, 4, 30), False, [APRIL, MAY, JUNE], id="the day before the second"),
        pytest.param(MAY, False, [MAY, JUNE], id="on the day of the second"),
        pytest.param(JUNE, False, [JUNE], id="on the day of the last"),
        pytest.param(JUNE, True, [APRIL, MAY, JUNE], id="in a replay"),
    ],
)
def test_what_a_site_runs_now_and_later_is_in_use(today, replay, expected):
    assert in_use([JUNE, APRIL, MAY], today=today, replay=replay) == expected
    assert in_use([], today=today, replay=replay) == []


def version(number, *replacements):
    text = TEXT
    for old, new in (('version = "1.0"', f'version = "{number}"'), *replacements):
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_protocol(text)


FIRST = version("1.0")
HINT = "All sites need one design first."
SAME = version("1.1", ('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"'))
OTHER = version("1.2", ("ratio = 1", "ratio = 4"), ("value = [3]", "value = [6]"))


def said(*running, newest=FIRST):
    return [reason.detail for reason in other_designs(FIRST, running, newest)]


def test_versions_that_randomise_alike_go_together():
    assert said(Running("DE-01", FIRST), Running("DE-02", SAME, JUNE), newest=SAME) == []


def test_each_site_with_another_design_is_named_once_for_each_version():
    found = said(
        Running("DE-01", FIRST), Running("DE-01", OTHER, JUNE), Running("DE-02", OTHER),
        newest=OTHER,
    )  # fmt: skip

    unlike = "does not randomise like version 1.0, for which the list is made."
    assert found == [
        f"Version 1.2, which DE-01 is to run from 2026-06-01 on, {unlike} {HINT}",
        f"Version 1.2, which DE-02 runs, {unlike} {HINT}",
        f"Version 1.2, with which a new site begins, {unlike}",
    ]
