"""The shapes a replay plan is made of. Plain values: no clock, no database, no network."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random


Body = Mapping[str, object]

SEED = "CLLM1 demo"


def seeded(*purpose: object) -> Random:
    """Return a generator of its own for one purpose.

    Every decision draws from its own generator, so that changing one subject's row moves nothing
    of the others.
    """
    return Random("/".join([SEED, *map(str, purpose)]))


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One row of the synthetic data set. Days count from randomisation, which is day 0."""

    key: str
    arm: str
    stratum: str
    pfs_day: int
    progressed: bool
    obs_day: int
    died: bool
    treated: bool


@dataclass(frozen=True, slots=True)
class Site:
    """A synthetic site."""

    code: str
    name: str
    country: str
    time_zone: str
    weight: int


@dataclass(frozen=True, slots=True)
class Step:
    """One request: POST ``body`` to ``noun``. ``on`` is the day a site would have sent it."""

    noun: str
    on: date
    body: Body


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that is sent for one person, in order.

    ``ordinal`` is the place in the trial's order of screening and the only identity that leaves
    this plan. ``key`` and ``arm`` serve the pre-generated list and the kit supply and are never
    part of a subject's request.
    """

    ordinal: int
    key: str
    arm: str | None
    site: str
    stratum: str | None
    entry: Step
    consent: Step
    screening: Step
    randomisation: Step | None
    steps: tuple[Step, ...]

    @property
    def screened_on(self) -> date:
        return self.entry.on

    @property
    def eligible(self) -> bool:
        return self.randomisation is not None

    def every_step(self) -> Iterator[Step]:
        yield from (self.entry, self.consent, self.screening)
        if self.randomisation is not None:
            yield self.randomisation
        yield from self.steps


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One slot of the pre-generated list, in allocation order within its stratum."""

    stratum: str
    arm: str


@dataclass(frozen=True, slots=True)
class Kits:
    """How many bottles of one content a site is to get. Vigil draws their numbers."""

    site: str
    dose_mg: str
    arm: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole trial as requests, in the order they are run."""

    trial: str
    cutoff: date
    sites: tuple[Site, ...]
    list_entries: tuple[ListEntry, ...]
    kits: tuple[Kits, ...]
    kits_expire_on: date
    subjects: tuple[Subject, ...]

    def at_site(self, code: str) -> tuple[Subject, ...]:
        """Return the site's subjects in order of screening."""
        return tuple(subject for subject in self.subjects if subject.site == code)

    def randomised(self) -> tuple[Subject, ...]:
        """Return the randomised subjects in the order of randomisation, over both strata."""
        chosen = (subject for subject in self.subjects if subject.randomisation is not None)
        return tuple(sorted(chosen, key=_randomisation_order))

    def supplied_sites(self) -> tuple[str, ...]:
        return tuple(sorted({kits.site for kits in self.kits}))

    def totals(self) -> dict[str, int]:
        """Return how many requests of each noun the replay sends."""
        counts = Counter(step.noun for subject in self.subjects for step in subject.every_step())
        counts["randomisation-lists"] = 3  # the draft and two approvals
        counts["kit-number-draws"] = counts["kit-supplies"] = len(self.supplied_sites())
        return dict(sorted(counts.items()))

    def truncated(self, randomised: int, *, ineligible: int = 5) -> "Plan":
        """Return a small plan that is still consistent.

        It holds the first ``randomised`` subjects in order of randomisation, so the allocation
        list still matches, a few who were not eligible, and kits for those who remain.
        """
        kept = {subject.key for subject in self.randomised()[:randomised]}
        others = [subject.key for subject in self.subjects if not subject.eligible]
        kept.update(others[:ineligible])
        subjects = tuple(subject for subject in self.subjects if subject.key in kept)
        return Plan(
            trial=self.trial,
            cutoff=self.cutoff,
            sites=self.sites,
            list_entries=self.list_entries,
            kits=kits_needed(subjects),
            kits_expire_on=self.kits_expire_on,
            subjects=subjects,
        )


def _randomisation_order(subject: Subject) -> tuple[date, str, int]:
    on = subject.randomisation.on if subject.randomisation else date.max
    return on, subject.stratum or "", subject.ordinal


def kits_needed(subjects: Sequence[Subject]) -> tuple[Kits, ...]:
    """Return the bottles that the subjects' cycles take, with spares.

    Each site gets as many of either arm, in every strength, as its subjects take of both: so many
    are given out before it is asked for more, and nothing tells whose arm was which.
    """
    return tuple(
        Kits(site, dose_mg, arm, count + max(4, count // 8))
        for (site, dose_mg), count in sorted(_demand(subjects).items())
        for arm in ("L", "P")
    )


def _demand(subjects: Sequence[Subject]) -> Counter[tuple[str, str]]:
    return Counter(
        (subject.site, str(step.body["dose_mg"]))
        for subject in subjects
        for step in subject.steps
        if step.noun == "dose-decisions"
    )
