"""How many statements a request costs: the same for a long list, and bounded for every record."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import TRAINED, Study, protocol_text
from tests.interface import DRAW, NOUNS, SUBJECT, caller_for, drawn_kits, noun
from tests.marks import on_postgres
from tests.trials.test_log_ins import enter
from trials.models import Trial
from trials.permissions import Role
from trials.services.accounts import give_password
from trials.services.setup import start_trial


pytestmark = on_postgres

MANY = 20
LISTED = [one for one in NOUNS if one.several]
MOST_TO_READ = 6
ABOUT_WHO_ASKS = (
    4  # their client's last day; and a request begins with no reader, names one, forgets them
)
MOST_TO_WRITE = {
    "consents": 17,
    "consent-withdrawals": 18,
    "screenings": 18,
    "randomisations": 29,
    "visits": 18,
    "labs": 18,
    "response-assessments": 18,
    "adverse-events": 17,
    "contacts": 18,
    "deaths": 19,
    "further-treatments": 16,
    "pregnancy-risk-assessments": 16,
    "counsellings": 16,
    "pregnancy-tests": 18,
    "dose-decisions": 22,
    "dispensations": 30,
    "treatment-ends": 18,
}


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=2)


@pytest.fixture
def system(study):
    return caller_for(study.system)


def statements(act):
    with CaptureQueriesContext(connection) as captured:
        answer = act()
    assert answer.status_code in {200, 201}, answer.content
    return len(captured) - ABOUT_WHO_ASKS


@pytest.mark.parametrize("noun", LISTED, ids=str)
def test_a_list_of_twenty_costs_what_a_list_of_one_costs(study, system, noun):
    path = noun.path(noun.subject(study))
    system.post(path, noun.another(1))

    one = statements(lambda: system.get(path))
    for number in range(2, MANY + 1):
        assert system.post(path, noun.another(number)).status_code == 201
    many = statements(lambda: system.get(path))

    assert system.get(path).json()["count"] >= MANY
    assert many == one <= MOST_TO_READ


def test_lists_of_subjects_and_kits_cost_the_same_at_any_length(study, system):
    study.randomised()
    subjects = statements(lambda: system.get("/subjects"))
    kits = statements(lambda: system.get("/kits"))
    for _ in range(MANY):
        system.post("/subjects", SUBJECT)
    study.supply(MANY)

    assert statements(lambda: system.get("/subjects")) == subjects <= MOST_TO_READ
    assert statements(lambda: system.get("/kits")) == kits <= MOST_TO_READ


def test_the_randomisation_log_costs_the_same_at_any_length(study):
    monitor, log = caller_for(study.people[Role.MONITOR]), "/trials/CLLM1/randomisations"
    study.randomised()
    one = statements(lambda: monitor.get(log))
    for _ in range(MANY):
        study.randomised()

    assert monitor.get(log).json()["count"] == MANY + 1
    assert statements(lambda: monitor.get(log)) == one <= MOST_TO_READ


def test_the_list_of_trials_costs_the_same_at_any_length(study):
    admin = caller_for(study.admin)
    one = statements(lambda: admin.get("/trials"))
    for number in range(2, MANY + 2):
        text = protocol_text(code=f"CLLM{number}")
        start_trial(
            protocol_text=text, conduct="live", training=TRAINED, by=study.admin, at=timezone.now()
        )

    listed = admin.get("/trials").json()["results"]
    assert [row["protocol_version"] for row in listed] == ["1.0"] * (MANY + 1)
    assert statements(lambda: admin.get("/trials")) == one <= MOST_TO_READ + 3


PEOPLE = ("/people", "/roles", "/trainings", "/log-ins", "/access-reviews", "/trials/CLLM1/access")


def test_lists_of_people_cost_the_same_at_any_length(study):
    admin = caller_for(study.admin)
    enter("nobody", "wrong")
    digest = admin.get("/trials/CLLM1/access").json()["digest"]
    admin.post("/access-reviews", {"trial": "CLLM1", "digest": digest, "remark": "all known"})
    before = [statements(lambda path=path: admin.get(path)) for path in PEOPLE]
    for number in range(MANY):
        person = study.person(Role.MONITOR, name=f"monitor-{number}")
        give_password(person=person, reason="lost", by=study.admin, at=timezone.now())
        digest = admin.get("/trials/CLLM1/access").json()["digest"]
        admin.post("/access-reviews", {"trial": "CLLM1", "digest": digest, "remark": "all known"})

    after = [statements(lambda path=path: admin.get(path)) for path in PEOPLE]

    assert admin.get("/access-reviews").json()["count"] == MANY + 1
    assert dict(zip(PEOPLE, after, strict=True)) == dict(zip(PEOPLE, before, strict=True))
    assert max(after) <= MOST_TO_READ + 2


def test_a_sites_people_cost_the_same_at_any_length(study):
    paths = ("/people", "/roles", "/trainings", "/log-ins")
    reader = caller_for(study.person(Role.AUDITOR, site=study.site))
    enter("coordinator-DE-01", "wrong")
    before = [statements(lambda path=path: reader.get(path)) for path in paths]
    for number in range(MANY):
        person = study.person(Role.COORDINATOR, site=study.site, name=f"coordinator-{number}")
        give_password(person=person, reason="lost", by=study.admin, at=timezone.now())

    after = [statements(lambda path=path: reader.get(path)) for path in paths]

    assert reader.get("/log-ins").json()["count"] == MANY + 1
    assert after == before
    assert max(after) <= MOST_TO_READ + 2


@pytest.mark.parametrize("noun", NOUNS, ids=str)
def test_recording_costs_no_more_than_this(study, system, noun):
    path = noun.path(noun.subject(study))

    cost = statements(lambda: system.post(path, noun.body))

    assert cost <= MOST_TO_WRITE[noun.name]
    assert statements(lambda: system.get(path)) <= MOST_TO_READ


def test_a_record_among_many_costs_what_the_first_one_costs(study, system):
    visits = noun("visits")
    path = visits.path(visits.subject(study))

    first = statements(lambda: system.post(path, visits.another(1)))
    for number in range(2, MANY):
        system.post(path, visits.another(number))
    last = statements(lambda: system.post(path, visits.another(MANY)))

    assert first == last


def test_a_supply_of_many_kits_costs_what_a_supply_of_one_costs(study):
    supplier = caller_for(study.supplier)

    def supply(each):
        kits = drawn_kits(supplier, each=each)
        return statements(lambda: supplier.post("/kit-supplies", kits))

    assert supply(100) == supply(1)


def test_a_draw_of_many_numbers_costs_what_a_draw_of_two_costs(study):
    supplier = caller_for(study.supplier)

    def draw(each):
        wanted = [{**one, "count": each} for one in DRAW["kits"]]
        body = {**DRAW, "kits": wanted}
        return statements(lambda: supplier.post("/kit-number-draws", body))

    assert draw(100) == draw(1)
