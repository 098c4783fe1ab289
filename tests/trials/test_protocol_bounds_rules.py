"""What a new file may not say though it has the shape of one: each bound from both sides."""

import re
from importlib.resources import files

import pytest

from tests.trials.test_protocol_bad_files_rules import rules_of
from tests.trials.test_protocol_partial_rules import found_in, once
from tests.trials.test_protocol_rules import TEXT, changed, line_with, problems_of
from tests.trials.test_screening_protocol_rules import SEX, with_factor
from trials.rules.protocol import load_protocol, read_protocol
from trials.rules.protocol.countries import COUNTRIES


def stated(key: str, value: str, *, text: str = TEXT) -> str:
    """Return the text with another ``value`` of a key that stands with its source."""
    text, count = re.subn(rf"(?m)^({key} = {{ value = )(\[.*?\]|[^,]+)", rf"\g<1>{value}", text)
    assert count == 1, key
    return text


# --- Days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "rules"),
    [
        ("1950-01-01", []),
        ("1949-12-31", ["day_out_of_range"]),
        ("0", ["day_type"]),
        ("1341446400", ["day_type"]),
        ("86400.0", ["day_type"]),
        ('"0"', ["day_type"]),
        ('"1341446400"', ["day_type"]),
        ('"2012-07-05"', ["day_type"]),
        ("2012-07-05T00:00:00", ["day_type"]),
        ("2012-07-05T00:00:00+09:00", ["day_type"]),
        ("00:00:00", ["day_type"]),
    ],
)
def test_only_a_bare_day_is_a_day(day, rules):
    assert rules_of(stated("accrual_opens_on", day)) == rules


@pytest.mark.parametrize(
    ("day", "rules"), [("2150-12-31", []), ("2151-01-01", ["day_out_of_range"])]
)
def test_days_end_where_no_trial_goes(day, rules):
    assert rules_of(stated("data_cutoff", day)) == rules


# --- Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "rules"),
    [
        ("1.000000000001", []),
        ("1.0000000000001", ["too_many_digits"]),
        ("1e-12", []),
        ("1e-13", ["too_many_digits"]),
        ("1e-30000000", ["too_many_digits"]),
        ("0e-30000000", ["too_many_digits"]),
        ("0e11", []),
        ("0e12", ["too_many_digits"]),
        ("nan", ["finite_number"]),
    ],
)
def test_a_number_has_as_many_digits_as_are_measured(number, rules):
    assert rules_of(stated("start_anc", number)) == rules


BOUNDS = {
    "boundary_z": ("1.5", "1.49", "8", "8.01"),
    "confidence": ("0.5", "0.49", "0.999", "0.9991"),
    "first_look_fraction": ("0.05", "0.049", "0.95", "0.951"),
    "landmark_months": ("[1]", "[0]", "[600]", "[601]"),
    "at_risk_months": ("[0]", "[-1]", "[600]", "[601]"),
    "later_test_hours": ("1", "0", "720", "721"),
    "looks_before_review": ("1", "0", "100", "101"),
    "max_supply_days": ("1", "0", "28", "29"),
    "menopause_months": ("1", "0", "600", "601"),
    "month_days": ("28", "27.99", "31", "31.01"),
    "reduced_dose_fraction": ("0.05", "0.049", "0.95", "0.951"),
    "request_valid_hours": ("1", "0", "720", "721"),
    "sae_report_hours": ("1", "0", "720", "721"),
    "test_sensitivity_miu_ml": ("0.1", "0.09", "100", "100.1"),
}


@pytest.mark.parametrize("key", BOUNDS)
def test_a_number_lies_where_it_makes_sense(key):
    lowest, below, highest, above = BOUNDS[key]

    assert [rules_of(stated(key, value)) for value in (lowest, highest)] == [[], []]
    for outside in (below, above):
        ((_, found, _),) = problems_of(stated(key, outside))
        assert found.split(".")[-1].startswith("value") or found == f"dosing.{key}"


def test_what_lies_outside_is_told_with_the_bounds():
    text = stated("confidence", "0.0001")

    ((line, key, rule),) = problems_of(text)

    assert (line, key, rule) == (line_with(TEXT, "confidence ="), "analysis.confidence.value",
                                 "not_sensible")  # fmt: skip


@pytest.mark.parametrize("key", ["boundary_z", "confidence", "max_supply_days", "accrual_opens_on"])
def test_a_stored_number_is_read_as_it_was_taken(key):
    text = stated(key, {"confidence": "0.0001", "max_supply_days": "0"}.get(key, "0"))

    assert read_protocol(text)
    assert rules_of(text)


# --- Countries ------------------------------------------------------------------------------------


def test_the_countries_are_those_of_iso_3166():
    table = files("tzdata").joinpath("zoneinfo/iso3166.tab").read_text()

    assert {row.split("\t")[0] for row in table.splitlines() if row[0] != "#"} == COUNTRIES


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ('["GB", "GR"]', set()),
        ('["UK", "GR"]', {("trial.countries[0]", "country_unknown")}),
        ('["GB", "EL"]', {("trial.countries[1]", "country_unknown")}),
        ('["ZZ", "XX"]', {(f"trial.countries[{n}]", "country_unknown") for n in (0, 1)}),
        ('["DE", "AT", "DE"]', {("trial.countries[2]", "choice_repeated")}),
        ('["de"]', {("trial.countries[0]", "string_pattern_mismatch")}),
    ],
)
def test_a_country_exists_and_is_named_once(listed, found):
    assert found_in(changed(('["AT", "DE", "ES", "IT", "NL"]', listed))) == found


# --- Labels ---------------------------------------------------------------------------------------

PLACEBO = 'label = "Placebo"'
SAME = [
    "Lenalidomide",
    "LENALIDOMIDE",
    " lenalidomide ",
    "Lena\\u200blidomide",
    "Lena\\u00adlidomide",
    "Lenalidomide\\ufe0f",
    "Ｌｅｎａｌｉｄｏｍｉｄｅ",
]


@pytest.mark.parametrize("label", SAME)
def test_two_arms_that_show_alike_are_refused(label):
    assert found_in(changed((PLACEBO, f'label = "{label}"'))) == {
        ("arms[1].label", "label_repeated")
    }


@pytest.mark.parametrize(
    "label", ["Lenalidomide 2", "Lenalidomid", "Placebo (P)", "P", "Lenalidomide²"]
)
def test_two_arms_that_differ_in_what_is_seen_are_taken(label):
    assert found_in(changed((PLACEBO, f'label = "{label}"'))) == set()


@pytest.mark.parametrize("label", ["L", "l"])
def test_an_arm_is_not_called_as_the_code_of_another(label):
    assert found_in(changed((PLACEBO, f'label = "{label}"'))) == {
        ("arms[1].label", "label_is_another_code")
    }


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"Intermediate MRD", at', '"high  mrd", at', "factors[0].levels[1].label"),
        ('label = "TP53 mutated"', 'label = "IGHV unmutated"', "screening.variables[6].label"),
        ('label = "HIV infection"', 'label = "Neuropathy of grade 2 or more"',
         "eligibility.exclusions[17].label"),
        ('label = "End of treatment"', 'label = "baseline"', "visits[3].label"),
        ('label = "Infections and infestations"', 'label = "gastrointestinal disorders"',
         "safety.soc_of_interest[2].label"),
    ],
)  # fmt: skip
def test_what_people_choose_from_is_told_apart_by_its_labels(old, new, key):
    assert found_in(changed((old, new))) == {(key, "label_repeated")}


def test_two_strata_are_not_called_the_same_by_the_way_their_levels_are():
    commas = SEX.replace('"Women"', '"A"').replace('"Men"', '"A, B"')
    levels = ('"High MRD"', '"B, C"'), ('"Intermediate MRD"', '"C"')

    alike = once(once(with_factor(commas), levels[0]), levels[1])

    assert found_in(alike) == {("factors", "label_repeated")}
    assert found_in(alike.replace('"B, C"', '"B, D"')) == set()


def test_the_number_of_strata_has_a_limit():
    def factor(code: str, count: int) -> str:
        levels = (
            f'{{ code = "L{n}", label = "{n}", at_least = {n}, below = {n + 1} }}'
            for n in range(18, 18 + count)
        )
        named = f'code = "{code}"\nlabel = "{code}"\nvariable = "age"\nunit = "years"'
        return f"{named}\nlevels = [{', '.join(levels)}]"

    few = found_in(with_factor(factor("a", 20), factor("b", 20)))
    many = found_in(with_factor(factor("a", 20), factor("b", 20), factor("c", 2)))

    assert ("factors", "too_many_strata") not in few
    assert ("factors", "too_many_strata") in many


# --- Codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replacement", "found"),
    [
        (('code = "del17p"', 'code = "Age"'), ("screening.variables[7].code", "code_reserved")),
        (('code = "del17p"', 'code = "SITE"'), ("screening.variables[7].code", "code_reserved")),
        (('code = "del17p"', 'code = "ECOG"'), ("screening.variables[8].code", "code_repeated")),
        (('code = "hiv"', 'code = "Dialysis"'),
         ("eligibility.exclusions[15].code", "code_repeated")),
        (('code = "safety_follow_up"', 'code = "BASELINE"'), ("visits[4].code", "code_repeated")),
        (('"nPR", "PR", "SD", "PD"]\nsource = "iw',
          '"NPR", "nPR", "PR", "SD", "PD"]\nsource = "iw'),
         ("screening.variables[3].choices", "choice_repeated")),
    ],
)  # fmt: skip
def test_codes_are_told_apart_by_more_than_capitals(replacement, found):
    assert found in found_in(changed(replacement))


def test_the_site_is_no_factor_however_it_is_written():
    text = with_factor(SEX.replace('code = "sex"', 'code = "Site"'))

    assert found_in(text) == {("factors[0].code", "code_reserved")}


REASONS = [
    ('missing = "mrd_missing"', 'missing = "ecog_too_high"', "criteria[4].missing"),
    ('missing = "mrd_missing"', 'missing = "ECOG_too_high"', "criteria[4].missing"),
    ('missing = "mrd_missing"', 'missing = "exclusion_hiv"', "criteria[4].missing"),
    ('missing = "last_cycle_missing"', 'missing = "too_young"', "timing[0].missing"),
    (
        'missing = "last_cycle_missing"',
        'missing = "too_late_after_first_line"',
        "timing[0].missing",
    ),
    ('code = "hiv"', 'code = "hiv"', ""),
    ('code = "too_young"', 'code = "exclusion_hiv"', "exclusions[4].code"),
    ('code = "too_young"', 'code = "too_soon_after_first_line"', "timing[0].code"),
    ('code = "too_young"', 'code = "too_late_after_first_line"', "timing[0].code"),
    ('code = "too_young"', 'code = "response_too_low_missing"', "criteria[3].code"),
    ('missing = "mrd_missing"', 'missing = "markers_missing"', ""),
    ('missing = "last_cycle_missing"', 'missing = "measurement_missing"', ""),
]


@pytest.mark.parametrize(("old", "new", "at"), REASONS)
def test_a_reason_has_a_code_of_its_own_unless_it_says_what_is_not_known(old, new, at):
    expected = {(f"eligibility.{at}", "reason_repeated")} if at else set()

    assert found_in(changed((old, new))) == expected


def test_a_reason_is_found_beside_rows_that_cannot_be_read():
    text = changed(
        ('missing = "mrd_missing"', 'missing = "ecog_too_high"'), ('code = "too_young"', "code = 1")
    )

    assert found_in(text) == {
        ("eligibility.criteria[0].code", "string_type"),
        ("eligibility.criteria[4].missing", "reason_repeated"),
    }


# --- Tests that nobody passes ---------------------------------------------------------------------

ECOG = 'variable = "ecog", at_most = 2,'
ANC = 'variable = "anc_10e9_l", at_least = 1.0,'
EMPTY = "range_reversed"


@pytest.mark.parametrize(
    ("old", "limits", "rules"),
    [
        (ECOG, "at_least = 2, at_most = 2", []),
        (ECOG, "at_least = 3, at_most = 2", [EMPTY]),
        (ECOG, "above = 2, below = 2", [EMPTY]),
        (ECOG, "above = 2, at_most = 2", [EMPTY]),
        (ECOG, "at_least = 2, below = 2", [EMPTY]),
        (ECOG, "above = 2, below = 3", [EMPTY]),
        (ECOG, "above = 1, below = 3", []),
        (ANC, "above = 1, below = 1.001", [EMPTY]),
        (ANC, "above = 1, below = 1.002", []),
        (ANC, "above = 1, at_most = 1.001", []),
        (ANC, "at_least = 1, above = 2, at_most = 2", [EMPTY]),
    ],
)
def test_a_test_lets_some_value_pass(old, limits, rules):
    assert rules_of(changed((old, f"{old.split(',')[0]}, {limits},"))) == rules


def test_a_level_holds_some_value():
    level = "at_least = 0.0001, below = 0.01 }"

    assert ("factors[0].levels[1]", EMPTY) in found_in(
        changed((level, "at_least = 0.02, below = 0.01 }"))
    )
    assert ("factors[0].levels[1].below", "level_empty") in found_in(
        changed((level, "at_least = 0.01, below = 0.01 }"))
    )


def test_of_answers_only_what_is_eligible_needs_a_level():
    female = changed(
        ('require = { variable = "age", at_least = 18, unit = "years" }',
         'require = { variable = "sex", is = "female" }')
    )  # fmt: skip

    factor = with_factor(SEX)[TEXT.index("[[factors]]") :].split("[[factors]]\n")[1]

    assert found_in(once(female, ("[[factors]]\n", f"[[factors]]\n{factor}[[factors]]\n"))) == {
        ("factors[0].levels[1].any_of", "level_never_eligible")
    }
    assert load_protocol(female)
