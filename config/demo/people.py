"""Who was screened: the synthetic people's baseline.

Published and kept exactly: 468 screened, 379 not eligible of whom 347 for low risk; of the 89
randomised 33 with high and 56 with intermediate residual disease; median age 64 (32 to 80, 64 in
either arm); unmutated IGHV in 74 of 82; TP53 mutated in 18 of 88; del(17p) in 10 of 88; CR or CRi
in 35 and PR or nPR in 54.

Assumed: how the other 32 ineligible split (the proportions of the trial's snapshot of June 2014:
other lymphoma, consent withdrawn, comorbidity, hepatitis B, other); what "other" consists of; sex
(30 women of 89); the regimens (the first 45 randomised, scaled up); all laboratory values; who can
bear children; the days between the end of first-line treatment, screening and randomisation.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

from config.demo.steps import Body, TrialRow, seeded


LOW_RISK = 347
OTHER_LYMPHOMA, WITHDRAWN, COMORBIDITY, HEPATITIS_B, OTHER = 5, 11, 1, 1, 14

EXCLUSION_OTHER_LYMPHOMA = "other_lymphoma"
EXCLUSION_WITHDRAWN = "consent_withdrawn"
EXCLUSION_COMORBIDITY = "comorbidity"
EXCLUSION_HEPATITIS_B = "hepatitis_b_or_c"


@dataclass(frozen=True, slots=True)
class Markers:
    """Genetic risk before first-line treatment; None was not measured."""

    ighv_unmutated: bool | None
    tp53_mutated: bool | None
    del17p: bool | None


@dataclass(frozen=True, slots=True)
class Person:
    """Baseline of one person. ``age`` is the years certainly completed at consent."""

    age: int
    sex: str
    regimen: str
    cycles: int
    response: str
    mrd_level: str | None
    markers: Markers
    ecog: int
    anc: str
    platelets: str
    clearance: str
    exclusions: tuple[str, ...] = ()
    child_bearing: bool = False
    sterile: bool = False
    menopause_months: int | None = None

    def screening(self, *, assessed_on: date, last_cycle_on: date) -> Body:
        """Return the body of the screening request."""
        return {
            "assessed_on": assessed_on.isoformat(),
            "values": {
                "first_line_regimen": self.regimen,
                "first_line_cycles": self.cycles,
                "last_cycle_on": last_cycle_on.isoformat(),
                "response": self.response,
                "mrd_level": self.mrd_level,
                "ighv_unmutated": self.markers.ighv_unmutated,
                "tp53_mutated": self.markers.tp53_mutated,
                "del17p": self.markers.del17p,
                "ecog": self.ecog,
                "anc_10e9_l": self.anc,
                "platelets_10e9_l": self.platelets,
                "creatinine_clearance_ml_min": self.clearance,
            },
            "exclusions": list(self.exclusions),
        }


def decimal_text(value: float, places: int) -> str:
    return str(Decimal(value).quantize(Decimal(1).scaleb(-places)))


def randomised_people(rows: tuple[TrialRow, ...]) -> dict[str, Person]:
    """Return the baseline of everybody randomised, by key, in the published proportions."""
    ages = _ages(rows)
    mothers = _can_bear_children(rows, ages)
    women = mothers | _other_women(rows, mothers)
    markers = _markers(rows)
    regimens = _dealt("regimen", ["BR"] * 53 + ["FCR"] * 34 + ["FC"] * 2)
    responses = _dealt("response", ["PR"] * 46 + ["nPR"] * 8 + ["CR"] * 30 + ["CRi"] * 5)
    people = {}
    for row, regimen, response in zip(rows, regimens, responses, strict=True):
        rng = seeded("baseline", row.key)
        people[row.key] = Person(
            age=ages[row.key],
            sex="female" if row.key in women else "male",
            regimen=regimen,
            cycles=rng.choice([4, 5, 6, 6, 6, 6]),
            response=response,
            mrd_level=_residual_disease(row.stratum, rng),
            markers=markers[row.key],
            **_fitness(rng),
            **_fertility(rng, woman=row.key in women, mother=row.key in mothers),
        )
    return people


def ineligible_people() -> tuple[Person, ...]:
    """Return everybody who was screened and not eligible, in random order, one reason each."""
    people = [
        *(_low_risk(seeded("low risk", n)) for n in range(LOW_RISK)),
        *_excluded(EXCLUSION_OTHER_LYMPHOMA, OTHER_LYMPHOMA),
        *_excluded(EXCLUSION_WITHDRAWN, WITHDRAWN),
        *_excluded(EXCLUSION_COMORBIDITY, COMORBIDITY),
        *_excluded(EXCLUSION_HEPATITIS_B, HEPATITIS_B),
        *(_other(n) for n in range(OTHER)),
    ]
    seeded("ineligible order").shuffle(people)
    return tuple(people)


def _dealt(purpose: str, cards: list[str]) -> list[str]:
    seeded(purpose).shuffle(cards)
    return cards


def _ages(rows: tuple[TrialRow, ...]) -> dict[str, int]:
    """Return ages whose median is 64 in either arm; the youngest are among the treated."""
    ages: dict[str, int] = {}
    for arm, young, oldest in (("L", [32, 41, 47], 79), ("P", [39, 46], 80)):
        rng = seeded("ages", arm)
        keys = [row.key for row in rows if row.arm == arm]
        treated = [row.key for row in rows if row.arm == arm and row.treated]
        half, odd = divmod(len(keys), 2)
        middle = [64] if odd else [64, 64]
        below = half - (1 - odd) - len(young)
        above = half - (1 - odd) - 1
        rest = [rng.randint(51, 63) for _ in range(below)] + middle
        rest += [rng.randint(65, 78) for _ in range(above)] + [oldest]
        chosen = rng.sample([key for key in treated if key not in ages], len(young))
        others = [key for key in keys if key not in chosen]
        rng.shuffle(rest)
        ages.update(zip(chosen, young, strict=True))
        ages.update(zip(others, rest, strict=True))
    return ages


def _can_bear_children(rows: tuple[TrialRow, ...], ages: dict[str, int]) -> set[str]:
    return {row.key for row in rows if ages[row.key] < 50}


def _other_women(rows: tuple[TrialRow, ...], mothers: set[str]) -> set[str]:
    others = [row.key for row in rows if row.key not in mothers]
    return set(seeded("women").sample(others, 25))


def _fertility(rng: Random, *, woman: bool, mother: bool) -> dict[str, Any]:
    if not woman or mother:
        return {"child_bearing": mother}
    if rng.random() < 0.2:
        return {"sterile": True}
    return {"menopause_months": rng.randint(30, 240)}


def _fitness(rng: Random) -> dict[str, Any]:
    return {
        "ecog": rng.choice([0, 0, 0, 1, 1, 2]),
        "anc": decimal_text(rng.uniform(1.6, 5.5), 1),
        "platelets": decimal_text(rng.uniform(95, 290), 0),
        "clearance": decimal_text(rng.uniform(66, 128), 0),
    }


def _residual_disease(stratum: str, rng: Random) -> str:
    low, high = (-2.0, -0.4) if stratum == "H" else (-4.0, -2.02)
    return decimal_text(10 ** rng.uniform(low, high), 5)


def _markers(rows: tuple[TrialRow, ...]) -> dict[str, Markers]:
    """Return markers in the published proportions; intermediate risk always has at least one.

    Six people with intermediate residual disease have mutated or unknown IGHV; each of them
    carries a TP53 mutation.
    """
    rng = seeded("markers")
    high = [row.key for row in rows if row.stratum == "H"]
    middle = [row.key for row in rows if row.stratum == "I"]
    rng.shuffle(high)
    rng.shuffle(middle)
    mutated = {*high[:5], *middle[:3]}
    unknown = {*high[5:9], *middle[3:6]}
    deleted = {*middle[:2], *high[:3], *middle[8:11], *high[12:14]}
    tp53 = {*middle[:6], *high[:3], *middle[8:10], *high[12:13], *middle[20:23], *high[20:23]}
    unmeasured = high[30]
    return {
        key: Markers(
            ighv_unmutated=None if key in unknown else key not in mutated,
            tp53_mutated=None if key == unmeasured else key in tp53,
            del17p=None if key == unmeasured else key in deleted,
        )
        for key in [*high, *middle]
    }


def _somebody(rng: Random, **changes: Any) -> Person:
    """Return a person who would be eligible for high residual disease, but for the changes."""
    woman = rng.random() < 1 / 3
    age = min(max(round(rng.gauss(64, 9)), 33), 80)
    facts: dict[str, Any] = {
        "age": age,
        "sex": "female" if woman else "male",
        "regimen": rng.choice(["BR", "BR", "BR", "FCR", "FCR"]),
        "cycles": rng.choice([5, 6, 6, 6]),
        "response": rng.choice(["CR", "CR", "CRi", "nPR", "PR", "PR", "PR"]),
        "mrd_level": _residual_disease("H", rng),
        "markers": Markers(
            ighv_unmutated=rng.random() < 0.6,
            tp53_mutated=rng.random() < 0.08,
            del17p=rng.random() < 0.05,
        ),
        **_fitness(rng),
        **changes,
    }
    return Person(**facts)


def _low_risk(rng: Random) -> Person:
    return _somebody(rng, mrd_level=decimal_text(10 ** rng.uniform(-6, -4.05), 6))


def _excluded(code: str, count: int) -> list[Person]:
    return [_somebody(seeded(code, n), exclusions=(code,)) for n in range(count)]


def _other(n: int) -> Person:
    """Return one of those whose values, not a recorded exclusion, made them ineligible."""
    no_marker = Markers(ighv_unmutated=False, tp53_mutated=False, del17p=False)
    causes: tuple[dict[str, Any], ...] = (
        {"mrd_level": "0.00420", "markers": no_marker},
        {"mrd_level": "0.00075", "markers": no_marker},
        {"clearance": "48"},
        {"clearance": "55"},
        {"cycles": 3},
        {"response": "SD"},
        {"anc": "0.8"},
    )
    return _somebody(seeded("other", n), **causes[n % len(causes)])
