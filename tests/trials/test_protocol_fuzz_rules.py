"""Whatever a file says, it is a protocol or has problems: nothing else comes of reading it."""

from copy import deepcopy
from datetime import UTC, date, datetime, time
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toml_text import toml_text
from tests.trials.test_protocol_partial_rules import SOUND, keys_in, table_at
from tests.trials.test_protocol_rules import TEXT
from trials.rules.protocol import ProtocolInvalid, load_protocol, read_protocol


STRANGE = [
    *("", " ", "\u200b", "\x00", "x" * 5_000, "Ａ", "L", "age", "site", "1.0", "hold"),
    *(True, False, 0, 1, -1, 3, 28, 201, 10**6, 10**40, 16**5_000),
    *map(Decimal, ("0.5", "-0.0", "1e-50", "1e400", "nan", "-inf", "2.50")),
    *(date(1, 1, 1), date(9999, 12, 31), date(2014, 3, 9)),
    *(datetime(2014, 3, 9, tzinfo=UTC), time(1, 2)),
    *([], {}, [[]], [{}], [1, 2], [3, 2], ["A", "a"], {"value": 1}, {"a": {"b": []}}),
]  # fmt: skip


@st.composite
def mutated(draw):
    """Return a sound protocol of which some keys and rows are dropped, doubled or replaced."""
    data = deepcopy(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(keys_in(data) or [()]))
        if path:
            mutate(draw, table_at(data, path[:-1]), path[-1])
    return toml_text(data)


def mutate(draw, table, key):
    value = table[key]
    match draw(st.sampled_from(["drop", "rename", "replace", "rows", "elsewhere"])):
        case "drop":
            del table[key]
        case "rename":
            table[draw(st.sampled_from(["value", "code", "unit", "x", f"{key}s"]))] = value
        case "replace":
            table[key] = deepcopy(draw(st.sampled_from(STRANGE)))
        case "rows" if isinstance(value, list) and value:
            row = draw(st.integers(0, len(value) - 1))
            value[row:row] = draw(st.sampled_from([[], [deepcopy(value[row])], [{}], [7]]))
            del value[draw(st.integers(0, len(value) - 1))]
        case _:
            table[key] = deepcopy(table[draw(st.sampled_from(sorted(table)))])


@st.composite
def garbled(draw):
    """Return the text of a sound protocol, of which some lines are dropped, doubled or cut."""
    lines = TEXT.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        cut = draw(st.integers(0, len(lines[at])))
        other = draw(
            st.sampled_from(["", lines[at] * 2, lines[at][:cut], lines[at][cut:], "[[x]]\n"])
        )
        lines[at] = other or "\n"
    return "".join(lines)


def judge(text):
    """Judge a text as a new and as a stored one, and that what is named can be shown."""
    lines = text.count("\n") + 1
    for read in (load_protocol, read_protocol):
        try:
            assert read(text).version
        except ProtocolInvalid as invalid:
            problems = invalid.problems
            assert problems
            assert len(problems) == len(set(problems))
            assert all(1 <= one.line <= lines and one.rule and str(one) for one in problems)


@settings(deadline=None, max_examples=75)
@given(mutated())
def test_a_protocol_with_other_keys_and_values_is_read_or_has_problems(text):
    judge(text)


@settings(deadline=None, max_examples=75)
@given(garbled())
def test_a_text_that_was_cut_and_doubled_is_read_or_has_problems(text):
    judge(text)
