"""Run a plan through the REST interface: every fact enters as a site would send it.

First the statistician's list and the supplier's kits; then, site by site, everybody screened;
then the randomisations in the order they happened, over all sites; then the rest, site by site.
Every request has a key that depends on the plan alone, so a run that broke off is simply run
again. Nothing is kept on disk.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from config.demo.client import ApiRefused, Client
from config.demo.steps import Body, Plan, Step, Subject


Credentials = tuple[str, str]

KEYS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:vigil:replay")
WORKERS = 4
LINE_EVERY_SECONDS = 5.0
DRAW_EVERY_SECONDS = 0.2
BAR_WIDTH = 32


class PlanContradicted(Exception):
    """The interface accepted a step but concluded something else than the data set says."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a run sent: requests by noun and the seconds it took."""

    requests: Mapping[str, int]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    @property
    def per_second(self) -> float:
        return self.total / self.seconds if self.seconds else 0.0


def run(
    plan: Plan,
    *,
    base_url: str,
    credentials: Mapping[str, Credentials],
    statisticians: tuple[Credentials, Credentials],
    supplier: Credentials,
    progress: TextIO,
    workers: int = WORKERS,
) -> Replayed:
    """Send the whole plan and return how much that was.

    ``credentials`` holds client id and secret per site code; the two unblinded statisticians and
    the supplier have their own. ``progress`` gets a bar if it is a terminal, else a line now and
    then.

    Raises ``ApiRefused`` or ``Unreachable`` for the first step that failed, ``PlanContradicted``
    if eligibility or stratum came out otherwise than planned.
    """
    meter = Meter(plan.totals(), progress)
    with ExitStack() as stack:
        connect = _connector(stack, base_url)
        sites = {code: connect(credentials[code]) for code in _busiest_first(plan)}
        replay = _Replay(plan, sites, meter)
        first, second = statisticians
        replay.randomisation_list(connect(first), connect(second))
        replay.kits(connect(supplier))
        replay.each_site("Screening", replay.screen, workers)
        replay.randomise()
        replay.each_site("Treatment and follow-up", replay.follow, workers)
    return meter.finish()


def _connector(stack: ExitStack, base_url: str) -> Callable[[Credentials], Client]:
    def connect(credentials: Credentials) -> Client:
        return stack.enter_context(Client(base_url, *credentials))

    return connect


def _busiest_first(plan: Plan) -> list[str]:
    load: Counter[str] = Counter()
    for subject in plan.subjects:
        load[subject.site] += sum(1 for _ in subject.every_step())
    return [code for code, _ in load.most_common()]


def step_key(identity: str) -> str:
    """Return the idempotency key of a step. The same plan always sends the same keys."""
    return str(uuid.uuid5(KEYS, identity))


class _Replay:
    """One run. Holds each subject's identity at the server, in memory only."""

    def __init__(self, plan: Plan, sites: Mapping[str, Client], meter: "Meter") -> None:
        self._plan = plan
        self._sites = sites
        self._meter = meter
        self._ids: dict[int, str] = {}
        self._stopped = threading.Event()

    def randomisation_list(self, first: Client, second: Client) -> None:
        """Draft the sealed list, look at its dry run and approve it as two people: it is live."""
        self._meter.phase("Allocation list and kits")
        body = {
            "trial": self._plan.trial,
            "made_for": self._plan.trial,
            "entries": [{"stratum": e.stratum, "arm": e.arm} for e in self._plan.list_entries],
            "reason": "List of the example trial",
        }
        draft = first.post("/randomisation-lists", body, key=self._key("list"))
        self._meter.count("randomisation-lists")
        path = f"/randomisation-lists/{draft['id']}"
        for number, statistician in enumerate((first, second)):
            digest = draft["digest"]
            if _is_draft(statistician, draft["id"]):  # a run that goes on finds it live
                digest = statistician.get(f"{path}/dry-run")["digest"]
            body = {"digest": digest}
            statistician.post(f"{path}/approvals", body, key=self._key(f"approval/{number}"))
            self._meter.count("randomisation-lists")

    def kits(self, supplier: Client) -> None:
        """Have numbers drawn for each site's kits, and enter them as the packing list says."""
        expiry = {"expires_on": self._plan.kits_expire_on.isoformat()}
        for code in self._plan.supplied_sites():
            there = {"trial": self._plan.trial, "site": code}
            drawn = supplier.post(
                "/kit-number-draws",
                {**there, "kits": self._wanted(code)},
                key=self._key(f"kit numbers/{code}"),
            )
            self._meter.count("kit-number-draws")
            packed = [{**kit, **expiry} for kit in drawn["kits"]]
            supplier.post("/kit-supplies", {**there, "kits": packed}, key=self._key(f"kits/{code}"))
            self._meter.count("kit-supplies")

    def _wanted(self, code: str) -> list[Body]:
        return [
            {"dose_mg": kits.dose_mg, "arm": kits.arm, "count": kits.count}
            for kits in self._plan.kits
            if kits.site == code
        ]

    def each_site(self, phase: str, work: Callable[[str], None], workers: int) -> None:
        """Do the work of all sites, some at a time; the first failure stops the others."""
        self._meter.phase(phase)
        with ThreadPoolExecutor(workers, thread_name_prefix="site") as pool:
            futures = [pool.submit(work, code) for code in self._sites]
            with self._stopping_on_failure(futures):
                wait(futures, return_when=FIRST_EXCEPTION)
                _raise_first(futures)

    @contextmanager
    def _stopping_on_failure(self, futures: Sequence["Future[None]"]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stopped.set()
            for future in futures:
                future.cancel()
            raise

    def screen(self, code: str) -> None:
        """Enter the site's subjects, their consents and screenings, in order of screening."""
        for subject in self._plan.at_site(code):
            if self._stopped.is_set():
                return
            entered = self._post(subject, subject.entry, "/subjects", 0)
            self._ids[subject.ordinal] = entered["id"]
            self._post(subject, subject.consent, self._path(subject, subject.consent), 1)
            found = self._post(
                subject, subject.screening, self._path(subject, subject.screening), 2
            )
            _expect(subject, "eligible", found["eligible"], subject.eligible)
            _expect(subject, "stratum", found.get("stratum") or None, subject.stratum)

    def randomise(self) -> None:
        """Randomise one after the other, in the order it happened over all sites."""
        self._meter.phase("Randomisation")
        for subject in self._plan.randomised():
            if subject.randomisation is not None:
                step = subject.randomisation
                given = self._post(subject, step, self._path(subject, step), 3)
                _expect(subject, "stratum", given["stratum"], subject.stratum)

    def follow(self, code: str) -> None:
        """Enter everything after randomisation, subject by subject."""
        for subject in self._plan.at_site(code):
            for place, step in enumerate(subject.steps, start=4):
                if self._stopped.is_set():
                    return
                self._post(subject, step, self._path(subject, step), place)

    def _path(self, subject: Subject, step: Step) -> str:
        return f"/subjects/{self._ids[subject.ordinal]}/{step.noun}"

    def _post(self, subject: Subject, step: Step, path: str, place: int) -> dict[str, Any]:
        key = self._key(f"{subject.ordinal}/{place}/{step.noun}")
        try:
            answer = self._sites[subject.site].post(path, step.body, key=key)
        except ApiRefused as refused:
            where = f"screening no. {subject.ordinal} at {subject.site}, {step.noun} of {step.on}"
            refused.add_note(where)
            raise
        self._meter.count(step.noun)
        return answer

    def _key(self, identity: str) -> str:
        return step_key(f"{self._plan.trial}/{identity}")


def _raise_first(futures: Sequence["Future[None]"]) -> None:
    for future in futures:
        if future.done():
            future.result()


def _expect(subject: Subject, what: str, found: object, planned: object) -> None:
    if found != planned:
        raise PlanContradicted(
            f"screening no. {subject.ordinal} at {subject.site}: {what} is {found}, "
            f"the data set has {planned}"
        )


class Meter:
    """Counts requests and tells how far the run is; used by several threads."""

    def __init__(
        self,
        totals: Mapping[str, int],
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = sum(totals.values())
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._counts: Counter[str] = Counter()
        self._phase = ""
        self._began = self._told = clock()
        self._lock = threading.Lock()

    def phase(self, name: str) -> None:
        """Begin a phase and say so."""
        with self._lock:
            if self._live and self._phase:
                self._tell()
                self._stream.write("\n")
            self._phase = name
            self._tell()

    def count(self, noun: str) -> None:
        """Count one request that succeeded."""
        every = DRAW_EVERY_SECONDS if self._live else LINE_EVERY_SECONDS
        with self._lock:
            self._counts[noun] += 1
            if self._clock() - self._told >= every:
                self._tell()

    def finish(self) -> Replayed:
        """Tell the end and return the counts."""
        with self._lock:
            self._tell()
            if self._live:
                self._stream.write("\n")
            return Replayed(dict(sorted(self._counts.items())), self._clock() - self._began)

    def _tell(self) -> None:
        self._told = self._clock()
        line = progress_line(
            self._phase, self._counts.total(), self._total, self._told - self._began, self._live
        )
        self._stream.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
        self._stream.flush()


def progress_line(phase: str, done: int, total: int, seconds: float, bar: bool) -> str:
    """Return one line: how much of the whole, how fast and, after a second, how long yet."""
    rate = done / seconds if seconds else 0.0
    share = done / total if total else 1.0
    words = f"{done:,} of {total:,} requests ({share:.0%}), {rate:,.0f} per second"
    if seconds >= 1 and rate and done < total:
        words += f", {_duration((total - done) / rate)} left"
    if not bar:
        return f"{phase}: {words}"
    filled = int(share * BAR_WIDTH)
    return f"{phase:<24} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {words}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _is_draft(statistician: Client, list_id: str) -> bool:
    lists = statistician.get("/randomisation-lists")["results"]
    return any(one["id"] == list_id and one["state"] == "draft" for one in lists)
