"""Adverse events of the synthetic subjects.

Published and kept exactly: how many of the 56 and 29 treated had at least one event in each of
five system organ classes, and one fatal event in either arm (acute lymphoblastic leukaemia;
multifocal leukoencephalopathy). Assumed: who had them, how many, which terms, grades, days,
seriousness and relation. Terms and classes are printed as in CTCAE 4.0, with grades that version
has for the term.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from config.demo.course import FATAL_CAUSES, Course
from config.demo.steps import Step, seeded


SKIN = "Skin and subcutaneous tissue disorders"
GASTROINTESTINAL = "Gastrointestinal disorders"
INFECTIONS = "Infections and infestations"
BLOOD = "Blood and lymphatic system disorders"
GENERAL = "General disorders and administration site conditions"

WITH_EVENT = {
    SKIN: {"L": 35, "P": 8},
    GASTROINTESTINAL: {"L": 34, "P": 8},
    INFECTIONS: {"L": 30, "P": 19},
    BLOOD: {"L": 28, "P": 5},
    GENERAL: {"L": 28, "P": 9},
}

LASTING = {"recovering", "not_recovered"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A term with the grades it is drawn from, its usual length and how often it is related."""

    term: str
    grades: tuple[int, ...]
    days: tuple[int, int] = (5, 40)
    related: float = 0.6


KINDS = {
    SKIN: (
        Kind("Rash maculo-papular", (1, 1, 2, 2, 3)),
        Kind("Pruritus", (1, 1, 2)),
        Kind("Dry skin", (1, 1, 1, 2), (20, 90)),
        Kind("Urticaria", (1, 2)),
    ),
    GASTROINTESTINAL: (
        Kind("Diarrhea", (1, 1, 1, 2, 2, 3), (3, 30)),
        Kind("Nausea", (1, 1, 2), (3, 21)),
        Kind("Constipation", (1, 1, 2), (10, 60)),
        Kind("Abdominal pain", (1, 1, 2), (2, 14), 0.3),
    ),
    INFECTIONS: (
        Kind("Upper respiratory infection", (2, 2, 2, 3), (5, 18), 0.3),
        Kind("Bronchial infection", (2, 2, 3), (7, 20), 0.3),
        Kind("Lung infection", (2, 3, 3, 4), (9, 25), 0.4),
        Kind("Urinary tract infection", (2, 2, 3), (5, 14), 0.2),
        Kind("Sinusitis", (2, 2), (6, 20), 0.2),
    ),
    BLOOD: (
        Kind("Blood and lymphatic system disorders - Other, specify", (2, 3, 3, 4), (6, 21), 0.9),
        Kind("Anemia", (1, 1, 2, 2, 3), (14, 60), 0.7),
        Kind("Febrile neutropenia", (3, 3, 4), (4, 12), 0.9),
    ),
    GENERAL: (
        Kind("Fatigue", (1, 1, 2, 2, 3), (14, 120)),
        Kind("Fever", (1, 1, 2), (1, 6), 0.3),
        Kind("Edema limbs", (1, 1, 2), (14, 90), 0.4),
        Kind("Flu like symptoms", (1, 2), (3, 10), 0.2),
    ),
}


def events_of(courses: tuple[Course, ...]) -> dict[str, tuple[Step, ...]]:
    """Return the adverse events of every treated subject, by key.

    An event is recorded once, with its end, on the day it ended or was last known.
    """
    treated = [course for course in courses if course.visits]
    steps: dict[str, list[Step]] = {course.row.key: [] for course in courses}
    for soc, numbers in WITH_EVENT.items():
        for arm, number in numbers.items():
            group = [course for course in treated if course.row.arm == arm]
            for course in _affected(group, soc, number):
                steps[course.row.key] += _in_class(course, soc)
    for course in treated:
        steps[course.row.key] += _fatal(course)
    return {key: tuple(found) for key, found in steps.items()}


def _affected(group: list[Course], soc: str, number: int) -> list[Course]:
    """Return who had an event of the class: by chance, more likely the longer the exposure."""

    def luck(course: Course) -> float:
        chance: float = seeded(soc, course.row.key).random() ** (1 / len(course.visits))
        return chance

    if len(group) < number:
        raise ValueError(f"{soc}: {number} affected among {len(group)} treated is impossible")
    return sorted(group, key=luck, reverse=True)[:number]


def _in_class(course: Course, soc: str) -> Iterator[Step]:
    rng = seeded("events", soc, course.row.key)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        yield _event(course, soc, rng)


def _event(course: Course, soc: str, rng: Random) -> Step:
    kind = rng.choice(KINDS[soc])
    grade = rng.choice(kind.grades)
    first = course.visits[0] + course.lag
    span = max(0, (course.exposed_until - first).days - 1)
    began = first + timedelta(days=rng.randint(0, span))
    ended = began + timedelta(days=rng.randint(*kind.days))
    known = min(ended, course.last_seen_on)
    outcome = "recovered" if ended <= course.last_seen_on else rng.choice(sorted(LASTING))
    ended_on = known if outcome == "recovered" else None
    seriousness = _seriousness(soc, grade, rng)
    body = {
        "term": kind.term,
        "soc": soc,
        "grade": grade,
        "started_on": _partial(began, first, ended_on, rng),
        "ended_on": ended_on.isoformat() if ended_on else None,
        "outcome": outcome,
        "related": rng.random() < kind.related,
        "serious": bool(seriousness),
        "seriousness": seriousness,
        "narrative": _narrative(kind.term, seriousness),
    }
    return Step("adverse-events", known, body)


def _seriousness(soc: str, grade: int, rng: Random) -> list[str]:
    if grade == 4 and soc == INFECTIONS:
        return ["life_threatening", "hospitalisation"]
    if grade >= 3 and soc in {INFECTIONS, BLOOD} and rng.random() < 0.4:
        return ["hospitalisation"]
    return []


def _narrative(term: str, seriousness: list[str]) -> str:
    words = []
    if term.endswith("specify"):
        words.append("Neutropenia.")
    if "hospitalisation" in seriousness:
        words.append("Admitted, treated and discharged.")
    return " ".join(words)


def _partial(began: date, first: date, ended_on: date | None, rng: Random) -> str:
    """Return the start, now and then only its month.

    Only where a month alone still says that it began under treatment and before the end.
    """
    month = began.isoformat()[:7]
    told = {first.isoformat()[:7], ended_on.isoformat()[:7] if ended_on else ""}
    if month not in told and rng.random() < 0.4:
        return month
    return began.isoformat()


def _fatal(course: Course) -> Iterator[Step]:
    """Yield the two published fatal events, recorded on the day of death."""
    if not course.row.died or course.row.key not in FATAL_CAUSES:
        return
    cause = FATAL_CAUSES[course.row.key]
    term, soc, days_before_progression, related = _FATAL[course.row.key]
    day = course.last_seen_on
    began = course.day(course.row.pfs_day - days_before_progression)
    body = {
        "term": term,
        "soc": soc,
        "grade": 5,
        "started_on": began.isoformat(),
        "ended_on": day.isoformat(),
        "outcome": "fatal",
        "related": related,
        "serious": True,
        "seriousness": ["death", "important_medical_event"],
        "narrative": f"{cause}; diagnosed under study treatment, died of it.",
    }
    yield Step("adverse-events", day, body)


_FATAL = {
    "L30": (
        "Leukemia secondary to oncology chemotherapy",
        "Neoplasms benign, malignant and unspecified (incl cysts and polyps)",
        9,
        True,
    ),
    "P13": ("Leukoencephalopathy", "Nervous system disorders", 6, True),
}
