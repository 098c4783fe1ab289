import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from trials.rules.protocol import (
    Protocol,
    ProtocolInvalid,
    digest,
    load_protocol,
    read_protocol,
)
from trials.rules.toml_lines import key_lines, nearest_line


PROTOCOLS = Path(__file__).parents[2] / "protocols"
TEXT = (PROTOCOLS / "cllm1.toml").read_text()


def changed(*replacements: tuple[str, str]) -> str:
    text = TEXT
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def problems_of(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(text)
    return [(problem.line, problem.key, problem.rule) for problem in refusal.value.problems]


def line_with(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), start=1) if part in line)


def test_the_built_in_protocol_is_read_as_published():
    protocol = load_protocol(TEXT)

    assert protocol.version == "1.0"
    assert protocol.trial.code == "CLLM1"
    assert protocol.trial.registry["clinicaltrials_gov"] == "NCT01556776"
    assert protocol.trial.planned_accrual.value == 200
    assert protocol.trial.accrual_opens_on == date(2012, 7, 5)
    assert protocol.trial.accrual_closes_on == date(2016, 3, 15)
    assert [(arm.code, arm.ratio, arm.control) for arm in protocol.arms] == [
        ("L", 2, False),
        ("P", 1, True),
    ]
    assert protocol.randomisation.block_sizes == (3,)
    assert [stratum.code for stratum in protocol.strata] == ["H", "I"]
    assert [stratum.label for stratum in protocol.strata] == ["High MRD", "Intermediate MRD"]
    assert protocol.factors[0].levels[1].below == Decimal("0.01")
    assert protocol.dosing.ladder_mg == tuple(map(Decimal, ("2.5", "5", "10", "15", "20", "25")))
    assert [planned.dose_mg for planned in protocol.dosing.planned] == [5, 10, 15, 20, 25]
    (timing,) = protocol.eligibility.timing
    assert (timing.variable, timing.at_least_days, timing.at_most_days) == (
        "last_cycle_on",
        56,
        140,
    )
    assert protocol.analysis.landmark_months == (12, 24)
    assert protocol.analysis.at_risk_months[-1] == 42
    assert protocol.analysis.month_days.value == Decimal("30.4375")
    assert protocol.analysis.data_cutoff == date(2016, 3, 31)
    assert protocol.safety.ctcae_version == "4.0"
    assert protocol.pregnancy_prevention.acknowledgement_version == "1.0"


def test_the_five_published_categories_have_the_names_nci_prints():
    labels = {soc.code: soc.label for soc in load_protocol(TEXT).safety.soc_of_interest}

    assert labels == {
        "skin": "Skin and subcutaneous tissue disorders",
        "gastrointestinal": "Gastrointestinal disorders",
        "infections": "Infections and infestations",
        "haematological": "Blood and lymphatic system disorders",
        "general": "General disorders and administration site conditions",
    }


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("dosing", "start_anc"),
        ("dosing", "sourced_ladder"),
        ("safety", "teae_days"),
        ("safety", "sourced_ctcae"),
        ("pregnancy_prevention", "male_after_stop_days"),
        ("analysis", "sourced_cutoff"),
    ],
)
def test_what_is_not_known_of_the_trial_is_labelled_as_assumed(section, key):
    assert getattr(getattr(load_protocol(TEXT), section), key).flag == "assumed"


@pytest.mark.parametrize(
    "code", ["anc_too_low", "platelets_too_low", "creatinine_clearance_too_low"]
)
def test_a_criterion_that_is_not_known_of_the_trial_is_labelled_as_assumed(code):
    criteria = {each.code: each for each in load_protocol(TEXT).eligibility.criteria}

    assert criteria[code].flag == "assumed"


def test_a_protocol_cannot_be_changed_after_reading():
    protocol = load_protocol(TEXT)

    with pytest.raises(ValidationError, match="frozen"):
        protocol.version = "2.0"


def test_the_digest_is_the_texts_sha256():
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest(TEXT) != digest(TEXT + "\n")


def field_names(model: type[BaseModel]) -> set[str]:
    names = set()
    for name, field in model.model_fields.items():
        names.add(field.alias or name)
    return names


@pytest.mark.parametrize("section", Protocol.model_fields)
def test_every_key_is_explained_beside_the_file(section):
    explained = (PROTOCOLS / "README.md").read_text()
    value = getattr(load_protocol(TEXT), section)
    rows = value if isinstance(value, tuple) else (value,)

    for row in rows:
        for name in field_names(type(row)) if isinstance(row, BaseModel) else {section}:
            assert (
                f"`{name}`" in explained
                or f"[[{section}.{name}]]" in explained
                or (f"[{section}.{name}]" in explained)
            ), name


# --- Every problem, by name and line --------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "old", "new", "key", "rule"),
    [
        ("teae_days", "30", "'30'", "safety.teae_days.value", "int_type"),
        ("teae_days", "30", "true", "safety.teae_days.value", "int_type"),
        ("teae_days", "30", "-1", "safety.teae_days.value", "greater_than_equal"),
        ("start_platelets", "10^9/L", "g/L", "dosing.start_platelets.unit", "literal_error"),
        ("start_platelets", "= 50", "= nan", "dosing.start_platelets.value", "finite_number"),
        ("start_platelets", "= 50", "= '50'", "dosing.start_platelets.value", "value_error"),
        (
            "sae_report_hours",
            "Regulation (EU) 536/2014, Article 41",
            " ",
            "safety.sae_report_hours.source",
            "string_too_short",
        ),
        ("teae_days", "assumed", "certain", "safety.teae_days.flag", "literal_error"),
        ("method", "permuted_blocks", "coin", "randomisation.method", "literal_error"),
        (
            "boundary =",
            "haybittle_peto",
            "obrien_fleming",
            "analysis.interim.boundary",
            "literal_error",
        ),
        ("fixed", "false", "0", "dosing.fixed", "bool_type"),
        ("summary_period", "period", "perod", "safety.summary_perod", "extra_forbidden"),
        ("block_sizes", "[3]", "[4]", "randomisation.block_sizes", "block_does_not_fit_ratio"),
        ("block_sizes", "[3]", "[6, 3]", "randomisation.block_sizes", "not_rising"),
        ("ladder_mg", "[2.5, 5,", "[5,", "dosing.ladder_mg", "ladder_without_way_down"),
        ("ladder_mg", "[2.5, 5,", "[5, 2.5,", "dosing.ladder_mg", "not_rising"),
        ("dose_mg = 15", "15", "20", "dosing.planned[2].dose_mg", "step_too_large"),
        ("from_cycle = 13", "13", "14", "dosing.planned[3].from_cycle", "cycles_not_contiguous"),
        ("to_cycle = 18", "18", "12", "dosing.planned[3].to_cycle", "range_reversed"),
        ("max_supply_days", "= 28", "= 29", "dosing.max_supply_days", "supply_longer_than_cycle"),
        ("cycle_days", "= 28", "= 0", "dosing.cycle_days", "cycle_without_days"),
        (
            "reduced_below",
            "= 60",
            "= 20",
            "dosing.min_creatinine_clearance",
            "renal_limits_reversed",
        ),
        ("at_most_days", "140", "55", "eligibility.timing[0].at_most_days", "range_reversed"),
        (
            "first_test_days",
            "min = 10",
            "min = 15",
            "pregnancy_prevention.first_test_days.max",
            "range_reversed",
        ),
        (
            "first_test_days",
            "min = 10",
            "min = 1",
            "pregnancy_prevention.second_test_hours",
            "tests_not_apart",
        ),
        (
            "weekly_test_interval",
            "= 7",
            "= 0",
            "pregnancy_prevention.weekly_test_interval_days",
            "interval_out_of_order",
        ),
        (
            "later_test_interval",
            "= 28",
            "= 29",
            "pregnancy_prevention.later_test_interval_days",
            "interval_longer_than_cycle",
        ),
        ("control_arm", "P", "L", "analysis.control_arm", "control_arm_unknown"),
        ("landmark_months", "12, 24", "24, 12", "analysis.landmark_months", "not_rising"),
        (
            "data_cutoff",
            "2016-03-31",
            "2012-07-04",
            "analysis.data_cutoff",
            "cutoff_before_accrual",
        ),
        (
            "accrual_closes_on",
            "2016-03-15",
            "2012-07-04",
            "trial.accrual_closes_on",
            "closes_before_opening",
        ),
        (
            "first_look_events",
            "= 27",
            "= 135",
            "analysis.interim.first_look_events",
            "look_after_the_end",
        ),
        ("month_days", "30.4375", "0", "analysis.month_days.value", "not_sensible"),
        (
            '  { code = "hiv"',
            "hiv",
            "comorbidity",
            "eligibility.exclusions[4].code",
            "code_repeated",
        ),
        ("every_cycles = 6", "cycles", "days", "visits[2].anchor", "visit_anchor"),
    ],
)
def test_a_wrong_key_is_named_with_its_line_and_rule(start, old, new, key, rule):
    right = next(line for line in TEXT.splitlines() if line.startswith(start))
    text = changed((right, right.replace(old, new)))

    found = problems_of(text)

    assert (key, rule) in [(k, r) for _, k, r in found]
    line = next(n for n, k, r in found if (k, r) == (key, rule))
    written = text.splitlines()[line - 1]
    assert written == right.replace(old, new) or written.startswith(key.split(".")[-1])


def test_all_problems_are_named_at_once_in_the_order_of_the_file():
    text = changed(
        ("at_least_days = 56", "at_least_days = 'x'"),
        ("dose_mg = 15", "dose_mg = 12"),
        ("[safety]", "[safty]"),
        ('control_arm = "P"', 'control_arm = "Q"'),
    )

    assert problems_of(text) == [
        (1, "safety", "missing"),
        (line_with(text, "at_least_days"), "eligibility.timing[0].at_least_days", "int_type"),
        (line_with(text, "dose_mg = 12"), "dosing.planned[2].dose_mg", "dose_not_on_ladder"),
        (line_with(text, "dose_mg = 20"), "dosing.planned[3].dose_mg", "step_too_large"),
        (line_with(text, "[safty]"), "safty", "extra_forbidden"),
        (line_with(text, "control_arm"), "analysis.control_arm", "control_arm_unknown"),
    ]


def test_a_missing_key_is_named_at_its_table():
    text = "\n".join(line for line in TEXT.splitlines() if not line.startswith("teae_days"))

    assert problems_of(text) == [(line_with(text, "[safety]"), "safety.teae_days", "missing")]


def test_a_message_says_where_and_what():
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(changed(('control_arm = "P"', 'control_arm = "L"')))

    line = line_with(TEXT, "control_arm")
    expected = (
        f"line {line}: analysis.control_arm: 'L' is not the control arm [control_arm_unknown]"
    )
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "summary_period",
            "summary_perod",
            "there is no such key here; did you mean 'summary_period'?",
        ),
        ("summary_period", "qqqq", "there is no such key here"),
        ("ratio = 1\n", "ratio = 0\n", "it should be greater than or equal to 1; it is 0"),
        ("fixed = false", "fixed = 'no'", "it should be a valid boolean; it is 'no'"),
        (
            "teae_days = {",
            "teae_days = { valu = 3,",
            "there is no such key here; did you mean 'value'?",
        ),
        ("[safety]", "[safty]", "there is no such key here; did you mean 'safety'?"),
    ],
)
def test_a_message_says_what_stands_there_and_what_was_meant(old, new, message):
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(changed((old, new)))

    assert message in [problem.message for problem in refusal.value.problems]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('version = "1.0"\ntrial = \n', 2, id="no value"),
        pytest.param('version = "1.0\n', 1, id="open string"),
        pytest.param("a = 1\na = 2\n", 2, id="key twice"),
        pytest.param("a = [1,\n2", 2, id="ends inside a list"),
        pytest.param("a = " + "9" * 5000, 1, id="number without measure"),
        pytest.param("a = " + "[" * 5000, 1, id="lists without end"),
    ],
)
def test_text_that_is_not_toml_is_one_problem_with_its_line(text, line):
    assert problems_of(text) == [(line, "", "toml_syntax")]


def test_an_empty_text_lacks_every_table():
    assert {key for _, key, _ in problems_of("")} == set(Protocol.model_fields) - {"consent"}


def test_the_built_in_block_needs_its_reason():
    reason = next(line for line in TEXT.splitlines() if line.startswith("predictability_reason"))
    silent = changed((reason, 'predictability_reason = "  "'))
    key = "randomisation.predictability_reason"

    assert [(k, r) for _, k, r in problems_of(silent)] == [(key, "predictability_reason_missing")]


def test_arms_need_one_control_and_one_with_study_drug():
    two = TEXT.replace("control = false", "control = true", 1)
    none = TEXT.replace("active_drug = true", "active_drug = false", 1)

    assert ("arms", "one_control_arm") in [(k, r) for _, k, r in problems_of(two)]
    assert ("arms", "no_active_arm") in [(k, r) for _, k, r in problems_of(none)]


def test_the_plan_begins_with_cycle_one():
    text = changed(("from_cycle = 1\nto_cycle = 1\n", "from_cycle = 2\nto_cycle = 1\n"))

    found = [(key, rule) for _, key, rule in problems_of(text)]

    assert ("dosing.planned[0]", "plan_start") in found
    assert ("dosing.planned[0].to_cycle", "range_reversed") in found


# --- Lines ----------------------------------------------------------------------------------------


def paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from paths(part, (*path, key))
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from paths(part, (*path, index))


def test_every_key_of_the_built_in_protocol_has_the_line_it_stands_on():
    lines, written = key_lines(TEXT), TEXT.splitlines()

    for path in paths(tomllib.loads(TEXT)):
        if path and isinstance(path[-1], str):
            assert path[-1] in written[lines[path] - 1], path


def test_lines_are_found_through_every_way_of_writing_a_key():
    text = """# a = 1
a.b."c d" = "x # y"  # z

[[t]]
k = '''
[no]
n = 1
'''
[[t]]
k = [ # first
  { m = 1, n = [2,
    3] },
  2024-01-01T10:00:00Z,
]
[t.sub]
q = \"\"\"quote \\\"\"\" inside\"\"\"
[[t.rows]]
r = 1
[[t.rows]]
r = 2
['odd key']
s = -1.5e3
"""

    lines = key_lines(text)

    assert set(paths(tomllib.loads(text))) - {()} <= set(lines)
    assert lines["a", "b", "c d"] == 2
    assert lines["t", 0, "k"] == 5
    assert lines["t", 1] == 9
    assert lines["t", 1, "k", 0, "n", 1] == 12
    assert lines["t", 1, "k", 1] == 13
    assert lines["t", 1, "sub", "q"] == 16
    assert lines["t", 1, "rows", 1, "r"] == 20
    assert lines["odd key", "s"] == 22
    assert ("no",) not in lines


def test_a_missing_key_takes_the_line_of_the_table_above_it():
    lines = key_lines("\n[a]\nb = 1\n")

    assert nearest_line(lines, ("a", "b")) == 3
    assert nearest_line(lines, ("a", "c", "d")) == 2
    assert nearest_line(lines, ("e",)) == 1


@pytest.mark.parametrize("text", ["a = [1", 'a = "x', "= 1", "a = 'x"])
def test_text_that_is_not_toml_has_no_lines(text):
    with pytest.raises(ValueError, match="line 1"):
        key_lines(text)


bare = st.text("abcXYZ019_-", min_size=1, max_size=6)
scalars = st.sampled_from(['"a # [b]"', "'c = 1'", "1", "-2.5", "true", "2014-03-09", "[1, [2]]"])


@given(st.dictionaries(bare, st.dictionaries(bare, scalars, max_size=4), max_size=5), st.data())
def test_any_table_and_key_is_found_on_its_own_line(tables, data):
    written: list[str] = []
    expected = {}
    for name, keys in tables.items():
        written.extend([""] * data.draw(st.integers(0, 2)))
        written.append(f"[{name}] # {name}")
        expected[name,] = len(written)
        for key, scalar in keys.items():
            written.append(f"{key} = {scalar}")
            expected[name, key] = len(written)

    lines = key_lines("\n".join(written))

    assert {path: lines[path] for path in expected} == expected


# --- Dose modifications and the consent form --------------------------------------------------


@pytest.mark.parametrize(
    ("replacement", "key", "rule"),
    [
        (
            ('code = "rash_grade_4"', 'code = "rash_grade_3"'),
            "dosing.modifications[3].code",
            "code_repeated",
        ),
        (
            ('action = "stop"', 'action = "hold"'),
            "dosing.modifications[3].resume_when",
            "resume_and_action",
        ),
        (
            ('action = "stop"', 'action = "stop"\nresume_at = "same_level"'),
            "dosing.modifications[3].resume_at",
            "resume_and_action",
        ),
        (
            ('action = "stop"', 'action = "halve"'),
            "dosing.modifications[3].action",
            "literal_error",
        ),
        (("reconsent = false", 'reconsent = "no"'), "consent.reconsent", "bool_type"),
        (('form_version = "1.0"', 'form_version = "first"'), "consent.form_version", ""),
    ],
)
def test_a_faulty_modification_or_form_is_named_by_key_and_rule(replacement, key, rule):
    found = problems_of(changed(replacement))

    assert (key, rule) in {(at, broken if rule else "") for _, at, broken in found}


def test_a_dose_cannot_go_one_level_lower_where_the_ladder_has_none():
    text = changed(("[2.5, 5, 10, 15, 20, 25]", "[5, 10, 15, 20, 25]"))

    rules = {(key, rule) for _, key, rule in problems_of(text)}

    assert ("dosing.modifications[0]", "ladder_without_way_down") in rules
    assert ("dosing.modifications[3]", "ladder_without_way_down") not in rules


# --- What was stored --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stricter",
    [
        ("control = true", "control = false"),
        ("value = [3]", "value = [4]"),
        ("offset_days = 0\nwindow_before_days = 0\nwindow_after_days = 7",
         "offset_days = 0\nwindow_before_days = 0\nwindow_after_days = 28"),
    ],
    ids=["arms", "blocks", "visits"],
)  # fmt: skip
def test_a_stored_text_is_read_though_the_rules_of_today_refuse_it(stricter):
    text = changed(stricter)

    assert read_protocol(text).version == "1.0"
    assert problems_of(text)


def test_a_stored_text_without_the_shape_of_a_protocol_is_not_read():
    misshapen = changed(("cycle_days = {", "cycle_day = {"))

    with pytest.raises(ProtocolInvalid) as refusal:
        read_protocol(misshapen)

    assert [each.rule for each in refusal.value.problems] == ["missing", "extra_forbidden"]
    assert read_protocol(TEXT) == load_protocol(TEXT)


# --- Visits -----------------------------------------------------------------------------------

END = "offset_days = 0\nwindow_before_days = 0\nwindow_after_days = {}"
SAFETY = "offset_days = 30\nwindow_before_days = {}\nwindow_after_days = 7"
FOLLOW_UP = "every_days = {}\nwindow_before_days = {}\nwindow_after_days = 14"


def visits_with(form: str, old: tuple[int, ...], new: tuple[int, ...]) -> str:
    return changed((form.format(*old), form.format(*new)))


# The safety follow-up opens on day 28 and closes on day 37, the follow-up opens on day 70.
@pytest.mark.parametrize(
    ("form", "old", "apart", "together", "at"),
    [
        pytest.param(END, (7,), (27,), (28,), "3].window_after_days", id="the first is longer"),
        pytest.param(SAFETY, (2,), (22,), (23,), "3].window_after_days", id="the next is earlier"),
        pytest.param(
            FOLLOW_UP, (84, 14), (84, 46), (84, 47), "4].window_after_days", id="one that repeats"
        ),
        pytest.param(FOLLOW_UP, (84, 14), (29, 14), (28, 14), "5].window_after_days", id="itself"),
    ],
)
def test_a_visits_window_closes_before_the_next_one_opens(form, old, apart, together, at):
    assert load_protocol(visits_with(form, old, apart))

    text = visits_with(form, old, together)

    assert [(key, rule) for _, key, rule in problems_of(text)] == [
        (f"visits[{at}", "visit_windows_overlap")
    ]


def test_windows_that_cross_are_named_with_both_visits():
    with pytest.raises(ProtocolInvalid) as refusal:
        load_protocol(visits_with(END, (7,), (40,)))

    (problem,) = refusal.value.problems
    assert problem.message == (
        "the window of 'end_of_treatment', planned on day 0, closes on day 40 after"
        " end_of_treatment, that of 'safety_follow_up', planned on day 30, opens on day 28:"
        " they overlap"
    )


@pytest.mark.parametrize(("before", "at"), [(29, "3].window_after"), (30, "4].window_before")])
def test_a_window_that_reaches_the_day_of_the_visit_before_is_the_one_named(before, at):
    ((_, key, _),) = problems_of(visits_with(SAFETY, (2,), (before,)))

    assert key == f"visits[{at}_days"


def test_visits_are_compared_in_the_order_of_their_days_and_not_of_the_file():
    block = TEXT[
        TEXT.index('[[visits]]\ncode = "end_of') : TEXT.index('[[visits]]\ncode = "safety')
    ]
    text = TEXT.replace(block, "").replace("# --- Endpoints", f"{block}# --- Endpoints", 1)
    assert load_protocol(text)

    crossed = text.replace(END.format(7), END.format(28))

    assert [key for _, key, _ in problems_of(crossed)] == ["visits[5].window_after_days"]


def a_visit(
    code: str, *, anchor: str = "cycle_day_1", before: int = 0, after: int = 0, **keys: int
) -> str:
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(
        (
            "[[visits]]",
            f'code = "{code}"',
            f'label = "{code}"',
            f'anchor = "{anchor}"',
            *lines,
            f"window_before_days = {before}",
            f"window_after_days = {after}",
            'source = "Invented"',
            'flag = "assumed"',
            "",
            "",
        )
    )


def crossings(*visits: str, plan: str = TEXT) -> list[str]:
    start, end = plan.index("[[visits]]"), plan.index("# --- Endpoints")
    text = plan[:start] + "".join(visits) + plan[end:]
    try:
        load_protocol(text)
    except ProtocolInvalid as invalid:
        return [problem.message for problem in invalid.problems]
    return []


DAY_1 = {"from_cycle": 1, "every_cycles": 1}


@pytest.mark.parametrize(("before", "crosses"), [(10, False), (11, True)])
def test_the_visits_within_one_cycle_do_not_cross(before, crosses):
    day_1 = a_visit("day_1", after=3, **DAY_1)
    day_15 = a_visit("day_15", before=before, offset_days=14, **DAY_1)

    found = crossings(day_1, day_15)

    assert bool(found) is crosses


@pytest.mark.parametrize(("after", "crosses"), [(10, False), (11, True)])
def test_the_last_visit_of_a_cycle_does_not_cross_the_first_of_the_next(after, crosses):
    day_1 = a_visit("day_1", before=3, **DAY_1)
    day_15 = a_visit("day_15", after=after, offset_days=14, **DAY_1)

    found = crossings(day_1, day_15)

    assert bool(found) is crosses
    if crosses:
        assert "planned on day 14, closes on day 25 after day 1 of cycle 1" in found[0]
        assert "planned on day 28, opens on day 25" in found[0]


@pytest.mark.parametrize(("after", "crosses"), [(24, False), (25, True)])
def test_visits_of_the_same_day_are_one_appointment_and_those_beside_it_are_not(after, crosses):
    every = a_visit("every", before=3, after=3, **DAY_1)
    sixth = a_visit("sixth", before=14, after=after, from_cycle=7, every_cycles=6)

    assert bool(crossings(every, sixth)) is crosses


@pytest.mark.parametrize(("days", "crosses"), [(84, False), (80, True), (88, True)])
def test_repeats_are_compared_and_not_the_first_time_alone(days, crosses):
    scan = a_visit("scan", anchor="randomisation", after=3, offset_days=84, every_days=84)
    blood = a_visit("blood", anchor="randomisation", before=3, offset_days=84, every_days=days)

    found = crossings(scan, blood)

    assert bool(found) is crosses


@pytest.mark.parametrize(("offset", "crosses"), [(840, False), (839, True), (841, False)])
def test_a_visit_that_is_once_is_compared_with_every_time_of_one_that_repeats(offset, crosses):
    repeated = a_visit("repeated", anchor="end_of_treatment", before=1, every_days=84)
    once = a_visit("once", anchor="end_of_treatment", offset_days=offset)

    assert bool(crossings(repeated, once)) is crosses


def test_visits_of_different_anchors_are_not_compared():
    start = a_visit("start", anchor="randomisation", after=20)

    assert crossings(start, a_visit("day_1", **DAY_1)) == []


@pytest.mark.parametrize(("last", "crosses"), [(18, False), (19, True)])
def test_cycles_are_compared_as_far_as_they_are_planned(last, crosses):
    rows = TEXT[TEXT.index("[[dosing.planned]]\nfrom_cycle = 19") :]
    rows = rows[: rows.index("# What an event")]
    plan = TEXT.replace(
        rows, "" if last == 18 else rows.replace("dose_mg", "to_cycle = 19\ndose_mg")
    )
    day_1 = a_visit("day_1", **DAY_1)
    late = a_visit("late", before=27, from_cycle=19, every_cycles=1, offset_days=27)

    assert bool(crossings(day_1, late, plan=plan)) is crosses


@pytest.mark.parametrize(("day", "crosses"), [(3_660, True), (3_661, False)])
def test_days_are_compared_as_far_as_a_file_can_name_them(day, crosses):
    one = {"offset_days": day - 3_001, "every_days": 3_000}
    other = {"offset_days": day - 1_700, "every_days": 1_700}

    found = crossings(
        a_visit("one", anchor="randomisation", **one),
        a_visit("other", anchor="randomisation", before=1, **other),
    )

    assert bool(found) is crosses


def test_a_visit_in_cycles_does_not_repeat_in_days():
    found = crossings(a_visit("day_1", every_days=28, **DAY_1))

    assert found == [
        "a visit anchored at cycle_day_1 repeats in cycles: every_days belongs to the others"
    ]
