import pytest
from django.core.exceptions import PermissionDenied

from tests.amendments import CTCAE_5, amended_text, submitted
from tests.factories import NOW, PROTOCOL, Study, protocol_text, user
from tests.interface import OWN_TRAINING, caller_for
from tests.marks import on_postgres
from tests.postgres import contents
from trials.api.serializers import LONGEST_FILE
from trials.models import Trial
from trials.permissions import Role
from trials.services.people import give_role
from trials.services.protocol_files import check_protocol


pytestmark = on_postgres

CHECKS = "/protocol-checks"
BROKEN = (("ratio = 2", "ratio = 0"), ('phase = "3"', "phase = 3"))


@pytest.fixture
def study() -> Study:
    return Study(kits=0)


def checked(study, text, *, by=None, trial_id="its own"):
    trial_id = study.trial.pk if trial_id == "its own" else trial_id
    return check_protocol(trial_id=trial_id, protocol_text=text, by=by or study.admin)


def asked(study, text, trial="CLLM1"):
    return caller_for(study.admin).post(CHECKS, {"trial": trial, "text": text})


def domain():
    """What is stored, but for the answers kept for a request that is repeated."""
    return {table: rows for table, rows in contents().items() if "idempotency" not in table}


def test_every_problem_has_its_line_key_and_rule_and_nothing_is_stored(study):
    text, admin = amended_text(*BROKEN), caller_for(study.admin)
    before = domain()

    answer = admin.post(CHECKS, {"trial": "CLLM1", "text": text})

    problems = {one["key"]: one for one in answer.json()["problems"]}
    lines = text.splitlines()
    assert answer.status_code == 201
    assert set(problems) == {"arms[0].ratio", "trial.phase"}
    assert problems["arms[0].ratio"]["line"] == lines.index("ratio = 0") + 1
    assert problems["trial.phase"]["line"] == lines.index("phase = 3") + 1
    assert all(one["rule"] and one["detail"] for one in problems.values())
    assert (answer.json()["version"], answer.json()["predictability"]) == ("", None)
    assert domain() == before


def test_a_good_file_tells_its_changes_and_how_predictable_it_is(study):
    answer = asked(study, amended_text(CTCAE_5)).json()

    guesses = answer["predictability"]
    assert (answer["version"], answer["problems"]) == ("1.1", [])
    assert [one["text"] for one in answer["changes"]] == ["CTCAE version: changes from 4.0 to 5.0"]
    assert guesses["best"] == {"right": 7 / 9, "certain": 4 / 9, "exact": True}
    assert (guesses["without_looking"], guesses["block_sizes_unknown"]) == (2 / 3, None)
    assert guesses["accepted_because"]


def test_what_stands_against_the_trial_is_said_before_it_is_submitted(study):
    submitted(study)

    there = asked(study, amended_text()).json()["problems"]
    other = asked(study, protocol_text(code="CLLM2")).json()["problems"]
    rules = [sorted(one["rule"] for one in problems) for problems in (there, other)]

    assert rules == [["version_exists"], ["another_trial", "version_exists"]]
    assert {one["line"] for one in (*there, *other)} == {None}


def test_a_file_for_another_trial_is_checked_without_one(study):
    new = asked(study, protocol_text(code="CLLM2"), trial=None).json()
    old = asked(study, PROTOCOL, trial=None).json()

    assert (new["problems"], new["changes"], new["version"]) == ([], [], "1.0")
    assert [one["rule"] for one in old["problems"]] == ["trial_exists"]


def test_what_is_checked_to_have_no_problem_is_taken(study):
    text = amended_text(CTCAE_5)
    admin = caller_for(study.admin)

    refused_for = checked(study, text).refused_for
    answer = admin.post("/trials/CLLM1/protocol-versions", {"text": text})
    started = admin.post(
        "/trials",
        {"conduct": "replay", "text": protocol_text(code="CLLM2"), "training": OWN_TRAINING},
    )

    assert (refused_for, answer.status_code) == ((), 201)
    assert started.status_code == 201
    assert started.json() == {
        "code": "CLLM2",
        "title": Trial.objects.get(code="CLLM2").title,
        "conduct": "replay",
        "protocol_version": "1.0",
        "unblinded_since": None,
    }
    assert [one["code"] for one in admin.get("/trials").json()["results"]] == ["CLLM1", "CLLM2"]


@pytest.mark.parametrize("role", [one for one in Role if one is not Role.SPONSOR_ADMINISTRATOR])
def test_only_who_could_submit_a_file_has_it_checked(study, role):
    caller, text = caller_for(study.people[role]), amended_text()

    answers = [caller.post(CHECKS, {"trial": code, "text": text}) for code in ("CLLM1", None)]
    started = caller.post(
        "/trials",
        {"conduct": "live", "text": protocol_text(code="CLLM2"), "training": OWN_TRAINING},
    )

    assert [one.status_code for one in (*answers, started)] == [403] * 3
    assert Trial.objects.count() == 1


def test_an_administrator_who_enrols_learns_no_block_size_by_asking_what_a_file_changes(study):
    both = study.trained("both")
    for role, site in ((Role.SPONSOR_ADMINISTRATOR, None), (Role.COORDINATOR, study.site)):
        give_role(user=both, trial_id=study.trial.pk, site=site, role=role, by=study.admin, at=NOW)
    text = amended_text(("block_sizes = { value = [3]", "block_sizes = { value = [6]"))
    told = caller_for(study.admin).post(CHECKS, {"trial": "CLLM1", "text": text}).json()
    caller = caller_for(both)

    answers = [
        caller.post(CHECKS, {"trial": "CLLM1", "text": text}),
        caller.post("/trials/CLLM1/protocol-versions", {"text": text}),
    ]

    assert any("from 3 to 6 subjects" in one["detail"] for one in told["problems"])
    assert [one.status_code for one in answers] == [403, 403]
    assert all("from 3" not in one.content.decode() for one in answers)


def test_a_trial_of_others_is_not_found(study):
    stranger = user("stranger")

    with pytest.raises(Trial.DoesNotExist):
        checked(study, PROTOCOL, by=stranger)
    with pytest.raises(PermissionDenied):
        checked(study, PROTOCOL, by=stranger, trial_id=None)
    assert asked(study, PROTOCOL, trial="OTHER").status_code == 404


UNREADABLE = {
    "exponent": (("start_anc = { value = 1.0", "start_anc = { value = 1e99999999999999999999"),),
    "digits": (
        ("planned_accrual = { value = 200", f"planned_accrual = {{ value = 0x{'f' * 5000}"),
    ),
    "depth": (('version = "1.1"', f'x = {"[" * 300}{"]" * 300}\nversion = "1.1"'),),
    "title with NUL": (('title = "Lenalidomide', 'title = "\\u0000Lenalidomide'),),
    "long title": (('title = "Lenalidomide', f'title = "{"X" * 300}Lenalidomide'),),
    "long version": (('version = "1.1"', f'version = "{"1." * 14}1"'),),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_kept_has_problems_and_is_refused_for_them(study, name):
    text = amended_text()
    for old, new in UNREADABLE[name]:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    other = text.replace('code = "CLLM1"', 'code = "CLLM2"')
    caller = caller_for(study.admin)

    check = caller.post(CHECKS, {"trial": "CLLM1", "text": text})
    submitted_text = caller.post("/trials/CLLM1/protocol-versions", {"text": text})
    started = caller.post("/trials", {"conduct": "live", "text": other, "training": OWN_TRAINING})

    assert check.status_code == 201
    assert all(one["rule"] and one["line"] for one in check.json()["problems"])
    assert check.json()["problems"]
    assert [one.status_code for one in (submitted_text, started)] == [409, 409]


@pytest.mark.parametrize(("length", "status"), [(LONGEST_FILE, 201), (LONGEST_FILE + 1, 400)])
def test_a_file_is_as_long_as_the_interface_says(study, length, status):
    text = amended_text().ljust(length, "\n")

    assert asked(study, text).status_code == status
