"""What sheets there are, over the interface: as its page tells those who make and keep them."""

from datetime import datetime

import pytest
from django.test import Client
from django.urls import reverse

from tests.config.test_api_queries import statements
from tests.factories import Study, user
from tests.interface import Caller, caller_for, reasons_of
from tests.marks import on_postgres
from tests.patients.test_unblinding import ARMS, WORD, aged, with_passwords
from trials.models import SealedAccess
from trials.permissions import Permission, Role, allows


pytestmark = on_postgres

SHEETS, PASSWORDS = "/contingency-sheets", "/contingency-passwords"
MAKE = {"trial": "CLLM1", "site": "DE-01", "reason": "Quarterly renewal", "password": WORD}


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return with_passwords(Study(kits=0, arms=ARMS))


def make(study, **changed):
    answer = caller_for(study.supplier).post(SHEETS, {**MAKE, **changed})
    assert answer.status_code == 201, answer.content
    return answer["Vigil-Making"]


def told(person, query=""):
    return caller_for(person).get(SHEETS + query).json()["results"]


def test_the_keeper_finds_the_making_takes_its_passwords_and_reads_that_they_did(study):
    study.randomised()
    making = make(study)
    keeper = caller_for(study.people[Role.MEDICAL_MONITOR])
    (before,) = told(study.people[Role.MEDICAL_MONITOR])

    taken = keeper.post(PASSWORDS, {"making": before["makings"][0]["id"], "password": WORD})

    assert taken.status_code == 201
    (after,) = told(study.supplier)
    look = SealedAccess.objects.get(pk=making)
    (made,) = after["makings"]
    assert (made["id"], made["made_by"], made["detail"]) == (
        making, "unblinded_supplier", "DE-01: Quarterly renewal",
    )  # fmt: skip
    assert datetime.fromisoformat(made["made_at"]) == look.opened_at
    assert before["makings"][0]["passwords"] == []
    assert [one["taken_by"] for one in made["passwords"]] == ["medical_monitor"]
    assert (after["trial"], after["site"]) == ("CLLM1", "DE-01")


def test_it_says_how_many_at_a_site_are_without_a_sheet_and_not_which(study):
    elsewhere = study.add_site("DE-02")
    away = study.randomised(site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))
    here = study.randomised()
    first_making = make(study)
    covered = told(study.supplier)
    aged(first_making, "30 years")
    uncovered = told(study.supplier)
    second_making = make(study)

    counts = [
        {one["site"]: (one["randomised"], one["without_sheet"]) for one in shown}
        for shown in (covered, uncovered, told(study.supplier))
    ]
    assert counts == [
        {"DE-01": (1, 0), "DE-02": (1, 1)},
        {"DE-01": (1, 1), "DE-02": (1, 1)},
        {"DE-01": (1, 0), "DE-02": (1, 1)},
    ]
    makings = told(study.supplier)[0]["makings"]
    assert [one["id"] for one in makings] == [second_making, first_making]
    text = caller_for(study.supplier).get(SHEETS).content.decode()
    hidden = [away.number, str(away.pk), here.number, str(here.pk)]
    assert [word for word in (*hidden, *ARMS, "Lenalidomide", "Placebo") if word in text] == []


def test_a_site_nobody_is_randomised_at_has_nothing_to_seal(study):
    study.screened()

    (shown,) = told(study.supplier)

    assert (shown["randomised"], shown["without_sheet"], shown["makings"]) == (0, 0, [])


@pytest.mark.parametrize("role", Role)
def test_it_is_told_to_whoever_the_page_is_for_and_to_nobody_else(study, role):
    study.randomised()
    make(study)
    needed = (Permission.PRINT_CONTINGENCY, Permission.CONFIRM_UNBLINDING)
    person, page = study.people[role], Client()
    page.force_login(person)

    answer = caller_for(person).get(SHEETS)

    if any(allows(role, permission) for permission in needed):
        assert answer.json()["count"] == 1
        assert page.get(reverse("admin:contingency_sheets")).status_code == 200
    else:
        assert (answer.status_code, reasons_of(answer)) == (403, {("", "not_your_role")})
        assert page.get(reverse("admin:contingency_sheets")).status_code != 200


def test_whoever_has_no_role_here_is_refused(study):
    study.randomised()
    make(study)

    assert caller_for(user("somebody-without-a-role")).get(SHEETS).status_code == 403
    assert Caller().get(SHEETS).status_code == 401


def test_sites_come_in_pages_and_many_makings_cost_what_one_costs(study):
    study.randomised()
    make(study)
    caller = caller_for(study.supplier)
    one = statements(lambda: caller.get(SHEETS))
    for code in ("DE-02", "DE-03"):
        site = study.add_site(code)
        study.randomised(site=site, by=study.person(Role.SITE_SYSTEM, site=site))
        make(study, site=code)
    make(study)

    page = caller.get(f"{SHEETS}?page_size=2&page=2").json()

    assert (page["count"], [row["site"] for row in page["results"]]) == (3, ["DE-03"])
    assert statements(lambda: caller.get(SHEETS)) == one
