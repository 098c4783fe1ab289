"""The trial's own addresses: trials, sites, the sealed list, and the event feed."""

import pytest

from events.models import OutboxEvent
from events.tasks import drain
from tests.factories import Study
from tests.interface import LIST, Caller, caller_for, reasons_of, token_of
from tests.marks import on_postgres
from tests.postgres import ask, at_once, contents
from trials.models import RandomisationList, SealedAccess, Trial
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


@pytest.fixture
def without_list(study):
    """The study before its list was loaded, as only the owner could make it."""
    ask("TRUNCATE trials_randomisationlist, trials_randomisationlisthistory CASCADE")
    return study


def test_everybody_sees_the_trials_of_their_roles_and_the_sites_they_may_read(study):
    study.add_site("DE-02")
    system, monitor = caller_for(study.system), caller_for(study.people[Role.MONITOR])

    trials = system.get("/trials").json()
    sites = [site["code"] for site in system.get("/sites").json()["results"]]
    everywhere = [site["code"] for site in monitor.get("/sites").json()["results"]]

    assert [trial["code"] for trial in trials["results"]] == ["CLLM1"]
    assert sites == ["DE-01"]
    assert everywhere == ["DE-01", "DE-02"]


def test_the_list_is_loaded_once_and_nothing_of_it_comes_back(without_list):
    statistician = caller_for(without_list.statistician)
    looks = SealedAccess.objects.count()

    answer = statistician.post("/randomisation-lists", LIST, key="list")
    again = statistician.post("/randomisation-lists", LIST, key="list")
    second = statistician.post("/randomisation-lists", LIST)

    assert (answer.status_code, again.status_code, second.status_code) == (201, 201, 409)
    assert again.content == answer.content
    assert set(answer.json()) == {"id", "trial", "digest", "entries", "loaded_at"}
    assert answer.json()["entries"] == 204
    assert reasons_of(second) == {("", "list_exists")}
    assert RandomisationList.objects.count() == 1
    assert SealedAccess.objects.count() == looks + 1
    assert OutboxEvent.objects.filter(type="trials.RandomisationListLoaded").count() == 2


def test_two_lists_at_the_same_moment_one_is_put_to_use(without_list):
    token = token_of(without_list.statistician)

    answers = at_once(*[lambda: Caller(token).post("/randomisation-lists", LIST)] * 2)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert RandomisationList.objects.count() == 1


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.SITE_SYSTEM, 403),
        (Role.UNBLINDED_SUPPLIER, 403),
        (Role.SPONSOR_ADMINISTRATOR, 403),
        (Role.COMMITTEE_MEMBER, 403),
    ],
)
def test_nobody_else_loads_a_list(without_list, role, status):
    caller = caller_for(without_list.people[role])
    before = contents()

    answer = caller.post("/randomisation-lists", LIST)

    assert answer.status_code == status
    assert reasons_of(answer) == {("", "not_your_role")}
    assert contents() == before


def test_a_list_that_breaks_the_protocol_is_refused_with_every_reason(without_list):
    statistician = caller_for(without_list.statistician)
    entries = [{"stratum": "H", "arm": "X"}, {"stratum": "Z", "arm": "L"}]
    sealed = contents("sealed")

    answer = statistician.post("/randomisation-lists", {**LIST, "entries": entries})

    assert answer.status_code == 409
    assert {code for _, code in reasons_of(answer)} == {
        "unknown_arm", "unknown_stratum", "stratum_missing", "list_short",
    }  # fmt: skip
    assert contents("sealed") == sealed


def test_the_feed_goes_on_from_where_it_was_left(study):
    monitor = caller_for(study.people[Role.MONITOR])
    study.enrolled()
    drain.run()

    whole = monitor.get("/events?trial=CLLM1").json()
    study.enrolled()
    drain.run()
    rest = monitor.get(f"/events?trial=CLLM1&after={whole['after']}").json()
    nothing = monitor.get(f"/events?trial=CLLM1&after={rest['after']}").json()

    assert [event["seq"] for event in whole["events"]] == list(range(1, whole["after"] + 1))
    assert [event["type"] for event in rest["events"]] == ["patients.SubjectEnrolled"]
    assert nothing == {"events": [], "after": rest["after"]}


def test_the_feed_is_for_those_who_read_the_history(study):
    system = caller_for(study.system)

    refused, unknown = system.get("/events?trial=CLLM1"), system.get("/events?trial=CLLM2")
    unnamed = system.get("/events")

    assert (refused.status_code, unknown.status_code, unnamed.status_code) == (403, 404, 400)
