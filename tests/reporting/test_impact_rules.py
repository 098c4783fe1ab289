from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reporting.impact import Amendment, Effect, Measured, Standing, effects
from trials.rules.protocol import load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
BEFORE = load_protocol(TEXT)
DAY = date(2026, 4, 1)

SCREENED = Standing("DE-01-0001", signed=("1.0",), screened_under="1.0")
TREATED = Standing(
    "DE-01-0002",
    sex="male",
    signed=("1.0",),
    screened_under="1.0",
    randomised_on=DAY - timedelta(40),
    dose_mg=Decimal(5),
    next_cycle=2,
    cycle=1,
    cycle_day_1=DAY - timedelta(10),
)
ENDED = replace(TREATED, treatment_ended_on=DAY - timedelta(5))
WOMAN = replace(TREATED, sex="female", category="FCBP")

RECONSENT = (
    ('form_version = "1.0"', 'form_version = "2.0"'),
    ("reconsent = false", "reconsent = true"),
)
FOLLOW_UP = (
    "window_before_days = 2\nwindow_after_days = 7",
    "window_before_days = 3\nwindow_after_days = 10",
)
CYCLES = (
    "window_before_days = 3\nwindow_after_days = 3",
    "window_before_days = 4\nwindow_after_days = 3",
)
TESTS = ("later_test_interval_days = { value = 28", "later_test_interval_days = { value = 21")
COUNSELLING = (
    "counselling_interval_days = { value = 28",
    "counselling_interval_days = { value = 14",
)
EXCLUSION = ('label = "HIV infection"', 'label = "HIV infection of any kind"')
NO_FIVE = (
    ("[2.5, 5, 10, 15, 20, 25]", "[2.5, 10, 15, 20, 25]"),
    ("to_cycle = 1\ndose_mg = 5", "to_cycle = 1\ndose_mg = 10"),
)
LESS = (
    ("dose_mg = 10\nsource", "dose_mg = 5\nsource"),
    ("dose_mg = 15\nsource", "dose_mg = 10\nsource"),
    ("dose_mg = 20\ncondition", "dose_mg = 15\ncondition"),
    ("dose_mg = 25\ncondition", "dose_mg = 20\ncondition"),
)


def amended(*replacements):
    text = TEXT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_protocol(text)


def rows_of(subject, *replacements, before=()):
    amendment = Amendment(amended(*before), amended(*before, *replacements), DAY)
    return effects(subject, amendment)


def found(subject, *replacements, before=()):
    return [row.effect for row in rows_of(subject, *replacements, before=before)]


def details(subject, *replacements, before=()):
    return [row.detail for row in rows_of(subject, *replacements, before=before)]


@pytest.mark.parametrize(
    ("subject", "replacements", "expected"),
    [
        (SCREENED, (), []),
        (SCREENED, RECONSENT, [Effect.RECONSENT_DUE]),
        (TREATED, RECONSENT, [Effect.RECONSENT_DUE]),
        (ENDED, RECONSENT, [Effect.RECONSENT_DUE]),
        (replace(TREATED, signed=("1.0", "2.0")), RECONSENT, []),
        (replace(TREATED, signed=()), RECONSENT, [Effect.RECONSENT_DUE]),
        (SCREENED, (EXCLUSION,), [Effect.JUDGE_ANEW]),
        (TREATED, (EXCLUSION,), []),
        (replace(SCREENED, screened_under=""), (EXCLUSION,), []),
        (TREATED, NO_FIVE, [Effect.LEVEL_GONE]),
        (replace(TREATED, dose_mg=Decimal(10)), NO_FIVE, [Effect.DOSE_RULE_CHANGED]),
        (replace(TREATED, decided=((2, Decimal(10)),)), LESS,
         [Effect.DECISION_UNDONE, Effect.PLANNED_DOSE_CHANGED]),
        (replace(TREATED, decided=((2, Decimal(5)),)), LESS, [Effect.PLANNED_DOSE_CHANGED]),
        (TREATED, (TESTS,), []),
        (WOMAN, (TESTS,), [Effect.PREVENTION_CHANGED]),
        (replace(WOMAN, category=""), (TESTS,), [Effect.PREVENTION_CHANGED]),
        (replace(WOMAN, category="FNCBP"), (TESTS,), []),
        (replace(SCREENED, category="MALE"), (COUNSELLING,), [Effect.PREVENTION_CHANGED]),
        (TREATED, (COUNSELLING,), [Effect.PREVENTION_CHANGED]),
        (SCREENED, (COUNSELLING,), []),
        (ENDED, (COUNSELLING,), []),
        (ENDED, (FOLLOW_UP,), [Effect.WINDOW_MOVED]),
        (TREATED, (FOLLOW_UP,), []),
        (TREATED, (CYCLES,), [Effect.WINDOW_MOVED]),
    ],
)  # fmt: skip
def test_an_amendment_affects_those_it_concerns_and_nobody_else(subject, replacements, expected):
    assert found(subject, *replacements) == expected


@pytest.mark.parametrize("subject", [SCREENED, TREATED, ENDED])
def test_who_is_out_of_the_trial_is_not_affected(subject):
    out = replace(subject, out=True)

    assert found(out, *RECONSENT, EXCLUSION, *NO_FIVE, COUNSELLING, FOLLOW_UP, CYCLES) == []


def test_the_words_say_what_is_to_be_done():
    assert details(SCREENED, *RECONSENT) == [
        "signed form 1.0; form 2.0 is to be signed before randomisation"
    ]
    assert details(TREATED, *RECONSENT) == [
        "signed form 1.0; form 2.0 is to be signed before more drug"
    ]
    assert details(ENDED, *RECONSENT) == [
        "signed form 1.0; form 2.0 is to be signed at the next visit, and holds nothing up"
    ]
    assert details(TREATED, *NO_FIVE) == ["takes 5 mg, no longer a level; the next lower is 2.5 mg"]
    assert details(TREATED, *LESS) == ["cycle 2 is planned with 5 mg instead of 10 mg"]


def test_a_form_that_was_due_before_is_no_effect_of_this_amendment():
    assert found(TREATED, COUNSELLING, before=RECONSENT) == [Effect.PREVENTION_CHANGED]


def test_a_window_that_is_over_on_the_day_is_past_and_one_that_ends_on_it_is_not():
    closes = timedelta(30 + 10)
    last = replace(ENDED, treatment_ended_on=DAY - closes)
    over = replace(ENDED, treatment_ended_on=DAY - closes - timedelta(1))

    assert (found(last, FOLLOW_UP), found(over, FOLLOW_UP)) == ([Effect.WINDOW_MOVED], [])


def test_coming_cycles_are_counted_from_the_last_one_that_began():
    began = TREATED.cycle_day_1
    cycle, opened = began + timedelta(28), began + timedelta(28 - 4)
    closes = cycle + timedelta(3)

    (detail,) = details(TREATED, CYCLES)

    assert detail == (
        f"Day 1 of each cycle: now {cycle} ({opened} to {closes}),"
        f" was {cycle} ({cycle - timedelta(3)} to {closes})"
    )


def test_a_visit_within_a_cycle_is_looked_for_in_the_running_one():
    mid_cycle = ("every_cycles = 1\n", "every_cycles = 1\noffset_days = 14\n")
    form = "window_before_days = {0}\nwindow_after_days = {0}"
    at_once = (form.format(14), form.format(0))
    narrower = (
        "offset_days = 14\nwindow_before_days = 3",
        "offset_days = 14\nwindow_before_days = 2",
    )

    (detail,) = details(TREATED, narrower, before=(mid_cycle, at_once))

    assert f"now {TREATED.cycle_day_1 + timedelta(14)}" in detail


def test_a_visit_that_differs_only_later_is_told_with_the_first_time_that_does():
    later = ("every_days = 84", "every_days = 100")
    ended = ENDED.treatment_ended_on

    (detail,) = details(ENDED, later)

    assert f"now {ended + timedelta(184)}" in detail
    assert f"was {ended + timedelta(168)}" in detail


def test_a_visit_that_comes_or_goes_is_told():
    repeated = ("offset_days = 84\nevery_days = 84\n", "offset_days = 84\n")

    (gone,) = details(ENDED, repeated)
    (new,) = details(ENDED, tuple(reversed(repeated)), before=(repeated,))

    assert "no longer planned" in gone
    assert "new visit" in new


# --- The gate ---------------------------------------------------------------------------------

LIMITS = (
    ("anc", "start_anc = { value = 1.0", "start_anc = { value = 1.5", "1.5", "1.499"),
    ("platelets", "start_platelets = { value = 50", "start_platelets = { value = 75", "75", "74"),
    ("creatinine_clearance", "min_creatinine_clearance = { value = 30",
     "min_creatinine_clearance = { value = 40", "40", "39"),
)  # fmt: skip


def with_lab(analyte, value, subject=TREATED):
    taken = Measured(Decimal(value), DAY - timedelta(6))
    return replace(subject, newest={**subject.newest, analyte: taken})


@pytest.mark.parametrize(("analyte", "low", "high", "enough", "below"), LIMITS)
def test_a_limit_shuts_the_gate_of_whose_newest_value_lies_between_the_two(
    analyte, low, high, enough, below
):
    at_the_new, just_below = with_lab(analyte, enough), with_lab(analyte, below)
    at_the_old = with_lab(analyte, low.split()[-1])
    below_both = with_lab(analyte, "0.5")

    assert found(at_the_new, (low, high)) == []
    assert found(just_below, (low, high)) == [Effect.GATE_SHUT]
    assert found(at_the_old, (low, high)) == [Effect.GATE_SHUT]
    assert found(below_both, (low, high)) == []


@pytest.mark.parametrize(("analyte", "low", "high", "enough", "below"), LIMITS)
def test_a_lower_limit_opens_the_gate_of_whose_newest_value_lies_between_the_two(
    analyte, low, high, enough, below
):
    assert found(with_lab(analyte, below), (high, low), before=((low, high),)) == [
        Effect.GATE_OPENED
    ]
    assert found(with_lab(analyte, enough), (high, low), before=((low, high),)) == []


@pytest.mark.parametrize(("analyte", "low", "high", "enough", "below"), LIMITS)
def test_where_no_value_is_recorded_that_is_said(analyte, low, high, enough, below):
    (row,) = rows_of(TREATED, (low, high))

    assert row.effect is Effect.LIMIT_WITHOUT_VALUE
    assert row.detail.endswith(f"no value of {analyte_in_words(analyte)} is recorded")
    assert found(SCREENED, (low, high)) == found(ENDED, (low, high)) == []


def analyte_in_words(analyte):
    return {"anc": "neutrophils"}.get(analyte, analyte.replace("_", " "))


def test_a_shut_gate_is_told_with_value_day_and_both_limits():
    _, low, high, _, below = LIMITS[1]

    (detail,) = details(with_lab("platelets", below), (low, high))

    assert detail == (
        "platelets 74 of 2026-03-26: at least 50 10^9/L is asked for now, 75 from 2026-04-01 on;"
        " shut until a value reaches the limit"
    )


RENAL = ("below_creatinine_clearance = { value = 60", "below_creatinine_clearance = { value = 70")
SHARE = ("reduced_dose_fraction = { value = 0.5", "reduced_dose_fraction = { value = 0.25")


@pytest.mark.parametrize(
    ("clearance", "replacement", "expected"),
    [
        ("70", RENAL, []),
        ("69.9", RENAL, [Effect.RENAL_DOSE_CHANGED]),
        ("60", RENAL, [Effect.RENAL_DOSE_CHANGED]),
        ("59.9", RENAL, []),
        ("60", SHARE, []),
        ("59.9", SHARE, [Effect.RENAL_DOSE_CHANGED]),
    ],
)
def test_a_limit_of_the_kidneys_concerns_whose_share_of_the_dose_it_changes(
    clearance, replacement, expected
):
    assert found(with_lab("creatinine_clearance", clearance), replacement) == expected


def test_a_dose_decided_before_a_renal_limit_is_named_since_no_gate_asks_again():
    decided = replace(TREATED, decided=((2, Decimal(10)),))

    (detail,) = details(with_lab("creatinine_clearance", "65", decided), RENAL)

    assert detail == (
        "creatinine clearance 65 of 2026-03-26: 0.5 of the planned dose at most instead of the"
        " planned dose in dose decisions from 2026-04-01 on; already decided and not judged anew:"
        " 10 mg for cycle 2"
    )
    assert found(TREATED, RENAL) == [Effect.LIMIT_WITHOUT_VALUE]


INTERRUPTION = (
    "max_interruption_days = { value = 28",
    "max_interruption_days = { value = 14",
)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (14, [Effect.SUPPLY_CHANGED]),
        (15, [Effect.GATE_SHUT, Effect.SUPPLY_CHANGED]),
        (28, [Effect.GATE_SHUT, Effect.SUPPLY_CHANGED]),
        (29, [Effect.SUPPLY_CHANGED]),
    ],
)
def test_a_shorter_interruption_shuts_the_gate_of_who_is_longer_without_drug(days, expected):
    subject = replace(TREATED, runs_out_on=DAY - timedelta(days))

    assert found(subject, INTERRUPTION) == expected


def test_a_longer_interruption_opens_the_gate():
    subject = replace(TREATED, runs_out_on=DAY - timedelta(20))

    assert found(subject, tuple(reversed(INTERRUPTION)), before=(INTERRUPTION,)) == [
        Effect.GATE_OPENED,
        Effect.SUPPLY_CHANGED,
    ]


GOES_ON = ('value = "end_treatment"', 'value = "continue"')


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [((), []), (("safety",), []), (("emergency",), [Effect.GATE_SHUT]),
     (("safety", "contingency"), [Effect.GATE_SHUT])],
)  # fmt: skip
def test_treatment_that_ends_with_the_blind_ends_for_whose_blind_was_broken(kinds, expected):
    subject = replace(TREATED, unblinded=kinds)

    assert found(subject, tuple(reversed(GOES_ON)), before=(GOES_ON,)) == expected
    assert found(replace(ENDED, unblinded=kinds), GOES_ON) == []


def test_treatment_may_go_on_after_a_broken_blind_from_the_day_on():
    (row,) = rows_of(replace(TREATED, unblinded=("emergency",)), GOES_ON)

    assert (row.effect, row.detail) == (
        Effect.GATE_OPENED,
        "the blind was broken for treatment: study drug again from 2026-04-01 on",
    )


# --- The programme of pregnancy prevention ----------------------------------------------------

MENOPAUSE = ("menopause_months = { value = 24", "menopause_months = { value = 36")


@pytest.mark.parametrize(
    ("months", "sterile", "expected"),
    [(36, False, []), (35, False, [Effect.PREVENTION_CHANGED]), (35, True, []), (None, True, [])],
)
def test_a_longer_menopause_asks_to_assess_anew_who_falls_short_of_it(months, sterile, expected):
    subject = replace(
        WOMAN, category="FNCBP", menopause_months=months, surgically_sterile=sterile, evidence="x"
    )

    assert found(subject, MENOPAUSE) == expected
    assert found(replace(subject, treatment_ended_on=DAY), MENOPAUSE) == []


def test_a_category_holds_until_it_is_assessed_anew_and_the_report_says_so():
    subject = replace(WOMAN, category="FNCBP", menopause_months=30, evidence="chart")

    (detail,) = details(subject, MENOPAUSE)

    assert detail == (
        "FNCBP with 30 months of menopause would be FCBP by the 36 months of 2026-04-01 on;"
        " to be assessed anew, FNCBP holds until then"
    )


FIRST_TEST = ("second_test_hours = { value = 24", "second_test_hours = { value = 48")


def test_a_first_test_concerns_who_has_had_no_supply():
    assert found(WOMAN, FIRST_TEST) == []
    assert found(replace(WOMAN, cycle=None), FIRST_TEST) == [Effect.PREVENTION_CHANGED]


@pytest.mark.parametrize(
    ("key", "subject", "expected"),
    [
        ("female_after_stop_days", WOMAN, [Effect.PREVENTION_CHANGED]),
        ("female_after_stop_days", TREATED, []),
        ("male_after_stop_days", WOMAN, []),
        ("male_after_stop_days", TREATED, [Effect.PREVENTION_CHANGED]),
        ("blood_donation_after_stop_days", WOMAN, [Effect.PREVENTION_CHANGED]),
    ],
)
def test_days_after_the_last_dose_bind_until_the_last_of_them(key, subject, expected):
    longer = (f"\n{key} = {{ value = 28", f"\n{key} = {{ value = 56")
    last_day = replace(subject, treatment_ended_on=DAY - timedelta(56))
    day_after = replace(subject, treatment_ended_on=DAY - timedelta(57))

    assert found(subject, longer) == found(last_day, longer) == expected
    assert found(day_after, longer) == []


def test_a_programme_that_ends_is_told_as_a_whole():
    off = ("[pregnancy_prevention]\nrequired = true", "[pregnancy_prevention]\nrequired = false")

    assert found(WOMAN, off) == [Effect.PREVENTION_CHANGED]
    assert found(ENDED, off) == [Effect.PREVENTION_CHANGED]
    assert found(replace(ENDED, treatment_ended_on=DAY - timedelta(29)), off) == []


# --- The dose, and what is told in words ------------------------------------------------------


SOONER = (("to_cycle = 18", "to_cycle = 17"), ("from_cycle = 19", "from_cycle = 18"))


def test_the_first_coming_cycle_that_is_planned_otherwise_is_told_with_its_condition():
    assert details(TREATED, *SOONER) == [
        "cycle 18 is planned with 25 mg if mrd positive instead of 20 mg if mrd positive"
    ]


def test_a_cycle_that_was_supplied_is_planned_no_more():
    assert found(replace(TREATED, next_cycle=18), *SOONER) == [Effect.PLANNED_DOSE_CHANGED]
    assert found(replace(TREATED, next_cycle=19), *SOONER) == []


@pytest.mark.parametrize(
    ("replacement", "detail"),
    [
        (("lab_window_days = { value = 7", "lab_window_days = { value = 3"),
         "age of laboratory results at a supply: falls from 7 to 3 days, from 2026-04-01 on"),
        (('resume_when = "platelets at 50', 'resume_when = "platelets at 75'),
         ("dose modification “Platelets below 25 x10^9/L, or below 50 with bleeding”, go on when:"
         " now “platelets at 75 x10^9/L or more”, was “platelets at 50 x10^9/L or more”,"
         " from 2026-04-01 on")),
        (('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"'),
         ("CTCAE version: changes from 4.0 to 5.0, from 2026-04-01 on; adverse events recorded"
         " before keep the version they were graded by")),
        (('criteria = "iwCLL 2008"', 'criteria = "iwCLL 2018"'),
         ("criteria: now “iwCLL 2018”, was “iwCLL 2008”, from 2026-04-01 on; assessments recorded"
         " before stay as they are")),
    ],
)  # fmt: skip
def test_what_changes_is_told_with_the_day_it_changes_from(replacement, detail):
    assert details(TREATED, replacement) == [detail]
