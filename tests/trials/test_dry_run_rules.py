"""What a dry run tells two approvers of the places beside the planned accrual."""

import pytest
from django.core.management import call_command

from tests.factories import PROTOCOL
from trials.rules.dry_run import dry_run_of, problems_of
from trials.rules.protocol import load_protocol
from trials.rules.protocol_check import places_of
from trials.rules.randomisation import Entry, design_of, generate


CLLM1 = load_protocol(PROTOCOL)
WHOLE = generate(design_of(CLLM1), seed="a seed of a test")


def room(entries, *, number=1, before=0):
    report = dry_run_of(
        [Entry(*entry) for entry in entries], CLLM1, number=number, digest="", places_before=before
    )
    return report.room


def places(stratum, number):
    return [(stratum, "LLP"[i % 3]) for i in range(number)]


def test_a_list_of_two_strata_says_why_it_has_more_places_than_planned():
    assert room(WHOLE) == (
        "402 places for 200 planned subjects, in 2 strata: 201 in H, 201 in I. Nobody knows how"
        " the strata fill, so each has places of its own; those left over are never used. Each"
        " could take the whole trial."
    )


@pytest.mark.parametrize(("number", "said"), [(200, "Each could take"), (199, "Not for the whole")])
def test_a_stratum_that_could_not_take_the_whole_trial_is_named(number, said):
    told = room([*places("H", number), *places("I", 201)])

    assert said in told
    assert told.endswith("H, which could need an extension.") is (number == 199)


def test_an_extension_tells_the_places_of_all_lists_together():
    assert room(places("H", 201), number=2, before=402) == (
        "An extension of 201 places. With the 402 of the lists before it there are 603 places for"
        " 200 planned subjects. What all lists hold together has no bound: approve it only if so"
        " many are meant."
    )
    assert room(places("H", 1), number=2, before=402).startswith("An extension of 1 place. ")


def problems(entries, protocol, *, number):
    return [reason.code for reason in problems_of(entries, protocol, number=number)]


def test_an_extension_is_no_longer_than_the_plan_by_itself():
    whole, longer = ([Entry(*entry) for entry in places("H", number)] for number in (201, 202))

    assert problems(whole, CLLM1, number=2) == []
    assert problems(longer, CLLM1, number=2) == ["list_long"]


def test_an_extension_of_a_minimisation_is_no_longer_than_the_plan_by_itself():
    design = design_of(minimising())
    whole, longer = (generate(design, seed="a seed", length=number) for number in (200, 201))

    assert problems(whole, minimising(), number=2) == []
    assert problems(longer, minimising(), number=2) == ["list_long"]
    assert (
        "400 places for 200 planned"
        in dry_run_of(whole, minimising(), number=2, digest="", places_before=200).room
    )


SOURCE = 'source = "Invented", flag = "assumed"'
MINIMISATION = f"""method = "minimisation"

[randomisation.minimisation]
imbalance = "range"
probability = {{ value = 0.8, unit = "probability of the preferred arm", {SOURCE} }}
factors = [{{ code = "site", weight = 1, {SOURCE} }}]

"""


def without_factors():
    table = PROTOCOL[PROTOCOL.index("[[factors]]") :]
    table = table[: table.index("[[screening")]
    return load_protocol(
        PROTOCOL.replace(table, "").replace("[trial]", "factors = []\n\n[trial]", 1)
    )


def minimising():
    text = PROTOCOL[: PROTOCOL.index("method = ")] + MINIMISATION
    return load_protocol(text + PROTOCOL[PROTOCOL.index("# MRD: minimal") :])


def test_where_there_is_one_stratum_there_is_nothing_to_explain():
    entries = [Entry("ALL", "LLP"[i % 3]) for i in range(201)]

    report = dry_run_of(entries, without_factors(), number=1, digest="")

    assert report.room == "201 places for 200 planned subjects."
    assert places_of(without_factors()) == "List: 201 places at most for 200 planned subjects."


def test_draws_are_one_for_each_subject():
    entries = generate(design_of(minimising()), seed="a seed of a test")

    report = dry_run_of(entries, minimising(), number=1, digest="")

    assert report.room == "200 places for 200 planned subjects, one for each subject who comes."
    assert places_of(minimising()) == "List: 200 draws at most for 200 planned subjects."


NINE, SIX = "LLLLLLPPP", "LLLLPP"


def of_two_sizes():
    stated = PROTOCOL.replace("value = [3]", "value = [6, 9]")
    return load_protocol(stated)


def remarks(by_stratum, protocol):
    entries = [Entry(stratum, arm) for stratum, arms in by_stratum.items() for arm in arms]
    return dry_run_of(entries, protocol, number=2, digest="").remarks


def test_a_list_of_one_block_size_of_several_is_remarked_on():
    told = "all blocks are of {}, though the protocol has 6 and 9: where they end could be guessed."

    assert remarks({"H": SIX * 4, "I": SIX * 2}, of_two_sizes()) == (told.format(6).capitalize(),)
    assert remarks({"H": SIX * 4, "I": NINE * 2 + "L"}, of_two_sizes()) == (
        "In stratum H " + told.format(6),
        "In stratum I " + told.format(9),
    )
    assert remarks({"H": SIX * 4, "I": SIX + NINE}, of_two_sizes()) == (
        "In stratum H " + told.format(6),
    )


def test_a_list_that_can_be_cut_otherwise_too_is_remarked_on_with_less_certainty():
    (remark,) = remarks({"H": ("LPLLLP" * 2 + "LLP" * 2)}, of_two_sizes())

    assert remark.startswith("All blocks may be of 6, ")


@pytest.mark.parametrize(
    ("arms", "protocol"),
    [
        pytest.param(NINE + SIX * 4, of_two_sizes(), id="both sizes"),
        pytest.param(SIX, of_two_sizes(), id="one block"),
        pytest.param("LLP" * 12, CLLM1, id="a protocol of one size"),
    ],
)
def test_there_is_no_remark_on_blocks_as_the_protocol_has_them(arms, protocol):
    assert remarks({"H": arms}, protocol) == ()


def test_the_check_of_a_file_tells_the_most_places_a_list_may_have(tmp_path, capsys):
    path = tmp_path / "good.toml"
    path.write_text(PROTOCOL)

    call_command("protocol", "check", str(path))

    assert (
        "List: 201 places at most in each of 2 strata, 402 together, for 200 planned subjects."
        in capsys.readouterr().out
    )
