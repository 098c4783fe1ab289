"""The randomisation section of a protocol file: what is accepted, and each way it is wrong."""

from fractions import Fraction

import pytest
from django.core.management import call_command

from tests.factories import PROTOCOL
from trials.rules.list_parameters import parameters_of
from trials.rules.protocol import ProtocolInvalid, load_protocol
from trials.rules.randomisation import BlockSize, DesignArm, MinimisedFactor, design_of


SOURCE = 'source = "Choice made here", flag = "assumed"'
START = PROTOCOL.index("[randomisation]")
END = PROTOCOL.index("\n[", START) + 1
REASON = 'predictability_reason = "As published."'


def sourced(key, value, unit):
    return f'{key} = {{ value = {value}, unit = "{unit}", {SOURCE} }}'


def blocks(sizes, *more):
    return ('method = "permuted_blocks"', sourced("block_sizes", sizes, "subjects"), *more)


def minimisation(*more, probability="0.8", imbalance="range", factors=(("site", 1),)):
    rows = [
        f'[[randomisation.minimisation.factors]]\ncode = "{code}"\nweight = {weight}\n'
        'source = "Choice made here"\nflag = "assumed"'
        for code, weight in factors
    ]
    return (
        'method = "minimisation"',
        *more,
        "[randomisation.minimisation]",
        f'imbalance = "{imbalance}"',
        sourced("probability", probability, "probability of the preferred arm"),
        *rows,
    )


def text_with(section, *, ratios=(2, 1)):
    text = PROTOCOL[:START] + "\n".join(("[randomisation]", *section, "", "")) + PROTOCOL[END:]
    for old, new in zip(("ratio = 2", "ratio = 1"), ratios, strict=True):
        text = text.replace(f"\n{old}\n", f"\n{old[:8]}{new}\n", 1)
    return text


def problems(section, **options):
    try:
        load_protocol(text_with(section, **options))
    except ProtocolInvalid as invalid:
        return [
            (problem.key.removeprefix("randomisation."), problem.rule)
            for problem in invalid.problems
        ]
    return []


def design(section, **options):
    return design_of(load_protocol(text_with(section, **options)))


def weighted(sizes, weights):
    return blocks(sizes, sourced("block_weights", weights, "shares"))


def long(sizes, length):
    return blocks(sizes, sourced("list_length", length, "subjects per list"))


# --- What a site could predict needs a reason -----------------------------------------------------

UNEXPLAINED = [("predictability_reason", "predictability_reason_missing")]


@pytest.mark.parametrize(
    ("section", "predictable"),
    [
        pytest.param(blocks("[3]"), True, id="one fixed size, the smallest"),
        pytest.param(blocks("[6]"), True, id="one fixed size"),
        pytest.param(blocks("[3, 6]"), True, id="the smallest size among several"),
        pytest.param(blocks("[6, 9]"), False, id="several larger sizes"),
        pytest.param(weighted("[6, 9]", "[7, 3]"), False, id="three blocks in ten differ"),
        pytest.param(weighted("[6, 9]", "[3, 7]"), False, id="the same of the larger size"),
        pytest.param(weighted("[6, 9]", "[701, 300]"), True, id="less than three in ten"),
        pytest.param(weighted("[6, 9]", "[300, 701]"), True, id="less, of the smaller size"),
        pytest.param(weighted("[6, 9]", "[100000, 1]"), True, id="practically one size"),
        pytest.param(weighted("[6, 9, 12]", "[14, 3, 3]"), False, id="two other sizes together"),
        pytest.param(weighted("[6, 9, 12]", "[15, 3, 3]"), True, id="two that come too seldom"),
        pytest.param(long("[6, 9]", 6), True, id="a list that is one block"),
        pytest.param(long("[6, 9]", 7), False, id="a list that may be two"),
        pytest.param(minimisation(probability="1"), True, id="minimisation, nothing random"),
        pytest.param(minimisation(probability="0.9999"), True, id="minimisation, hardly anything"),
        pytest.param(minimisation(probability="0.8"), False, id="three in ten drawn of 2:1"),
        pytest.param(minimisation(probability="0.8001"), True, id="less than three in ten of 2:1"),
        pytest.param(('method = "simple"',), False, id="simple"),
    ],
)
def test_a_design_that_a_site_could_predict_needs_a_reason(section, predictable):
    explained = (section[0], REASON, *section[1:])
    blank = (section[0], 'predictability_reason = "  "', *section[1:])

    assert problems(section) == (UNEXPLAINED if predictable else [])
    assert problems(blank) == (UNEXPLAINED if predictable else [])
    assert problems(explained) == []


def test_the_share_of_a_minimisation_left_to_chance_counts_equal_arms():
    assert problems(minimisation(probability="0.85"), ratios=(1, 1)) == []
    assert problems(minimisation(probability="0.8501"), ratios=(1, 1)) == UNEXPLAINED
    assert problems(minimisation(probability="0.85"), ratios=(2, 2)) == []
    assert problems(minimisation(probability="0.703"), ratios=(98, 1)) == []
    assert problems(minimisation(probability="0.7031"), ratios=(98, 1)) == UNEXPLAINED


def test_ten_block_sizes_are_enough():
    sizes = list(range(6, 39, 3))

    assert problems(blocks(str(sizes[:10]))) == []
    assert problems(blocks(str(sizes))) == [("block_sizes.value", "too_long")]


def test_a_list_is_as_long_as_the_plan_where_its_length_is_not_stated():
    short = text_with(blocks("[6, 9]")).replace("planned_accrual = { value = 200", "{}")

    assert UNEXPLAINED[0][1] in rules_of(short.replace("{}", "planned_accrual = { value = 6"))
    assert rules_of(short.replace("{}", "planned_accrual = { value = 7")) == []


def rules_of(text):
    try:
        load_protocol(text)
    except ProtocolInvalid as invalid:
        return [problem.rule for problem in invalid.problems]
    return []


def test_the_words_say_what_could_be_predicted():
    with pytest.raises(ProtocolInvalid) as blocks_of_one_size:
        load_protocol(text_with(weighted("[6, 9]", "[9, 1]")))
    with pytest.raises(ProtocolInvalid) as preferred:
        load_protocol(text_with(minimisation(probability="0.95")))

    assert "90.0% of the blocks are of 6, more than 70.0%" in str(blocks_of_one_size.value)
    assert (
        "prefers one of 3 equal arms with probability 0.95 leaves 7.5% of the subjects to chance,"
        " less than 30.0%"
    ) in str(preferred.value)


def test_the_smallest_size_is_that_of_the_ratio_in_lowest_terms():
    assert problems(blocks("[3, 6]"), ratios=(4, 2)) == UNEXPLAINED
    assert problems(blocks("[6, 9]"), ratios=(4, 2)) == []
    assert (
        problems(blocks("[6, 9]"), ratios=(4, 3))
        == [("block_sizes", "block_does_not_fit_ratio")] * 2
    )


# --- Each wrong key -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "found"),
    [
        pytest.param(
            ('method = "permuted_blocks"',), [("block_sizes", "missing")], id="blocks without sizes"
        ),
        pytest.param(
            ('method = "minimisation"',), [("minimisation", "missing")], id="nothing to minimise"
        ),
        pytest.param(
            ('method = "simple"', sourced("block_sizes", "[6, 9]", "subjects")),
            [("block_sizes", "not_of_this_method")],
            id="sizes without blocks",
        ),
        pytest.param(
            minimisation(sourced("block_weights", "[1]", "shares")),
            [("block_weights", "weights_do_not_match"), ("block_weights", "not_of_this_method")],
            id="weights without blocks",
        ),
        pytest.param(
            (*blocks("[6, 9]"), *minimisation()[1:]),
            [("minimisation", "not_of_this_method")],
            id="minimisation beside blocks",
        ),
        pytest.param(
            blocks("[6, 9]", sourced("block_weights", "[1, 1, 1]", "shares")),
            [("block_weights", "weights_do_not_match")],
            id="three weights for two sizes",
        ),
        pytest.param(
            blocks("[6, 9]", sourced("block_weights", "[1, 0]", "shares")),
            [("block_weights.value[1]", "greater_than_equal")],
            id="weight zero",
        ),
        pytest.param(blocks("[6, 6]"), [("block_sizes", "not_rising")], id="a size twice"),
        pytest.param(
            blocks("[6, 201]"), [("block_sizes", "block_too_large")], id="block above 200"
        ),
        pytest.param(blocks("[6, 198]"), [], id="block up to 200"),
        pytest.param(
            blocks("[6, 0]"), [("block_sizes.value[1]", "greater_than_equal")], id="block of zero"
        ),
        pytest.param(
            blocks("[6, 9]", sourced("list_length", "201", "subjects per list")),
            [("list_length", "list_longer_than_plan")],
            id="list longer than the plan",
        ),
        pytest.param(
            blocks("[6, 9]", sourced("list_length", "200", "subjects per list")),
            [],
            id="list as long as the plan",
        ),
        pytest.param(
            minimisation(sourced("list_length", "199", "subjects per list")),
            [("list_length", "list_shorter_than_plan")],
            id="draws for fewer than planned",
        ),
        pytest.param(
            minimisation(probability="1.0001"),
            [("minimisation.probability.value", "less_than_equal")],
            id="probability above 1",
        ),
        pytest.param(
            minimisation(probability="0.3333"),
            [("minimisation.probability", "probability_out_of_range")],
            id="probability that prefers nothing",
        ),
        pytest.param(minimisation(probability="0.3334"), [], id="probability that prefers"),
        pytest.param(
            minimisation(probability="0.80001"),
            [("minimisation.probability.value", "decimal_max_places")],
            id="five decimals",
        ),
        pytest.param(
            minimisation(probability="'0.8'"),
            [("minimisation.probability.value", "value_error")],
            id="probability as text",
        ),
        pytest.param(
            minimisation(imbalance="entropy"),
            [("minimisation.imbalance", "literal_error")],
            id="another measure",
        ),
        pytest.param(
            minimisation(factors=(("site", 0),)),
            [("minimisation.factors[0].weight", "greater_than_equal")],
            id="factor of weight zero",
        ),
        pytest.param(
            minimisation(factors=(("site", "-1"),)),
            [("minimisation.factors[0].weight", "greater_than_equal")],
            id="factor of weight below zero",
        ),
        pytest.param(
            minimisation(factors=(("site", 1), ("site", 2))),
            [("minimisation.factors[1].code", "code_repeated")],
            id="factor twice",
        ),
        pytest.param(
            minimisation(factors=()), [("minimisation.factors", "missing")], id="no factor"
        ),
    ],
)
def test_each_wrong_key_is_named_with_its_rule(section, found):
    assert sorted(problems(section)) == sorted(found)


def test_a_ratio_of_zero_is_no_ratio():
    assert problems(blocks("[6, 9]"), ratios=(0, 1)) == [("arms[0].ratio", "greater_than_equal")]


def test_a_minimisation_counts_a_hundred_equal_arms_at_most():
    assert problems(minimisation(probability="0.7"), ratios=(99, 1)) == []
    assert problems(minimisation(probability="0.7"), ratios=(100, 1)) == [
        ("arms", "ratio_too_large")
    ]


def test_a_factor_is_one_of_the_protocol_or_the_site():
    known = minimisation(factors=(("site", 1), ("mrd", 2)))
    unknown = minimisation(factors=(("site", 1), ("AGE", 2)))

    assert problems(known) == []
    assert design(known).minimisation.factors[1] == MinimisedFactor("mrd", 2, ("H", "I"))
    assert problems(unknown) == [("minimisation.factors[1].code", "factor_unknown")]


def test_the_place_of_a_wrong_factor_is_its_line():
    text = text_with(minimisation(factors=(("site", 1), ("mrd", 0))))

    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(text)

    (problem,) = refusal.value.problems
    assert text.splitlines()[problem.line - 1] == "weight = 0"


# --- The design -----------------------------------------------------------------------------------


def test_the_design_of_blocks_is_in_lowest_terms():
    found = design(blocks("[6, 9]", sourced("block_weights", "[4, 2]", "shares")), ratios=(4, 2))

    assert found.arms == (DesignArm("L", 2), DesignArm("P", 1))
    assert found.blocks == (BlockSize(6, 2), BlockSize(9, 1))
    assert (found.strata, found.length, found.unit) == (("H", "I"), 200, 3)


def test_the_design_of_a_minimisation():
    found = design(minimisation(probability="0.75", imbalance="variance"))

    assert (found.method, found.strata, found.blocks) == ("minimisation", (), ())
    assert found.minimisation.factors == (MinimisedFactor("site", 1, ()),)
    assert found.minimisation.probability == Fraction(3, 4)
    assert found.minimisation.imbalance == "variance"


def test_the_text_beside_a_list_says_all_and_only_what_matters():
    assert parameters_of(design(blocks("[6, 9]"))) == (
        '{"arms":[["L",2],["P",1]],"blocks":[[6,1],[9,1]],"length":200,'
        '"method":"permuted_blocks","strata":["H","I"]}'
    )
    assert parameters_of(design(minimisation(probability="0.80"))) == (
        '{"arms":[["L",2],["P",1]],"equal_arms":["L","L","P"],'
        '"factors":[{"code":"site","levels":[],"weight":1}],"imbalance":"range","length":200,'
        '"method":"minimisation","probability":[4,5],"strata":[]}'
    )
    reworded = (
        text_with(blocks("[6, 9]")).replace("Placebo", "Sugar").replace("Choice made", "Made")
    )
    assert design_of(load_protocol(reworded)) == design(blocks("[6, 9]"))


# --- What the check prints ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "printed"),
    [
        pytest.param(
            blocks("[3]", REASON),
            [
                "77.8% right, 44.4% for certain (exact: 7/9, certain 4/9)",
                "without looking, 66.7%",
                "Accepted because: As published.",
            ],
            id="fixed",
        ),
        pytest.param(
            blocks("[6, 9]"),
            ["(exact: ", "if not: ", "(simulated, 20000 places)"],
            id="varying",
        ),
        pytest.param(minimisation(), ["(simulated, 20000 places)"], id="minimisation"),
        pytest.param(
            ('method = "simple"',),
            ["66.7% right, 0.0% for certain (exact: 2/3, certain 0)"],
            id="simple",
        ),
    ],
)
def test_the_check_prints_the_guess_rate_and_how_it_is_known(section, printed, tmp_path, capsys):
    path = tmp_path / "good.toml"
    path.write_text(text_with(section))

    call_command("protocol", "check", str(path))

    out = capsys.readouterr().out
    assert [part for part in printed if part not in out] == []
