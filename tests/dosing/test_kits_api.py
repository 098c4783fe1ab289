"""Kits come in by the unblinded supplier; everybody else knows them by number."""

import pytest

from dosing.models import Dispensation, Kit
from events.models import OutboxEvent
from tests.config.test_api_queries import statements
from tests.factories import Study, user
from tests.interface import KITS, Caller, caller_for, noun, reasons_of, token_of
from tests.marks import on_postgres
from tests.postgres import at_once, column, contents
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


def test_kits_come_in_and_only_their_number_comes_back(study):
    supplier, system = caller_for(study.supplier), caller_for(study.system)

    answer = supplier.post("/kit-supplies", KITS)
    listed = system.get("/kits").json()["results"]

    assert (answer.status_code, answer.json()) == (201, {"accepted": 1})
    assert listed == [
        {
            "number": "KIT-0001",
            "site": "DE-01",
            "dose_mg": "5.00",
            "expires_on": "2030-01-01",
            "status": "available",
        }
    ]
    assert column("SELECT arm FROM sealed.kit_content") == ["L"]
    assert OutboxEvent.objects.get(type="dosing.KitsSupplied").payload["count"] == 1


@pytest.mark.parametrize(
    "role", [Role.SITE_SYSTEM, Role.PHARMACIST, Role.UNBLINDED_STATISTICIAN, Role.AUDITOR]
)
def test_nobody_else_supplies_kits(study, role):
    caller = caller_for(study.people[role])
    before = contents()

    answer = caller.post("/kit-supplies", KITS)

    assert answer.status_code == 403
    assert reasons_of(answer) == {("", "not_your_role")}
    assert contents() == before


def test_kits_of_another_site_are_not_listed(study):
    elsewhere = study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))
    caller_for(study.supplier).post("/kit-supplies", KITS)

    assert caller_for(elsewhere).get("/kits").json()["count"] == 0


def test_kits_are_found_by_trial_site_number_and_status(study):
    study.add_site("DE-02")
    supplier, system = caller_for(study.supplier), caller_for(study.system)
    kit = KITS["kits"][0]
    supplier.post("/kit-supplies", {**KITS, "kits": [kit, {**kit, "number": "KIT-0002"}]})

    def found(query):
        return [row["number"] for row in system.get(f"/kits{query}").json()["results"]]

    assert found("?number=KIT-0002") == ["KIT-0002"]
    assert found("?trial=CLLM1&site=DE-01&status=available") == ["KIT-0001", "KIT-0002"]
    assert found("?status=dispensed") == found("?site=DE-02") == found("?trial=OTHER") == []
    assert reasons_of(system.get("/kits?status=x")) == {("status", "invalid_choice")}


def test_a_supply_is_taken_whole_or_not_at_all(study):
    supplier = caller_for(study.supplier)
    kit = KITS["kits"][0]
    kits = [kit, kit, {**kit, "number": "KIT-2", "arm": "X"}, {**kit, "number": "KIT-3",
            "dose_mg": "7"}]  # fmt: skip

    answer = supplier.post("/kit-supplies", {**KITS, "kits": kits})

    assert answer.status_code == 409
    assert {code for _, code in reasons_of(answer)} == {
        "kit_number_twice", "unknown_arm", "not_on_ladder",
    }  # fmt: skip
    assert not Kit.objects.exists()
    assert column("SELECT number FROM sealed.kit_content") == []


def test_the_same_kits_at_the_same_moment_come_in_once(study):
    token = token_of(study.supplier)

    answers = at_once(*[lambda: Caller(token).post("/kit-supplies", KITS)] * 2)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Kit.objects.count() == 1


def test_a_closed_gate_answers_with_every_reason_and_hands_over_nothing(study):
    study.supply(2)
    dispensations = noun("dispensations")
    subject = study.randomised(sex="female")

    answer = caller_for(study.system).post(dispensations.path(subject), dispensations.body)

    assert answer.status_code == 409
    assert answer.json()["code"] == "gate_closed"
    assert {code for _, code in reasons_of(answer)} >= {
        "dose_decision_missing", "risk_category_missing", "counselling_missing",
    }  # fmt: skip
    assert not Dispensation.objects.exists()
    assert not Kit.objects.exclude(status=Kit.Status.AVAILABLE).exists()


def test_a_site_without_a_kit_says_so_alike_for_every_arm(study):
    dispensations = noun("dispensations")
    subjects = [study.ready_for_first_kit() for _ in range(3)]
    system = caller_for(study.system)

    answers = [system.post(dispensations.path(one), dispensations.body) for one in subjects]

    assert {answer.status_code for answer in answers} == {409}
    assert len({answer.content for answer in answers}) == 1


def test_one_kit_is_handed_over_once_to_two_who_ask_at_the_same_moment(study):
    study.supply(1)
    dispensations = noun("dispensations")
    subject, token = study.ready_for_first_kit(), token_of(study.system)
    path = dispensations.path(subject)

    answers = at_once(*[lambda: Caller(token).post(path, dispensations.body)] * 2)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Dispensation.objects.count() == 1


# --- Numbers for labels -----------------------------------------------------------------------


DRAWS = "/kit-number-draws"


def draw(study, count=40):
    answer = caller_for(study.supplier).post(DRAWS, {"trial": "CLLM1", "count": count})
    assert answer.status_code == 201
    return answer.json()


def test_draws_are_listed_the_newest_first_and_without_their_numbers(study):
    first, second = draw(study, 3), draw(study, 2)

    answer = caller_for(study.supplier).get(DRAWS)

    assert [(row["id"], row["count"]) for row in answer.json()["results"]] == [
        (second["id"], 2),
        (first["id"], 3),
    ]
    assert set(answer.json()["results"][0]) == {"id", "count", "trial", "drawn_at", "drawn_by"}
    assert answer.json()["results"][0]["drawn_by"] == "unblinded_supplier"
    assert [
        n for n in (*first["numbers"], *second["numbers"]) if n in answer.content.decode()
    ] == []
    assert caller_for(study.supplier).get(f"{DRAWS}?trial=OTHER").json()["count"] == 0


def test_a_draws_numbers_are_given_again_in_another_order_that_nothing_keeps(study):
    given = draw(study)
    supplier, before = caller_for(study.supplier), contents()

    again = [supplier.get(f"{DRAWS}/{given['id']}") for _ in range(2)]

    one, other = (answer.json()["numbers"] for answer in again)
    assert sorted(one) == sorted(other) == sorted(given["numbers"])
    assert len({tuple(given["numbers"]), tuple(one), tuple(other), tuple(sorted(one))}) == 4
    assert [answer["Cache-Control"] for answer in again] == ["private, no-store"] * 2
    assert contents() == before


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.UNBLINDED_SUPPLIER])
def test_nobody_else_reads_a_draw(study, role):
    given, caller = draw(study), caller_for(study.people[role])

    assert caller.get(DRAWS).json()["count"] == 0
    assert caller.get(f"{DRAWS}/{given['id']}").status_code == 404


def test_a_draw_is_read_by_nobody_without_a_log_in_or_a_role(study):
    path = f"{DRAWS}/{draw(study)['id']}"

    assert Caller().get(path).status_code == Caller().get(DRAWS).status_code == 401
    assert caller_for(user("somebody-without-a-role")).get(path).status_code == 404
    assert caller_for(study.supplier).get(f"{DRAWS}/{study.trial.pk}").status_code == 404


def test_many_draws_cost_what_one_costs_and_come_in_pages(study):
    draw(study)
    supplier = caller_for(study.supplier)
    one = statements(lambda: supplier.get(DRAWS))
    for _ in range(6):
        draw(study)

    page = supplier.get(f"{DRAWS}?page_size=5&page=2").json()

    assert (page["count"], len(page["results"])) == (7, 2)
    assert statements(lambda: supplier.get(DRAWS)) == one
