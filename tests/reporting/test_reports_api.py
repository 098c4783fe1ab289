import json

import pytest
from django.utils import timezone

from reporting.services.safety_summaries import write_scheduled_summary
from tests.factories import TODAY, Study, user
from tests.marks import on_postgres
from trials.models import SealedAccess, Site
from trials.permissions import Role


pytestmark = on_postgres


PFS = f"/api/v1/trials/CLLM1/reports/pfs?cutoff={TODAY}"
SUMMARIES = "/api/v1/trials/CLLM1/safety-summaries"


@pytest.fixture
def study() -> Study:
    return Study(kits=0)


@pytest.fixture
def get(client, settings, tmp_path):
    settings.STATIC_ROOT = tmp_path  # there before anything is collected into it

    def ask(address: str, person, **headers):
        client.force_login(person)
        return client.get(address, headers=headers)

    return ask


def summary_of(study: Study):
    study.enrolled()
    return write_scheduled_summary(
        trial=study.trial, period_start=TODAY.replace(day=1), at=timezone.now()
    )


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("json", "application/json"),
        ("html", "text/html; charset=utf-8"),
        ("pdf", "application/pdf"),
        ("svg", "image/svg+xml"),
    ],
)
def test_the_report_by_arm_comes_as_what_is_asked_for(study, get, kind, content_type):
    study.randomised()

    answer = get(f"{PFS}&as={kind}", study.statistician, accept=content_type)

    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert answer["Cache-Control"] == "private, no-store"
    assert SealedAccess.objects.filter(purpose="report by arm").count() == 1


def test_the_same_cut_answers_the_same_bytes(study, get):
    study.randomised()
    instant = timezone.now().isoformat().replace("+00:00", "Z")

    first, second = (get(f"{PFS}&as_known_at={instant}", study.statistician) for _ in range(2))

    assert first.content == second.content


@pytest.mark.parametrize("role", [Role.MEDICAL_MONITOR, Role.COORDINATOR, Role.UNBLINDED_SUPPLIER])
def test_a_role_without_the_report_by_arm_is_told_so(study, get, role):
    answer = get(PFS, study.people[role])

    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert not SealedAccess.objects.filter(purpose="report by arm").exists()


def test_a_stranger_finds_no_trial(study, get):
    stranger = user("stranger")

    assert [get(address, stranger).status_code for address in (PFS, SUMMARIES)] == [404, 404]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("", id="no cut-off"),
        pytest.param("?cutoff=2026-02-30", id="no such day"),
        pytest.param(f"?cutoff={TODAY}&as=docx", id="no such kind"),
        pytest.param(f"?cutoff={TODAY}&as_known_at=2026-03-10T10:00", id="no offset"),
        pytest.param(f"?cutoff={TODAY}&x=1", id="unknown"),
    ],
)
def test_a_question_in_another_form_is_refused_with_reasons(study, get, asked):
    answer = get(f"/api/v1/trials/CLLM1/reports/pfs{asked}", study.statistician)

    assert answer.status_code == 400
    assert json.loads(answer.content)["reasons"]


def test_an_impossible_cut_is_a_refusal(study, get):
    answer = get(f"{PFS}&as_known_at=2100-01-01T00:00:00Z", study.statistician)

    assert answer.status_code == 409
    assert json.loads(answer.content)["reasons"][0]["code"] == "future_instant"


def test_safety_summaries_are_listed_and_read_by_those_who_may(study, get):
    summary = summary_of(study)
    officer = study.people[Role.SAFETY_OFFICER]

    listed = json.loads(get(SUMMARIES, officer).content)["results"]
    whole = json.loads(get(f"{SUMMARIES}/{summary.pk}", officer).content)

    assert [each["id"] for each in listed] == [str(summary.pk)]
    assert (whole["digest"], whole["content"]) == (summary.digest, summary.content)
    assert get(f"{SUMMARIES}/{summary.pk}?as=pdf", officer).content.startswith(b"%PDF")
    assert get(SUMMARIES, study.pharmacist).status_code == 403


def test_accrual_counts_the_sites_one_may_see(study, get):
    study.randomised()
    study.add_site("DE-02")
    elsewhere = study.person(Role.COORDINATOR, site=Site.objects.get(code="DE-02"))

    whole = json.loads(get("/api/v1/trials/CLLM1/accrual", study.people[Role.DATA_MANAGER]).content)
    other = json.loads(get("/api/v1/trials/CLLM1/accrual", elsewhere).content)

    assert whole["by_month"] == [{"name": "2026-03", "screened": 1, "randomised": 1}]
    assert [each["name"] for each in whole["by_site"]] == ["DE-01", "DE-02"]
    assert (other["screened"], [each["name"] for each in other["by_site"]]) == (0, ["DE-02"])


def test_the_page_by_arm_asks_first_and_looks_at_nothing_until_then(study, get):
    asking = get("/reports/CLLM1/pfs", study.statistician)

    assert asking.status_code == 200
    assert not SealedAccess.objects.filter(purpose="report by arm").exists()
    assert b"<svg" in get(f"/reports/CLLM1/pfs?cutoff={TODAY}", study.statistician).content


@pytest.mark.parametrize(
    ("asked", "status"), [("cutoff=soon", 400), ("cutoff=2100-01-01", 409)], ids=["form", "rule"]
)
def test_the_page_by_arm_says_what_is_wrong_beside_the_question(study, get, asked, status):
    answer = get(f"/reports/CLLM1/pfs?{asked}", study.statistician)

    assert answer.status_code == status
    assert b'role="alert"' in answer.content


def test_the_page_by_arm_is_not_there_for_strangers_and_forbidden_to_the_blinded(study, get):
    answers = [
        get("/reports/CLLM1/pfs", person).status_code
        for person in (user("stranger"), study.people[Role.MEDICAL_MONITOR])
    ]

    assert answers == [404, 403]


def test_a_safety_summary_is_a_page(study, get):
    summary = summary_of(study)

    answer = get(f"/reports/CLLM1/safety/{summary.pk}", study.people[Role.COMMITTEE_MEMBER])

    assert b"both arms counted together" in answer.content
