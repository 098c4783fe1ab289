"""Kits come in by the unblinded supplier; everybody else knows them by number."""

import pytest

from dosing.api.serializers import MOST_CONTENTS
from dosing.models import Dispensation, Kit, KitNumberDraw
from dosing.services.kits import MOST_KITS
from events.models import IdempotencyRecord, OutboxEvent
from tests.config.test_api_queries import statements
from tests.factories import Study, user
from tests.interface import (
    DRAW,
    KITS,
    Caller,
    caller_for,
    drawn_kits,
    noun,
    reasons_of,
    token_of,
)
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from tests.worlds import as_application
from trials.models import SealedAccess, Trial
from trials.permissions import Role


pytestmark = on_postgres


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


def test_numbers_are_drawn_and_the_packing_list_comes_back_each_time_it_is_asked_for(study):
    supplier = caller_for(study.supplier)

    drawn = supplier.post("/kit-number-draws", DRAW, key="draw")
    again = supplier.post("/kit-number-draws", DRAW, key="draw")
    listed = supplier.post(f"/kit-number-draws/{drawn.json()['id']}/packing-lists", {})

    assert [answer.status_code for answer in (drawn, again, listed)] == [201, 201, 201]
    assert drawn.json() == again.json() == listed.json()
    assert sorted((k["dose_mg"], k["arm"]) for k in drawn.json()["kits"]) == [
        ("5.00", "L"), ("5.00", "P"),
    ]  # fmt: skip
    assert all("no-store" in answer["Cache-Control"] for answer in (drawn, again, listed))
    assert KitNumberDraw.objects.count() == 1
    assert SealedAccess.objects.filter(purpose="read kit contents").count() == 3
    assert [kept.body for kept in IdempotencyRecord.objects.exclude(body__contains='"id"')] == []
    assert not IdempotencyRecord.objects.filter(body__contains="arm").exists()


def test_kits_come_in_and_only_their_number_comes_back(study):
    supplier, system = caller_for(study.supplier), caller_for(study.system)
    kits = drawn_kits(supplier)

    answer = supplier.post("/kit-supplies", kits)
    listed = system.get("/kits").json()["results"]

    assert (answer.status_code, answer.json()) == (201, {"accepted": 2})
    assert listed == [
        {
            "number": kit["number"],
            "site": "DE-01",
            "dose_mg": "5.00",
            "expires_on": "2030-01-01",
            "status": "available",
        }
        for kit in kits["kits"]
    ]
    assert OutboxEvent.objects.get(type="dosing.KitsSupplied").payload["count"] == 2


@pytest.mark.parametrize(
    "role", [Role.SITE_SYSTEM, Role.PHARMACIST, Role.UNBLINDED_STATISTICIAN, Role.AUDITOR]
)
def test_nobody_else_draws_or_supplies_kits(study, role):
    caller = caller_for(study.people[role])
    drawn = caller_for(study.supplier).post("/kit-number-draws", DRAW).json()["id"]
    before = contents()

    answers = [caller.post("/kit-number-draws", DRAW), caller.post("/kit-supplies", KITS)]
    packing = caller.post(f"/kit-number-draws/{drawn}/packing-lists", {})

    assert [answer.status_code for answer in answers] == [403, 403]
    assert reasons_of(answers[1]) == {("", "not_your_role")}
    assert packing.status_code == 404
    assert contents() == before


def test_kits_of_another_site_are_not_listed(study):
    elsewhere = study.person(Role.SITE_SYSTEM, site=study.add_site("DE-02"))
    study.supply(1)

    assert caller_for(elsewhere).get("/kits").json()["count"] == 0


def test_kits_are_found_by_trial_site_number_and_status(study):
    study.add_site("DE-02")
    study.supply(1)
    system = caller_for(study.system)

    def found(query):
        return [row["number"] for row in system.get(f"/kits{query}").json()["results"]]

    first, second = found("")
    assert found(f"?number={second}") == [second]
    assert found("?trial=CLLM1&site=DE-01&status=available") == [first, second]
    assert found("?status=dispensed") == found("?site=DE-02") == found("?trial=OTHER") == []
    assert reasons_of(system.get("/kits?status=x")) == {("status", "invalid_choice")}


def test_a_supply_is_taken_whole_or_not_at_all(study):
    supplier = caller_for(study.supplier)
    whole = drawn_kits(supplier, each=2)
    good, other, *_ = whole["kits"]
    arm = {"L": "P", "P": "L"}[other["arm"]]
    kits = [good, {**other, "arm": arm}, {**other, "number": "KIT-3"}]

    answer = supplier.post("/kit-supplies", {**whole, "kits": kits})

    assert answer.status_code == 409
    assert {code for _, code in reasons_of(answer)} == {"kit_not_as_dealt", "kit_number_unknown"}
    assert not Kit.objects.exists()


def test_the_same_kits_at_the_same_moment_come_in_once(study):
    token = token_of(study.supplier)
    kits = drawn_kits(Caller(token))

    answers = at_once(*[lambda: Caller(token).post("/kit-supplies", kits)] * 2)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Kit.objects.count() == 2


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


# --- Draws ------------------------------------------------------------------------------------


DRAWS = "/kit-number-draws"


def draw(study, each=20):
    wanted = [{**one, "count": each} for one in DRAW["kits"]]
    answer = caller_for(study.supplier).post(DRAWS, {**DRAW, "kits": wanted})
    assert answer.status_code == 201
    return answer.json()


def test_draws_are_listed_the_newest_first_and_without_their_numbers(study):
    first, second = draw(study, 3), draw(study, 2)
    supplier = caller_for(study.supplier)

    answer = supplier.get(DRAWS)

    rows = answer.json()["results"]
    assert [(row["id"], row["count"]) for row in rows] == [(second["id"], 4), (first["id"], 6)]
    assert set(rows[0]) == {"id", "trial", "site", "count", "drawn_at", "drawn_by"}
    assert (rows[0]["site"], rows[0]["drawn_by"]) == ("DE-01", "unblinded_supplier")
    numbers = [kit["number"] for kit in (*first["kits"], *second["kits"])]
    assert not [number for number in numbers if number in answer.content.decode()]
    assert supplier.get(f"{DRAWS}?trial=OTHER").json()["count"] == 0
    assert supplier.get(f"{DRAWS}?site=DE-02").json()["count"] == 0


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.UNBLINDED_SUPPLIER])
def test_nobody_else_reads_a_draw(study, role):
    given, caller = draw(study), caller_for(study.people[role])

    assert caller.get(DRAWS).json()["count"] == 0
    assert caller.post(f"{DRAWS}/{given['id']}/packing-lists", {}).status_code == 404


def test_a_draw_is_read_by_nobody_without_a_log_in_or_a_role(study):
    path = f"{DRAWS}/{draw(study)['id']}/packing-lists"

    assert Caller().post(path, {}).status_code == Caller().get(DRAWS).status_code == 401
    assert caller_for(user("somebody-without-a-role")).post(path, {}).status_code == 404
    elsewhere = f"{DRAWS}/{study.trial.pk}/packing-lists"
    assert caller_for(study.supplier).post(elsewhere, {}).status_code == 404


def test_by_raw_sql_a_draw_is_seen_by_whoever_supplies_kits_and_nobody_else(study):
    draw(study)
    count = "SELECT count(*) FROM dosing_kitnumberdraw UNION ALL SELECT count(*) FROM {}"

    seen = {
        role: as_application(count.format("dosing_kitnumberdrawhistory"), reader=person.pk)
        for role, person in study.people.items()
    }

    assert seen.pop(Role.UNBLINDED_SUPPLIER) == [1, 1]
    assert [found for found in seen.values() if found != [0, 0]] == []


def test_many_draws_cost_what_one_costs_and_come_in_pages(study):
    draw(study, 1)
    supplier = caller_for(study.supplier)
    one = statements(lambda: supplier.get(DRAWS))
    for _ in range(6):
        draw(study, 1)

    page = supplier.get(f"{DRAWS}?page_size=5&page=2").json()

    assert (page["count"], len(page["results"])) == (7, 2)
    assert statements(lambda: supplier.get(DRAWS)) == one


def test_more_kits_than_one_supply_or_draw_takes_are_refused_before_anything_is_asked(study):
    supplier = caller_for(study.supplier)
    before = contents()

    supply = supplier.post("/kit-supplies", {**KITS, "kits": KITS["kits"] * (MOST_KITS + 1)})
    drawn = supplier.post(DRAWS, {**DRAW, "kits": DRAW["kits"][:1] * (MOST_CONTENTS + 1)})

    assert [answer.status_code for answer in (supply, drawn)] == [400, 400]
    assert {field for field, _ in reasons_of(supply) | reasons_of(drawn)} == {"kits"}
    assert contents() == before
