import hashlib
from datetime import date, timedelta

import pytest

from tests.amendments import CTCAE_5, NEW_FORM, activated, amended_text, approved, submitted
from tests.factories import NOW, PROTOCOL, TODAY, Study, user
from tests.interface import Caller, caller_for, reasons_of
from tests.marks import on_postgres
from trials.models import SiteVersion
from trials.permissions import Role, allows
from trials.queries import ENROLS, READS_PROTOCOLS
from trials.services.people import give_role


pytestmark = on_postgres

VERSIONS = "/trials/CLLM1/protocol-versions"
DAY = "2100-01-01"


@pytest.fixture
def study() -> Study:
    return Study(kits=0)


@pytest.fixture
def administrator(study) -> Caller:
    return caller_for(study.admin)


def test_an_amendment_goes_from_file_to_site_through_the_interface(study, administrator):
    study.consented()

    stored = administrator.post(VERSIONS, {"text": amended_text(NEW_FORM)})
    approval = administrator.post(
        f"{VERSIONS}/1.1/approvals",
        {"site": "DE-01", "approved_on": TODAY, "reference": "EC 12"},
    )
    impact = administrator.get(f"{VERSIONS}/1.1/impact?in_force_from={DAY}").json()
    activation = administrator.post(
        f"{VERSIONS}/1.1/activations",
        {"sites": ["DE-01"], "in_force_from": DAY, "impact_digest": impact["digest"]},
    )
    listed = administrator.get(VERSIONS).json()

    assert [answer.status_code for answer in (stored, approval, activation)] == [201] * 3
    (site,) = impact["sites"]
    assert site["affected"][0]["subject"] == "DE-01-0001"
    assert site["affected"][0]["effects"][0]["effect"] == "reconsent_due"
    assert activation.json() == [{"site": "DE-01", "version": "1.1", "in_force_from": DAY}]
    assert [row["version"] for row in listed] == ["1.1", "1.0"]
    assert listed[0]["sites"][0]["in_force_from"] == DAY
    assert listed[1]["sites"][0]["in_force_until"] == DAY


def test_an_activation_without_the_report_of_now_is_refused(study, administrator):
    approved(study, submitted(study), study.site)

    answer = administrator.post(
        f"{VERSIONS}/1.1/activations",
        {"sites": ["DE-01"], "in_force_from": DAY, "impact_digest": "0" * 64},
    )

    assert answer.status_code == 409
    assert reasons_of(answer) == {("", "impact_changed")}
    assert not SiteVersion.objects.filter(protocol_version__version="1.1").exists()


def test_every_problem_of_a_file_is_a_reason_with_its_line(administrator):
    text = amended_text(("ratio = 2", "ratio = 0"), ('phase = "3"', "phase = 3"))

    answer = administrator.post(VERSIONS, {"text": text})

    assert answer.status_code == 409
    assert len(answer.json()["reasons"]) == 2
    assert all(reason["detail"].startswith("line ") for reason in answer.json()["reasons"])


def test_the_changes_are_told_in_words_with_old_and_new(study, administrator):
    submitted(study, CTCAE_5)

    (change,) = administrator.get(f"{VERSIONS}/1.1/changes?since=1.0").json()

    assert change["text"] == "CTCAE version: changes from 4.0 to 5.0"
    assert (change["before"], change["after"], change["flag"]) == ("4.0", "5.0", "assumed")


@pytest.mark.parametrize("address", ["/1.1/changes?since=1.0", "/1.1/predictability", ""])
def test_who_enrols_does_not_read_protocol_files_nor_does_a_stranger_find_them(study, address):
    submitted(study)

    assert caller_for(study.coordinator).get(VERSIONS + address).status_code == 403
    assert caller_for(study.people[Role.MONITOR]).get(VERSIONS + address).status_code == 200
    other = "/trials/OTHER/protocol-versions"
    assert caller_for(study.coordinator).get(other + address).status_code == 404


@pytest.mark.parametrize(
    "address",
    ["/9.9/changes?since=1.0", "/1.0/changes?since=9.9", f"/9.9/impact?in_force_from={DAY}"],
)
def test_a_version_that_is_not_there_is_not_found(administrator, address):
    assert administrator.get(VERSIONS + address).status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "in_force_from"),
        ("in_force_from=tomorrow", "in_force_from"),
        (f"in_force_from={DAY}&sites=DE-01,XX-99", "sites"),
        (f"in_force_from={DAY}&other=1", "other"),
    ],
)
def test_an_impact_asked_for_badly_names_what_is_wrong(study, administrator, query, field):
    submitted(study)

    answer = administrator.get(f"{VERSIONS}/1.1/impact?{query}")

    assert answer.status_code == 400
    assert field in {name.split(".")[0] for name, _ in reasons_of(answer)}


@pytest.mark.parametrize("role", [Role.DATA_MANAGER, Role.MONITOR, Role.COORDINATOR])
def test_only_who_sets_the_trial_up_takes_an_amendment_on(study, role):
    version = approved(study, submitted(study), study.site)
    caller = caller_for(study.people[role])
    body = {"sites": ["DE-01"], "in_force_from": DAY, "impact_digest": "0" * 64}

    answers = [
        caller.post(VERSIONS, {"text": amended_text(version="1.2")}),
        caller.post(
            f"{VERSIONS}/{version.version}/approvals",
            {"site": "DE-01", "approved_on": TODAY, "reference": "EC"},
        ),
        caller.post(f"{VERSIONS}/{version.version}/activations", body),
        caller.get(f"{VERSIONS}/{version.version}/impact?in_force_from={DAY}"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4


# --- A start withdrawn ------------------------------------------------------------------------


def scheduled(study):
    version = approved(study, submitted(study), study.site)
    activated(study, version, study.site, in_force_from=date.fromisoformat(DAY))
    return version


def test_a_start_is_withdrawn_through_the_interface_and_told_with_the_version(study, administrator):
    scheduled(study)

    answer = administrator.post(
        f"{VERSIONS}/1.1/withdrawals", {"sites": ["DE-01"], "reason": "an urgent one comes first"}
    )
    listed = administrator.get(VERSIONS).json()

    assert answer.status_code == 201
    (row,) = answer.json()
    assert (row["site"], row["version"], row["in_force_from"]) == ("DE-01", "1.1", DAY)
    assert row["reason"] == "an urgent one comes first"
    new, old = (version["sites"][0] for version in listed)
    assert listed[0]["activated_at"] is None
    assert (new["in_force_from"], old["in_force_until"], old["withdrawn"]) == (None, None, [])
    assert new["withdrawn"] == [
        {
            "in_force_from": DAY,
            "withdrawn_at": row["withdrawn_at"],
            "withdrawn_by": "admin",
            "reason": "an urgent one comes first",
        }
    ]


@pytest.mark.parametrize(
    ("body", "status", "reasons"),
    [
        ({"sites": [], "reason": "why"}, 409, {("", "no_site")}),
        ({"sites": ["DE-02"], "reason": "why"}, 409, {("", "no_start")}),
        ({"sites": ["XX-99"], "reason": "why"}, 400, {("sites", "invalid")}),
        ({"sites": ["DE-01"]}, 400, {("reason", "required")}),
        ({"sites": ["DE-01"], "reason": " "}, 400, {("reason", "blank")}),
    ],
)
def test_a_withdrawal_that_is_refused_says_why(study, administrator, body, status, reasons):
    study.add_site("DE-02")
    version = scheduled(study)

    answer = administrator.post(f"{VERSIONS}/1.1/withdrawals", body)

    assert answer.status_code == status
    assert reasons_of(answer) == reasons
    assert SiteVersion.objects.filter(protocol_version=version).count() == 1


@pytest.mark.parametrize("role", [Role.DATA_MANAGER, Role.MONITOR, Role.COORDINATOR])
def test_only_who_sets_the_trial_up_withdraws_a_start(study, role):
    scheduled(study)

    answer = caller_for(study.people[role]).post(
        f"{VERSIONS}/1.1/withdrawals", {"sites": ["DE-01"], "reason": "why"}
    )

    assert answer.status_code == 403


# --- The file read back -----------------------------------------------------------------------

FILE = f"{VERSIONS}/1.0/file"


def test_a_version_is_read_back_as_the_bytes_that_were_submitted(study, administrator):
    text = amended_text(CTCAE_5) + "# Änderung, μg/l\n"
    administrator.post(VERSIONS, {"text": text})

    answer = administrator.get(f"{VERSIONS}/1.1/file")

    assert answer.status_code == 200
    assert answer.content == text.encode()
    digest = administrator.get(VERSIONS).json()[0]["digest"]
    assert hashlib.sha256(answer.content).hexdigest() == digest
    assert administrator.get(FILE).content == PROTOCOL.encode()
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="CLLM1-protocol-1.1.toml"'
    assert answer["Cache-Control"] == "private, no-store"


def test_how_well_a_versions_arms_are_guessed_is_told_as_of_a_file(study, administrator):
    told = administrator.get(f"{VERSIONS}/1.0/predictability")
    checked = administrator.post("/protocol-checks", {"trial": None, "text": PROTOCOL})

    assert told.status_code == 200
    assert told.json() == checked.json()["predictability"]
    assert told.json()["best"] == {"right": 7 / 9, "certain": 4 / 9, "exact": True}


@pytest.mark.parametrize("role", Role)
def test_the_file_is_for_those_who_read_protocol_files_and_never_for_who_enrols(study, role):
    answer = caller_for(study.people[role]).get(FILE)

    reads = any(allows(role, permission) for permission in READS_PROTOCOLS)
    enrols = any(allows(role, permission) for permission in ENROLS)
    assert answer.status_code == (200 if reads and not enrols else 403)
    assert reads is not enrols or answer.status_code == 403


def test_who_enrols_at_one_site_reads_no_file_whatever_else_they_do(study):
    both = study.person(Role.MONITOR, name="both")
    before = caller_for(both).get(FILE).status_code
    give_role(
        user=both, trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=NOW - timedelta(1),
    )  # fmt: skip

    answer = caller_for(both).get(FILE)

    assert (before, answer.status_code) == (200, 403)
    assert "block" not in answer.content.decode()


def test_a_file_of_another_trial_or_that_is_not_there_is_not_found(study, administrator):
    for path in (
        "/trials/OTHER/protocol-versions/1.0/file",
        f"{VERSIONS}/9.9/file",
        f"{VERSIONS}/%00/file",
        f"{VERSIONS}/%00/changes?since=1.0",
        f"{VERSIONS}/1.0%20/file",
    ):
        assert administrator.get(path).status_code == 404, path
    assert caller_for(user("somebody-without-a-role")).get(FILE).status_code == 404
    assert Caller().get(FILE).status_code == 401


def test_a_question_beside_the_file_changes_nothing_and_nobody_writes_there(study, administrator):
    asked = administrator.get(f"{FILE}?as=pdf&page=x")

    assert asked.content == administrator.get(FILE, accept="text/plain").content
    assert administrator.post(FILE, {"text": PROTOCOL}).status_code == 405
