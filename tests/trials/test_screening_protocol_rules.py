"""What a protocol file may say about screening, eligibility and factors, and what is named."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.eligibility import EligibilityFacts, ineligible_reasons
from patients.rules.strata import levels_of, stratum_code
from trials.rules.protocol import Protocol, ProtocolInvalid, load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
THREE_ARMS = (Path(__file__).parents[1] / "protocols/three_arms.toml").read_text()


def changed(*replacements: tuple[str, str], text: str = TEXT) -> str:
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def problems_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(text)
    lines = text.splitlines()
    for problem in refusal.value.problems:
        assert 1 <= problem.line <= len(lines)
    return [(problem.key, problem.rule) for problem in refusal.value.problems]


# --- Variables ------------------------------------------------------------------------------------


MRD = 'code = "mrd_level"\nlabel = "MRD"\nkind = "number"\nrequired = false\n'
MRD_BOUNDS = 'unit = "fraction of leukocytes"\nmin = 0\nmax = 1\nplaces = 8\n'
DEL17P = 'code = "del17p"\nlabel = "del(17p)"\nkind = "yes_no"\nrequired = false\n'
RESPONSES = 'choices = ["CR", "CRi", "nPR", "PR", "SD", "PD"]\n'
VARIABLE = "screening.variables"


@pytest.mark.parametrize(
    ("old", "new", "key", "rule"),
    [
        (DEL17P, DEL17P.replace("del17p", "tp53_mutated", 1), "[7].code", "code_repeated"),
        (DEL17P, DEL17P.replace("del17p", "age", 1), "[7].code", "code_reserved"),
        (DEL17P, DEL17P.replace("del17p", "exclusions", 1), "[7].code", "code_reserved"),
        (DEL17P, DEL17P.replace("yes_no", "maybe"), "[7].kind", "literal_error"),
        (DEL17P, DEL17P + 'unit = "copies"\n', "[7].unit", "key_of_another_kind"),
        (DEL17P, DEL17P.replace("required = false\n", ""), "[7].required", "missing"),
        (MRD_BOUNDS, MRD_BOUNDS.replace("places = 8\n", ""), "[4].places", "missing"),
        (MRD_BOUNDS, MRD_BOUNDS.replace("max = 1", "max = 0"), "[4].max", "range_reversed"),
        (MRD_BOUNDS, MRD_BOUNDS.replace("max = 1\n", ""), "[4].max", "missing"),
        (MRD_BOUNDS, MRD_BOUNDS + RESPONSES, "[4].choices", "key_of_another_kind"),
        (MRD_BOUNDS, MRD_BOUNDS.replace("= 8", "= 0"), "[4].places", "greater_than_equal"),
        (MRD_BOUNDS, MRD_BOUNDS.replace("max = 1", 'max = "1"'), "[4].max", "value_error"),
    ],
)
def test_a_wrong_variable_is_named(old, new, key, rule):
    assert (VARIABLE + key, rule) in problems_of(changed((old, new)))


def test_a_choice_is_there_once_and_a_choice_has_choices():
    variable = 'required = true\nchoices = ["FCR", "BR", "FR", "FC", "PCR", "other"]\n'
    twice = changed((variable, variable.replace('"BR"', '"FCR", "BR"')))
    none = changed((variable, "required = true\n"))

    assert problems_of(twice) == [("screening.variables[0].choices", "choice_repeated")]
    assert ("screening.variables[0].choices", "missing") in problems_of(none)


# --- Criteria -------------------------------------------------------------------------------------


AGE = 'require = { variable = "age", at_least = 18, unit = "years" }'
ACCEPTED = 'require = { variable = "response", one_of = ["CR", "CRi", "nPR", "PR"] }'
ECOG = 'require = { variable = "ecog", at_most = 2, unit = "ECOG grade" }'
TP53 = '  { variable = "tp53_mutated", is = true },\n'
TIMING = 'variable = "last_cycle_on"\nat_least_days = 56\nat_most_days = 140\n'
CRITERION = "eligibility.criteria"


@pytest.mark.parametrize(
    ("old", "new", "key", "rule"),
    [
        (AGE, AGE.replace('"age"', '"height"'), "[0].require.variable", "variable_unknown"),
        (AGE, AGE.replace("years", "months"), "[0].require.unit", "unit_differs"),
        (AGE, AGE.replace(', unit = "years"', ""), "[0].require.unit", "unit_differs"),
        (AGE, AGE.replace("18", "131"), "[0].require.at_least", "outside_bounds"),
        (AGE, AGE.replace("18", "18.5"), "[0].require.at_least", "too_fine"),
        (AGE, AGE.replace("18", "'18'"), "[0].require.at_least", "value_error"),
        (AGE, AGE.replace("18", "18, at_most = 17"), "[0].require", "range_reversed"),
        (AGE, AGE.replace("at_least = 18, ", ""), "[0].require", "test_empty"),
        (AGE, AGE.replace("at_least = 18", "is = true"), "[0].require.is", "test_of_another_kind"),
        (AGE, AGE.replace("at_least", "atleast"), "[0].require.atleast", "extra_forbidden"),
        (AGE, "", "[0]", "one_requirement"),
        (ACCEPTED, ACCEPTED.replace('"CR"', '"VGPR"'), "[3].require.one_of", "choice_unknown"),
        (
            ACCEPTED,
            'require = { variable = "response", at_least = 1 }',
            "[3].require.at_least",
            "test_of_another_kind",
        ),
        (TP53, TP53.replace("true", '"yes"'), "[5].any_of[1].is", "choice_unknown"),
        (TP53, TP53.replace("true", "3"), "[5].any_of[1].is", "value_error"),
        (TP53, TP53.replace("tp53", "tp35"), "[5].any_of[1].variable", "variable_unknown"),
        ('code = "ecog_too_high"', 'code = "anc_too_low"', "[7].code", "code_repeated"),
        ('code = "ecog_too_high"', 'code = "ecog too high"', "[6].code", "string_pattern_mismatch"),
    ],
)
def test_a_wrong_criterion_is_named(old, new, key, rule):
    assert (CRITERION + key, rule) in problems_of(changed((old, new)))


@pytest.mark.parametrize(
    ("new", "key", "rule"),
    [
        (TIMING.replace("last_cycle_on", "ecog"), ".variable", "test_of_another_kind"),
        (TIMING.replace("last_cycle_on", "last_day"), ".variable", "variable_unknown"),
        (TIMING.replace("140", "55"), ".at_most_days", "range_reversed"),
        (TIMING.replace("140", "3661"), ".at_most_days", "less_than_equal"),
        ('variable = "last_cycle_on"\n', "", "test_empty"),
    ],
)
def test_a_wrong_timing_is_named(new, key, rule):
    assert problems_of(changed((TIMING, new))) == [("eligibility.timing[0]" + key, rule)]


def test_a_single_day_is_a_possible_timing():
    assert load_protocol(changed((TIMING, TIMING.replace("140", "56"))))


# --- Factors --------------------------------------------------------------------------------------


HIGH = '{ code = "H", label = "High MRD", at_least = 0.01 }'
MIDDLE = '{ code = "I", label = "Intermediate MRD", at_least = 0.0001, below = 0.01 }'
LEVEL = "factors[0].levels"


@pytest.mark.parametrize(
    ("below", "rule"), [("0.02", "levels_overlap"), ("0.009", "levels_gap"), ("0.01", None)]
)
def test_levels_meet_without_overlap_or_hole(below, rule):
    text = changed((MIDDLE, MIDDLE.replace("below = 0.01", f"below = {below}")))

    if rule is None:
        assert load_protocol(text)
    else:
        assert problems_of(text) == [("factors[0].levels[1].below", rule)]


@pytest.mark.parametrize(
    ("old", "new", "key", "rule"),
    [
        (HIGH, HIGH.replace("0.01", "0.01, below = 0.5"), f"{LEVEL}[0].below", "levels_gap"),
        (HIGH, HIGH.replace("0.01", "1.1"), f"{LEVEL}[0].at_least", "outside_bounds"),
        (HIGH, HIGH.replace("0.01", "0.0123456789"), f"{LEVEL}[0].at_least", "too_fine"),
        (HIGH, HIGH.replace("at_least = 0.01", "any_of = [true]"), f"{LEVEL}[0].any_of",
         "level_of_another_kind"),
        (HIGH, HIGH.replace('"H"', '"I"'), f"{LEVEL}[1].code", "code_repeated"),
        (HIGH, HIGH.replace('"H"', '"high"'), f"{LEVEL}[0].code", "string_pattern_mismatch"),
        (HIGH, HIGH.replace(", at_least = 0.01", ""), f"{LEVEL}[0]", "level_empty"),
        (MIDDLE, MIDDLE.replace("below = 0.01", "below = 0.0001"), f"{LEVEL}[1].below",
         "level_empty"),
        (MIDDLE, MIDDLE.replace("0.0001", "0.00001"), f"{LEVEL}[1].at_least",
         "levels_not_from_minimum"),
        ('variable = "mrd_level"\nunit', 'variable = "mrd"\nunit', "factors[0].variable",
         "variable_unknown"),
        ('variable = "mrd_level"\nunit', 'variable = "last_cycle_on"\nunit', "factors[0].variable",
         "level_of_another_kind"),
        ('unit = "fraction of leukocytes"\nlevels', 'unit = "percent"\nlevels', "factors[0].unit",
         "unit_differs"),
    ],
)  # fmt: skip
def test_a_wrong_factor_is_named(old, new, key, rule):
    assert (key, rule) in problems_of(changed((old, new)))


MINIMUM = 'require = { variable = "mrd_level", at_least = 0.0001, '


def test_levels_begin_where_eligibility_begins():
    raised = changed((MINIMUM, MINIMUM.replace("0.0001", "0.001")))
    beyond = changed((MINIMUM, MINIMUM.replace("0.0001", "0.02")))

    assert problems_of(raised) == [(f"{LEVEL}[1].at_least", "levels_not_from_minimum")]
    assert (f"{LEVEL}[1]", "level_never_eligible") in problems_of(beyond)


def test_the_first_level_may_have_no_lower_bound_and_is_then_open_below():
    text = changed((MIDDLE, MIDDLE.replace("at_least = 0.0001, ", "")))

    protocol = load_protocol(text)

    assert levels_of({"mrd_level": Decimal("0.0001")}, protocol.factors) == {"mrd": "I"}


def test_a_level_may_begin_at_nought():
    score = """
[[screening.variables]]
code = "t_score"
label = "T-score of the hip"
kind = "number"
required = true
unit = "standard deviations"
min = -10
max = 10
places = 1
source = "Invented"
flag = "assumed"

[[screening.variables]]
"""
    levels = """code = "bone"
label = "Bone density"
variable = "t_score"
unit = "standard deviations"
levels = [
  { code = "A", label = "Low", below = -2.5 },
  { code = "B", label = "Lowish", at_least = -2.5, below = 0 },
  { code = "C", label = "Normal", at_least = 0 },
]"""

    protocol = load_protocol(with_factor(levels).replace("\n[[screening.variables]]\n", score, 1))

    found = [levels_of({"t_score": Decimal(t)}, protocol.factors[:1]) for t in ("-0.1", "0")]
    assert found == [{"bone": "B"}, {"bone": "C"}]


def test_a_factor_must_be_known_of_every_eligible_subject():
    conditional = MINIMUM.replace("require", "when = [{ variable = 'del17p', is = true }]\nrequire")

    found = problems_of(changed((MINIMUM, conditional)))

    assert ("factors[0].variable", "factor_may_be_unknown") in found


def with_factor(*rows: str) -> str:
    claim = 'source = "a test"\nflag = "assumed"\n\n'
    factors = "".join(f"[[factors]]\n{row}\n{claim}" for row in rows)
    return changed(("[[factors]]\n", factors + "[[factors]]\n"))


SEX = (
    'code = "sex"\nlabel = "Sex"\nvariable = "sex"\nlevels = ['
    '{ code = "F", label = "Women", any_of = ["female"] },'
    ' { code = "M", label = "Men", any_of = ["male"] }]'
)
ACCEPTED_RESPONSE = (
    'code = "response"\nlabel = "Response"\nvariable = "response"\nlevels = ['
    '{ code = "C", label = "Complete", any_of = ["CR", "CRi"] },'
    ' { code = "P", label = "Partial", any_of = ["nPR", "PR"] }]'
)


def test_the_strata_are_every_combination_in_the_order_of_the_file():
    strata = load_protocol(with_factor(SEX)).strata

    assert [stratum.code for stratum in strata] == ["F-H", "F-I", "M-H", "M-I"]
    assert strata[1].label == "Women, Intermediate MRD"
    assert strata[1].levels == {"sex": "F", "mrd": "I"}


@pytest.mark.parametrize(
    ("old", "new", "key", "rule"),
    [
        ('["male"]', '["female"]', "factors[0].levels[1].any_of", "levels_overlap"),
        ('["male"]', '["other"]', "factors[0].levels[1].any_of", "choice_unknown"),
        ('["male"]', "[true]", "factors[0].levels[1].any_of", "choice_unknown"),
        ('any_of = ["male"]', "at_least = 1", "factors[0].levels[1].at_least",
         "level_of_another_kind"),
        ('"female"', '"female", "male"', "factors[0].levels[1].any_of", "levels_overlap"),
        (', any_of = ["male"]', "", "factors[0].levels[1]", "level_empty"),
        ('code = "sex"', 'code = "mrd"', "factors[1].code", "code_repeated"),
    ],
)  # fmt: skip
def test_choices_are_held_once_each(old, new, key, rule):
    assert (key, rule) in problems_of(with_factor(SEX.replace(old, new, 1)))


def test_choices_need_levels_only_as_far_as_they_are_eligible():
    hole = ACCEPTED_RESPONSE.replace('["nPR", "PR"]', '["PR"]')
    never = ACCEPTED_RESPONSE.replace('["nPR", "PR"]', '["SD"]')

    assert load_protocol(with_factor(ACCEPTED_RESPONSE))
    assert problems_of(with_factor(hole)) == [("factors[0].levels", "levels_gap")]
    assert problems_of(with_factor(never)) == [
        ("factors[0].levels", "levels_gap"),
        ("factors[0].levels[1].any_of", "level_never_eligible"),
    ]


def test_the_site_is_no_factor_of_the_protocol():
    site = SEX.replace('code = "sex"', 'code = "site"')

    assert problems_of(with_factor(site)) == [("factors[0].code", "code_reserved")]


def test_the_number_of_strata_and_the_length_of_their_codes_have_limits():
    long = SEX.replace('"F"', '"FFFFFFFF"')
    fits = long.replace('code = "sex"', 'code = "sex2"')
    too_long = fits.replace('code = "sex2"', 'code = "sex3"').replace('"M"', '"MMM"')

    assert len(load_protocol(with_factor(long, fits)).strata) == 8
    assert max(len(s.code) for s in load_protocol(with_factor(long, fits)).strata) == 19
    assert ("factors", "stratum_code_too_long") in problems_of(with_factor(long, fits, too_long))


def test_a_trial_without_factors_has_one_stratum():
    start, end = TEXT.index("[[factors]]"), TEXT.index("# --- Who may take part")
    text = TEXT[:start] + TEXT[end:]

    protocol = load_protocol("factors = []\n" + text)

    assert [(s.code, s.label) for s in protocol.strata] == [("ALL", "All subjects")]
    assert problems_of(text) == [("factors", "missing")]


# --- Every eligible subject has exactly one stratum -----------------------------------------------


@given(
    st.sampled_from(["female", "male"]),
    st.integers(0, 130),
    st.decimals("0", "1", places=8),
    st.sampled_from([True, False, None]),
    st.sampled_from(["CR", "CRi", "nPR", "PR", "SD", "PD"]),
)
def test_whoever_is_eligible_is_in_exactly_one_stratum(sex, age, mrd, marker, response):
    protocol = STRATIFIED
    values = {
        "age": age, "sex": sex, "first_line_regimen": "FCR", "first_line_cycles": 6,
        "response": response, "mrd_level": mrd, "del17p": marker, "ecog": 0,
        "anc_10e9_l": Decimal(2), "platelets_10e9_l": Decimal(99),
        "creatinine_clearance_ml_min": Decimal(99),
    }  # fmt: skip
    eligible = not ineligible_reasons(EligibilityFacts(values), protocol)

    if eligible:
        code = stratum_code(levels_of(values, protocol.factors), protocol.factors)
        assert [stratum.code for stratum in protocol.strata].count(code) == 1
    assert eligible == (
        age >= 18
        and response in {"CR", "CRi", "nPR", "PR"}
        and mrd >= Decimal("0.0001")
        and (mrd >= Decimal("0.01") or marker is True)
    )


STRATIFIED: Protocol = load_protocol(with_factor(SEX, ACCEPTED_RESPONSE))


# --- What one trial needs and another does not ----------------------------------------------------


def test_a_fixed_dose_has_one_level_and_no_way_down():
    dosing = load_protocol(THREE_ARMS).dosing

    assert (dosing.fixed, len(dosing.ladder_mg), len(dosing.planned)) == (True, 1, 1)


@pytest.mark.parametrize(
    ("old", "new", "key", "rule"),
    [
        ("fixed = true", "fixed = false", "dosing.ladder_mg", "ladder_without_way_down"),
        ("fixed = true", "fixed = false", "dosing.reduced_dose_fraction", "missing"),
        ("value = [200]", "value = [100, 200]", "dosing.ladder_mg", "fixed_dose_has_steps"),
    ],
)
def test_a_dose_is_fixed_or_has_all_its_steps(old, new, key, rule):
    assert (key, rule) in problems_of(changed((old, new), text=THREE_ARMS))


def test_a_fixed_dose_has_none_of_the_keys_of_a_dose_with_steps():
    steps = 'fixed = true\nreduced_dose_fraction = { value = 0.5, unit = "fraction of the planned dose", source = "x", flag = "assumed" }'  # noqa: E501 - a line of TOML

    found = problems_of(changed(("fixed = true", steps), text=THREE_ARMS))

    assert found == [("dosing.reduced_dose_fraction", "fixed_dose_has_steps")]


def test_a_trial_without_pregnancy_prevention_says_so_and_nothing_else():
    demanded = changed(("required = false\n\n# --- Safety", "required = true\n\n# --- Safety"),
                       text=THREE_ARMS)  # fmt: skip

    assert not load_protocol(THREE_ARMS).pregnancy_prevention.required
    found = problems_of(demanded)
    assert ("pregnancy_prevention.menopause_months", "missing") in found
    assert ("pregnancy_prevention.acknowledgement_version", "missing") in found
    assert len(found) == 16


def test_a_response_scale_has_a_category_for_progression_and_each_once():
    scale = 'categories = ["CR", "PR", "SD", "PD"]'
    without = changed((scale, 'categories = ["CR", "PR", "SD"]'), text=THREE_ARMS)
    twice = changed((scale, 'categories = ["CR", "CR", "SD", "PD"]'), text=THREE_ARMS)

    assert problems_of(without) == [("endpoints.response.categories", "no_progression")]
    assert problems_of(twice) == [("endpoints.response.categories", "choice_repeated")]
