"""A trial by minimisation, and one by simple lists: one changed row, and the command names it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import Study, protocol_text
from tests.marks import on_postgres
from tests.postgres import ask, column
from trials.permissions import Role


pytestmark = on_postgres

SOURCE = 'source = "Choice made here", flag = "assumed"'
SIMPLE = 'method = "simple"'
MINIMISATION = f"""
method = "minimisation"

[randomisation.minimisation]
imbalance = "range"
probability = {{ value = 0.8, unit = "probability of the preferred arm", {SOURCE} }}
factors = [
  {{ code = "mrd", weight = 2, {SOURCE} }},
  {{ code = "site", weight = 1, {SOURCE} }},
]
"""
HIGH, INTERMEDIATE = {"mrd_level": "0.02"}, {"mrd_level": "0.002"}


def study_by(randomisation):
    """Five subjects at two sites: by minimisation four are in list 1 and the fifth in list 2."""
    text = protocol_text(randomisation=randomisation, planned=4)
    study = Study(kits=0, text=text, seed="the seed of the first list")
    study.generated_list(seed="the seed of the second list")
    elsewhere = study.add_site("DE-02")
    for found in (HIGH, INTERMEDIATE, HIGH, HIGH):
        study.randomised(found=found)
    study.randomised(found=HIGH, site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))
    return study


def numbers():
    """Return the numbers of the allocations in the order of their slots: list, stratum, place."""
    return column(
        "SELECT a.number FROM trials_allocation a JOIN sealed.slot s ON s.id = a.slot_id"
        " JOIN sealed.list l ON l.id = s.list_id ORDER BY l.number, s.stratum, s.position"
    )


def alter(statement):
    """Run statements as the owner of the database, history and all, in one transaction."""
    ask(f"SELECT set_config('pghistory.context_metadata', '{{}}', true);{statement}")


def verified(study):
    """Return the findings the command prints; it leaves with an error if there is any."""
    out, stopped = StringIO(), ""
    command = ("randomisation", "verify", "--trial", "CLLM1", "--as", study.statistician.username)
    try:
        call_command(*command, stdout=out)
    except CommandError as error:
        stopped = str(error)
    found = {line[2:] for line in out.getvalue().splitlines() if line.startswith("! ")}
    assert stopped == (f"{len(found)} findings: NOT VERIFIED." if found else "")
    return found


@pytest.mark.parametrize("randomisation", [MINIMISATION, SIMPLE], ids=["minimisation", "simple"])
def test_an_untouched_randomisation_is_verified(randomisation):
    study = study_by(randomisation)

    assert verified(study) == set()
    assert len(numbers()) == 5


# --- One thing altered by the owner of the database -----------------------------------------------


def a_list(number):
    return f"(SELECT id FROM sealed.list WHERE number = {number})"


def in_slot(number, position):
    return f"WHERE list_id = {a_list(number)} AND position = {position}"


def slot(number, position):
    return f"(SELECT id FROM sealed.slot {in_slot(number, position)})"


OTHER_ARM = "CASE arm WHEN 'L' THEN 'P' ELSE 'L' END"
FREE = "arm = NULL, place = NULL, levels = NULL"
LAST = f"WHERE slot_id = {slot(2, 1)}"
OF_LAST = f"WHERE allocation_id = (SELECT id FROM trials_allocation {LAST})"
DELETED = (
    f"UPDATE patients_subject SET allocation_id = NULL {OF_LAST};"
    f"DELETE FROM trials_allocation {LAST}"
)
OF_LAST_EVENT = (
    "WHERE type = 'trials.SlotAllocated' AND payload->>'allocation_id' ="
    f" (SELECT id::text FROM trials_allocation {LAST})"
)
ADDED = f"""
    INSERT INTO trials_allocation
    SELECT (jsonb_populate_record(a, jsonb_build_object(
               'id', gen_random_uuid(), 'number', 'R0', 'slot_id', {slot(2, 2)}))).*
      FROM trials_allocation a {LAST}
"""
EXCHANGED = f"""
    UPDATE sealed.slot SET position = 9 {in_slot(1, 3)};
    UPDATE sealed.slot SET position = 3 {in_slot(1, 4)};
    UPDATE sealed.slot SET position = 4 {in_slot(1, 9)}
"""
REPLACED = f"""
    UPDATE sealed.slot SET draw = 4294967295 - draw WHERE list_id = {a_list(2)} AND position > 1;
    UPDATE sealed.list SET digest =
        encode(sha256(convert_to(sealed.canonical_text(id), 'UTF8')), 'hex') WHERE number = 2
"""
SWAPPED = f"""
    CREATE TEMPORARY TABLE swapped ON COMMIT DROP AS
    SELECT id, allocation_id FROM patients_subject WHERE allocation_id IN
           (SELECT id FROM trials_allocation WHERE slot_id IN ({slot(1, 3)}, {slot(1, 4)}));
    UPDATE patients_subject s SET allocation_id = NULL FROM swapped w WHERE w.id = s.id;
    UPDATE patients_subject s SET allocation_id = w.allocation_id FROM swapped w WHERE w.id <> s.id
       AND s.id IN (SELECT id FROM swapped)
"""


def other_content(number):
    """What is found when a list is not what it was committed to."""
    return {
        f"List {number} has another digest than its contents give. [digest_differs]",
        *other_commitment(number),
    }


def other_commitment(number):
    return {
        f"List {number}: the published digest is not that of the list. [commitment_broken]",
        (
            f"List {number}: the event that put it to use does not name its digest, once."
            " [commitment_not_announced]"
        ),
        f"List {number} was approved under its digest by 0, not by two people. [two_people_needed]",
    }


def other_arm(number, position):
    text = f"List {number}, slot {position}: minimisation gives another arm from its inputs."
    return f"{text} [slot_differs]"


def by_seed(number, *positions):
    text = "List {}, slot {}: the generator gives another content from the seed. [slot_differs]"
    return {text.format(number, position) for position in positions}


NOTHING_HELD = "List 2, slot 1 is taken and holds no levels or no draw. [slot_differs]"
OTHER_LEVELS = "Allocation {4} was minimised by other levels. [other_levels]"
NOBODY = "List 2, slot 1 is counted as taken and nobody has it. [order_broken]"
GONE = "Allocation {4} was made and is not there any more. [allocation_gone]"
ROW_CHANGED = "Allocation {4} is not as its history first kept it. [row_changed]"
NOT_ANNOUNCED = "Allocation {4} differs from the event that told of it, once. [not_announced]"
NO_LEVEL = "Allocation {4}: no level of the protocol holds its inputs. [inputs_differ]"
LIST_CHANGED = "List 2 is not as its history kept it when it went live. [list_changed]"
OTHER_PLACES = {
    "List 2 is published with other places than it has slots. [places_differ]",
    "List 2: stratum all counts other places than it has slots. [head_differs]",
}
EARLY = "List 2, slot 2 is not taken and has an arm. [arm_before_its_time]"
TAMPERED = {
    "the arm of a taken slot": (
        f"UPDATE sealed.slot SET arm = {OTHER_ARM} {in_slot(1, 3)}",
        {other_arm(1, 3)},
    ),
    "the arm and the place of the last slot taken": (
        (
            f"UPDATE sealed.slot SET arm = {OTHER_ARM},"
            f" place = CASE arm WHEN 'L' THEN 3 ELSE 1 END {in_slot(2, 1)}"
        ),
        {other_arm(2, 1)},
    ),
    "a place that there is not": (
        f"UPDATE sealed.slot SET place = 99 {in_slot(2, 1)}",
        {other_arm(2, 1)},
    ),
    "a level that was taken out of a slot": (
        f"UPDATE sealed.slot SET levels = levels - 'site' {in_slot(2, 1)}",
        {NOTHING_HELD, OTHER_LEVELS},
    ),
    "levels that are none": (
        f"UPDATE sealed.slot SET levels = '[]' {in_slot(2, 1)}",
        {NOTHING_HELD, OTHER_LEVELS},
    ),
    "a level that the arm does not depend on": (
        f'UPDATE sealed.slot SET levels = levels || \'{{"other": "X"}}\' {in_slot(2, 1)}',
        {OTHER_LEVELS},
    ),
    "an arm before its slot is taken": (
        f"UPDATE sealed.slot SET arm = 'L' {in_slot(2, 2)}",
        {EARLY},
    ),
    "the order of two taken slots": (
        EXCHANGED,
        {
            *other_content(1),
            *by_seed(1, 3, 4),
            other_arm(1, 3),
            "Allocation {2} came before {3} and has a later slot. [order_broken]",
        },
    ),
    "the draw of a slot to come": (
        f"UPDATE sealed.slot SET draw = 12345 {in_slot(2, 2)}",
        {*other_content(2), *by_seed(2, 2)},
    ),
    "a draw that is no number of 32 bits": (
        f"UPDATE sealed.slot SET draw = 4294967296 {in_slot(2, 1)}",
        {*other_content(2), *by_seed(2, 1), NOTHING_HELD},
    ),
    "the seed": (
        "UPDATE sealed.list SET seed = 'the seed of another' WHERE number = 2",
        {*other_content(2), *by_seed(2, 1, 2, 3, 4)},
    ),
    "the parameters": (
        "UPDATE sealed.list SET parameters = '{}' WHERE number = 2",
        {
            *other_content(2),
            "List 2: its parameters are those of no design. [parameters_broken]",
        },
    ),
    "a slot that is gone": (
        f"DELETE FROM sealed.slot {in_slot(2, 4)}",
        {
            *other_content(2),
            *OTHER_PLACES,
            "List 2 has 1 slots fewer than its seed gives. [slots_missing]",
        },
    ),
    "a slot too many": (
        (
            "INSERT INTO sealed.slot (list_id, stratum, position, draw)"
            f" VALUES ({a_list(2)}, '', 5, 12345)"
        ),
        {*other_content(2), *OTHER_PLACES, *by_seed(2, 5)},
    ),
    "more taken than there are slots": (
        f"UPDATE sealed.head SET taken = 5 WHERE list_id = {a_list(1)}",
        {"List 1: stratum all has fewer slots than taken. [too_many_taken]"},
    ),
    "the sealed digest": (
        "UPDATE sealed.list SET digest = repeat('0', 64) WHERE number = 2",
        {"List 2 has another digest than its contents give. [digest_differs]"},
    ),
    "the published digest": (
        "UPDATE trials_randomisationlist SET digest = repeat('0', 64) WHERE number = 2",
        {
            "List 2: the published digest is not that of the list. [commitment_broken]",
            LIST_CHANGED,
        },
    ),
    "the event that published the digest": (
        (
            "UPDATE events_outboxevent SET payload = payload - 'digest'"
            " WHERE type = 'trials.RandomisationListLive' AND payload->>'number' = '2'"
        ),
        {
            (
                "List 2: the event that put it to use does not name its digest, once."
                " [commitment_not_announced]"
            )
        },
    ),
    "the generator of the published list": (
        "UPDATE trials_randomisationlist SET generator = 'another' WHERE number = 2",
        {"List 2 is published as another list than is sealed. [list_differs]", LIST_CHANGED},
    ),
    "a list replaced by one of its own digest": (
        REPLACED,
        {*other_commitment(2), *by_seed(2, 2, 3, 4)},
    ),
    "a list that is missing": (
        "UPDATE sealed.list SET state = 'draft' WHERE number = 2",
        {
            "List 2 is not in the sealed schema. [list_missing]",
            "Allocation {4} has no slot in a live list. [slot_unknown]",
        },
    ),
    "a list that was never published": (
        "UPDATE trials_randomisationlist SET state = 'draft' WHERE number = 2",
        {
            "A sealed list 2 is live and was never published. [list_unknown]",
            "List 2 was put to use and is not live any more. [list_gone]",
        },
    ),
    "an allocation deleted": (DELETED, {NOBODY, GONE}),
    "an allocation deleted and its slot freed": (
        (
            f"UPDATE sealed.head SET taken = 0 WHERE list_id = {a_list(2)};"
            f"{DELETED}; UPDATE sealed.slot SET {FREE} {in_slot(2, 1)}"
        ),
        {GONE},
    ),
    "an allocation added": (
        ADDED,
        {
            "List 2, slot 2 is out of turn. [order_broken]",
            "Allocation R0 was minimised by other levels. [other_levels]",
            "Allocation R0 differs from the event that told of it, once. [not_announced]",
            "Allocation R0 belongs to 0 subjects, not to one. [subjects]",
        },
    ),
    "two subjects exchanged": (
        SWAPPED,
        {
            "Allocation {2} belongs to another subject than its event told. [other_subject]",
            "Allocation {3} belongs to another subject than its event told. [other_subject]",
        },
    ),
    "the levels of an allocation": (
        f'UPDATE trials_allocation SET levels = levels || \'{{"mrd": "I"}}\' {LAST}',
        {
            OTHER_LEVELS,
            "Allocation {4}: its inputs give other levels than were used. [inputs_differ]",
            ROW_CHANGED,
        },
    ),
    "the inputs of an allocation": (
        f"UPDATE trials_allocation SET inputs = '[]' {LAST}",
        {NO_LEVEL, ROW_CHANGED},
    ),
    "the event of an allocation": (
        f"UPDATE events_outboxevent SET payload = payload - 'stratum' {OF_LAST_EVENT}",
        {NOT_ANNOUNCED},
    ),
    "an event that is none": (
        f"UPDATE events_outboxevent SET payload = '[]' {OF_LAST_EVENT}",
        {NOT_ANNOUNCED},
    ),
}


@pytest.mark.parametrize("changed", TAMPERED)
def test_what_was_changed_in_a_minimisation_is_named_and_nothing_else(changed):
    statement, expected = TAMPERED[changed]
    study = study_by(MINIMISATION)
    made = numbers()

    alter(statement)

    assert verified(study) == {line.format(*made) for line in expected}


def test_a_slot_given_to_two_is_named_once_the_database_no_longer_forbids_it():
    study = study_by(MINIMISATION)
    made = numbers()
    name = column(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'trials_allocation'::regclass"
        " AND contype = 'u' AND conkey = ARRAY[(SELECT attnum FROM pg_attribute"
        "   WHERE attrelid = 'trials_allocation'::regclass AND attname = 'slot_id')]"
    )[0]
    own = column(f"SELECT slot_id FROM trials_allocation {LAST}")[0]

    ask(f"ALTER TABLE trials_allocation DROP CONSTRAINT {name}")
    try:
        alter(f"UPDATE trials_allocation SET slot_id = {slot(1, 4)} {LAST}")
        found = verified(study)
        alter(f"UPDATE trials_allocation SET slot_id = '{own}' WHERE number = '{made[4]}'")
    finally:
        ask(f"ALTER TABLE trials_allocation ADD CONSTRAINT {name} UNIQUE (slot_id)")

    assert {line.format(*made) for line in SHARED} <= found


SHARED = {
    "Allocation {3} shares its slot with another. [slot_twice]",
    "Allocation {4} shares its slot with another. [slot_twice]",
    NOBODY,
    ROW_CHANGED,
}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(
            f"UPDATE sealed.slot SET arm = {OTHER_ARM} {in_slot(1, 2)} AND stratum = 'H'",
            {
                *other_content(1),
                *by_seed(1, "2 of stratum H"),
            },
            id="the arm of a taken slot",
        ),
        pytest.param(
            f"UPDATE sealed.head SET taken = 3 WHERE list_id = {a_list(1)} AND stratum = 'H'",
            {"List 1, slot 4 of stratum H is out of turn. [order_broken]"},
            id="a slot given back that somebody has",
        ),
        pytest.param(
            "UPDATE sealed.list SET state = 'draft' WHERE number = 2",
            {"List 2 is not in the sealed schema. [list_missing]"},
            id="a list that is missing",
        ),
    ],
)
def test_what_was_changed_in_a_simple_randomisation_is_named_and_nothing_else(statement, expected):
    study = study_by(SIMPLE)

    alter(statement)

    assert verified(study) == expected
