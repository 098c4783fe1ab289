"""What happened to one randomised subject: treatment, assessments and follow-up as steps.

Given by the data set: the days of progression, last observation and death, and who was never
treated. Assumed: everything else, in particular who stopped treatment early and why, laboratory
values, clock times, responses before progression and further treatment.

Days count from randomisation, which is day 0; a cycle starts every 28 days, now and then a day or
two late, and never on or after the end of treatment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from config.demo.people import Person, decimal_text
from config.demo.steps import Body, Step, TrialRow, seeded


CYCLE = timedelta(days=28)
WEEK = timedelta(days=7)
FRIDAY = 4
TEST_AT = time(8, 30)
PRESCRIBED_AT = time(11, 0)
REVIEW_EVERY_DAYS = 84
FOLLOW_UP_EVERY_DAYS = 84
STILL_TREATED_DAYS = 56
LEAST_SENSITIVITY_MIU_ML = "25"

ORDER_ON_A_DAY = (
    "pregnancy-risk-assessments",
    "visits",
    "labs",
    "adverse-events",
    "counsellings",
    "pregnancy-tests",
    "dose-decisions",
    "dispensations",
    "response-assessments",
    "treatment-ends",
    "further-treatments",
    "contacts",
    "deaths",
)


@dataclass(frozen=True, slots=True)
class Course:
    """The days that matter in one subject's course.

    ``visits`` are the first days of the cycles; empty when never treated. ``ended_on`` is None
    while treatment goes on at the cut-off.
    """

    row: TrialRow
    person: Person
    time_zone: str
    randomised_on: date
    consented_on: date
    lag: timedelta
    visits: tuple[date, ...]
    ended_on: date | None
    end_reason: str | None

    def day(self, number: int) -> date:
        return self.randomised_on + timedelta(days=number)

    @property
    def last_seen_on(self) -> date:
        return self.day(self.row.obs_day)

    @property
    def exposed_until(self) -> date:
        """Return the last day an event can begin under treatment."""
        last = self.visits[-1] + CYCLE - timedelta(days=1)
        return min(last, self.last_seen_on, self.ended_on or last)

    def instant(self, on: date, at: time) -> str:
        return datetime.combine(on, at, ZoneInfo(self.time_zone)).isoformat()


def course_of(
    row: TrialRow,
    person: Person,
    *,
    time_zone: str,
    randomised_on: date,
    consented_on: date,
    cutoff: date,
) -> Course:
    """Return when the subject was treated and why treatment ended."""
    rng = seeded("course", row.key)
    lag = timedelta(days=1 if rng.random() < 0.1 and not person.child_bearing else 0)
    limit = randomised_on + timedelta(days=row.pfs_day)
    visits = _cycle_days(row, person, randomised_on, limit - lag) if row.treated else ()
    ended_on, reason = _natural_end(row, randomised_on, cutoff) if row.treated else (None, None)
    if len(visits) > 3 and rng.random() < 0.34:
        visits = visits[: max(2, int(len(visits) * rng.uniform(0.15, 0.7)))]
        ended_on = visits[-1] + timedelta(days=rng.randint(8, 26))
        reason = rng.choice(["adverse_event"] * 3 + ["withdrawal"] * 2 + ["investigator_decision"])
    return Course(
        row, person, time_zone, randomised_on, consented_on, lag, visits, ended_on, reason
    )


def _natural_end(
    row: TrialRow, randomised_on: date, cutoff: date
) -> tuple[date | None, str | None]:
    last = randomised_on + timedelta(days=row.pfs_day)
    if row.progressed:
        return last, "progression"
    if (cutoff - last).days <= STILL_TREATED_DAYS:
        return None, None
    return last, seeded("end", row.key).choice(["withdrawal", "investigator_decision"])


def _cycle_days(
    row: TrialRow, person: Person, randomised_on: date, limit: date
) -> tuple[date, ...]:
    rng = seeded("cycles", row.key)
    day = _weekday(randomised_on + timedelta(days=rng.randint(1, 4)))
    days = []
    while day < limit:
        days.append(day)
        late = rng.choice([0, 0, 0, 0, 0, 1, 2]) if not person.child_bearing else 0
        day = _weekday(day + CYCLE + timedelta(days=late))
    return tuple(days)


def _weekday(day: date) -> date:
    return day + timedelta(days=7 - day.weekday() if day.weekday() > FRIDAY else 0)


def steps_of(course: Course, events: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return everything after randomisation in the order it was recorded."""
    steps = [
        *events,
        *_prevention(course),
        *(step for cycle in range(1, len(course.visits) + 1) for step in _cycle(course, cycle)),
        *_reviews(course),
        *_end(course),
        *_follow_up(course),
    ]
    return tuple(sorted(steps, key=lambda step: (step.on, ORDER_ON_A_DAY.index(step.noun))))


def _prevention(course: Course) -> Iterator[Step]:
    if not course.visits:
        return
    person = course.person
    evidence = "Gynaecology letter" if person.sterile else "Medical history"
    yield Step(
        "pregnancy-risk-assessments",
        course.consented_on,
        {
            "assessed_on": course.consented_on.isoformat(),
            "surgically_sterile": person.sterile,
            "natural_menopause_months": person.menopause_months,
            "evidence": evidence,
        },
    )
    if person.child_bearing:
        for day in _test_days(course):
            yield _test(course, day)


def _test_days(course: Course) -> list[date]:
    """Return the days of the tests: before the start, weekly at first, every cycle, at the end."""
    first = course.visits[0]
    until = course.ended_on or course.last_seen_on
    before = first - timedelta(days=seeded("test", course.row.key).randint(10, 14))
    days = {before, *course.visits, *(first + week * WEEK for week in (1, 2, 3))}
    days = {day for day in days if day <= until}
    if course.ended_on is not None:
        days |= {course.ended_on, course.ended_on + CYCLE}
    return sorted(day for day in days if day <= course.last_seen_on)


def _test(course: Course, day: date) -> Step:
    return Step(
        "pregnancy-tests",
        day,
        {
            "taken_at": course.instant(day, TEST_AT),
            "result": "negative",
            "specimen": "serum" if day <= course.visits[0] else "urine",
            "sensitivity_miu_ml": LEAST_SENSITIVITY_MIU_ML,
        },
    )


def _cycle(course: Course, cycle: int) -> Iterator[Step]:
    day = course.visits[cycle - 1]
    given_on = day + course.lag
    yield Step("visits", day, {"cycle": cycle, "visited_on": day.isoformat(), "kind": "cycle"})
    yield Step("labs", day, _labs(course, cycle))
    yield Step("counsellings", day, _counselling(course, day))
    yield Step(
        "dose-decisions",
        day,
        {
            "cycle": cycle,
            "decided_on": day.isoformat(),
            "dose_mg": dose_mg(cycle),
            "reason": "",
        },
    )
    yield Step(
        "dispensations",
        given_on,
        {
            "cycle": cycle,
            "prescribed_at": course.instant(day, PRESCRIBED_AT),
            "dispensed_on": given_on.isoformat(),
            "days": CYCLE.days,
        },
    )


def dose_mg(cycle: int) -> str:
    """Return the published step of the cycle: 5 mg, 10 mg from cycle 2, 15 mg from cycle 7."""
    if cycle == 1:
        return "5"
    return "10" if cycle < 7 else "15"


def _labs(course: Course, cycle: int) -> Body:
    rng = seeded("labs", course.row.key, cycle)
    person = course.person
    anc = max(1.2, float(person.anc) * rng.uniform(0.55, 1.1))
    platelets = max(78.0, float(person.platelets) * rng.uniform(0.75, 1.1))
    clearance = max(62.0, float(person.clearance) * rng.uniform(0.92, 1.06))
    values = (
        ("anc", decimal_text(anc, 1), "10^9/L"),
        ("platelets", decimal_text(platelets, 0), "10^9/L"),
        ("creatinine_clearance", decimal_text(clearance, 0), "mL/min"),
    )
    return {
        "taken_on": course.visits[cycle - 1].isoformat(),
        "results": [
            {"analyte": analyte, "value": value, "unit": unit} for analyte, value, unit in values
        ],
    }


def _counselling(course: Course, day: date) -> Body:
    return {
        "counselled_on": day.isoformat(),
        "acknowledgement_version": "1.0",
        **_contraception(course),
    }


def _contraception(course: Course) -> dict[str, str | None]:
    """Return the method; for women it holds since well before the first test."""
    rng = seeded("contraception", course.row.key)
    if course.person.child_bearing:
        method = rng.choice(["effective_method", "effective_method", "abstinence"])
        since = course.visits[0] - timedelta(days=rng.randint(60, 200))
        return {"contraception": method, "contraception_since": since.isoformat()}
    method = "condom" if course.person.sex == "male" else "not_applicable"
    return {"contraception": method, "contraception_since": None}


def _reviews(course: Course) -> Iterator[Step]:
    """Yield the independent reviews every 12 weeks and one on the data set's own day."""
    row = course.row
    response = course.person.response
    better = seeded("response", row.key).randint(2, 12)
    numbers = [*range(REVIEW_EVERY_DAYS, row.pfs_day - 20, REVIEW_EVERY_DAYS), row.pfs_day]
    for count, number in enumerate(numbers, start=1):
        if number == row.pfs_day and row.progressed:
            yield _review(course, number, "PD", "independent_review")
            yield _review(course, number, "PD", "investigator")
        else:
            deeper = "CR" if response in {"PR", "nPR"} and count >= better else response
            yield _review(course, number, deeper, "independent_review")


def _review(course: Course, number: int, response: str, assessor: str) -> Step:
    day = course.day(number)
    body = {"assessed_on": day.isoformat(), "response": response, "assessor": assessor}
    return Step("response-assessments", day, body)


def _end(course: Course) -> Iterator[Step]:
    if course.visits and course.ended_on is not None:
        body = {"ended_on": course.ended_on.isoformat(), "reason": course.end_reason}
        yield Step("treatment-ends", course.ended_on, body)


def _follow_up(course: Course) -> Iterator[Step]:
    yield from _later_visits(course)
    yield from _further_treatment(course)
    last = course.last_seen_on
    if course.row.died:
        yield Step("deaths", last, {"died_on": last.isoformat(), "cause": _cause(course.row)})
    else:
        yield Step("contacts", last, {"contacted_on": last.isoformat()})


def _later_visits(course: Course) -> Iterator[Step]:
    if course.ended_on is None:
        return
    day = course.ended_on + timedelta(days=FOLLOW_UP_EVERY_DAYS)
    while _weekday(day) < course.last_seen_on:
        visited_on = _weekday(day)
        body = {"cycle": None, "visited_on": visited_on.isoformat(), "kind": "follow_up"}
        yield Step("visits", visited_on, body)
        day += timedelta(days=FOLLOW_UP_EVERY_DAYS)


def _further_treatment(course: Course) -> Iterator[Step]:
    row = course.row
    rng = seeded("further", row.key)
    if not row.progressed or row.died or row.obs_day <= row.pfs_day + 60 or rng.random() > 0.75:
        return
    day = course.day(rng.randint(row.pfs_day + 25, min(row.obs_day - 10, row.pfs_day + 240)))
    started_on = day.isoformat()[:7] if rng.random() < 0.2 else day.isoformat()
    regimen = rng.choice(["BR", "ibrutinib", "idelalisib and rituximab", "chlorambucil"])
    yield Step("further-treatments", day, {"started_on": started_on, "regimen": regimen})


def _cause(row: TrialRow) -> str:
    return FATAL_CAUSES.get(row.key, "Progressive chronic lymphocytic leukaemia")


FATAL_CAUSES = {
    "L30": "Acute lymphoblastic leukaemia",
    "P13": "Progressive multifocal leukoencephalopathy",
}
