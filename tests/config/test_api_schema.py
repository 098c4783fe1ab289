"""The OpenAPI describes the interface as it is: valid, complete, and kept to under fuzzing."""

import itertools
import re
from datetime import date
from io import StringIO

import hypothesis
import pytest
import schemathesis
from django.core.management import call_command
from hypothesis import strategies
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup

from config.wsgi import application
from tests.factories import Study
from tests.interface import ACTS, EVENT, caller_for, noun, token_of
from tests.marks import on_postgres
from trials.models import Trial


SENT_EACH = 8
KEPT_TO = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
REACHED = {
    GenerationMode.POSITIVE: {200, 201, 400, 403, 404, 409, 412},
    GenerationMode.NEGATIVE: {200, 400, 403, 404},
}
KEYS = (f"fuzz-{number}" for number in itertools.count())
budget = hypothesis.settings(
    max_examples=SENT_EACH,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(autouse=True)
def _static(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def schema():
    days = strategies.dates(date(2026, 2, 1), date(2026, 12, 31)).map(str)
    schemathesis.openapi.format("date", days)
    schemathesis.openapi.format("date-time", days.map(lambda day: f"{day}T12:00:00Z"))
    return schemathesis.openapi.from_wsgi("/api/schema/", application)


@pytest.fixture
def study():
    return Study(conduct=Trial.Conduct.REPLAY)


@pytest.fixture
def known(study):
    """What is really there, to be asked for instead of what nobody knows."""
    system = caller_for(study.coordinator)
    subject = study.ready_for_first_kit()
    made = {
        name: system.post(noun(name).path(subject), noun(name).body).json()["id"]
        for name in ("adverse-events", "response-assessments")
    }
    return {"subject_id": str(subject.pk), "code": study.trial.code, **made}


def aimed(case, known):
    """Point a generated request at what is really there; the rest of it stays as it came."""
    for name in case.path_parameters or {}:
        thing = case.path.split("/")[3] if name == "record_id" else name
        case.path_parameters[name] = known.get(thing, case.path_parameters[name])
    there = {"trial": known["code"], "site": "DE-01", "person": "monitor"}
    if isinstance(case.body, dict):
        case.body |= {name: there[name] for name in there if name in case.body}
    if case.meta.generation.mode is GenerationMode.POSITIVE and case.method == "POST":
        case.headers["Idempotency-Key"] = next(KEYS)
    return case


def departures(schema, mode, answered):
    """Return where answers depart from the OpenAPI, by operation; tell ``answered`` of each."""
    found = {}
    for result in schema.get_all_operations():
        operation = result.ok()

        @budget
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def fuzz(case):
            answered(case)

        try:
            fuzz()
        except (FailureGroup, ExceptionGroup) as failure:
            found[operation.label] = [str(one) for one in failure.exceptions]
        except hypothesis.errors.Unsatisfiable:
            pass  # nothing can be wrong about an operation without parameters
    return found


@on_postgres
@pytest.mark.parametrize("mode", REACHED)
def test_every_answer_is_one_the_openapi_names(schema, study, known, mode):
    headers = {"Authorization": f"Bearer {token_of(study.system)}"}
    statuses = set()

    def answered(case):
        answer = aimed(case, known).call_and_validate(headers=headers, checks=KEPT_TO)
        statuses.add(answer.status_code)

    found = departures(schema, mode, answered)

    assert found == {}
    assert set(statuses) >= REACHED[mode]


@on_postgres
@pytest.mark.parametrize(("mode", "reached"), [("POSITIVE", {200, 201, 409}), ("NEGATIVE", {400})])
def test_every_answer_about_people_is_one_the_openapi_names(schema, study, mode, reached):
    """The same as who may do it: most of these addresses answer a site's system with no."""
    headers = {"Authorization": f"Bearer {token_of(study.admin)}"}
    statuses = set()

    def answered(case):
        answer = aimed(case, known_of_people).call_and_validate(headers=headers, checks=KEPT_TO)
        statuses.add(answer.status_code)

    about = "|".join(act.path for act in ACTS)
    known_of_people = {"code": study.trial.code}
    only = schema.include(path_regex=rf"^/api/v1({about}|/log-ins|/trials/{{code}}/access)$")
    found = departures(only, GenerationMode[mode], answered)

    assert found == {}
    assert statuses >= reached


def test_the_openapi_is_valid_without_a_warning():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_post_asks_for_its_key_and_every_operation_names_its_problems(schema):
    raw = schema.raw_schema["paths"]
    operations = {
        (path, method): one for path, methods in raw.items() for method, one in methods.items()
    }

    posts = {place: one for place, one in operations.items() if place[1] == "post"}
    keys = {place for place, one in posts.items() if "Idempotency-Key" in named(one)}
    revisions = {path for (path, _), one in posts.items() if "If-Match" in named(one)}

    assert keys == set(posts)
    assert revisions == {path for path, _ in posts if path.endswith("/corrections")}
    assert all({"400", "401", "403", "404"} <= answers(one) for one in operations.values())
    assert all({"201", "409", "413", "415", "422"} <= answers(one) for one in posts.values())
    assert {method for _, method in operations} == {"get", "post"}


def answers(operation):
    return set(operation["responses"])


def named(operation):
    return {parameter["name"] for parameter in operation["parameters"] if parameter["required"]}


def test_the_openapi_is_for_everybody_and_names_no_example_of_anybody(client):
    answer = client.get("/api/schema/", headers={"accept": "application/json"})

    assert answer.status_code == 200
    assert EVENT["term"] not in answer.content.decode()


def test_the_documentation_asks_nobody_else_for_anything(client):
    page = client.get("/api/docs/").content.decode()

    asked = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(asked) >= 3
    assert [address for address in asked if not address.startswith("/static/")] == []
    assert [a for a in re.findall(r"https?://[^\s\"'<]+", page) if "w3.org" not in a] == []
