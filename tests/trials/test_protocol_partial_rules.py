"""One reading names all: what is wrong with a key hides only what depends on that key."""

import tomllib
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toml_text import toml_text
from tests.trials.test_protocol_rules import TEXT, changed
from trials.rules.protocol import ProtocolInvalid, load_protocol


THREE_ARMS = Path(__file__).parents[1] / "protocols/three_arms.toml"


def found_in(text: str) -> set[tuple[str, str]]:
    """Return the keys and rules of a text's problems, each of which is there once."""
    try:
        load_protocol(text)
    except ProtocolInvalid as invalid:
        named = [(one.key, one.rule, one.message) for one in invalid.problems]
        assert len(named) == len(set(named))
        return {(key, rule) for key, rule, _ in named}
    return set()


NO_WAY_DOWN = ("[2.5, 5, 10, 15, 20, 25]", "[5, 10, 15, 20, 25]")
BLOCKS = ("value = [3]", "value = [4, 3]")
UNFIT = {
    ("randomisation.block_sizes", "block_does_not_fit_ratio"),
    ("randomisation.block_sizes", "not_rising"),
}


def test_a_broken_key_leaves_what_does_not_depend_on_it():
    alone = found_in(changed(BLOCKS))
    with_ratio = found_in(changed(BLOCKS, ("ratio = 2", "ratio = 0")))
    with_label = found_in(changed(BLOCKS, ('label = "Placebo"', 'label = ""')))

    assert alone == UNFIT
    assert with_ratio == {
        ("randomisation.block_sizes", "not_rising"),
        ("arms[0].ratio", "greater_than_equal"),
    }
    assert with_label == UNFIT | {("arms[1].label", "string_too_short")}


def test_a_typo_in_one_key_hides_nothing_of_the_others():
    typo = ("cycle_days = {", "cycle_day = {")

    assert found_in(changed(NO_WAY_DOWN, typo)) == found_in(changed(NO_WAY_DOWN)) | {
        ("dosing.cycle_days", "missing"),
        ("dosing.cycle_day", "extra_forbidden"),
    }


SMALL = 'code = "rash_grade_4"'
STEP = ("dose_mg = 15", "dose_mg = 20")
START = ("from_cycle = 13", "from_cycle = 14")


@pytest.mark.parametrize(
    ("wrong", "broken", "hidden"),
    [
        # Another key of the same table, or of a row beside.
        (STEP, ("dose_mg = 25", 'dose_mg = "25"'), set()),
        (STEP, ("from_cycle = 2\n", "from_cycle = 0\n"), set()),
        (STEP, ("dose_mg = 10\n", "dose_mg = 0\n"), {"dosing.planned[2].dose_mg"}),
        (START, ("to_cycle = 6", "to_cycle = '6'"), set()),
        (START, ("to_cycle = 18", "to_cycle = '18'"), set()),
        (START, ("to_cycle = 12", "to_cycle = '12'"), {"dosing.planned[3].from_cycle"}),
        ((SMALL, 'code = "rash_grade_3"'), ('code = "thrombosis"', 'code = ""'), set()),
        (('action = "stop"', 'action = "hold"'), ('code = "thrombosis"', 'code = ""'), set()),
        (('code = "hiv"', 'code = "dialysis"'), ('code = "other"', "code = 1"), set()),
        (('control_arm = "P"', 'control_arm = "L"'), ("12, 24", "12, -24"), set()),
        (("12, 24", "24, 12"), ('control_arm = "P"', 'control_arm = "?"'), set()),
        (("[0, 6,", "[6, 0,"), ("[12, 24]", '["12"]'), set()),
        (("value = 27, ", "value = 135, "), ("value = 3.29", 'value = "3"'), set()),
        (("value = 27, ", "value = 135, "), ("value = 135, ", "value = -1, "), "all"),
        (
            ("control = true", "control = false"),
            ('code = "P"', 'code = "?"'),
            {"control_arm_unknown"},
        ),
        (
            ("control = true", "control = false"),
            ("control = false", "control = 0"),
            {"one_control_arm"},
        ),
        # A unit that is wrong makes the value one of another kind.
        (
            (
                '= 28, unit = "days", source = "Lenalidomide REMS: 28',
                '= 29, unit = "days", source = "Lenalidomide REMS: 28',
            ),
            (
                'cycle_days = { value = 28, unit = "days"',
                'cycle_days = { value = 4, unit = "weeks"',
            ),
            "all",
        ),
        # Who may take part.
        (
            ('variable = "ecog", at_most = 2', 'variable = "ecog", at_most = 6'),
            ('variable = "age", at_least = 18', 'variable = "age", at_least = "18"'),
            set(),
        ),
        (
            ('variable = "ecog", at_most = 2', 'variable = "ecog", at_most = 6'),
            ('code = "del17p"', 'code = "del 17p"'),
            set(),
        ),
        (
            ('{ variable = "tp53_mutated", is', '{ variable = "tp35_mutated", is'),
            ('code = "ecog"', 'code = "ecog status"'),
            "all",
        ),
        (
            ("at_least = 0.0001, below = 0.01 }", "at_least = 0.0001, below = 0.02 }"),
            ('code = "ecog"', 'code = "ecog status"'),
            set(),
        ),
        (
            ("at_least = 0.0001, below = 0.01 }", "at_least = 0.0001, below = 0.02 }"),
            ("at_least = 0.01 }", 'at_least = "0.01" }'),
            "all",
        ),
        (
            ("at_least = 0.0001, below = 0.01 }", "at_least = 0.0001, below = 2 }"),
            ('"High MRD", at_least = 0.01 }', '"High MRD", any_of = [7] }'),
            {"levels_overlap"},
        ),
        (
            ('code = "I", label', 'code = "H", label'),
            ('variable = "mrd_level"\nunit', 'variable = ""\nunit'),
            set(),
        ),
        # Whole tables.
        (('code = "follow_up"', 'code = "baseline"'), ("[dosing]", "[dosng]"), set()),
        (
            ('code = "anc_too_low"', 'code = "too_young"'),
            (
                '[[screening.variables]]\ncode = "first_line_reg',
                '[screening]\n[[screening.variable]]\ncode = "first_line_reg',
            ),
            set(),
        ),
    ],
)
def test_what_can_be_judged_is_judged(wrong, broken, hidden):
    alone, shape = found_in(once(TEXT, wrong)), found_in(once(TEXT, broken))
    together = found_in(once(once(TEXT, broken), wrong))

    assert alone
    assert shape
    if hidden == "all":
        assert together == shape
    else:
        assert together - shape == {
            (key, rule) for key, rule in alone if rule not in hidden and key not in hidden
        }


def once(text: str, replacement: tuple[str, str]) -> str:
    assert replacement[0] in text, replacement
    return text.replace(*replacement, 1)


# --- A sound file with one broken key -------------------------------------------------------------

KeyPath = tuple[str | int, ...]
SOUND = [tomllib.loads(text, parse_float=Decimal) for text in (TEXT, THREE_ARMS.read_text())]


def keys_in(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Return the path of every key of the tables in a value."""
    match value:
        case dict():
            inside = [(key, each) for key, each in value.items()]
            own = [(*path, key) for key in value]
        case list():
            inside, own = list(enumerate(value)), []
        case _:
            return []
    return [*own, *(found for key, each in inside for found in keys_in(each, (*path, key)))]


KEYS = [(number, path) for number, data in enumerate(SOUND) for path in keys_in(data)]


def dotted(path: KeyPath) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def table_at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


@settings(deadline=None)
@given(st.sampled_from(KEYS))
def test_a_key_of_another_kind_is_named_and_nothing_else(place):
    number, path = place
    data = deepcopy(SOUND[number])
    table = table_at(data, path[:-1])
    table[path[-1]] = "x" if isinstance(table[path[-1]], list | dict) else []

    found = found_in(toml_text(data))

    assert found
    assert all(key.startswith(dotted(path)) for key, _ in found)


NAMED = [(number, path) for number, path in KEYS if path[:2] != ("trial", "registry")]


@settings(deadline=None)
@given(st.sampled_from(NAMED))
def test_a_key_that_is_misspelt_is_named_and_nothing_else(place):
    number, path = place
    data = deepcopy(SOUND[number])
    table = table_at(data, path[:-1])
    table[f"{path[-1]} x"] = table.pop(path[-1])

    found = found_in(toml_text(data))

    named = {(dotted(path), "missing"), (dotted((*path[:-1], f"{path[-1]} x")), "extra_forbidden")}
    assert found
    assert found <= named


@settings(deadline=None)
@given(st.sampled_from(KEYS))
def test_a_key_that_is_needed_is_missed_and_nothing_else(place):
    number, path = place
    data = deepcopy(SOUND[number])
    table_at(data, path[:-1]).pop(path[-1])

    found = found_in(toml_text(data))

    assert (dotted(path), "missing") not in found or len(found) == 1


def test_of_a_list_that_is_too_short_nothing_follows():
    second = TEXT[TEXT.index('[[arms]]\ncode = "P"') : TEXT.index("[randomisation]")]

    assert found_in(TEXT.replace(second, "")) == {("arms", "too_short")}
    assert found_in(TEXT.replace("[12, 24]", "[]")) == {
        ("analysis.landmark_months.value", "too_short")
    }


def test_the_sound_files_are_sound():
    assert [found_in(toml_text(data)) for data in SOUND] == [set(), set()]
