"""The trial's own addresses: trials, sites, the sealed list, and the event feed."""

import pytest

from events.tasks import drain
from tests.factories import Study
from tests.interface import LIST, Caller, caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import contents
from trials.models import Trial
from trials.permissions import Permission, Role, allows


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


def test_everybody_sees_the_trials_of_their_roles_and_the_sites_they_may_read(study):
    study.add_site("DE-02")
    system, monitor = caller_for(study.system), caller_for(study.people[Role.MONITOR])

    trials = system.get("/trials").json()
    sites = [site["code"] for site in system.get("/sites").json()["results"]]
    everywhere = [site["code"] for site in monitor.get("/sites").json()["results"]]

    assert [trial["code"] for trial in trials["results"]] == ["CLLM1"]
    assert sites == ["DE-01"]
    assert everywhere == ["DE-01", "DE-02"]


@pytest.mark.parametrize("role", Role)
def test_everybody_who_is_logged_in_reads_who_may_do_what(study, role):
    answer = caller_for(study.people[role]).get("/permissions").json()

    told = {one["permission"]: one["roles"] for one in answer["permissions"]}
    assert told == {
        permission.value: [role.value for role in Role if allows(role, permission)]
        for permission in Permission
    }
    assert [one["role"] for one in answer["roles"]] == [one.value for one in Role]


def test_the_table_says_where_a_role_is_given_and_is_for_nobody_else(study):
    roles = caller_for(study.coordinator).get("/permissions").json()["roles"]

    found = {one["role"]: (one["at_one_site"], one["in_whole_trial"]) for one in roles}
    assert found["coordinator"] == (True, False)
    assert found["monitor"] == (True, True)
    assert found["auditor"] == (True, True)
    assert found["medical_monitor"] == (False, True)
    assert {tuple(sorted(one)) for one in roles} == {
        ("at_one_site", "in_whole_trial", "label", "role")
    }
    assert Caller().get("/permissions").status_code == 401


PUBLISHED = {
    "id", "trial", "number", "state", "origin", "generator", "digest", "made_by", "made_at",
    "approvals", "live_at",
}  # fmt: skip


def test_a_list_goes_from_draft_to_live_by_two_people_and_nothing_of_it_comes_back(study):
    first, second = caller_for(study.statistician), caller_for(study.second_statistician)

    draft = first.post("/randomisation-lists", LIST, key="list")
    again = first.post("/randomisation-lists", LIST, key="list")
    path = f"/randomisation-lists/{draft.json()['id']}"
    unseen = first.post(f"{path}/approvals", {"digest": draft.json()["digest"]})
    shown, _ = (one.get(f"{path}/dry-run") for one in (second, first))
    yes = {"digest": shown.json()["digest"]}
    answers = [one.post(f"{path}/approvals", yes) for one in (first, first, second)]

    assert (draft.status_code, again.status_code, shown.status_code) == (201, 201, 200)
    assert (shown.json()["planned_accrual"], shown.json()["places_before"]) == (200, 204)
    assert "for 200 planned subjects" in shown.json()["room"]
    assert again.content == draft.content
    assert set(draft.json()) == PUBLISHED
    assert [answer.status_code for answer in answers] == [201, 409, 201]
    assert reasons_of(unseen) == {("", "dry_run_not_seen")}
    assert reasons_of(answers[1]) == {("", "same_person")}
    assert answers[2].json()["state"] == "live"
    assert [one["approved_by"] for one in answers[2].json()["approvals"]] == [
        "unblinded_statistician", "second",
    ]  # fmt: skip


def test_the_commitment_of_a_live_list_is_open_to_everybody_of_the_trial(study):
    caller_for(study.statistician).post("/randomisation-lists", LIST)

    for role in Role:
        [shown] = caller_for(study.people[role]).get("/randomisation-lists").json()["results"][:1]
        assert (shown["digest"], shown["state"]) == (study.list.digest, "live")
    blinded = caller_for(study.coordinator).get("/randomisation-lists").json()["results"]
    assert [one["number"] for one in blinded] == [1]


def test_a_generated_list_answers_with_its_digest_and_not_with_its_seed(study):
    statistician = caller_for(study.statistician)
    body = {"trial": "CLLM1", "seed": "0123456789abcdef", "reason": "an extension"}

    answer = statistician.post("/generated-randomisation-lists", body)
    drawn = statistician.post(
        "/generated-randomisation-lists", {"trial": "CLLM1", "reason": "another"}
    )

    assert answer.status_code == 201
    assert set(answer.json()) == PUBLISHED
    assert reasons_of(drawn) == {("", "draft_exists")}


def test_a_withdrawn_draft_says_why_and_a_dry_run_is_then_refused(study):
    statistician = caller_for(study.statistician)
    path = f"/randomisation-lists/{statistician.post('/randomisation-lists', LIST).json()['id']}"

    answer = statistician.post(f"{path}/withdrawals", {"reason": "wrong table"})
    shown = statistician.get(f"{path}/dry-run")

    assert (answer.status_code, answer.json()["state"]) == (201, "withdrawn")
    assert (shown.status_code, reasons_of(shown)) == (409, {("", "not_a_draft")})


def test_nobody_else_drafts_looks_approves_or_withdraws(study):
    drafted = caller_for(study.statistician).post("/randomisation-lists", LIST).json()
    path = f"/randomisation-lists/{drafted['id']}"
    generate = {"trial": "CLLM1", "reason": "mine"}

    for role in set(Role) - {Role.UNBLINDED_STATISTICIAN}:
        caller = caller_for(study.people[role])
        before = contents("sealed")
        answers = [
            caller.post("/randomisation-lists", LIST),
            caller.post("/generated-randomisation-lists", generate),
            caller.get(f"{path}/dry-run"),
            caller.post(f"{path}/approvals", {"digest": drafted["digest"]}),
            caller.post(f"{path}/withdrawals", {"reason": "not mine"}),
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 404, 404, 404]
        assert contents("sealed") == before


def test_a_list_that_breaks_the_protocol_is_refused_with_every_reason(study):
    statistician = caller_for(study.statistician)
    entries = [{"stratum": "H", "arm": "X"}, {"stratum": "Z", "arm": "L"}]
    sealed = contents("sealed")

    answer = statistician.post(
        "/randomisation-lists", {**LIST, "made_for": "CLLM9", "entries": entries}
    )

    assert answer.status_code == 409
    assert {code for _, code in reasons_of(answer)} == {
        "unknown_arm", "unknown_stratum", "other_trial",
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
