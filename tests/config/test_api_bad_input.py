"""What is not in the expected form gets a problem that names it, and nothing is half written."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from patients.models import AdverseEvent, FurtherTreatment
from tests.factories import Study
from tests.interface import (
    ACTS,
    DAY,
    DRAW,
    EVENT,
    KITS,
    LIST,
    NOUNS,
    SCREENED,
    SCREENING,
    SUBJECT,
    caller_for,
    fields_of,
    noun,
    reasons_of,
)
from tests.marks import on_postgres
from tests.postgres import contents
from trials.models import Trial
from trials.permissions import Role


pytestmark = on_postgres

LONG = "x" * 5000
HALF_A_FIELD = [{}, [], [[]], {"a": 1}, 10**40, 5.5, float(5)]
NEVER = {
    bool: ["true", "false", "no", "f", "", 0, 1, *HALF_A_FIELD],
    int: ["5", "٥", "", "five", True, False, -1, *HALF_A_FIELD],
    str: [5, 0, True, False, "\x00", "", LONG, *HALF_A_FIELD],
    list: ["", "x", 5, True, [5], [None], [True], [{}], ["\x00"], {"a": 1}, {}, 5.5],
    dict: ["", "x", 5, True, [], [{}], {"x": 5.5}, {"x": [1]}, {"x": {}}, {"x": LONG}],
    type(None): [5, 0, True, "\x00", LONG, *HALF_A_FIELD],
}
MAY_BE_LONG = {"text"}
MAY_BE_EMPTY = {"reason", "narrative", "evidence", "email"}


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Study(conduct=Trial.Conduct.REPLAY, kits=0)


@pytest.fixture
def system(study):
    return caller_for(study.system)


@pytest.fixture
def event_path(study):
    return noun("adverse-events").path(study.consented())


# --- The body as a whole ----------------------------------------------------------------------


NO_OBJECT = [
    b"",
    b"{",
    b"{}x",
    b"[]",
    b"7",
    b"null",
    b"true",
    b'"text"',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"term": "caf\xe9"}',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"grade": 1, "grade": 5}',
    b'{"a": {"b": 1, "b": 2}}',
    b'{"term": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b"{'a': 1}",
    b'{"a": 1,}',
]


def test_a_body_that_is_no_object_of_json_is_refused(system, event_path):
    before = contents()

    answers = [(content[:24], system.raw(event_path, content)) for content in NO_OBJECT]

    assert [(start, a.content) for start, a in answers if a.status_code != 400] == []
    assert all(reasons_of(answer) for _, answer in answers)
    assert {start for start, a in answers if fields_of(a) != {"body"}} == {b""}
    assert contents() == before


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(system, event_path, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(content := json.dumps(EVENT).encode())

    fits = system.raw(event_path, content)
    before = contents()
    too_large = system.raw(event_path, content + b" ")

    assert (fits.status_code, too_large.status_code) == (201, 413)
    assert too_large.json()["code"] == "too_large"
    assert contents() == before


@pytest.mark.parametrize("length", ["x", "²", "9" * 40])
def test_a_length_that_is_no_number_is_refused(system, event_path, length):
    answer = system.client.post(
        f"/api/v1{event_path}", b"{}", "application/json", CONTENT_LENGTH=length,
        headers=system.headers,
    )  # fmt: skip

    assert answer.status_code == 413


NO_JSON = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "application/json; charset=zip",
    "application/json; charset=rot13",
]


def test_a_body_that_is_not_json_in_utf8_is_refused(system, event_path):
    content = json.dumps(EVENT)
    before = contents()

    answers = [system.raw(event_path, content, content_type=one) for one in NO_JSON]

    assert [answer.status_code for answer in answers] == [415] * len(NO_JSON)
    assert {answer.json()["code"] for answer in answers} == {"unsupported_media_type"}
    assert contents() == before


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8"])
def test_json_in_utf8_is_read(system, event_path, content_type):
    answer = system.raw(event_path, json.dumps(EVENT), content_type=content_type)

    assert answer.status_code == 201


def test_nothing_is_edited_or_removed(system, event_path):
    paths = (
        event_path, "/subjects", "/trials", "/kit-supplies", "/events", "/permissions",
        "/trials/CLLM1/randomisations",
    )  # fmt: skip
    before = contents()

    answers = [
        system.client.generic(method, f"/api/v1{path}", headers=system.headers)
        for method in ("PUT", "PATCH", "DELETE")
        for path in paths
    ]

    assert {answer.status_code for answer in answers} == {405}
    assert all(answer["Allow"] for answer in answers)
    assert all(answer.json()["code"] == "method_not_allowed" for answer in answers)
    assert contents() == before


def test_every_address_says_what_it_takes(system, event_path):
    paths = (
        event_path, "/subjects", "/trials", "/kits", "/kit-supplies", "/events?trial=CLLM1",
        "/permissions",
    )  # fmt: skip

    answers = [system.client.options(f"/api/v1{p}", headers=system.headers) for p in paths]

    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("path", ["/nothing", "/subjects/7/visits", "/trials/"])
def test_a_wrong_address_is_answered_with_a_problem(system, path):
    answer = system.get(path)

    assert answer.status_code == 404
    assert reasons_of(answer) == set()


ODD = ["number=%zz", "number=%00", "number=%ED%A0%80", 'number="<x>', "page_size=x", "a[]=1", "=&="]


def test_an_odd_query_is_no_fault_of_ours(study, system):
    monitor = caller_for(study.people[Role.MONITOR])

    answers = [
        caller.client.get(f"/api/v1{path}", QUERY_STRING=query, headers=caller.headers)
        for query in ODD
        for caller, path in (
            (system, "/subjects"),
            (system, "/kits"),
            (monitor, "/events"),
            (monitor, "/trials/CLLM1/randomisations"),
            (system, "/permissions"),
        )
    ]
    feed = [
        monitor.get(f"/events?trial=CLLM1&after={after}")
        for after in ("-1", "x", "٣", "1.5", "9" * 30, "9" * 5000, "")
    ]

    assert {answer.status_code for answer in answers} == {200, 400}
    assert {answer.status_code for answer in feed} == {400}
    assert all(fields_of(answer) == {"after"} for answer in feed)


def test_the_token_address_refuses_names_no_client_can_have(system):
    names = [{"client_id": "\x00"}, {"client_id": "x" * 5000}, {"client_id": "ü", "scope": "\x00"}]

    answers = [
        system.client.post("/oauth/token", {"grant_type": "client_credentials", **one})
        for one in names
    ]
    basic = system.client.post(
        "/oauth/token",
        {"grant_type": "client_credentials"},
        headers={"Authorization": "Basic ADp4"},
    )

    assert [answer.status_code for answer in answers] == [400, 401, 401]
    assert basic.status_code == 400
    assert all("error" in answer.json() for answer in (*answers, basic))


def test_another_language_than_json_is_not_answered(system):
    answer = system.get("/subjects", Accept="text/csv")

    assert answer.status_code == 406
    assert answer.json()["code"] == "not_acceptable"


# --- Fields -----------------------------------------------------------------------------------


def never_taken(body):
    """Return each body in which one field holds what it never can, and the field's name."""
    return [
        ({**body, name: wrong}, name)
        for name, value in body.items()
        for wrong in NEVER[type(value)]
        if not (wrong == "" and name in MAY_BE_EMPTY)
        and not (wrong == LONG and name in MAY_BE_LONG)
    ]


@pytest.mark.parametrize("noun", NOUNS, ids=str)
def test_wrong_types_are_refused_by_the_fields_name(study, system, noun):
    path = noun.path(noun.subject(study))
    before = contents()

    answers = [(name, system.post(path, body)) for body, name in never_taken(noun.body)]

    assert [(name, a.json()) for name, a in answers if a.status_code != 400] == []
    named = [(name, {field.split(".")[0] for field in fields_of(a)}) for name, a in answers]
    assert [pair for pair in named if pair[1] != {pair[0]}] == []
    assert contents() == before


@pytest.mark.parametrize("noun", NOUNS, ids=str)
def test_unknown_and_missing_fields_are_refused_by_name(study, system, noun):
    path = noun.path(noun.subject(study))
    before = contents()

    unknown = system.post(path, {**noun.body, "arm": "L", "id": "x", "": 1})
    nothing = system.post(path, {})

    assert (unknown.status_code, nothing.status_code) == (400, 400)
    assert fields_of(unknown) == {"arm", "id", "body"}
    assert fields_of(nothing) <= set(noun.body)
    assert contents() == before


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_about_people_too_wrong_types_are_refused_by_the_fields_name(study, act):
    admin = caller_for(study.admin)
    before = contents()

    answers = [(name, admin.post(act.path, body)) for body, name in never_taken(act.body)]
    empty = admin.post(act.path, {**act.body, "reason": ""}) if "reason" in act.body else None

    assert [(name, a.json()) for name, a in answers if a.status_code != 400] == []
    named = [(name, {field.split(".")[0] for field in fields_of(a)}) for name, a in answers]
    assert [pair for pair in named if pair[1] != {pair[0]}] == []
    assert empty is None or fields_of(empty) == {"reason"}
    assert contents() == before


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_about_people_too_unknown_and_missing_fields_are_refused_by_name(study, act):
    admin = caller_for(study.admin)
    before = contents()

    unknown = admin.post(act.path, {**act.body, "secret": "mine", "id": "x", "": 1})
    nothing = admin.post(act.path, {})
    no_key = admin.post(act.path, act.body, key="")

    assert [a.status_code for a in (unknown, nothing, no_key)] == [400, 400, 400]
    assert fields_of(unknown) == {"secret", "id", "body"}
    assert fields_of(nothing) <= set(act.body)
    assert fields_of(no_key) == {"Idempotency-Key"}
    assert contents() == before


def refused_alone(system, path, body, name, wrong):
    """Return the reasons for one wrong value, each of them naming its field."""
    answer = system.post(path, {**body, name: wrong})
    assert answer.status_code == 400, (name, wrong, answer.content)
    assert {field.split(".")[0] for field in fields_of(answer)} == {name}
    return answer


NO_DAY = [
    "2014-02-30", "2014-13-01", "2014-00-10", "2014-1-5", "20140309", "2014-W10-7", "2014-069",
    "٢٠١٤-٠٣-٠٩", "2014-03-09T00:00:00Z", "09.03.2014", "0000-01-01", "0001-01-01", "1899-12-31",
    "2201-01-01", "9999-12-31", "10000-01-01", "-2014-03-09", "2014-03", "now", " 2014-03-09",
    "2014-03-09\n",
]  # fmt: skip
NO_PARTIAL_DATE = [
    *(day for day in NO_DAY if day != "2014-03"), "2014-13", "2014-00", "0000", "0001", "1899",
    "2201", "9999", "14", "2014-", "2014-3", "201403", "٢٠١٤", "2014-03-", "2014/03",
]  # fmt: skip
NO_INSTANT = ["2026-03-10T08:30:00", "2026-03-10", "2026-03-10 08:30:00+01:00", "08:30:00+01:00",
              "20260310T083000Z", "2026-03-10T08:30:00+25:00", "2026-03-10T24:30:00Z",
              "2026-03-10T08:60:00Z", "2026-02-30T08:30:00Z", "2026-03-10T08:30:00 Europe/Berlin",
              "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
              "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1899-12-31T23:59:59Z",
              "2201-01-01T00:00:00Z", "٢٠٢٦-٠٣-١٠T08:30:00Z", "1773131400"]  # fmt: skip
NO_DECIMAL = ["", "-1", "-0", "+1", "1e2", "1E-2", "1,5", ".5", "5.", "1_000", "٥", "NaN", "sNaN",
              "Infinity", "-Infinity", "0x10", "2.12345", "1234567890", "9" * 5000, " 1", "1 2",
              2.1, 2, True, float("1e308")]  # fmt: skip


def test_a_day_that_is_in_no_calendar_or_century_is_refused(system, event_path):
    path = event_path.replace("adverse-events", "visits")
    before = contents()

    for wrong in NO_DAY:
        refused_alone(system, path, noun("visits").body, "visited_on", wrong)

    assert contents() == before


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("adverse-events", "started_on"),
        ("adverse-events", "ended_on"),
        ("deaths", "died_on"),
        ("further-treatments", "started_on"),
    ],
)
def test_a_partial_date_that_is_in_no_calendar_is_refused(system, event_path, name, field):
    path = event_path.replace("adverse-events", name)
    before = contents()

    for wrong in NO_PARTIAL_DATE:
        refused_alone(system, path, noun(name).body, field, wrong)

    assert contents() == before


@pytest.mark.parametrize("told", ["2026", "2026-03", "2026-03-09"])
def test_a_partial_date_is_kept_as_it_was_told(system, event_path, told):
    answer = system.post(event_path, {**EVENT, "started_on": told})

    assert answer.json()["started_on"] == told
    assert AdverseEvent.objects.get().started_on == told


@pytest.mark.parametrize(
    ("name", "field"), [("pregnancy-tests", "taken_at"), ("dispensations", "prescribed_at")]
)
def test_an_instant_without_its_offset_or_out_of_time_is_refused(study, system, name, field):
    path = noun(name).path(study.consented(sex="female"))
    before = contents()

    for wrong in NO_INSTANT:
        refused_alone(system, path, noun(name).body, field, wrong)

    assert contents() == before


@pytest.mark.parametrize("sent", ["2026-03-10T08:30:00+01:00", "2026-03-10T07:30Z"])
def test_an_instant_is_the_same_at_every_offset(study, system, sent):
    tests = noun("pregnancy-tests")
    path = tests.path(tests.subject(study))

    answer = system.post(path, {**tests.body, "taken_at": sent})

    assert answer.json()["taken_at"] == "2026-03-10T07:30:00Z"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("pregnancy-tests", "sensitivity_miu_ml"),
        ("dose-decisions", "dose_mg"),
    ],
)
def test_a_number_that_is_no_decimal_text_is_refused(study, system, name, field):
    path = noun(name).path(study.consented(sex="female"))
    before = contents()

    for wrong in NO_DECIMAL:
        refused_alone(system, path, noun(name).body, field, wrong)

    assert contents() == before


def test_what_is_wrong_inside_a_list_is_named_with_its_place(study, system):
    labs = noun("labs")
    path = labs.path(labs.subject(study))
    good = {"analyte": "anc", "value": "2.1", "unit": "10^9/L"}
    before = contents()

    def named(*results):
        return fields_of(system.post(path, {**labs.body, "results": list(results)}))

    assert named(good, {**good, "value": "-1"}) == {"results.1.value"}
    assert named(good, {**good, "arm": "L"}) == {"results.1.arm"}
    assert named(good, "x") == {"results.1"}
    assert named({**good, "analyte": "hb"}, {**good, "value": 2.1}) == {
        "results.0.analyte",
        "results.1.value",
    }
    assert named() == {"results"}
    assert named(*[good] * 4) == {"results"}
    assert fields_of(
        system.post(path.replace("labs", "screenings"), {**SCREENING, "exclusions": ["hiv", 5]})
    ) == {"exclusions.1"}
    assert contents() == before


# --- What a rule says -------------------------------------------------------------------------


FUTURE_DAYS = [
    (one.name, name)
    for one in NOUNS
    for name, value in one.body.items()
    if value == DAY and one.stage in {"enrolled", "consented", "randomised"}
]


@pytest.mark.parametrize(("name", "field"), FUTURE_DAYS)
def test_no_day_lies_in_the_future(study, system, name, field):
    one = noun(name)
    path = one.path(one.subject(study))
    tomorrow = study.site.local_day(timezone.now()) + timedelta(1)
    before = contents()

    answer = system.post(path, {**one.body, field: tomorrow}, key="tomorrow")

    after = contents()
    after.pop("public.events_idempotencyrecord")
    assert answer.status_code == 409
    assert ("", "future_day") in reasons_of(answer)
    assert after == before


@pytest.mark.parametrize(
    ("trial", "site"),
    [("CLLM1", "DE-99"), ("CLLM2", "DE-01"), ("cllm1", "DE-01"), ("CLLM1", "DE-02"), ("%", "_")],
)
def test_a_trial_or_site_that_is_not_yours_is_not_there(study, system, trial, site):
    study.add_site("DE-02")
    supplier = caller_for(study.supplier)
    before = contents()

    enrolled = system.post("/subjects", {**SUBJECT, "trial": trial, "site": site})
    drawn = supplier.post("/kit-number-draws", {**DRAW, "trial": trial, "site": site})
    supplied = supplier.post("/kit-supplies", {**KITS, "trial": trial, "site": site})

    there = (trial, site) == ("CLLM1", "DE-02")  # the supplier's, and not the site system's
    assert enrolled.status_code == 404
    assert drawn.status_code == (201 if there else 404)
    assert supplied.status_code == (409 if there else 404)
    assert there or contents() == before


def screened(**changed):
    return {**SCREENING, "values": {**SCREENED, **changed}}


NO_SCREENING_VALUE = [
    *(("anc_10e9_l", wrong) for wrong in NO_DECIMAL),
    *(("last_cycle_on", wrong) for wrong in [*NO_DAY, 20140309, True]),
    *(("first_line_cycles", wrong) for wrong in ["6", 6.0, True, -1, 101, "²", [6], {"n": 6}]),
    *(("tp53_mutated", wrong) for wrong in ["true", "no", "", 0, 1, "t"]),
    *(("response", wrong) for wrong in ["", "pr", "PR ", 1, True, "RP", "P\x00R"]),
    *(("response", None), ("first_line_regimen", None), ("last_cycle_on", None), ("ecog", None)),
    *(("arm", "L"), ("age", 64), ("sex", "male"), ("site", "DE-01"), ("ECOG", 1), ("x" * 5000, 1)),
]


def test_a_screening_value_that_is_not_the_protocols_is_refused_by_name(study, system):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))
    before = contents()

    answers = [
        (code, wrong, system.post(path, screened(**{code: wrong})))
        for code, wrong in NO_SCREENING_VALUE
    ]

    after = contents()
    after.pop("public.events_idempotencyrecord", None)
    assert after == before
    for code, wrong, answer in answers:
        reasons = answer.json()["reasons"]
        assert answer.status_code in {400, 409}, (code, wrong, answer.content)
        assert len(reasons) == 1, (code, wrong, reasons)
        assert code[:40] in reasons[0].get("field", "") + reasons[0]["detail"]


def test_every_wrong_screening_value_is_named_at_once(study, system):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))
    wrong = screened(
        mrd_level="1.00000001", anc_10e9_l="2.1234", ecog=6, response="XX", del17p="no", height=180
    )
    del wrong["values"]["last_cycle_on"]

    answer = system.post(path, wrong)

    assert answer.status_code == 409
    assert {
        (r["code"], r["detail"].split(" ")[0].strip("'")) for r in answer.json()["reasons"]
    } == {
        ("out_of_bounds", "mrd_level"),
        ("too_many_places", "anc_10e9_l"),
        ("out_of_bounds", "ecog"),
        ("not_a_choice", "response"),
        ("wrong_kind", "del17p"),
        ("unknown_variable", "height"),
        ("value_missing", "last_cycle_on"),
    }


@pytest.mark.parametrize("values", [None, [], "x", 7, [["ecog", 1]], {}, {"ecog": [1]}])
def test_screening_values_are_an_object_of_plain_values(study, system, values):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))
    before = contents()

    answer = system.post(path, {**SCREENING, "values": values})

    after = contents()
    after.pop("public.events_idempotencyrecord", None)
    assert answer.status_code == (409 if values == {} else 400)
    assert after == before


@pytest.mark.parametrize("sent", ["0.02", "0.020", "0.02000000"])
def test_a_number_is_kept_with_the_digits_it_was_sent_with(study, system, sent):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))

    answer = system.post(path, screened(mrd_level=sent)).json()

    assert answer["values"]["mrd_level"] == sent
    assert answer["stratum"] == "H"


def test_a_screening_with_an_exclusion_of_another_protocol_is_refused(study, system):
    screenings = noun("screenings")
    path = screenings.path(screenings.subject(study))

    answer = system.post(path, {**SCREENING, "exclusions": ["hiv", "no_such"]})

    assert answer.status_code == 409
    assert reasons_of(answer) == {("", "unknown_exclusion")}


def test_text_is_kept_as_it_was_given(study, system):
    treatments = noun("further-treatments")
    path = treatments.path(treatments.subject(study))
    odd = "x'); DROP TABLE patients_subject; -- <script>alert(1)</script> %s {0} é 𝒳 \u202e \x07"

    answer = system.post(path, {**treatments.body, "regimen": odd})

    assert answer.status_code == 201
    assert answer.json()["regimen"] == odd
    assert FurtherTreatment.objects.get().regimen == odd


def test_kits_and_lists_are_judged_whole(study, system):
    supplier, statistician = caller_for(study.supplier), caller_for(study.statistician)
    kit = KITS["kits"][0]
    before = contents()

    bad_kits = [
        {**kit, "number": "kit 1"},
        {**kit, "number": "KIT-1\n\n"},
        {**kit, "dose_mg": 5},
        {**kit, "expires_on": "2030"},
        {**kit, "arm": None},
        kit["number"],
        None,
    ]
    kits = supplier.post("/kit-supplies", {**KITS, "kits": [kit, *bad_kits[:1], *bad_kits[2:]]})
    none = supplier.post("/kit-supplies", {**KITS, "kits": []})
    entries = statistician.post("/randomisation-lists", {**LIST, "entries": [{"arm": 1}, 5, None]})

    assert [answer.status_code for answer in (kits, none, entries)] == [400, 400, 400]
    assert fields_of(kits) == {
        "kits.1.number", "kits.2.dose_mg", "kits.3.expires_on", "kits.4.arm", "kits.5", "kits.6",
    }  # fmt: skip
    assert fields_of(none) == {"kits"}
    assert fields_of(entries) == {
        "entries.0.arm", "entries.0.stratum", "entries.1", "entries.2",
    }  # fmt: skip
    assert contents() == before
