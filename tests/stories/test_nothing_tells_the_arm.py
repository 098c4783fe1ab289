"""Everything a blinded person can fetch, given to a classifier: it must do no better than chance.

The subjects go through the same, over the interface; their arms come from a list drawn from a seed.
What differs between arms is chance alone, so whatever predicts the arm is a leak. It is asked
before and after one subject is unblinded. Leaks planted into the same trial, wrong for 10 % of the
subjects, show that one would be found among all that was fetched.

A judgement raises a false alarm once in a thousand, whatever was fetched (``chance``): what is
fetched holds ids and moments that are others in each run.
"""

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import structlog
from django.db import connections, transaction
from django.template.response import TemplateResponse
from django.utils import timezone

import reporting.admin
from dosing.errors import GateClosed
from dosing.events import KitDispensed
from dosing.models import Dispensation, Kit
from dosing.services import dispensing
from events.models import OutboxEvent
from events.outcomes import Reason
from events.tasks import drain
from patients.api.records import SubjectRecords
from patients.events import SubjectRandomised
from patients.models import AdverseEvent, ResponseAssessment, Subject, Unblinding
from reporting.services.safety_summaries import write_safety_summary
from tests.conftest import empty_every_table
from tests.factories import TODAY, Study
from tests.interface import ACTS, DAY, NOUNS, noun
from tests.stories.chance import Verdict
from tests.stories.fetching import (
    BLINDED,
    RECORD,
    SUBJECT,
    Reader,
    addresses_of_a_record,
    listening,
    posts_of_the_interface,
    routes_of_the_interface,
)
from tests.stories.leaks import Told, judge, told_by
from trials.admin_site import site
from trials.models import Allocation, Trial, UnblindingRequest, User
from trials.permissions import Role


pytestmark = pytest.mark.xdist_group("leaks")  # one worker: they share one trial

SUBJECTS = 62
SEED = "a list in which place tells nothing"
ARMS, LABELS = ("QXACTIVE", "QXCONTR"), ("Qxdrug", "Qxsham")
WORD = "a long pass phrase"
EXPIRY = date(2030, 1, 1)
PAGE = f"/admin/patients/subject/{SUBJECT}/change/"
WRONG = 0.1  # of the subjects of each arm, for how many a planted mark is wrong
EMERGENCY = f"/admin/patients/subject/{SUBJECT}/emergency-unblinding/"
FORM_PAGES = [
    EMERGENCY,
    *(f"/admin/patients/subject/{SUBJECT}/record/{kind}/" for kind in reporting.admin.FORMS),
]
SAID = {"a text": ["where", "none"], "cycle": "nought", "reason": {"is": "no text"}}
# In full: the attempt, or the proof of who sends it, would be kept for good.
NOT_TRIED = ("/emergency-unblindings", "/clients")
REFUSED: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("dispensations", {}, "with nothing in it"),
    ("dispensations", noun("dispensations").body, "a second time"),
    ("randomisations", {"randomised_on": DAY}, "a second time"),
    ("dose-decisions", {"cycle": 2, "decided_on": DAY, "dose_mg": "25"}, "too high"),
    ("emergency-unblindings", {"reason": ""}, "without a reason"),
)


News = tuple[tuple[str, ...], tuple[str, ...], int]
NONE: News = ((), (), 0)
Known = dict[str, dict[News | str, dict[str, str]]]


@dataclass(slots=True)
class Conducted:
    """A trial with its subjects treated; the last of them is to be unblinded.

    ``known`` is what was answered about the subjects already, by what differed in it, and
    ``fetched`` all that each person was answered last.
    """

    study: Study
    log: Callable[[], str]
    site: Reader
    subjects: list[Subject]
    arm_of: dict[str, str]
    outsider: User
    blind_broken: bool = False
    known: Known = field(default_factory=lambda: defaultdict(dict))
    fetched: dict[str, dict[str, str]] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def unblinded(self) -> Subject:
        return self.subjects[-1]

    @property
    def others(self) -> list[Subject]:
        return self.subjects[:-1]

    def pair(self, place: int) -> tuple[Subject, Subject]:
        """One subject of each arm; another pair at another place."""
        active, control = ([s for s in self.others if self.arm_of[s.number] == arm] for arm in ARMS)
        return active[place % len(active)], control[place % len(control)]

    @property
    def people(self) -> dict[str, User]:
        """Everybody who must not learn an arm, by what they are."""
        known = {role.value: self.study.people[role] for role in BLINDED}
        return {**known, "investigator elsewhere": self.outsider}


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
    for year in range(4):
        study.receive(study.packed(SUBJECTS // 2), expires_on=date(2030 + year, 1, 1))
    site = Reader(study.system, log)
    for _ in range(SUBJECTS):
        _course(study, site, mrd_level=Decimal(drawn.choice(["0.02", "0.005"])))
    officer = Reader(study.people[Role.SAFETY_OFFICER], log)
    for event in AdverseEvent.objects.all():
        _ask_to_unblind(officer, event)
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


def _ask_to_unblind(officer: Reader, event: AdverseEvent) -> None:
    body = {"adverse_event": event.pk, "expectedness": "not in the brochure", "reason": "SUSAR"}
    asked = officer.post("/api/v1/safety-unblinding-requests", body, called="act")
    assert asked.startswith("201"), asked


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
    for route in (r for r in routes if SUBJECT in r):
        _ask_of_each(conducted, reader, route, reader.get, of_all=True)
    if not person.is_machine:
        reader.read_lists()
        _ask_of_each(conducted, reader, PAGE, reader.get, of_all=True)
        for page in FORM_PAGES if conducted.blind_broken else [EMERGENCY]:
            _ask_of_each(conducted, reader, page, reader.get)
    _open_records(conducted, reader)
    for name, body, called in REFUSED:
        route = f"/api/v1/subjects/{SUBJECT}/{name}"
        refused = partial(_refused, reader, body, called)
        _ask_of_each(conducted, reader, route, refused, called, of_all=True)
    _try_every_address(conducted, reader)
    return reader.pages


# Whose a record is, where the record itself does not say so.
OWNERS: dict[Any, Callable[[], Any]] = {
    Kit: lambda: Dispensation.objects.values_list("subject_id", "kit_id"),
    Allocation: lambda: Subject.objects.exclude(allocation=None).values_list("pk", "allocation"),
    OutboxEvent: lambda: (
        OutboxEvent.objects.filter(type__in=(KitDispensed.type, SubjectRandomised.type))
        .values_list("payload__subject_id", "pk")
        .order_by("pk")
    ),
}
OF_SUBJECTS = [m for m in site._registry if "subject_id" in {f.attname for f in m._meta.fields}]
NAMED_AFTER = {
    "unblindings": Unblinding,
    "unblinding-requests": UnblindingRequest,
    "adverse-events": AdverseEvent,
    "response-assessments": ResponseAssessment,
}


def _open_records(conducted: Conducted, reader: Reader) -> None:
    """Open each record by its own address: its page, and what the interface has of it.

    What takes a body is sent an empty one. All is kept under the subject that the record is about.
    """
    for address in addresses_of_a_record("get"):
        _open_each(conducted, reader, _model_of(address), address, reader.get)
    for address in addresses_of_a_record("post"):
        sent = partial(_refused, reader, {}, "with nothing in it")
        _open_each(conducted, reader, _model_of(address), address, sent)
    if not reader.person.is_machine:
        for model in (*OF_SUBJECTS, *OWNERS):
            name = f"{model._meta.app_label}/{model._meta.model_name}"
            _open_each(conducted, reader, model, f"/admin/{name}/{RECORD}/change/", reader.get)


def _model_of(address: str) -> Any:
    return NAMED_AFTER[address.split("/")[3]]


def _open_each(
    conducted: Conducted, reader: Reader, model: Any, address: str, ask: Callable[..., str]
) -> None:
    """Ask an address about the first records of each subject, one after the other."""
    of_subject: dict[str, list[Any]] = defaultdict(list)
    rows = OWNERS.get(model, lambda: model._default_manager.values_list("subject_id", "pk"))()
    for subject, key in rows:
        of_subject[str(subject)].append(key)
    of_subject.pop("None", None)

    def open_record(place: int, path: str) -> str:
        found = of_subject.get(path.split("/")[2], [])[place : place + 1]
        if not found:
            return ""
        answer = ask(address.replace(RECORD, str(found[0])), kept_as=path)
        return answer.replace(str(found[0]), "*")

    for place in range(max(map(len, of_subject.values()), default=0)):
        route = f"/record/{SUBJECT}{address.replace(RECORD, 'one')}{place}"
        _ask_of_each(conducted, reader, route, partial(open_record, place), of_all=True)


def _refused(
    reader: Reader, body: Mapping[str, Any], called: str, path: str, *, kept_as: str = ""
) -> str:
    answer = reader.post(path, body, called=called, kept_as=kept_as)
    assert answer.startswith("4"), answer
    return answer


def _try_every_address(conducted: Conducted, reader: Reader) -> None:
    """Send every address a body, and keep what is refused.

    An empty one and a right one as long as nobody is unblinded, a wrong one after it; those that
    are about no subject get all three after it. Answers take most of this story's time.
    """
    right = {f"/api/v1{act.path}": act.body for act in ACTS}
    right |= {f"/api/v1/subjects/{SUBJECT}/{noun.name}": noun.body for noun in NOUNS}
    for route in posts_of_the_interface(conducted.study):
        body = right.get(route, SAID)
        before = {"with nothing in it": {}, "right": body}
        after = {"wrong": dict.fromkeys(body, SAID)}
        if route.endswith(NOT_TRIED):
            del before["right"]
        if SUBJECT in route:
            for called, one in (after if conducted.blind_broken else before).items():
                tried = partial(_tried, reader, one, called)
                _ask_of_each(conducted, reader, route, tried, called)
        elif conducted.blind_broken:
            for called, one in {**before, **after}.items():
                _tried(reader, one, called, route)


def _tried(reader: Reader, body: Mapping[str, Any], called: str, path: str) -> str:
    """Send a body and undo what it does; what was not refused is no error, and is left out."""
    with transaction.atomic():
        answer = reader.post(path, body, called=called)
        transaction.set_rollback(True)
    if not answer.startswith("4"):
        reader.forget(f"{path} {called}")
        return ""
    return answer


def _ask_of_each(
    conducted: Conducted,
    reader: Reader,
    route: str,
    ask: Callable[[str], str],
    called: str = "",
    *,
    of_all: bool = False,
) -> None:
    """Ask the same about every subject.

    Of one subject of each arm first: others for each person, unless ``of_all``. If the answers
    differ in no more than the names, or in nothing but what somebody was told before, those about
    the others would be no news. ``of_all``: what is answered at all is asked about all once.
    """

    def told(subject: Subject) -> list[str]:
        text = ask(route.replace(SUBJECT, str(subject.pk)))
        return _without_names(text, subject).splitlines(keepends=True)

    if conducted.blind_broken:
        told(conducted.unblinded)
    before = set(reader.pages)
    news = _news(told, conducted, reader, of_all=of_all)
    known = conducted.known[f"{route} {called}"]
    if news in ("", NONE):
        return
    if news in known:
        reader.pages = {**known[news], **reader.pages}
        return
    for subject in conducted.others:
        if subject not in conducted.pair(0):
            told(subject)
    known[news] = {path: text for path, text in reader.pages.items() if path not in before}


def _news(
    told: Callable[[Subject], list[str]], conducted: Conducted, reader: Reader, *, of_all: bool
) -> News | str:
    """Return what differs between two subjects of different arms; nothing if nothing does."""
    if not of_all:
        one, other = (told(subject) for subject in conducted.pair(1 + reader.person.pk))
        if one == other:
            return ""
    one, other = (told(subject) for subject in conducted.pair(0))
    status = one[0][:3] if one else ""
    if one == other and of_all and status not in {"403", "404"}:
        return status
    return _differences(one, other)


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
    _fetch_all(conducted)
    named = {
        who: [path for path, text in pages.items() if _names_an_arm(text)]
        for who, pages in conducted.fetched.items()
    }
    verdict = _verdict(conducted, conducted.told)

    assert {who: paths for who, paths in named.items() if paths} == {}
    assert not verdict.tells, verdict
    assert verdict.features > 1000


def _fetch_all(conducted: Conducted) -> None:
    for who, person in conducted.people.items():
        pages = fetched_by(conducted, person)
        if person == conducted.study.system:
            pages |= conducted.site.pages
        conducted.fetched[who] = pages
        conducted.told[who] = _told(conducted, pages)


def _names_an_arm(text: str) -> bool:
    return any(word in text for word in (*ARMS, *LABELS))


def _told(conducted: Conducted, pages: Mapping[str, str]) -> Told:
    names = {name: s.number for s in conducted.subjects for name in (str(s.pk), s.number)}
    return told_by(pages, names, [s.number for s in conducted.others])


def _verdict(conducted: Conducted, told: Mapping[str, Told]) -> Verdict:
    return judge(told, [conducted.arm_of[s.number] for s in conducted.others])


# --- A leak is found --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leak:
    """One column of a table made to tell the arm, and where a data manager is shown it."""

    table: str
    column: str
    change: str
    shown_at: tuple[str, ...]
    wrong: float = WRONG


OF_KIT = "FROM dosing_dispensation d JOIN mark m ON m.subject = d.subject_id WHERE d.kit_id = t.id"
OF_SLOT = "FROM patients_subject p JOIN mark m ON m.subject = p.id WHERE p.allocation_id = t.id"
OF_SUBJECT = "FROM mark m WHERE m.subject::text ="
KITS_AT = ("/api/v1/kits", f"/api/v1/subjects/{SUBJECT}/dispensations")
PLANTED = {
    "the parity of kit numbers": Leak(
        "dosing_kit", "number", f"(t.number::int / 2 * 2 + m.active)::text {OF_KIT}", KITS_AT,
    ),
    "kit numbers modulo three": Leak(
        "dosing_kit", "number", f"(t.number::int / 3 * 3 + m.active)::text {OF_KIT}", KITS_AT,
    ),
    "a range of kit numbers": Leak(
        "dosing_kit", "number", f"m.active + 1 || substr(t.number, 2) {OF_KIT}", KITS_AT,
    ),
    "the order of randomisation numbers": Leak(
        "trials_allocation", "number", f"'R' || m.active + 1 || substr(t.number, 3) {OF_SLOT}",
        (f"/api/v1/subjects/{SUBJECT}/randomisations",),
    ),
    "the microseconds of a record": Leak(
        "patients_adverseevent", "recorded_at",
        "date_trunc('second', t.recorded_at) + interval '1 microsecond'"
        " * (extract(microseconds FROM t.recorded_at)::int % 1000000 / 2 * 2"
        f" + m.active) {OF_SUBJECT} t.subject_id::text",
        (f"/api/v1/subjects/{SUBJECT}/adverse-events",),
    ),
    "the time between two records": Leak(
        "patients_responseassessment", "recorded_at",
        f"t.recorded_at + interval '0.1 second' * m.active {OF_SUBJECT} t.subject_id::text",
        (f"/api/v1/subjects/{SUBJECT}/response-assessments",),
    ),
    "a value two and a half standard deviations higher": Leak(
        "patients_labresult", "value",
        f"10 + m.score + 2.5 * m.active {OF_SUBJECT} t.subject_id::text AND t.analyte = 'anc'",
        (f"/api/v1/subjects/{SUBJECT}/labs",), wrong=0,
    ),
    "the size of an event": Leak(
        "events_outboxevent", "payload",
        "t.payload || jsonb_build_object('note', repeat('x', m.active))"
        f" {OF_SUBJECT} t.payload->>'subject_id'",
        ("/api/v1/events?trial=CLLM1",),
    ),
}  # fmt: skip


@contextmanager
def planted(conducted: Conducted, leak: Leak) -> Iterator[None]:
    """Keep a leak in the tables for a while, unseen by their triggers and their history."""
    asleep, awake = (
        f"ALTER TABLE {leak.table} {how} TRIGGER USER" for how in ("DISABLE", "ENABLE")
    )
    update = f"UPDATE {leak.table} t SET {leak.column} ="
    undo = f"{update} kept.{leak.column} FROM kept WHERE kept.id = t.id"
    marks = _marks(conducted, wrong=leak.wrong)
    _as_owner(
        "CREATE TEMPORARY TABLE mark (subject uuid, active int, score numeric)",
        *(f"INSERT INTO mark VALUES ('{one}', {active}, {z})" for one, active, z in marks),
        f"CREATE TEMPORARY TABLE kept AS SELECT id, {leak.column} FROM {leak.table}",
    )
    changed = _as_owner(asleep, f"{update} {leak.change}", awake)
    try:
        assert changed >= len(marks)
        yield
    finally:
        _as_owner(asleep, undo, awake)
        _as_owner("DROP TABLE kept", "DROP TABLE mark")


def _marks(conducted: Conducted, *, wrong: float = WRONG) -> list[tuple[str, int, float]]:
    """Return each subject, whether it is marked as active, and a normal score of chance alone."""
    drawn = random.Random(11)
    marks = []
    for arm in ARMS:
        those = [s for s in conducted.others if conducted.arm_of[s.number] == arm]
        mistaken = drawn.sample(those, round(wrong * len(those)))
        for s in those:
            active = (arm == ARMS[0]) != (s in mistaken)
            marks.append((str(s.pk), int(active), round(drawn.gauss(0, 1), 3)))
    return marks


def _as_owner(*statements: str) -> int:
    """Run statements in one transaction; return how many rows they changed."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        changed = 0
        for statement in statements:
            cursor.execute(statement)
            changed += max(cursor.rowcount, 0)
    return changed


@pytest.fixture
def fetched(conducted) -> Conducted:
    """The trial of which everybody has fetched everything."""
    if not conducted.fetched:
        _fetch_all(conducted)
    return conducted


def test_a_planted_leak_is_found_by_who_fetches_everything(fetched):
    person = fetched.study.people[Role.DATA_MANAGER]

    with planted(fetched, PLANTED["the parity of kit numbers"]):
        pages = fetched_by(fetched, person)

    told = {**fetched.told, Role.DATA_MANAGER.value: _told(fetched, pages)}
    assert _verdict(fetched, told).tells


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_found_among_all_that_was_fetched(fetched, name):
    leak = PLANTED[name]

    with planted(fetched, leak):
        verdict = _judged_with(fetched, Role.DATA_MANAGER, leak.shown_at)

    assert verdict.tells, verdict


def _judged_with(conducted: Conducted, role: Role, routes: Sequence[str]) -> Verdict:
    """Judge all that was fetched, with some addresses got anew by somebody."""
    reader = _as_new(conducted, role)
    for route in routes:
        if SUBJECT in route:
            _ask_of_each(_untold(conducted), reader, route, reader.get, of_all=True)
        else:
            reader.get_whole(route)
    return _judged_after(conducted, reader)


def _as_new(conducted: Conducted, role: Role) -> Reader:
    return Reader(conducted.study.people[role], conducted.log)


def _untold(conducted: Conducted) -> Conducted:
    """Return the trial as if nobody had been told anything yet."""
    return replace(conducted, known=defaultdict(dict))


def _judged_after(conducted: Conducted, reader: Reader) -> Verdict:
    """Judge all that was fetched, with what a reader was answered since in the place of it."""
    who = next(who for who, person in conducted.people.items() if person == reader.person)
    pages = {**conducted.fetched[who], **reader.pages}
    return _verdict(conducted, {**conducted.told, who: _told(conducted, pages)})


def test_a_leak_on_the_page_of_one_record_is_found(fetched):
    reader = _as_new(fetched, Role.DATA_MANAGER)

    with planted(fetched, PLANTED["a range of kit numbers"]):
        address = f"/admin/dosing/kit/{RECORD}/change/"
        _open_each(_untold(fetched), reader, Kit, address, reader.get)

    assert _judged_after(fetched, reader).tells


def test_a_leak_in_an_error_is_found(fetched, monkeypatch):
    """The supply's refusal, one space longer for the marked."""

    marked = _marked(fetched)

    def planted_gate(subject: Subject, *_: Any) -> None:
        text = "This cycle was supplied." + " " * marked[str(subject.pk)]
        raise GateClosed(Reason("supplied_already", text))

    monkeypatch.setattr(dispensing, "dispensing_facts", planted_gate)
    name, body, called = REFUSED[1]
    reader = _as_new(fetched, Role.PHARMACIST)
    route = f"/api/v1/subjects/{SUBJECT}/{name}"
    refused = partial(_refused, reader, body, called)

    _ask_of_each(_untold(fetched), reader, route, refused, called, of_all=True)

    assert _judged_after(fetched, reader).tells


def test_a_leak_in_the_size_of_a_page_is_found(fetched, monkeypatch):
    """A subject's page, one space longer for the marked."""

    marked = _marked(fetched)

    def planted_page(request: Any, template: str, context: dict[str, Any]) -> TemplateResponse:
        answer = TemplateResponse(request, template, context).render()
        answer.content += b" " * marked[str(context["subject"].pk)]
        return answer

    monkeypatch.setattr(reporting.admin, "TemplateResponse", planted_page)

    assert _judged_with(fetched, Role.MONITOR, [PAGE]).tells


def test_a_leak_in_the_log_is_found(fetched, monkeypatch):
    shown, marked = SubjectRecords.rows, _marked(fetched)

    def planted_rows(self: Any, subject: Subject) -> Any:
        structlog.get_logger("vigil.request").info("rows", cost=2 - marked[str(subject.pk)])
        return shown(self, subject)

    monkeypatch.setattr(SubjectRecords, "rows", planted_rows)
    route = f"/api/v1/subjects/{SUBJECT}/labs"

    assert _judged_with(fetched, Role.MONITOR, [route]).tells


def test_a_leak_in_how_long_an_answer_takes_is_found(fetched, monkeypatch):
    """A twentieth of a second more for the active arm: by the log, in milliseconds."""

    shown, marked = SubjectRecords.rows, _marked(fetched, wrong=0)

    def slow_rows(self: Any, subject: Subject) -> Any:
        time.sleep(0.05 * marked[str(subject.pk)])
        return shown(self, subject)

    monkeypatch.setattr(SubjectRecords, "rows", slow_rows)
    route = f"/api/v1/subjects/{SUBJECT}/visits"

    assert _judged_with(fetched, Role.MONITOR, [route]).tells


def _marked(conducted: Conducted, *, wrong: float = WRONG) -> dict[str, int]:
    marks = {name: active for name, active, _ in _marks(conducted, wrong=wrong)}
    return {**marks, str(conducted.unblinded.pk): 0}
