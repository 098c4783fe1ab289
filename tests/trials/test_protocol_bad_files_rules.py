"""Protocol files that no person would write: each is answered by a problem, and by nothing else."""

import pytest

from tests.trials.test_protocol_rules import TEXT, changed, line_with, problems_of
from trials.rules.protocol import ProtocolInvalid, load_protocol, read_protocol
from trials.rules.toml_lines import DEEPEST, key_lines


ACCRUAL, ANC = "planned_accrual = { value = 200", "start_anc = { value = 1.0"
TITLE = next(line for line in TEXT.splitlines() if line.startswith("title"))
VERSION = '\nversion = "1.0"\n'


def messages_of(text: str) -> list[str]:
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(text)
    return [problem.message for problem in refusal.value.problems]


def with_value(key: str, value: str) -> str:
    return changed((key, f"{key.rsplit(' ', 1)[0]} {value}"))


# --- What stopped the reading ---------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999"])
def test_an_exponent_that_cannot_be_kept_is_named_where_it_stands(number):
    text = with_value(ANC, number)

    assert problems_of(text) == [
        (line_with(TEXT, ANC), "dosing.start_anc.value", "value_error"),
    ]
    assert messages_of(text) == [f"its exponent is beyond what can be kept; it is {number}"]


def test_such_a_number_is_none_where_a_text_is_asked_for_either():
    assert problems_of(changed(('phase = "3"', "phase = 1e99999999999999999999"))) == [
        (line_with(TEXT, "phase ="), "trial.phase", "string_type")
    ]


def test_a_whole_number_too_long_to_be_printed_is_measured():
    text = with_value(ACCRUAL, "0x" + "f" * 5_000)

    assert problems_of(text) == [
        (line_with(TEXT, ACCRUAL), "trial.planned_accrual.value", "less_than_equal")
    ]
    assert "it is a whole number of 20000 binary digits" in messages_of(text)[0]


def test_a_number_too_long_to_be_read_is_named_with_its_line():
    text = with_value(ACCRUAL, "9" * 5_000)

    assert problems_of(text) == [(line_with(TEXT, ACCRUAL), "", "toml_syntax")]
    assert messages_of(text) == ["a number has more digits than are read"]


@pytest.mark.parametrize(
    ("opens", "closes", "depth"),
    [
        ("[", "]", DEEPEST),
        ("[", "]", DEEPEST + 1),
        ("[", "]", 300),
        ("{ a = ", "}", 200),
        ("[{ a = ", "}, 'x]']", 100),
    ],
)
def test_lists_in_lists_are_named_beside_every_other_problem(opens, closes, depth):
    nested = f"x = {opens * depth}1{closes * depth}\n"
    text = nested + changed(("ratio = 2", "ratio = 0"))

    found = problems_of(text)

    assert found[0] == (1, "x", "extra_forbidden")
    assert found[1] == (line_with(text, "ratio = 0"), "arms[0].ratio", "greater_than_equal")


def test_lines_below_a_value_that_lies_too_deep_are_right():
    text = f"a = 1\nx = {'[' * 60}\n'a ] b', # ]\n{{ c = 1 }}{']' * 60}\nb = 2\n"

    lines = key_lines(text)

    assert (lines["a",], lines["x",], lines["b",]) == (1, 2, 5)


@pytest.mark.parametrize("unclosed", ["", "]" * 5_000], ids=["open", "closed"])
def test_lists_deeper_than_can_be_read_are_named_where_they_begin(unclosed):
    text = f"{TEXT}\ny = 1\nx = {'[' * 5_000}{unclosed}\nz = 1\n"

    assert problems_of(text) == [(line_with(text, "x = [[["), "", "toml_syntax")]


def test_half_a_character_has_no_utf_8():
    assert problems_of(f"{TEXT}# \ud800") == [(TEXT.count("\n") + 1, "", "toml_syntax")]


def test_a_value_is_shown_as_far_as_a_reader_needs_it():
    shown = messages_of(with_value("teae_days = { value = 30", f"'{'x' * 500}'"))

    assert shown == [f"it should be a valid integer; it is '{'x' * 79}…"]


# --- What no column or address can hold -----------------------------------------------------------


def titled(title: str) -> str:
    return changed((TITLE, f'title = "{title}"'))


@pytest.mark.parametrize(("length", "rules"), [(300, []), (301, ["string_too_long"])])
def test_a_title_is_as_long_as_it_is_kept(length, rules):
    assert rules_of(titled("X" * length)) == rules


def rules_of(text: str) -> list[str]:
    try:
        load_protocol(text)
    except ProtocolInvalid as invalid:
        return [problem.rule for problem in invalid.problems]
    return []


@pytest.mark.parametrize(
    ("start", "key", "most"),
    [
        ("short_title", "trial.short_title", 300),
        ("sponsor", "trial.sponsor", 300),
        ('label = "Placebo"', "arms[1].label", 200),
        ("meddra", "safety.meddra", 2_000),
        ("predictability_reason", "randomisation.predictability_reason", 2_000),
    ],
)
def test_every_text_has_an_end(start, key, most):
    line = next(line for line in TEXT.splitlines() if line.startswith(start))
    name = start.split(" ", maxsplit=1)[0]
    text = changed((line, f'{name} = "{"X" * (most + 1)}"'))

    assert rules_of(changed((line, f'{name} = "{"X" * most}"'))) == []
    assert [(k, r) for _, k, r in problems_of(text)] == [(key, "string_too_long")]


@pytest.mark.parametrize(("length", "rules"), [(120, []), (121, ["string_too_long"])])
def test_an_organ_class_is_as_long_as_it_is_kept(length, rules):
    assert rules_of(changed(("Infections and infestations", "X" * length))) == rules


@pytest.mark.parametrize(
    ("version", "rules"),
    [
        ("1." * 9 + "10", []),
        ("1." * 10 + "1", ["string_too_long"]),
        ("1.0", []),
        ("١.٠", ["string_pattern_mismatch"]),
        ("1..0", ["string_pattern_mismatch"]),
    ],
)
@pytest.mark.parametrize("key", ["version", "form_version"])
def test_a_version_is_what_an_address_can_name(key, version, rules):
    assert rules_of(changed((f'\n{key} = "1.0"\n', f'\n{key} = "{version}"\n'))) == rules


@pytest.mark.parametrize(
    ("version", "rules"), [("12345.6789", []), ("12345.67890", ["string_too_long"])]
)
def test_a_ctcae_version_is_as_long_as_it_is_kept(version, rules):
    assert rules_of(with_value('ctcae_version = { value = "4.0"', f'"{version}"')) == rules


# --- What no screen shows as it is written --------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    ["\\u0000", "\\n", "\\t", "\\u007f", "\\u0085", "\\u2028", "\\u202e", "\\u2066"],
)
def test_a_text_shows_as_it_stands_in_the_file(written):
    text = changed(
        (TITLE, f'title = "A{written}B"'), ('label = "Placebo"', f'label = "A{written}B"')
    )

    assert [rule for _, _, rule in problems_of(text)] == ["character_not_shown"] * 2


@pytest.mark.parametrize("seen", ["é", "e\\u0301", "中", "%", "≥ 65", "نعم", "a\\u200db", "a b"])
def test_any_script_and_sign_may_be_written(seen):
    assert rules_of(titled(seen)) == []


@pytest.mark.parametrize(
    "unseen",
    [
        "\\u200b",
        "\\u00ad\\ufeff",
        " \\u2060 ",
        "\\u3164",
        "\\u2800",
        "\\u034f\\ufe0f",
        "\\U000e0100",
    ],
)
def test_a_text_has_something_to_be_seen(unseen):
    reason = next(line for line in TEXT.splitlines() if line.startswith("predictability_reason"))
    text = changed((TITLE, f'title = "{unseen}"'), (reason, f'predictability_reason = "{unseen}"'))

    assert [rule for _, _, rule in problems_of(text)] == ["text_invisible"] * 2


@pytest.mark.parametrize(
    "as_taken",
    [
        (TITLE, f'title = "{"X" * 301}"'),
        (VERSION, '\nversion = "١.٠"\n'),
        ('label = "Placebo"', 'label = "\\u200b"'),
        ('source = "Choice made here, after', 'source = "\\u0000Choice made here, after'),
    ],
    ids=["long", "digits", "unseen", "control"],
)
def test_a_stored_text_is_read_as_it_was_taken(as_taken):
    text = changed(as_taken)

    assert read_protocol(text)
    assert problems_of(text)
