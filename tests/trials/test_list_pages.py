"""The pages of randomisation lists, the log and the verification, as people use them."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import BLOCK, NOW, PROTOCOL, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.postgres import contents, differing
from trials.models import RandomisationList, SealedAccess
from trials.permissions import Role
from trials.services.lists import load_list


pytestmark = on_postgres

ARMS = ("QXACT", "QXCTRL")
LINES = "\n".join(f"CLLM1,{s},{ARMS['LP'.index(BLOCK[i % 3])]}" for s in "HI" for i in range(102))
LISTS = "admin:trials_randomisationlist_changelist"
NEW = "admin:trials_list_new"


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(kits=0, arms=ARMS)


def browser(person):
    client = Client()
    client.force_login(person)
    return client


def page_of(found):
    return reverse("admin:trials_randomisationlist_change", args=[found.pk])


def act(found, name):
    return reverse("admin:trials_list_act", args=[found.pk, name])


def dry_run_of(found):
    return reverse("admin:trials_list_dry_run", args=[found.pk])


def drafted(study):
    client = browser(study.statistician)
    client.post(reverse(NEW, args=["generate"]), {
        "key": "g", "trial": study.trial.pk, "seed": "", "length": 30, "reason": "an extension",
    })  # fmt: skip
    return RandomisationList.objects.get(state="draft")


def test_two_statisticians_take_a_list_from_draft_to_live(study):
    first, second = browser(study.statistician), browser(study.second_statistician)
    draft = drafted(study)

    unseen = first.post(act(draft, "approve"), {"key": "u", "digest": draft.digest})
    before = first.get(page_of(draft)).content.decode()
    shown = second.post(dry_run_of(draft))
    first.post(dry_run_of(draft))
    after = first.get(page_of(draft)).content.decode()
    alone = [
        first.post(act(draft, "approve"), {"key": key, "digest": draft.digest}) for key in "ab"
    ]
    done = second.post(act(draft, "approve"), {"key": "c", "digest": draft.digest})

    draft.refresh_from_db()
    assert all(f"Arm {arm}" in shown.content.decode() for arm in ARMS)
    assert "for 200 planned subjects" in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert "look at it first" in unseen.content.decode()
    assert [act(draft, "approve") in page for page in (before, after)] == [False, True]
    assert [answer.status_code for answer in alone] == [302, 200]
    assert "a second person has to" in alone[1].content.decode()
    assert (done.status_code, draft.state) == (302, "live")


def test_the_dry_run_says_in_words_that_a_loaded_list_has_one_size_of_block():
    study = Study(kits=0, text=PROTOCOL.replace("value = [3]", "value = [6, 9]"))
    draft = load_list(
        trial_id=study.trial.pk, made_for="CLLM1", reason="from the CRO", by=study.statistician,
        entries=[(stratum, arm) for stratum in "HI" for arm in "LLLLPP" * 3], at=NOW,
    )  # fmt: skip
    said = "All blocks are of 6, though the protocol has 6 and 9: where they end could be guessed."

    page = browser(study.statistician).post(dry_run_of(draft)).content.decode()
    answer = caller_for(study.statistician).get(f"/randomisation-lists/{draft.pk}/dry-run")

    assert said in page
    assert answer.json()["remarks"] == [said]


def test_each_dry_run_page_is_a_look_and_following_a_link_to_it_is_none(study):
    client = browser(study.statistician)
    draft = drafted(study)
    looks = SealedAccess.objects.filter(purpose="check dry run")
    before = looks.count()

    assert client.get(dry_run_of(draft)).status_code == 302
    assert looks.count() == before
    client.post(dry_run_of(draft))
    assert looks.count() == before + 1


def test_a_list_is_loaded_from_lines_that_each_name_the_trial(study):
    client = browser(study.statistician)

    def load(key, lines):
        fields = {"key": key, "trial": study.trial.pk, "lines": lines, "reason": "from the CRO"}
        return client.post(reverse(NEW, args=["load"]), fields)

    before = contents()
    foreign = load("a", LINES.replace("CLLM1", "CLLM7", 1))
    broken = load("b", "CLLM1,H\n")
    kept = differing(before)
    good = load("c", LINES)

    assert "not for CLLM1" in foreign.content.decode()
    assert "in line 1" in broken.content.decode()
    assert kept <= {"public.django_session"}
    assert good.status_code == 302
    assert RandomisationList.objects.get(state="draft").origin == "loaded"


def test_a_draft_is_withdrawn_with_a_reason_on_its_page(study):
    draft = drafted(study)
    client = browser(study.second_statistician)

    client.post(act(draft, "withdraw"), {"key": "w", "reason": "the wrong length"})

    assert "the wrong length" in client.get(page_of(draft)).content.decode()
    assert client.post(dry_run_of(draft)).status_code == 302


def test_everybody_sees_the_commitment_and_nobody_else_a_draft_or_an_arm(study):
    draft = drafted(study)
    before = contents("sealed")

    for role in set(Role) - {Role.UNBLINDED_STATISTICIAN, Role.SITE_SYSTEM}:
        client = browser(study.people[role])
        live = client.get(page_of(study.list)).content.decode()
        assert study.list.digest in live
        assert not any(arm in live for arm in ARMS)
        assert draft.digest[:16] not in client.get(reverse(LISTS)).content.decode()
        assert client.get(page_of(draft)).status_code == 404
        assert client.post(dry_run_of(draft)).status_code == 404
        assert client.post(act(study.list, "approve")).status_code == 403
        assert client.get(reverse(NEW, args=["load"])).status_code == 403

    assert contents("sealed") == before


def test_the_log_and_the_report_are_for_those_who_read_randomisations(study):
    subject = study.randomised()
    log = reverse("admin:trials_allocation_changelist")
    report = reverse("admin:stratification_report", args=["CLLM1"])
    manager, coordinator = (
        browser(study.people[role]) for role in (Role.DATA_MANAGER, Role.COORDINATOR)
    )

    shown, asked = manager.get(log).content.decode(), manager.get(report)

    assert subject.allocation.number in shown
    assert subject.number in shown
    assert subject.number in manager.get(log, {"q": subject.number}).content.decode()
    assert subject.allocation.number not in manager.get(log, {"q": "XX-9"}).content.decode()
    assert not any(arm in shown + asked.content.decode() for arm in ARMS)
    assert asked.status_code == 200
    assert [coordinator.get(path).status_code for path in (log, report)] == [403, 403]


def test_the_statistician_verifies_on_a_page_and_takes_the_certificate(study):
    study.randomised()
    address = reverse("admin:randomisation_verify", args=["CLLM1"])
    client = browser(study.statistician)

    before = SealedAccess.objects.count()
    asked = client.get(address)
    looks = SealedAccess.objects.count()
    plain = client.post(address, {"as": "page"}).content.decode()
    annex = client.post(address, {"as": "page", "annex": "yes"}).content.decode()
    pdf = client.post(address, {"as": "pdf"})

    assert (asked.status_code, looks) == (200, before)
    assert "VERIFIED" in plain
    assert not any(arm in plain for arm in ARMS)
    assert "QXACT" in annex
    assert pdf.content.startswith(b"%PDF")
    assert browser(study.coordinator).get(address).status_code == 403


def test_nobody_who_enrols_sees_block_sizes_list_lengths_or_counts_by_arm(study):
    subject = study.randomised()
    addresses = [
        "/randomisation-lists", "/trials", "/sites", "/trials/CLLM1/accrual",
        "/trials/CLLM1/protocol-versions", "/trials/CLLM1/mis-stratification",
        "/trials/CLLM1/randomisation-verification", "/trials/CLLM1/randomisations",
        "/permissions", "/events?trial=CLLM1",
        f"/subjects/{subject.pk}", f"/subjects/{subject.pk}/randomisations",
        f"/randomisation-lists/{study.list.pk}/dry-run",
    ]  # fmt: skip

    for role in (Role.SITE_SYSTEM, Role.COORDINATOR, Role.INVESTIGATOR):
        caller = caller_for(study.people[role])
        text = " ".join(caller.get(path).content.decode() for path in addresses)
        words = set(re.findall(r"[a-z_]+", text.lower()))
        assert {"digest", "stratum"} <= words
        assert not words & {"block", "blocks", "block_sizes", "entries", "places", "taken"}
        assert not any(arm in text for arm in ARMS)
