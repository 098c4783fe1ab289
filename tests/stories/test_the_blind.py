"""Nothing a blinded person can open tells an arm: every address is crawled as every such role.

The trial's arms have names that occur nowhere else, and two subjects, one in each arm, went
through the same: what is shown of them may differ by who they are and by nothing more.
"""

from html.parser import HTMLParser

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from dosing.services.dispensing import dispense_kit
from events.chain import lay_links
from patients.models import Subject
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from tests.factories import NOW, TODAY, Study
from tests.interface import token_of
from tests.marks import on_postgres
from trials.permissions import Permission, Role, allows


pytestmark = on_postgres

ARMS = ("QXACTIVE", "QXCONTR")
UNBLINDED = {Permission.READ_UNBLINDED_REPORT, Permission.LOAD_LIST, Permission.SUPPLY_KITS}
BLINDED = [role for role in Role if not any(allows(role, p) for p in UNBLINDED)]
MOST_PAGES = 400
# The protocol names its own arms, to those who may read it: that tells of nobody.
NOT_FOLLOWED = ("logout", "/protocolversion/")


@pytest.fixture
def study() -> Study:
    """Three randomised subjects of one block, dispensed to, with an event each."""
    study = Study(arms=ARMS)
    for _ in range(3):
        subject = study.ready_for_first_kit()
        dispense_kit(
            subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
            by=study.pharmacist, at=NOW,
        )  # fmt: skip
        record_adverse_event(
            subject_id=subject.pk, term="Rash", soc="Skin", grade=3,
            started_on=PartialDate("2026-03"), outcome="recovering", related=True, serious=True,
            seriousness=["hospitalisation"], by=study.system, at=NOW,
        )  # fmt: skip
    lay_links()
    return study


@pytest.mark.parametrize("role", BLINDED)
def test_no_page_shows_an_arm_to(role, study):
    client = _client(study, role)

    pages = _crawl(client, starts=["/admin/", *_api_addresses(study)])

    assert len(pages) > 5
    assert {path: found for path, text in pages.items() if (found := _arms_in(text))} == {}


@pytest.mark.parametrize("role", BLINDED)
def test_no_address_of_the_api_shows_an_arm_to(role, study):
    client = Client(headers={"Authorization": f"Bearer {token_of(study.people[role])}"})

    answers = {path: client.get(path) for path in _api_addresses(study)}

    assert {path for path, answer in answers.items() if answer.status_code >= 500} == set()
    assert {path: a for path, a in answers.items() if _arms_in(a.content.decode())} == {}


def test_the_report_by_arm_does_show_arms_to_the_statistician(study):
    """The crawl would see a leak: the one place that may show an arm is seen by it."""
    client = _client(study, Role.UNBLINDED_STATISTICIAN)

    page = client.get(f"/reports/{study.trial.code}/pfs?cutoff={TODAY}")

    assert _arms_in(page.content.decode()) or "Placebo" in page.content.decode()


def _client(study: Study, role: Role) -> Client:
    client = Client()
    client.force_login(study.people[role])
    return client


def _arms_in(text: str) -> set[str]:
    return {arm for arm in ARMS if arm in text}


def _crawl(client: Client, *, starts: list[str]) -> dict[str, str]:
    """Follow every link from the starts; return each page's text by path."""
    waiting, pages = list(starts), {}
    while waiting and len(pages) < MOST_PAGES:
        path = waiting.pop()
        if path in pages:
            continue
        answer = client.get(path)
        assert answer.status_code < 500, path
        text = b"".join(answer).decode(errors="replace")
        pages[path] = text + str(dict(answer.headers))
        waiting.extend(_links(text))
    return pages


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        address = dict(attrs).get("href" if tag == "a" else "action") or ""
        wanted = address.startswith(("/admin/", "/reports/"))
        if wanted and not any(word in address for word in NOT_FOLLOWED):
            self.found.append(address.partition("#")[0])


def _links(text: str) -> list[str]:
    parser = _Links()
    parser.feed(text)
    return parser.found


def _api_addresses(study: Study) -> list[str]:
    """Every address of the API that takes a GET, filled in for each of the trial's subjects."""
    addresses = []
    for route in _routes(get_resolver().url_patterns):
        if route.startswith("api/v1/") and "record_id" not in route and "summary_id" not in route:
            for subject in Subject.objects.filter(trial=study.trial):
                path = route.replace("<uuid:subject_id>", str(subject.pk))
                path = path.replace("<slug:code>", study.trial.code)
                addresses.append(f"/{path}{_query(route, study)}")
    return list(dict.fromkeys(addresses))


def _query(route: str, study: Study) -> str:
    if route.endswith("reports/pfs"):
        return f"?cutoff={TODAY}"
    return f"?trial={study.trial.code}" if route.endswith("/events") else ""


def _routes(patterns, prefix: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            found.append(route)
    return found
