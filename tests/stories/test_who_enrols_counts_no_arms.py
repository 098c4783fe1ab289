"""Block sizes and counts by arm are shown to nobody who enrols.

Two trials that differ in the size of their blocks, and in how many subjects each arm has, are the
same trial to whoever enrols: all that they fetch is equal but for what is random or says the time.
"""

import re
from collections import Counter

import pytest

from patients.models import Subject
from tests.conftest import empty_every_table
from tests.factories import NOW, Study
from tests.marks import on_postgres
from tests.stories.fetching import (
    SUBJECT,
    Reader,
    browser,
    listening,
    program,
    routes_of_the_interface,
)
from trials.models import User
from trials.permissions import Role, allows
from trials.queries import ENROLS, READS_PROTOCOLS
from trials.rules.randomisation import design_of, generate
from trials.services.people import give_role


pytestmark = on_postgres

WHO = [role for role in Role if any(allows(role, permission) for permission in ENROLS)]
SUBJECTS = 4
BLOCKS = {3: "a seed of blocks of three", 18: "a seed of other blocks"}
BY_CHANCE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\b[0-9a-f]{12,64}\b|\bR?\d{6,}\b"  # digests, numbers of subjects' places
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?|\b\d\d:\d\d\b"  # the clock
    r'|"name":"[\w-]+ \d+","client_id":"\w+"'  # of the tests' own program
    r'|name="(csrfmiddlewaretoken|key)" value="[^"]*"'
)


def test_no_role_that_reads_protocol_files_enrols():
    reads = {role for role in Role if any(allows(role, kind) for kind in READS_PROTOCOLS)}

    assert reads
    assert reads & set(WHO) == set()


@pytest.mark.parametrize("role", WHO)
def test_what_tells_block_sizes_is_refused_to(role):
    study = Study(kits=0)
    study.list = study.draft_list([("H", "L"), ("H", "P"), ("H", "L")])
    person = study.people[role]
    lists, code = f"/admin/trials/randomisationlist/{study.list.pk}", study.trial.code
    version = f"/admin/trials/protocolversion/{study.trial.current_version.pk}"
    api, pages = program(person), browser(person)

    answers = {
        **{path: api.get(path) for path in routes_of_the_interface(study) if _tells_blocks(path)},
        **{
            path: pages.get(path)
            for path in (
                f"{version}/change/", f"{version}/since/{study.trial.current_version.pk}/",
                f"{version}/activation/", f"{version}/withdrawal/",
                f"{lists}/change/", f"{lists}/act/approve/",
                "/admin/trials/randomisationlist/new/generate/",
                f"/admin/trials/allocation/verify/{code}/",
                f"/admin/trials/allocation/report/{code}/",
            )
        },
        "dry run": pages.post(f"{lists}/dry-run/"),
    }  # fmt: skip

    assert len(answers) == 17
    assert {path: a.status_code for path, a in answers.items() if not _refused(a)} == {}


def _refused(answer) -> bool:
    """A program has no page at all: it is sent to the log-in."""
    sent_to = answer.headers.get("Location", "")
    return answer.status_code >= 400 or sent_to.startswith("/admin/login/")


def test_somebody_who_enrols_reads_no_protocol_file_by_another_role():
    study = Study(kits=0)
    manager, code = study.people[Role.DATA_MANAGER], study.trial.code
    versions = f"/api/v1/trials/{code}/protocol-versions"
    page = f"/admin/trials/protocolversion/{study.trial.current_version.pk}/change/"

    before = [program(manager).get(versions), browser(manager).get(page)]
    give_role(
        user=manager, trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=NOW,
    )  # fmt: skip
    manager = User.objects.get(pk=manager.pk)
    after = [program(manager).get(versions), browser(manager).get(page)]

    assert [answer.status_code for answer in before] == [200, 200]
    assert [answer.status_code for answer in after] == [403, 403]


def _tells_blocks(path: str) -> bool:
    told = ("/dry-run", "/protocol-versions", "/randomisation-verification", "/mis-strat")
    return any(word in path for word in told)


def test_other_blocks_and_other_counts_look_the_same_to_whoever_enrols():
    shown, counts = {}, {}
    for size, seed in BLOCKS.items():
        study, counts[size] = _trial(block_size=size, seed=seed)
        shown[size] = {role: _fetched(study, study.people[role]) for role in WHO}
        shown[size]["statistician"] = _fetched(study, study.statistician)
        empty_every_table()

    one, other = shown.values()
    assert counts[3] != counts[18]
    differing = {role: _differing(one[role], other[role]) for role in WHO}
    assert {role: found for role, found in differing.items() if found} == {}
    assert _differing(one["statistician"], other["statistician"])


def _trial(*, block_size: int, seed: str) -> tuple[Study, Counter[str]]:
    """Return a trial with some subjects randomised, and how many there are of each arm."""
    study = Study(kits=0, block_size=block_size, seed=seed)
    drawn = generate(design_of(study.trial.protocol), seed=seed)
    for _ in range(SUBJECTS):
        study.randomised()
    return study, Counter(place.arm for place in drawn[:SUBJECTS])


def _fetched(study: Study, person: User) -> dict[str, list[str]]:
    """Return the lines of everything, without what is random, by address without ids."""
    with listening() as log:
        reader = Reader(person, log)
        last = str(Subject.objects.order_by("number").last().pk)
        for route in routes_of_the_interface(study):
            reader.get(route.replace(SUBJECT, last))
        reader.get(f"/admin/patients/subject/{last}/change/")
        reader.get(f"/admin/trials/randomisationlist/{study.list.pk}/change/")
        reader.read_lists()
    pages = [(path, text) for path, text in reader.pages.items() if path + " log" in reader.pages]
    return {f"{n} {BY_CHANCE.sub('*', path)}": _lines(text) for n, (path, text) in enumerate(pages)}


def _lines(text: str) -> list[str]:
    """Return the lines, and the objects of JSON, sorted: rows of one moment come in any order."""
    return sorted(
        line for line in re.split(r"[\[\]{}\n]", BY_CHANCE.sub("*", text)) if line.strip()
    )


def _differing(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the lines that one of two trials alone shows, by address."""
    assert one.keys() == other.keys()
    apart = {path: Counter(one[path]) - Counter(other[path]) for path in one}
    back = {path: Counter(other[path]) - Counter(one[path]) for path in one}
    return {path: [*apart[path], *back[path]] for path in one if apart[path] or back[path]}
