"""The built-in example trial as a plan of requests: a data set in, everything to be sent out.

The data set holds 89 synthetic subjects whose summary figures are those published for CLLM1
(see protocols/data/README.md). All else that a site would have entered is made up here, the same
on every run, so that one trial can be run through the interface from screening to last contact.
What is published and what is assumed stands at the head of ``people``, ``course`` and ``harms``;
sites, countries' shares and calendar days are assumed.

The allocation order within a stratum consists of fixed blocks of three, two of arm L and one of
arm P, as the pre-generated list must; the list itself runs on beyond the last subject.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

from config.demo.course import course_of, steps_of
from config.demo.harms import events_of
from config.demo.people import Person, ineligible_people, randomised_people
from config.demo.steps import (
    Body,
    Kits,
    ListEntry,
    Plan,
    Site,
    Step,
    Subject,
    TrialRow,
    kits_needed,
    seeded,
)
from trials.rules.protocol import Protocol


__all__ = ["Kits", "ListEntry", "Plan", "Site", "Step", "Subject", "load_plan", "read_rows"]

TRIAL = "CLLM1"
CONSENT_VERSION = "1.0"
BLOCK = ("L", "L", "P")
LISTED_BLOCKS = {"H": 25, "I": 42}
LONGEST_SCREENING = timedelta(days=32)
LAST_SEEN_WITHIN_DAYS = 10
SHELF_LIFE = timedelta(days=3 * 365)

SITES = tuple(
    Site(code, f"Demo site {code}", code[:2], time_zone, weight)
    for code, time_zone, weight in (
        ("DE-01", "Europe/Berlin", 14),
        ("DE-02", "Europe/Berlin", 12),
        ("DE-03", "Europe/Berlin", 10),
        ("DE-04", "Europe/Berlin", 9),
        ("DE-05", "Europe/Berlin", 8),
        ("DE-06", "Europe/Berlin", 7),
        ("AT-01", "Europe/Vienna", 8),
        ("IT-01", "Europe/Rome", 7),
        ("IT-02", "Europe/Rome", 6),
        ("NL-01", "Europe/Amsterdam", 6),
        ("ES-01", "Europe/Madrid", 7),
        ("ES-02", "Europe/Madrid", 6),
    )
)


def plan_for(protocol: Protocol, csv_text: str) -> Plan:
    """Return the plan of the whole trial between the days of its protocol."""
    return load_plan(
        csv_text,
        cutoff=protocol.analysis.data_cutoff,
        opens_on=protocol.trial.accrual_opens_on,
        closes_on=protocol.trial.accrual_closes_on,
    )


def load_plan(csv_text: str, *, cutoff: date, opens_on: date, closes_on: date) -> Plan:
    """Return the plan of the whole trial. The same text and days give the same plan.

    Randomisation days fall on working days from ``opens_on`` to ``closes_on``, early enough for
    the data set's last observation to lie on or before ``cutoff``.

    Raises ``ValueError`` if the rows cannot be allocated by blocks of three or do not fit between
    the days.
    """
    rows = read_rows(csv_text)
    order = {
        stratum: _allocation_order([row for row in rows if row.stratum == stratum])
        for stratum in sorted(LISTED_BLOCKS)
    }
    days = {
        key: day
        for allocated in order.values()
        for key, day in _days(allocated, cutoff, opens_on, closes_on).items()
    }
    subjects = _numbered(
        [*_randomised(rows, days, cutoff), *_ineligible(opens_on, min(closes_on, cutoff))]
    )
    return Plan(
        trial=TRIAL,
        cutoff=cutoff,
        sites=SITES,
        list_entries=tuple(entry for stratum in order for entry in _listed(stratum, order)),
        kits=kits_needed(subjects),
        kits_expire_on=cutoff + SHELF_LIFE,
        subjects=subjects,
    )


def read_rows(csv_text: str) -> tuple[TrialRow, ...]:
    """Return the data set's rows in its order."""
    return tuple(
        TrialRow(
            key=row["id"],
            arm=row["arm"],
            stratum=row["mrd"],
            pfs_day=int(row["pfs_day"]),
            progressed=row["pfs_ev"] == "1",
            obs_day=int(row["obs_day"]),
            died=row["os_ev"] == "1",
            treated=row["treated"] == "1",
        )
        for row in csv.DictReader(io.StringIO(csv_text))
    )


def _allocation_order(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Return one stratum's rows in the order of the list.

    Both arms are taken from the longest observed, who must have come first, and dealt into
    blocks; the order inside a full block is random. An open last block holds what arm P no longer
    fills.
    """
    arms = {
        arm: sorted(
            (row for row in rows if row.arm == arm), key=lambda row: (-row.obs_day, row.key)
        )
        for arm in ("L", "P")
    }
    full = len(arms["P"])
    spare = len(arms["L"]) - 2 * full
    if not rows or not 0 <= spare <= 2:
        raise ValueError("blocks of two L and one P cannot hold these rows")
    order: list[TrialRow] = []
    for number in range(full):
        block = [*arms["L"][2 * number : 2 * number + 2], arms["P"][number]]
        seeded("block", rows[0].stratum, number).shuffle(block)
        order += block
    return order + arms["L"][2 * full :]


def _days(
    order: Sequence[TrialRow], cutoff: date, opens_on: date, closes_on: date
) -> dict[str, date]:
    """Return the day of randomisation of each row, strictly rising in the order of the list."""
    days: dict[str, date] = {}
    following = closes_on + timedelta(days=1)
    for row in reversed(order):
        rng = seeded("gap", row.key)
        apart = rng.choice([1, 1, 2, 3])
        unseen = rng.randint(0, LAST_SEEN_WITHIN_DAYS)
        latest = min(closes_on, cutoff - timedelta(days=row.obs_day + unseen))
        following = _working_day(min(latest, following - timedelta(days=apart)))
        days[row.key] = following
    if following - LONGEST_SCREENING < opens_on:
        raise ValueError(f"the first would be randomised on {following}, before screening opens")
    return days


def _working_day(day: date) -> date:
    """Return the day, or the Friday before a weekend."""
    return day - timedelta(days=max(0, day.weekday() - 4))


def _listed(stratum: str, order: dict[str, list[TrialRow]]) -> Iterator[ListEntry]:
    """Yield the whole list of a stratum: what is used, the rest of its block, spare blocks."""
    used = [row.arm for row in order[stratum]]
    rest = list(BLOCK)
    for arm in used[len(used) - len(used) % 3 :]:
        rest.remove(arm)
    entries = used + rest if len(used) % 3 else used
    for number in range(len(entries) // 3, LISTED_BLOCKS[stratum]):
        block = list(BLOCK)
        seeded("spare block", stratum, number).shuffle(block)
        entries += block
    return (ListEntry(stratum, arm) for arm in entries)


def _randomised(
    rows: tuple[TrialRow, ...], days: dict[str, date], cutoff: date
) -> Iterator[Subject]:
    people = randomised_people(rows)
    sites = {row.key: _site(row.key) for row in rows}
    assessed = {
        key: _working_day(day - timedelta(days=_between(key)[0])) for key, day in days.items()
    }
    courses = {
        row.key: course_of(
            row,
            people[row.key],
            time_zone=sites[row.key].time_zone,
            randomised_on=days[row.key],
            consented_on=_consented_on(row.key, assessed[row.key]),
            cutoff=cutoff,
        )
        for row in rows
    }
    events = events_of(tuple(courses.values()))
    for row in rows:
        day = days[row.key]
        yield _subject(
            row.key,
            people[row.key],
            site=sites[row.key],
            assessed_on=assessed[row.key],
            row=row,
            randomisation=Step("randomisations", day, {"randomised_on": day.isoformat()}),
            steps=steps_of(courses[row.key], events[row.key]),
        )


def _ineligible(opens_on: date, closes_on: date) -> Iterator[Subject]:
    for number, person in enumerate(ineligible_people(), start=1):
        key = f"S{number:03d}"
        open_days = (closes_on - opens_on - LONGEST_SCREENING).days
        assessed_on = closes_on - timedelta(days=seeded("assessed", key).randint(0, open_days))
        yield _subject(key, person, site=_site(key), assessed_on=_working_day(assessed_on))


def _between(key: str) -> tuple[int, int, int]:
    """Return days from assessment to randomisation, from consent to assessment, and since
    the last cycle of first-line treatment at the assessment.
    """
    rng = seeded("screening", key)
    return rng.randint(4, 10), rng.randint(10, 18), rng.randint(66, 122)


def _consented_on(key: str, assessed_on: date) -> date:
    return _working_day(assessed_on - timedelta(days=_between(key)[1]))


def _site(key: str) -> Site:
    return seeded("site", key).choices(SITES, [site.weight for site in SITES])[0]


def _subject(
    key: str,
    person: Person,
    *,
    site: Site,
    assessed_on: date,
    row: TrialRow | None = None,
    randomisation: Step | None = None,
    steps: tuple[Step, ...] = (),
) -> Subject:
    consented_on = _consented_on(key, assessed_on)
    last_cycle_on = assessed_on - timedelta(days=_between(key)[2])
    screening = person.screening(assessed_on=assessed_on, last_cycle_on=last_cycle_on)
    consent = {"version": CONSENT_VERSION, "signed_on": consented_on.isoformat()}
    return Subject(
        ordinal=0,
        key=key,
        arm=row.arm if row else None,
        site=site.code,
        stratum=row.stratum if row else None,
        entry=Step("subjects", consented_on, _entry(person, site, consented_on)),
        consent=Step("consents", consented_on, consent),
        screening=Step("screenings", assessed_on, screening),
        randomisation=randomisation,
        steps=steps,
    )


def _entry(person: Person, site: Site, consented_on: date) -> Body:
    """Return the entry of a person whose birthday of that year is still to come."""
    return {
        "trial": TRIAL,
        "site": site.code,
        "year_of_birth": consented_on.year - person.age - 1,
        "sex": person.sex,
        "screened_on": consented_on.isoformat(),
    }


def _numbered(subjects: list[Subject]) -> tuple[Subject, ...]:
    """Return everybody in order of screening, with their place in it."""
    ordered = sorted(
        subjects, key=lambda subject: (subject.screened_on, seeded("tie", subject.key).random())
    )
    return tuple(
        replace(subject, ordinal=ordinal) for ordinal, subject in enumerate(ordered, start=1)
    )
