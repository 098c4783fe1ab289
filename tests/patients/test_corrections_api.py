"""A correction carries the revision it was read at, and why."""

import pytest
from django.apps import apps

from tests.factories import Study
from tests.interface import EVENT, Caller, caller_for, fields_of, noun, reasons_of, token_of
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres

CHANGES = {
    "adverse-events": {"grade": 3, "reason": "the grade was misread"},
    "response-assessments": {"response": "PD", "reason": "the review came back"},
}
both = pytest.mark.parametrize("name", CHANGES)


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


@pytest.fixture
def system(study):
    return caller_for(study.system)


@pytest.fixture
def address(study, system):
    """Make a record of a noun and return the address of its corrections."""

    def of(name):
        made = system.post(noun(name).path(study.consented()), noun(name).body)
        return f"/{name}/{made.json()['id']}/corrections"

    return of


def history(name):
    model = noun(name).model
    past = apps.get_model(model._meta.app_label, f"{model.__name__}History")
    return past.objects.order_by("pgh_id")


@both
@pytest.mark.parametrize("revision", ["1", '"1"'])
def test_a_correction_raises_the_revision_and_keeps_what_stood_there(
    system, address, name, revision
):
    path = address(name)

    answer = system.post(path, CHANGES[name], revision=revision)

    assert (answer.status_code, answer.json()["revision"]) == (201, 2)
    first, second = history(name)
    assert (first.revision, second.revision) == (1, 2)
    assert second.pgh_context["reason"] == CHANGES[name]["reason"]
    assert second.pgh_context["actor"] == "site_system-DE-01"
    assert second.pgh_context["request_id"] == answer["X-Request-Id"]
    field = next(iter(CHANGES[name]))
    assert getattr(first, field) == noun(name).body[field]
    assert getattr(second, field) == CHANGES[name][field]


@both
def test_a_correction_without_the_revision_read_changes_nothing(system, address, name):
    path = address(name)
    before = contents()

    answers = [
        system.post(path, CHANGES[name], **{"If-Match": revision})
        for revision in ("", "x", "-1", "1.0", 'W/"1"', "٣", "9" * 10)
    ]

    assert {answer.status_code for answer in answers} == {428}
    assert all(reasons_of(answer) == {("", "revision_missing")} for answer in answers)
    assert contents() == before


@both
def test_a_correction_of_another_revision_changes_nothing(system, address, name):
    path = address(name)
    before = contents()

    answers = [system.post(path, CHANGES[name], revision=r) for r in ("0", "2", "999999999")]

    assert {answer.status_code for answer in answers} == {412}
    assert all(reasons_of(answer) == {("", "stale")} for answer in answers)
    assert contents() == before


@both
def test_a_correction_that_corrects_nothing_or_gives_no_reason_is_refused(system, address, name):
    path = address(name)
    before = contents()
    field = next(iter(CHANGES[name]))

    nothing = system.post(path, {"reason": "to be sure"}, revision="1")
    blank = system.post(path, {**CHANGES[name], "reason": "  "}, revision="1")
    none = system.post(path, {field: CHANGES[name][field]}, revision="1")

    assert [answer.status_code for answer in (nothing, blank, none)] == [400, 400, 400]
    assert fields_of(nothing) == {"body"}
    assert fields_of(blank) == fields_of(none) == {"reason"}
    assert contents() == before


def test_a_correction_that_contradicts_the_rest_is_refused_with_every_reason(system, address):
    path = address("adverse-events")
    before = contents()

    answer = system.post(
        path, {"grade": 5, "serious": False, "reason": "died"}, revision="1", key="death"
    )

    after = contents()
    assert answer.status_code == 409
    codes = {code for _, code in reasons_of(answer)}
    assert codes == {"grade_5_not_fatal", "criterion_without_serious"}
    after.pop("public.events_idempotencyrecord")
    before.pop("public.events_idempotencyrecord")
    assert after == before


@both
def test_two_corrections_of_the_same_revision_at_the_same_moment_one_wins(study, address, name):
    path, token = address(name), token_of(study.coordinator)

    answers = at_once(
        *[lambda: Caller(token).post(path, CHANGES[name], revision="1") for _ in range(2)]
    )

    assert sorted(answer.status_code for answer in answers) == [201, 412]
    assert noun(name).model.objects.get().revision == 2
    assert history(name).count() == 2


@both
def test_another_site_and_a_reader_correct_nothing(study, address, name):
    path = address(name)
    elsewhere = study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))
    before_all = [caller_for(elsewhere), caller_for(study.people[Role.MONITOR])]
    before = contents()

    answers = [one.post(path, CHANGES[name], revision="1") for one in before_all]

    assert [answer.status_code for answer in answers] == [404, 403]
    assert contents() == before


def test_an_end_can_be_given_and_taken_back(system, address):
    path = address("adverse-events")
    ended = {"ended_on": "2026-04", "outcome": "recovered", "reason": "it ended"}

    given = system.post(path, ended, revision="1").json()
    taken = system.post(
        path, {"ended_on": None, "outcome": EVENT["outcome"], "reason": "it did not"}, revision="2"
    ).json()

    assert (given["ended_on"], given["revision"]) == ("2026-04", 2)
    assert (taken["ended_on"], taken["revision"]) == (None, 3)
