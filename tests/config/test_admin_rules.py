from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from reporting.admin import told
from reporting.drawings import Dose, Mark, Span, accrual, treatment
from reporting.due import Due, Progress, next_due
from tests.factories import PROTOCOL
from trials.rules.protocol import load_protocol


protocol = load_protocol(PROTOCOL)
DAY = date(2014, 1, 10)
RANDOMISED = Progress(eligible=True, randomised_on=DAY)
CYCLE = timedelta(days=protocol.dosing.cycle_days.value)


def visit(code: str):
    return next(row for row in protocol.visits if row.code == code)


def test_an_eligible_subject_is_due_for_randomisation_until_its_last_possible_day():
    progress = Progress(eligible=True, screened={"last_cycle_on": DAY.isoformat()})
    longest = protocol.eligibility.timing[0].at_most_days

    assert next_due(progress, protocol) == Due("Randomise by", DAY + timedelta(longest))


@pytest.mark.parametrize(
    "progress",
    [
        Progress(),
        Progress(eligible=True, screened={"last_cycle_on": None}),
        Progress(eligible=False, screened={"last_cycle_on": DAY.isoformat()}),
        replace(RANDOMISED, died=True),
    ],
)
def test_nothing_is_due_for_the_unscreened_the_ineligible_and_the_dead(progress):
    assert next_due(progress, protocol) is None


def test_the_first_cycle_follows_randomisation_and_each_other_the_one_before():
    treated = replace(RANDOMISED, cycle=3, cycle_day_1=DAY)

    assert next_due(RANDOMISED, protocol) == Due("Cycle 1", DAY)
    assert next_due(treated, protocol) == Due("Cycle 4", DAY + CYCLE)


def test_after_treatment_the_first_planned_visit_not_yet_made_is_due():
    ended = replace(RANDOMISED, cycle=3, cycle_day_1=DAY, treatment_ended_on=DAY)
    follow_up = visit("follow_up")
    opens = DAY + timedelta(follow_up.offset_days - follow_up.window_before_days)
    last_before = replace(ended, last_visit_on=opens - timedelta(1))
    first_in = replace(ended, last_visit_on=opens)

    first = DAY + timedelta(follow_up.offset_days)
    assert next_due(ended, protocol) == Due(visit("end_of_treatment").label, DAY)
    assert next_due(last_before, protocol) == Due(follow_up.label, first)
    assert next_due(first_in, protocol) == Due(
        follow_up.label, first + timedelta(follow_up.every_days)
    )


def draw(**things):
    given = {"doses": [], "visits": [], "adverse_events": [], "reviews": [], "investigators": []}
    ladder = protocol.dosing.ladder_mg
    return treatment(**{**given, **things}, marks=[], ladder_mg=ladder)


def test_there_is_no_picture_before_the_first_dated_thing():
    assert draw() is None


def test_a_higher_dose_stands_higher_and_a_later_cycle_further_right():
    drawing = draw(
        doses=[Dose(1, Decimal(5), DAY, 28), Dose(2, Decimal(10), DAY + timedelta(28), 28)]
    )

    first, second = drawing.doses
    assert second.height == pytest.approx(2 * first.height)
    assert second.x > first.x
    assert first.y + first.height == pytest.approx(drawing.base)


def test_adverse_events_that_overlap_lie_in_lanes_of_their_own():
    spans = [Span(DAY + timedelta(n), DAY + timedelta(n + 20), "g1", "") for n in range(3)]
    after = Span(DAY + timedelta(200), None, "g2", "")

    drawn = draw(adverse_events=[*spans, after]).adverse_events

    assert len({shape.y for shape in drawn[:3]}) == 3
    assert drawn[3].y == drawn[0].y


@pytest.mark.parametrize("days", [0, 1, 40, 4000])
def test_every_mark_stays_on_the_canvas(days):
    drawing = draw(visits=[Mark(DAY, "", "", ""), Mark(DAY + timedelta(days), "", "", "")])

    assert all(0 <= mark.x <= drawing.width for mark in drawing.visits)
    assert len(drawing.months) <= 12


def counted(months, planned=200):
    opens, closes = protocol.trial.accrual_opens_on, protocol.trial.accrual_closes_on
    return accrual(months, first=opens, last=closes, planned=planned, opens=opens, closes=closes)


def test_accrual_ends_at_its_running_total():
    drawing = counted([(date(2013, 1, 1), 3), (date(2013, 2, 1), 0), (date(2013, 3, 1), 4)])

    assert drawing.end.text == "7"
    assert len(drawing.bars) == 3
    assert drawing.most.text == "4"


def test_accrual_without_anybody_or_without_a_plan_is_still_drawn():
    assert counted([]).end is None
    assert counted([], planned=None).plan == ""


def test_a_summary_is_told_whatever_its_keys_are():
    content = {
        "subjects": 12,
        "by_soc": [{"soc": "Skin", "events": 2}, {"soc": "Eye", "grade_3": 1}],
        "remarks": ["none"],
        "exposure": {"cycles": 40},
    }

    facts, table, remarks, exposure = told(content)

    assert facts["facts"] == {"Subjects": 12}
    assert table["names"] == ["Soc", "Events", "Grade 3"]
    assert table["rows"] == [["Skin", 2, ""], ["Eye", "", 1]]
    assert remarks["lines"] == ["none"]
    assert exposure["parts"] == [{"title": "", "facts": {"Cycles": 40}}]
