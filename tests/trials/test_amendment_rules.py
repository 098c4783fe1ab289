import json
from pathlib import Path

import pytest

from trials.rules.protocol import Protocol, amendment, load_protocol
from trials.rules.protocol.amendment import by_section, changes, judges_otherwise


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
BEFORE = load_protocol(TEXT)


def amended(*replacements: tuple[str, str]) -> Protocol:
    text = TEXT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_protocol(text)


def told(*replacements: tuple[str, str]) -> list[tuple[str, str]]:
    return [(row.section, row.text) for row in changes(BEFORE, amended(*replacements))]


EXCLUSION = '  { code = "hiv", label = "HIV infection"'
NEW_EXCLUSION = '  { code = "vaccine", label = "Live vaccine", source = "A1", flag = "assumed" },\n'
CASES = {
    "the trial": (
        ("planned_accrual = { value = 200", "planned_accrual = { value = 240"),
        [("The trial", "Planned number of subjects: rises from 200 to 240 subjects")],
    ),
    "a title": (
        ('phase = "3"', 'phase = "2 and 3"'),
        [("The trial", "Phase: now “2 and 3”, was “3”")],
    ),
    "an arm's ratio": (
        ("ratio = 1\n", "ratio = 4\n"),
        [("Arms", "Arm “Placebo” (P), ratio: rises from 1 to 4")],
    ),
    "the design": (
        ("value = [3]", "value = [6]"),
        [("Randomisation", "Block sizes: rises from 3 to 6 subjects")],
    ),
    "the design, with another number of sizes": (
        ("value = [3]", "value = [6, 9]"),
        [
            ("Randomisation", "Block sizes: 6 subjects is new"),
            ("Randomisation", "Block sizes: 9 subjects is new"),
            ("Randomisation", "Block sizes: 3 subjects is gone"),
        ],
    ),
    "the consent form": (
        ('form_version = "1.0"', 'form_version = "2.0"'),
        [("Consent", "Consent form: changes from 1.0 to 2.0")],
    ),
    "a new exclusion": (
        (EXCLUSION, NEW_EXCLUSION + EXCLUSION),
        [("Eligibility", "New exclusion: “Live vaccine”")],
    ),
    "a limit": (
        ("start_platelets = { value = 50", "start_platelets = { value = 75"),
        [("Dosing", "Platelets needed to start a cycle: rises from 50 to 75 10^9/L")],
    ),
    "a new level": (
        ("15, 20, 25]", "15, 20, 25, 30]"),
        [("Dosing", "Dose ladder: 30 mg is new")],
    ),
    "one cycle's dose": (
        ("to_cycle = 1\ndose_mg = 5", "to_cycle = 1\ndose_mg = 10"),
        [("Dosing", "Dose plan: cycle 1 rises from 5 to 10 mg")],
    ),
    "a condition": (
        ('dose_mg = 20\ncondition = "mrd_positive"', "dose_mg = 20"),
        [("Dosing", "Dose plan: cycles 13 to 18 change from 20 mg if mrd positive to 20 mg")],
    ),
    "a dose modification": (
        ('resume_at = "same_level"', 'resume_at = "one_level_lower"'),
        [
            (
                "Dosing",
                ("Dose modification “Venous thromboembolism of grade 3 or more”, go on at:"
                " changes from same level to one level lower"),
            )
        ],
    ),
    "a test interval": (
        ("later_test_interval_days = { value = 28", "later_test_interval_days = { value = 21"),
        [("Pregnancy prevention", "Later tests, interval: falls from 28 to 21 days")],
    ),
    "a range": (
        ("{ min = 10, max = 14", "{ min = 7, max = 14"),
        [
            (
                "Pregnancy prevention",
                "First test, before the first supply: changes from 10-14 to 7-14 days",
            )
        ],
    ),
    "safety": (
        ('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"'),
        [("Safety", "CTCAE version: changes from 4.0 to 5.0")],
    ),
    "a wider window": (
        ("window_before_days = 2\nwindow_after_days = 7",
         "window_before_days = 3\nwindow_after_days = 10"),
        [
            (
                "Visits",
                ("Visit “Safety follow-up after the last dose”: window widened from -2/+7 to"
                " -3/+10 days"),
            )
        ],
    ),
    "a narrower window": (
        ("window_before_days = 2\nwindow_after_days = 7",
         "window_before_days = 2\nwindow_after_days = 6"),
        [
            (
                "Visits",
                ("Visit “Safety follow-up after the last dose”: window narrowed from -2/+7 to"
                " -2/+6 days"),
            )
        ],
    ),
    "an endpoint": (
        ('text = "Overall survival"', 'text = "Survival of all"'),
        [
            (
                "Endpoints",
                ("Secondary endpoint “Survival of all”, text:"
                " now “Survival of all”, was “Overall survival”"),
            )
        ],
    ),
    "the analysis": (
        ("first_look_events = { value = 27", "first_look_events = { value = 30"),
        [("Analysis", "First look events: rises from 27 to 30 events")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("replacement", "expected"), CASES.values(), ids=CASES)
def test_an_amendment_is_told_in_words_with_old_and_new(replacement, expected):
    assert told(replacement) == expected


def test_the_cases_reach_every_section_that_can_change_by_itself():
    reached = {section for _, rows in CASES.values() for section, _ in rows}

    assert reached >= {
        "The trial", "Arms", "Randomisation", "Consent", "Eligibility", "Dosing",
        "Pregnancy prevention", "Safety", "Visits", "Endpoints", "Analysis",
    }  # fmt: skip


def test_nothing_is_told_of_equal_versions_nor_of_the_number_alone():
    assert changes(BEFORE, load_protocol(TEXT)) == ()
    assert told(('version = "1.0"', 'version = "1.1"')) == []


def test_cycles_that_go_from_one_dose_to_another_are_told_together():
    assert told(
        ("to_cycle = 6\ndose_mg = 10", "to_cycle = 3\ndose_mg = 10"),
        ("from_cycle = 7\nto_cycle = 12", "from_cycle = 4\nto_cycle = 12"),
    ) == [("Dosing", "Dose plan: cycles 4 to 6 rise from 10 to 15 mg")]


def test_a_row_removed_is_named_and_keeps_its_standing():
    line = next(line for line in TEXT.splitlines() if 'code = "dialysis"' in line)

    (change,) = changes(BEFORE, amended((line + "\n", "")))

    assert change.text == "Exclusion removed: “Renal failure that needs dialysis”"
    assert (change.flag, change.after) == ("assumed", "")


def test_a_change_carries_old_and_new_unit_source_and_flag():
    (change,) = changes(BEFORE, amended(("start_anc = { value = 1.0", "start_anc = { value = 1.5")))

    assert (change.before, change.after, change.unit) == ("1 10^9/L", "1.5 10^9/L", "10^9/L")
    assert (change.key, change.flag) == ("dosing.start_anc", "assumed")
    assert str(change).endswith("[assumed: Lenalidomide SmPC 4.2, start of a cycle]")


def test_another_source_for_the_same_value_is_told_as_such():
    old = 'source = "Lenalidomide REMS: 28 days; one cycle for everybody", flag = "assumed"'
    new = 'source = "The trial\'s pharmacy manual", flag = "published"'

    (change,) = changes(BEFORE, amended((old, new)))

    assert change.source_only
    assert change.text == "Longest supply, still 28 days: was assumed, is now published"


def test_a_table_nobody_has_words_for_is_told_in_general_ones():
    class Later(Protocol):
        imaging: dict[str, object]

    fields = {name: getattr(BEFORE, name) for name in Protocol.model_fields}
    one, other = (
        Later.model_construct(**fields, imaging={"reader_count": count, "rounds": [{"day": day}]})
        for count, day in ((1, 7), (2, 8))
    )

    found = [(row.section, row.text) for row in changes(one, other)]

    assert found == [
        ("Imaging", "Reader count: rises from 1 to 2"),
        ("Imaging", "Entry of rounds day 8, day: rises from 7 to 8"),
    ]


def test_changes_stand_under_their_sections_once():
    found = changes(
        BEFORE,
        amended(
            ("start_anc = { value = 1.0", "start_anc = { value = 1.5"),
            ("start_platelets = { value = 50", "start_platelets = { value = 75"),
            ('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"'),
        ),
    )

    assert [(title, len(rows)) for title, rows in by_section(found)] == [
        ("Dosing", 2),
        ("Safety", 1),
    ]
    assert json.dumps([row.text for row in found])


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        ((EXCLUSION, NEW_EXCLUSION + EXCLUSION), True),
        (('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"'), False),
        (("reconsent = false", "reconsent = true"), False),
    ],
)
def test_only_who_may_take_part_decides_whether_a_screening_is_judged_anew(replacement, expected):
    assert judges_otherwise(BEFORE, amended(replacement)) is expected


AGES = """
[[eligibility.criteria]]
code = "age_band"
label = "Neither young nor very old"
any_of = [
  { variable = "age", at_most = 90, unit = "years" },
  { variable = "age", at_least = 100, unit = "years" },
]
source = "Invented"
flag = "assumed"

[[eligibility.timing]]"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "at_most = 90", "at_most = 40",
            ["Alternative “age”, at most: falls from 90 to 40"],
        ),
        (
            "at_least = 100", "at_least = 95",
            ["Alternative “age”, at least: falls from 100 to 95"],
        ),
        (
            '  { variable = "age", at_least = 100, unit = "years" },\n',
            '  { variable = "ecog", at_most = 0, unit = "ECOG grade" },\n',
            [
                "New alternative: “ecog” (at most 0; unit ECOG grade)",
                "Alternative removed: “age”",
            ],
        ),
    ],
)  # fmt: skip
def test_of_two_limits_of_one_variable_each_is_told(old, new, expected):
    text = TEXT.replace("\n[[eligibility.timing]]", AGES, 1)
    before, after = load_protocol(text), load_protocol(text.replace(old, new, 1))

    criterion = "Criterion “Neither young nor very old”"
    assert [row.text for row in changes(before, after)] == [f"{criterion}: {t}" for t in expected]
    assert judges_otherwise(before, after)


def test_what_has_no_words_is_told_all_the_same(monkeypatch):
    monkeypatch.setattr(amendment, "_compared", lambda path, old, new: iter(()))

    (row,) = changes(BEFORE, amended(("at_least = 18", "at_least = 21")))

    assert row.text == "Eligibility: differs; compare the two files"


@pytest.mark.parametrize(("old", "new"), [((3, 3), (3,)), ((3,), (3, 3))])
def test_an_item_that_is_there_once_more_is_told(old, new):
    (row,) = amendment._items(("randomisation", "block_sizes"), old, new, {})

    assert row.text.startswith("Block sizes: now, 3")
