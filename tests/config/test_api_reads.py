"""Addresses that are only read: who is let in, pages, and questions nobody should ask."""

import pytest
from oauth2_provider.models import AccessToken

from tests.factories import Study, user
from tests.interface import READS, Caller, caller_for, reasons_of, token_of
from tests.marks import on_postgres
from tests.postgres import contents


pytestmark = on_postgres

ODD = ["site=%zz", "site=%00", "kind=%ED%A0%80", 'trial="<x>', "page_size=x", "a[]=1", "=&=",
       "subject=x", "subject=%00", "page_size=-1", "page_size=99999"]  # fmt: skip


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(kits=0)


@pytest.mark.parametrize("read", READS, ids=str)
def test_whoever_may_reads_a_page_and_nobody_reads_without_a_log_in(study, read):
    answer = caller_for(study.people[read.reader]).get(read.path)

    assert answer.status_code == 200
    assert {"count", "next", "previous", "results"} == set(answer.json())
    assert Caller().get(read.path).status_code == 401


@pytest.mark.parametrize("read", READS, ids=str)
def test_who_has_no_role_for_it_is_refused_or_finds_an_empty_list(study, read):
    for role in read.refused:
        answer = caller_for(study.people[role]).get(read.path)
        assert (answer.status_code, reasons_of(answer)) == (403, {("", "not_your_role")})

    without = caller_for(user("somebody-without-a-role")).get(read.path)

    assert without.status_code == 403 if read.refused else without.json()["count"] == 0


@pytest.mark.parametrize("read", READS, ids=str)
def test_an_odd_question_is_no_fault_of_ours_and_changes_nothing(study, read):
    caller = caller_for(study.people[read.reader])
    before = contents()

    answers = [
        caller.client.get(f"/api/v1{read.path}", QUERY_STRING=query, headers=caller.headers)
        for query in ODD
    ]
    beyond = [caller.get(f"{read.path}?page={page}") for page in ("2", "0", "x", "9" * 30)]
    other = [
        caller.client.generic(method, f"/api/v1{read.path}", headers=caller.headers)
        for method in ("PUT", "PATCH", "DELETE")
    ]

    assert {answer.status_code for answer in answers} <= {200, 400}
    assert {answer.status_code for answer in beyond} == {404}
    assert {answer.status_code for answer in other} == {405}
    assert contents() == before


@pytest.mark.parametrize("read", READS, ids=str)
def test_a_program_needs_the_scope_to_read_and_no_other(study, read):
    person = study.people[read.reader]
    only, but = (token_of(person) for _ in range(2))
    AccessToken.objects.filter(token=only).update(scope="read")
    AccessToken.objects.filter(token=but).update(scope="submit randomise dispense manage unblind")

    refused = Caller(but).get(read.path)

    assert Caller(only).get(read.path).status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
