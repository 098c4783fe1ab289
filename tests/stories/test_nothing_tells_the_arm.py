"""Everything a blinded person can fetch, given to a classifier: it must do no better than chance.

The subjects go through the same, over the interface; their arms come from a list drawn from a seed.
What differs between arms is chance alone, so whatever predicts the arm is a leak. It is asked
before and after one subject is unblinded. Leaks planted into the same trial show that one would be
found.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.db import connections, transaction
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

import reporting.admin
from dosing.errors import GateClosed
from dosing.services import dispensing
from events.outcomes import Reason
from events.tasks import drain
from patients.api.records import SubjectRecords
from patients.models import Subject
from reporting.services.safety_summaries import write_safety_summary
from tests.conftest import empty_every_table
from tests.factories import TODAY, Study
from tests.interface import DAY, noun
from tests.stories.fetching import (
    BLINDED,
    SUBJECT,
    Reader,
    listening,
    routes_of_the_interface,
)
from tests.stories.leaks import Verdict, judge
from trials.admin_site import site
from trials.models import Trial, User
from trials.permissions import Role


pytestmark = pytest.mark.xdist_group("leaks")  # one worker: they share one trial

SUBJECTS = 42
SEED = "a list in which place tells nothing"
ARMS, LABELS = ("QXACTIVE", "QXCONTR"), ("Qxdrug", "Qxsham")
WORD = "a long pass phrase"
EXPIRY = date(2030, 1, 1)
PAGE = f"/admin/patients/subject/{SUBJECT}/change/"
REFUSED: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("dispensations", {}, "with nothing in it"),
    ("dispensations", noun("dispensations").body, "a second time"),
    ("randomisations", {"randomised_on": DAY}, "a second time"),
    ("dose-decisions", {"cycle": 2, "decided_on": DAY, "dose_mg": "25"}, "too high"),
    ("emergency-unblindings", {"reason": ""}, "without a reason"),
)


News = tuple[tuple[str, ...], tuple[str, ...], int]
Known = dict[str, dict[News, dict[str, str]]]


@dataclass(slots=True)
class Conducted:
    """A trial with its subjects treated; the last of them is to be unblinded.

    ``known`` is what was answered about the subjects already, by what differed in it.
    """

    study: Study
    log: Callable[[], str]
    site: Reader
    subjects: list[Subject]
    arm_of: dict[str, str]
    outsider: User
    blind_broken: bool = False
    known: Known = field(default_factory=lambda: defaultdict(dict))

    @property
    def unblinded(self) -> Subject:
        return self.subjects[-1]

    @property
    def others(self) -> list[Subject]:
        return self.subjects[:-1]

    @property
    def probes(self) -> list[Subject]:
        """One subject of each arm."""
        return [next(s for s in self.others if self.arm_of[s.number] == arm) for arm in ARMS]


@pytest.fixture(scope="module")
def conducted(django_db_setup, django_db_blocker) -> Iterator[Conducted]:
    with django_db_blocker.unblock(), listening() as log:
        try:
            yield _conducted(log)
        finally:
            empty_every_table()


def _conducted(log: Callable[[], str]) -> Conducted:
    study = Study(conduct=Trial.Conduct.REPLAY, kits=0, arms=ARMS, labels=LABELS, seed=SEED)
    study.add_site("DE-02")
    drawn = random.Random(7)
    study.supply(2 * SUBJECTS)
    site = Reader(study.system, log)
    for _ in range(SUBJECTS):
        _course(study, site, mrd_level=Decimal(drawn.choice(["0.02", "0.005"])))
    write_safety_summary(
        trial=study.trial, period_start=TODAY.replace(day=1),
        by=study.people[Role.SAFETY_OFFICER], at=timezone.now(),
    )  # fmt: skip
    drain()
    return Conducted(
        study=study, log=log, site=site, subjects=list(Subject.objects.order_by("number")),
        arm_of=_arms(), outsider=User.objects.get(username="principal-DE-02"),
    )  # fmt: skip


def _course(study: Study, site: Reader, *, mrd_level: Decimal) -> None:
    """Take one subject through the trial; what tells the arm, if anything, over the interface."""
    subject = study.screened(found={"mrd_level": mrd_level})
    _act(site, subject, "randomisations")
    study.prepare(subject, by=study.system)
    for act in ("dispensations", "adverse-events", "response-assessments"):
        _act(site, subject, act)


def _act(site: Reader, subject: Subject, act: str) -> None:
    done = site.post(f"/api/v1{noun(act).path(subject)}", noun(act).body, called="act")
    assert done.startswith("201"), done


def _arms() -> dict[str, str]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT p.number, s.arm FROM patients_subject p"
            " JOIN trials_allocation a ON a.id = p.allocation_id"
            " JOIN sealed.slot s ON s.id = a.slot_id ORDER BY p.number"
        )
        return dict(cursor.fetchall())


# --- Fetching ---------------------------------------------------------------------------------


def fetched_by(conducted: Conducted, person: User) -> dict[str, str]:
    """Return all that a person is answered everywhere, errors too, and what the log said then."""
    reader = Reader(person, conducted.log)
    routes = routes_of_the_interface(conducted.study)
    for route in routes:
        if SUBJECT not in route:
            reader.get_whole(route)
    if not person.is_machine:
        reader.read_lists()
    for route in [*(r for r in routes if SUBJECT in r), *([] if person.is_machine else [PAGE])]:
        _ask_of_each(conducted, reader, route, reader.get)
    if not person.is_machine:
        _open_records(conducted, reader)
    for name, body, called in REFUSED:
        route = f"/api/v1/subjects/{SUBJECT}/{name}"
        _ask_of_each(conducted, reader, route, partial(_refused, reader, body, called), called)
    return reader.pages


RECORDS = [m for m in site._registry if "subject" in {f.name for f in m._meta.concrete_fields}]


def _open_records(conducted: Conducted, reader: Reader) -> None:
    """Open the page of every record that has one, kept under the subject it is about."""
    for model in RECORDS:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        of_subject: dict[str, list[UUID]] = defaultdict(list)
        for row in model._default_manager.exclude(subject=None):
            of_subject[str(row.subject_id)].append(row.pk)
        for place in range(max(map(len, of_subject.values()), default=0)):
            opened = partial(_open_record, reader, f"admin:{name}_change", of_subject, place)
            _ask_of_each(conducted, reader, f"/admin/record/{SUBJECT}/{name}/{place}", opened)


def _open_record(
    reader: Reader, page: str, of_subject: Mapping[str, list[UUID]], place: int, path: str
) -> str:
    """Open one record's page; return it without the record's own name, or nothing without one."""
    rows = of_subject.get(path.split("/")[3], [])
    if place >= len(rows):
        return ""
    answer = reader.get(reverse(page, args=[rows[place]]), kept_as=path)
    return answer.replace(str(rows[place]), "*")


def _refused(reader: Reader, body: Mapping[str, Any], called: str, path: str) -> str:
    answer = reader.post(path, body, called=called)
    assert answer.startswith("4"), answer
    return answer


def _ask_of_each(
    conducted: Conducted,
    reader: Reader,
    route: str,
    ask: Callable[[str], str],
    called: str = "",
) -> None:
    """Ask the same about every subject.

    Of one subject of each arm first. If the answers differ in no more than the names, or in nothing
    but what somebody was told before, those about the others would be no news.
    """

    def told(subject: Subject) -> list[str]:
        text = ask(route.replace(SUBJECT, str(subject.pk)))
        return _without_names(text, subject).splitlines(keepends=True)

    if conducted.blind_broken:
        told(conducted.unblinded)
    before = set(reader.pages)
    one, other = (told(subject) for subject in conducted.probes)
    if one == other:
        return
    news = _differences(one, other)
    known = conducted.known[f"{route} {called}"]
    if news in known:
        reader.pages = {**known[news], **reader.pages}
        return
    for subject in conducted.others:
        if subject not in conducted.probes:
            told(subject)
    known[news] = {path: text for path, text in reader.pages.items() if path not in before}


def _differences(one: list[str], other: list[str]) -> News:
    """Return the lines of two answers that are not in both, and by how many one is longer."""
    return (
        tuple(line for line in one if line not in set(other)),
        tuple(line for line in other if line not in set(one)),
        len(one) - len(other),
    )


TOKEN = re.compile(r'name="(csrfmiddlewaretoken|key)" value="[^"]*"')


def _without_names(text: str, subject: Subject) -> str:
    return TOKEN.sub("", text).replace(str(subject.pk), "*").replace(subject.number, "*")


# --- Nothing tells the arm --------------------------------------------------------------------


def test_what_each_blinded_role_fetches_tells_no_arm(conducted):
    _assert_blind(conducted)


def test_nor_after_one_subject_is_unblinded(conducted):
    _unblind(conducted)
    drain()

    _assert_blind(conducted)


def _unblind(conducted: Conducted) -> None:
    investigator = conducted.study.people[Role.INVESTIGATOR]
    investigator.set_password(WORD)
    investigator.save()
    shown = Reader(investigator, conducted.log).post(
        f"/api/v1/subjects/{conducted.unblinded.pk}/emergency-unblindings",
        {"would_change_treatment": True, "reason": "Neutropenic fever", "password": WORD},
        called="emergency",
    )
    assert conducted.arm_of[conducted.unblinded.number] in shown
    conducted.blind_broken = True


def _assert_blind(conducted: Conducted) -> None:
    people = {role.value: conducted.study.people[role] for role in BLINDED}
    people["investigator elsewhere"] = conducted.outsider
    told, named = {}, {}
    for who, person in people.items():
        pages = fetched_by(conducted, person)
        if person == conducted.study.system:
            pages |= conducted.site.pages
        told[who] = _verdict(conducted, pages)
        named[who] = [path for path, text in pages.items() if _names_an_arm(text)]

    assert {who: paths for who, paths in named.items() if paths} == {}
    assert {who: verdict for who, verdict in told.items() if verdict.tells} == {}
    assert told[Role.DATA_MANAGER].features > 300


def _names_an_arm(text: str) -> bool:
    return any(word in text for word in (*ARMS, *LABELS))


def _verdict(conducted: Conducted, pages: Mapping[str, str]) -> Verdict:
    others = {s.number: conducted.arm_of[s.number] for s in conducted.others}
    names = {name: s.number for s in conducted.subjects for name in (str(s.pk), s.number)}
    return judge(pages, names, others)


# --- A leak is found --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leak:
    """One column of a table made to tell the arm, and where a data manager is shown it."""

    table: str
    column: str
    change: str
    shown_at: tuple[str, ...]


OF_KIT = "FROM sealed.kit_content c WHERE c.number = t.number"
OF_SLOT = "FROM sealed.slot s WHERE s.id = t.slot_id"
OF_SUBJECT = (
    "FROM patients_subject p JOIN trials_allocation a ON a.id = p.allocation_id"
    " JOIN sealed.slot s ON s.id = a.slot_id WHERE p.id::text ="
)
KITS_AT = ("/api/v1/kits", f"/api/v1/subjects/{SUBJECT}/dispensations")
PLANTED = {
    "the parity of kit numbers": Leak(
        "dosing_kit", "number",
        f"(t.number::int / 2 * 2 + (c.arm = 'QXACTIVE')::int)::text {OF_KIT}", KITS_AT,
    ),
    "a range of kit numbers": Leak(
        "dosing_kit", "number",
        f"(c.arm = 'QXACTIVE')::int + 1 || substr(t.number, 2) {OF_KIT}", KITS_AT,
    ),
    "the order of randomisation numbers": Leak(
        "trials_allocation", "number",
        f"'R' || (s.arm = 'QXACTIVE')::int + 1 || substr(t.number, 3) {OF_SLOT}",
        (f"/api/v1/subjects/{SUBJECT}/randomisations",),
    ),
    "the microseconds of a record": Leak(
        "patients_adverseevent", "recorded_at",
        "date_trunc('second', t.recorded_at) + interval '1 microsecond'"
        " * (extract(microseconds FROM t.recorded_at)::int % 1000000 / 2 * 2"
        f" + (s.arm = 'QXACTIVE')::int) {OF_SUBJECT} t.subject_id::text",
        (f"/api/v1/subjects/{SUBJECT}/adverse-events",),
    ),
    "the size of an event": Leak(
        "events_outboxevent", "payload",
        "t.payload || jsonb_build_object('note', repeat('x', (s.arm = 'QXACTIVE')::int))"
        f" {OF_SUBJECT} t.payload->>'subject_id'",
        ("/api/v1/events?trial=CLLM1",),
    ),
}  # fmt: skip


@contextmanager
def planted(leak: Leak) -> Iterator[None]:
    """Keep a leak in the tables for a while, unseen by their triggers and their history."""
    asleep, awake = (
        f"ALTER TABLE {leak.table} {how} TRIGGER USER" for how in ("DISABLE", "ENABLE")
    )
    update = f"UPDATE {leak.table} t SET {leak.column} ="
    change = f"{update} {leak.change}"
    undo = f"{update} kept.{leak.column} FROM kept WHERE kept.id = t.id"
    _as_owner(f"CREATE TEMPORARY TABLE kept AS SELECT id, {leak.column} FROM {leak.table}")
    changed = _as_owner(asleep, change, awake)
    try:
        assert changed >= SUBJECTS
        yield
    finally:
        _as_owner(asleep, undo, awake)
        _as_owner("DROP TABLE kept")


def _as_owner(*statements: str) -> int:
    """Run statements in one transaction; return how many rows they changed."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        changed = 0
        for statement in statements:
            cursor.execute(statement)
            changed += max(cursor.rowcount, 0)
    return changed


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_found(conducted, name):
    leak, person = PLANTED[name], conducted.study.people[Role.DATA_MANAGER]

    clean = _told_at(conducted, person, leak.shown_at)
    with planted(leak):
        leaking = _told_at(conducted, person, leak.shown_at)

    assert not clean.tells, clean
    assert leaking.tells, leaking


def _as_new(conducted: Conducted) -> Conducted:
    """Return the trial as if nobody had been told anything yet."""
    return replace(conducted, known=defaultdict(dict))


def _told_at(conducted: Conducted, person: User, routes: Sequence[str]) -> Verdict:
    reader = Reader(person, conducted.log)
    for route in routes:
        if SUBJECT in route:
            _ask_of_each(_as_new(conducted), reader, route, reader.get)
        else:
            reader.get_whole(route)
    return _verdict(conducted, reader.pages)


def test_a_leak_on_the_page_of_one_record_is_found(conducted):
    reader = Reader(conducted.study.people[Role.DATA_MANAGER], conducted.log)

    with planted(PLANTED["a range of kit numbers"]):
        _open_records(_as_new(conducted), reader)

    assert len(reader.pages) > 3 * SUBJECTS
    assert _verdict(conducted, reader.pages).tells


def test_a_leak_in_an_error_is_found(conducted, monkeypatch):
    """The supply's refusal, one space longer in one arm."""

    def planted_gate(subject: Subject, *_: Any) -> None:
        text = "This cycle was supplied." + " " * _active(conducted, subject)
        raise GateClosed(Reason("supplied_already", text))

    monkeypatch.setattr(dispensing, "dispensing_facts", planted_gate)
    name, body, called = REFUSED[1]
    reader = Reader(conducted.study.pharmacist, conducted.log)
    route = f"/api/v1/subjects/{SUBJECT}/{name}"

    _ask_of_each(_as_new(conducted), reader, route, partial(_refused, reader, body, called), called)

    assert _verdict(conducted, reader.pages).tells


def test_a_leak_in_the_size_of_a_page_is_found(conducted, monkeypatch):
    """A subject's page, one space longer in one arm."""

    def planted_page(request: Any, template: str, context: dict[str, Any]) -> TemplateResponse:
        answer = TemplateResponse(request, template, context).render()
        answer.content += b" " * _active(conducted, context["subject"])
        return answer

    monkeypatch.setattr(reporting.admin, "TemplateResponse", planted_page)

    assert _told_at(conducted, conducted.study.people[Role.MONITOR], [PAGE]).tells


def test_a_leak_in_the_log_is_found(conducted, monkeypatch):
    shown = SubjectRecords.rows

    def planted_rows(self: Any, subject: Subject) -> Any:
        structlog.get_logger("vigil.request").info("rows", cost=2 - _active(conducted, subject))
        return shown(self, subject)

    monkeypatch.setattr(SubjectRecords, "rows", planted_rows)
    route = f"/api/v1/subjects/{SUBJECT}/labs"

    assert _told_at(conducted, conducted.study.people[Role.MONITOR], [route]).tells


def _active(conducted: Conducted, subject: Subject) -> int:
    return int(conducted.arm_of[subject.number] == ARMS[0])
