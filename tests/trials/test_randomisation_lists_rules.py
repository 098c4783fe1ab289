"""Lists that were made elsewhere, or changed on the way, against the protocol."""

from itertools import chain, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import PROTOCOL
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import Entry, design_of, generate, list_problems, structure


SOURCE = 'source = "Choice made here", flag = "assumed"'
SIZES = next(line for line in PROTOCOL.splitlines() if line.startswith("block_sizes"))
REASON = next(line for line in PROTOCOL.splitlines() if line.startswith("predictability_reason"))
CLLM1 = load_protocol(PROTOCOL)


def protocol(*, sizes="[3]", method="permuted_blocks", more=""):
    stated = f'block_sizes = {{ value = {sizes}, unit = "subjects", {SOURCE} }}' if sizes else ""
    text = PROTOCOL.replace(SIZES, stated).replace(REASON, f"{REASON}\n{more}")
    return load_protocol(text.replace('method = "permuted_blocks"', f'method = "{method}"'))


VARYING = protocol(sizes="[6, 9]")
SIMPLE = protocol(sizes="", method="simple")
SHORTER = protocol(more=f'list_length = {{ value = 120, unit = "subjects per list", {SOURCE} }}')
MINIMISED = protocol(
    sizes="",
    method="minimisation",
    more=f"""
[randomisation.minimisation]
imbalance = "range"
probability = {{ value = 0.8, unit = "probability of the preferred arm", {SOURCE} }}
[[randomisation.minimisation.factors]]
code = "site"
weight = 1
{SOURCE.replace(", ", chr(10))}
""",
)


NINE, SIX = "LLLLLLPPP", "LLLLPP"


def of(stratum, *blocks):
    return [(stratum, arm) for arm in "".join(blocks)]


def codes(entries, of_protocol=CLLM1):
    return [reason.code for reason in list_problems(entries, of_protocol)]


def details(entries, of_protocol):
    return [reason.detail for reason in list_problems(entries, of_protocol)]


# --- Length ---------------------------------------------------------------------------------------


def test_no_stratum_goes_on_after_the_block_that_reaches_the_plan():
    # The plan is 200 subjects: 67 blocks of three are 201 places.
    full, more = ["LLP"] * 67, ["LLP"] * 68

    assert codes(of("H", *full) + of("I", *full)) == []
    assert codes(of("H", *full, "L") + of("I", *full)) == ["list_long"]
    assert codes(of("H", *more) + of("I", *full)) == ["list_long"]
    assert codes(of("H", *more) + of("I", *more)) == ["list_long", "list_long"]


def test_a_stated_length_is_the_plan():
    assert design_of(SHORTER).length == 120
    assert codes(of("H", *["LLP"] * 40) + of("I", *["LLP"] * 40), SHORTER) == []
    assert codes(of("H", *["LLP"] * 41) + of("I", *["LLP"] * 40), SHORTER) == ["list_long"]


def test_of_several_sizes_the_longest_may_be_the_one_that_reaches_the_plan():
    # 22 blocks of nine are 198 places; the one that begins there may have nine.
    assert codes(of("H", *[NINE] * 23) + of("I", SIX), VARYING) == []
    assert codes(of("H", *[NINE] * 23, "L") + of("I", SIX), VARYING) == ["list_long"]


def test_a_list_that_is_too_long_says_by_how_much():
    assert details(of("H", *["LLP"] * 68) + of("I", "LLP"), CLLM1) == [
        "Stratum H has 204 entries; the protocol plans 200, 201 with the block that ends there."
    ]


def test_a_list_for_another_trial_names_all_that_is_foreign():
    other = of("A", "XYZ" * 70)

    assert codes(other) == [
        "unknown_arm",
        "unknown_arm",
        "unknown_arm",
        "unknown_stratum",
        "stratum_missing",
        "stratum_missing",
    ]


def test_what_else_is_wrong_does_not_hide_a_broken_block():
    good, short = of("I", *["LLP"] * 67), of("I", "LLP")

    assert codes(of("H", "L" * 300) + good) == ["list_long", "block_ratio"]
    assert codes(of("H", "LLL") + short) == ["list_short", "block_ratio"]
    assert codes(of("H", "LLL") + good + of("X", "L")) == ["unknown_stratum", "block_ratio"]
    assert codes(of("H", "LLL", "X" * 3) + good) == ["unknown_arm"]
    assert codes(of("H", *["LLP"] * 67, "PPP") + good) == ["list_long"]


# --- Blocks ---------------------------------------------------------------------------------------


def varying(*blocks):
    return of("H", *blocks) + of("I", *[SIX] * 33)


def test_blocks_of_several_sizes_may_stand_in_any_order():
    for order in set(permutations([SIX, NINE, SIX, NINE])):
        assert codes(varying(*order), VARYING) == []


@pytest.mark.parametrize(
    ("tail", "fits"),
    [
        ("L", True),
        ("LLLLLLPP", True),
        ("LLLLLLL", False),
        ("PPP", True),
        ("PPPP", False),
        ("LLP", True),
        ("PPLPP", False),
    ],
)
def test_the_open_block_must_be_able_to_become_one_of_the_sizes(tail, fits):
    assert (codes(varying(NINE, SIX, tail), VARYING) == []) == fits


def test_a_whole_block_out_of_ratio_is_found_and_its_place_named():
    assert details(varying(SIX, "LLLLLP", *[SIX] * 3), VARYING) == [
        "Stratum H is no row of blocks of 6 or 9 in the ratio after place 6."
    ]


def test_every_stratum_out_of_ratio_is_named():
    wrong = of("H", "PPL", *["LLP"] * 40) + of("I", "LLP", "PPL", *["LLP"] * 40)

    assert details(wrong, CLLM1) == [
        "Block 1 of stratum H breaks the ratio.",
        "Block 2 of stratum I breaks the ratio.",
    ]


def test_simple_randomisation_has_no_blocks():
    assert codes(of("H", "L" * 200) + of("I", "P"), SIMPLE) == []
    assert codes(of("H", "L" * 201) + of("I", "P"), SIMPLE) == ["list_long"]
    assert codes(of("H", "L" * 198) + of("I", "P"), SIMPLE) == ["list_short"]


@given(st.binary(), st.sampled_from([CLLM1, VARYING, SIMPLE, SHORTER, MINIMISED]))
def test_every_generated_list_fits(seed, of_protocol):
    assert list_problems(generate(design_of(of_protocol), seed=seed), of_protocol) == ()


@given(st.binary(), st.integers(0, 199))
def test_one_changed_arm_never_fits_blocks_of_three(seed, place):
    entries = list(generate(design_of(CLLM1), seed=seed))
    changed = entries[place]
    entries[place] = changed._replace(arm="P" if changed.arm == "L" else "L")

    assert codes(entries) == ["block_ratio"]


# --- Minimisation ---------------------------------------------------------------------------------


def draws(*values):
    return [Entry("", "", draw) for draw in values]


def test_a_minimisation_has_as_many_draws_as_planned_subjects():
    assert codes(draws(*range(200)), MINIMISED) == []
    assert codes(draws(*range(199)), MINIMISED) == ["list_short"]
    assert codes(draws(*range(201)), MINIMISED) == ["list_long"]


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        (Entry("", "", 0), True),
        (Entry("", "", 2**32 - 1), True),
        (Entry("", "", 2**32), False),
        (Entry("", "", -1), False),
        (Entry("", "", None), False),
        (Entry("H", "", 1), False),
        (Entry("", "L", 1), False),
    ],
)
def test_its_entries_are_draws_and_nothing_else(entry, fits):
    assert codes([*draws(*range(199)), entry], MINIMISED) == ([] if fits else ["not_draws"])


def test_a_list_of_arms_is_none_for_a_minimisation():
    assert codes(of("H", "LLP" * 67), MINIMISED) == ["not_draws", "list_long"]


def test_draws_are_no_list_of_arms():
    assert codes([*of("H", "LLP" * 67), *draws(1)]) == ["not_arms"]


# --- What a list holds ----------------------------------------------------------------------------


def test_the_structure_counts_places_arms_and_blocks_of_each_stratum():
    high, low = structure(of("H", "LLP", "PLL", "L") + of("I", "LLP"), CLLM1)

    assert (high.stratum, high.places, high.by_arm) == ("H", 7, {"L": 5, "P": 2})
    assert (high.whole_blocks, high.open_places) == ((2, 2), 1)
    assert (low.stratum, low.places, low.ratio) == ("I", 3, {"L": 2, "P": 1})


def test_blocks_that_can_be_cut_in_several_ways_are_counted_both_ways():
    # 18 places are three blocks of six or two of nine, if the ratio holds at 6, 9 and 12.
    even = list(chain.from_iterable(["LLP"] * 6))
    high, _ = structure([("H", arm) for arm in even], VARYING)

    assert (high.whole_blocks, high.open_places) == ((2, 3), 0)


def test_what_has_no_blocks_has_no_structure_of_blocks():
    high, low = structure(of("H", "LPLP"), SIMPLE)

    assert (high.whole_blocks, high.open_places, high.by_arm) == (None, 0, {"L": 2, "P": 2})
    assert low.places == 0
    assert structure(draws(1, 2), MINIMISED) == ()
