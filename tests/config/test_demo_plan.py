"""The plan of the built-in trial: published counts, blocks, gate days, and no word of the arm."""

import io
import json
import threading
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from config.demo.client import ApiRefused, Client
from config.demo.figures import PUBLISHED, compare, render
from config.demo.harms import WITH_EVENT
from config.demo.plan import load_plan, read_rows
from config.demo.replay import Meter, progress_line, step_key
from patients.rules.eligibility import completed_years


CSV = (Path(__file__).parents[2] / "protocols/data/cllm1_synth.csv").read_text()
OPENS, CLOSES, CUTOFF = date(2012, 7, 5), date(2016, 3, 15), date(2016, 3, 31)
MONTH = timedelta(days=28)
ROWS = {row.key: row for row in read_rows(CSV)}


def planned(csv_text=CSV, cutoff=CUTOFF):
    return load_plan(csv_text, cutoff=cutoff, opens_on=OPENS, closes_on=CLOSES)


@pytest.fixture(scope="module")
def plan():
    return planned()


@pytest.fixture(scope="module")
def by_key(plan):
    return {subject.key: subject for subject in plan.randomised()}


def bodies(subject, noun):
    return [step.body for step in subject.steps if step.noun == noun]


def treated(plan):
    return [subject for subject in plan.randomised() if ROWS[subject.key].treated]


def day(text):
    return date.fromisoformat(text)


def test_468_are_screened_and_89_of_them_randomised(plan):
    assert len(plan.subjects) == 468
    assert len(plan.randomised()) == 89
    assert [subject.ordinal for subject in plan.subjects] == list(range(1, 469))


def test_347_of_the_379_not_eligible_have_low_residual_disease(plan):
    levels = [
        float(subject.screening.body["values"]["mrd_level"])
        for subject in plan.subjects
        if not subject.eligible
    ]

    assert len(levels) == 379
    assert sum(level < 1e-4 for level in levels) == 347


def test_the_same_text_and_days_give_the_same_plan(plan):
    assert planned() == plan


def test_no_day_lies_after_the_cutoff(plan):
    assert all(step.on <= CUTOFF for subject in plan.subjects for step in subject.every_step())


def test_everybody_is_screened_and_randomised_within_accrual(plan):
    assert all(OPENS <= subject.screened_on <= CLOSES for subject in plan.subjects)
    assert all(OPENS <= s.randomisation.on <= CLOSES for s in plan.randomised())


def test_the_last_observation_fits_before_the_cutoff(plan):
    for subject in plan.randomised():
        last = subject.randomisation.on + timedelta(days=ROWS[subject.key].obs_day)

        assert last <= CUTOFF


def test_a_cutoff_too_early_for_the_longest_observation_is_refused():
    with pytest.raises(ValueError, match="before screening opens"):
        planned(cutoff=date(2016, 1, 15))


def test_rows_that_blocks_of_three_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="two L and one P"):
        planned(CSV.replace("L60,L,H", "L60,P,H"))


@pytest.mark.parametrize(("stratum", "used", "listed"), [("H", 33, 75), ("I", 56, 126)])
def test_the_list_consists_of_whole_blocks_and_begins_with_what_was_allocated(
    plan, stratum, used, listed
):
    entries = [entry.arm for entry in plan.list_entries if entry.stratum == stratum]
    allocated = [subject.arm for subject in plan.randomised() if subject.stratum == stratum]

    blocks = ["".join(sorted(entries[at : at + 3])) for at in range(0, len(entries), 3)]

    assert len(entries) == listed
    assert set(blocks) == {"LLP"}
    assert allocated == entries[:used]


def test_the_open_block_of_intermediate_risk_waits_for_its_placebo(plan):
    entries = [entry.arm for entry in plan.list_entries if entry.stratum == "I"]

    assert entries[54:57] == ["L", "L", "P"]


def test_within_a_stratum_no_two_are_randomised_on_one_day(plan):
    days = Counter((s.stratum, s.randomisation.on) for s in plan.randomised())

    assert set(days.values()) == {1}


def test_the_published_baseline_is_kept(plan):
    screenings = [subject.screening.body["values"] for subject in plan.randomised()]
    ages = [
        completed_years(s.entry.body["year_of_birth"], s.screened_on) for s in plan.randomised()
    ]
    counts = {
        marker: Counter(body[marker] for body in screenings)
        for marker in ("ighv_unmutated", "tp53_mutated", "del17p")
    }

    assert (median(ages), min(ages), max(ages)) == (64, 32, 80)
    assert counts["ighv_unmutated"] == {True: 74, False: 8, None: 7}
    assert counts["tp53_mutated"] == {True: 18, False: 70, None: 1}
    assert counts["del17p"] == {True: 10, False: 78, None: 1}
    assert sum(body["response"] in {"CR", "CRi"} for body in screenings) == 35
    assert sum(body["response"] in {"PR", "nPR"} for body in screenings) == 54


def test_who_is_randomised_meets_the_high_risk_rule_of_the_stratum(plan):
    for subject in plan.randomised():
        body = subject.screening.body["values"]
        level = float(body["mrd_level"])
        marked = any(body[name] for name in ("ighv_unmutated", "tp53_mutated", "del17p"))

        assert level >= 0.01 if subject.stratum == "H" else 0.0001 <= level < 0.01 and marked


def test_first_line_treatment_ended_56_to_140_days_before_randomisation(plan):
    for subject in plan.randomised():
        since = subject.randomisation.on - day(subject.screening.body["values"]["last_cycle_on"])

        assert 56 <= since.days <= 140


def test_the_never_treated_have_no_cycle(by_key):
    nouns = {step.noun for key in ("L01", "L02", "L03", "L04") for step in by_key[key].steps}

    assert nouns <= {"response-assessments", "contacts"}


def test_no_cycle_starts_on_or_after_progression_or_the_end_of_treatment(plan):
    for subject in treated(plan):
        limit = subject.randomisation.on + timedelta(days=ROWS[subject.key].pfs_day)
        ends = [day(body["ended_on"]) for body in bodies(subject, "treatment-ends")]
        given = [day(body["dispensed_on"]) for body in bodies(subject, "dispensations")]

        assert given
        assert max(given) < min([limit, *ends])


def test_the_number_of_cycles_is_near_the_published_median_of_11(plan):
    cycles = [len(bodies(subject, "dispensations")) for subject in treated(plan)]

    assert 10 <= median(cycles) <= 12


def test_every_cycle_has_what_the_gate_asks_for_on_its_day(plan):
    for subject in treated(plan):
        for cycle, body in enumerate(bodies(subject, "dispensations"), start=1):
            prescribed = datetime.fromisoformat(body["prescribed_at"])
            on = prescribed.date().isoformat()

            assert body["cycle"] == cycle
            assert 0 <= (day(body["dispensed_on"]) - prescribed.date()).days <= 7
            assert on in [b["visited_on"] for b in bodies(subject, "visits")]
            assert on in [b["taken_on"] for b in bodies(subject, "labs")]
            assert on in [b["counselled_on"] for b in bodies(subject, "counsellings")]
            assert on in [b["decided_on"] for b in bodies(subject, "dose-decisions")]


def test_no_supply_overlaps_the_one_before(plan):
    for subject in treated(plan):
        given = [day(body["dispensed_on"]) for body in bodies(subject, "dispensations")]
        gaps = [(after - before).days for before, after in pairwise(given)]

        assert all(28 <= gap <= 35 for gap in gaps)


def test_the_dose_rises_to_10_mg_in_cycle_2_and_15_mg_in_cycle_7(by_key):
    doses = [body["dose_mg"] for body in bodies(by_key["L60"], "dose-decisions")]

    assert doses[:8] == ["5", "10", "10", "10", "10", "10", "15", "15"]


def can_bear_children(plan):
    return [subject for subject in plan.randomised() if bodies(subject, "pregnancy-tests")]


def test_in_both_arms_are_women_who_can_bear_children(plan):
    assert Counter(subject.arm for subject in can_bear_children(plan)) == {"L": 3, "P": 2}


def test_pregnancy_tests_come_before_the_start_weekly_at_first_and_before_each_cycle(plan):
    for subject in can_bear_children(plan):
        taken = [datetime.fromisoformat(b["taken_at"]) for b in bodies(subject, "pregnancy-tests")]
        prescribed = [
            datetime.fromisoformat(body["prescribed_at"])
            for body in bodies(subject, "dispensations")
        ]
        start = prescribed[0].date()
        ahead = [(start - at.date()).days for at in taken if at.date() < start]

        assert len(ahead) == 1
        assert day(subject.consent.body["signed_on"]) <= taken[0].date()
        assert subject.steps[0].noun == "pregnancy-risk-assessments"
        assert 10 <= ahead[0] <= 14
        for at in prescribed:
            assert any(timedelta(0) <= at - sample <= timedelta(hours=24) for sample in taken)
        early = [(at.date() - start).days for at in taken if start < at.date() < start + MONTH]
        assert early == [7, 14, 21]


def test_contraception_began_28_days_or_more_before_the_first_dose(plan):
    for subject in can_bear_children(plan):
        since = {body["contraception_since"] for body in bodies(subject, "counsellings")}
        first = day(bodies(subject, "dispensations")[0]["dispensed_on"])

        assert len(since) == 1
        assert (first - day(since.pop())).days >= 28


def test_laboratory_values_stay_within_the_limits_for_the_planned_dose(plan):
    floors = {"anc": 1.0, "platelets": 50, "creatinine_clearance": 60}
    results = [
        result
        for subject in plan.randomised()
        for body in bodies(subject, "labs")
        for result in body["results"]
    ]

    assert all(float(result["value"]) >= floors[result["analyte"]] for result in results)


def test_the_published_numbers_had_an_event_of_each_class(plan):
    found = defaultdict(Counter)
    for subject in plan.randomised():
        for soc in {body["soc"] for body in bodies(subject, "adverse-events")}:
            found[soc][subject.arm] += 1

    assert {soc: dict(found[soc]) for soc in WITH_EVENT} == WITH_EVENT


def test_one_fatal_event_in_either_arm_and_two_of_three_deaths_under_placebo(plan):
    fatal = [
        (subject.key, body["term"])
        for subject in plan.randomised()
        for body in bodies(subject, "adverse-events")
        if body["grade"] == 5
    ]
    deaths = Counter(s.arm for s in plan.randomised() if bodies(s, "deaths"))

    assert sorted(fatal) == [
        ("L30", "Leukemia secondary to oncology chemotherapy"),
        ("P13", "Leukoencephalopathy"),
    ]
    assert deaths == {"L": 1, "P": 2}


def test_an_event_begins_under_treatment_and_is_recorded_once_known(plan):
    for subject in treated(plan):
        first = bodies(subject, "dispensations")[0]["dispensed_on"]
        for step in subject.steps:
            if step.noun == "adverse-events":
                began, ended = step.body["started_on"], step.body["ended_on"]

                assert began >= first[: len(began)]
                assert ended is None or began <= ended <= step.on.isoformat()
                assert step.body["serious"] == bool(step.body["seriousness"])


def test_nothing_is_recorded_after_a_death(plan):
    dead = [subject for subject in plan.randomised() if bodies(subject, "deaths")]

    assert [subject.steps[-1].noun for subject in dead] == ["deaths"] * 3


def test_the_review_finds_progression_on_the_day_of_the_data_set(plan):
    for subject in plan.randomised():
        row = ROWS[subject.key]
        reviews = [
            (day(body["assessed_on"]) - subject.randomisation.on, body["response"])
            for body in bodies(subject, "response-assessments")
            if body["assessor"] == "independent_review"
        ]
        days, responses = zip(*reviews, strict=True)

        assert days[-1] == timedelta(days=row.pfs_day)
        assert (responses[-1] == "PD") is row.progressed
        assert "PD" not in responses[:-1]


def test_moving_one_progression_in_the_data_moves_it_in_the_plan_and_nobody_else(plan):
    moved = planned(CSV.replace("P22,P,I,458,1,555", "P22,P,I,460,1,555"))

    before = {subject.key: subject for subject in plan.randomised()}
    after = {subject.key: subject for subject in moved.randomised()}

    found = [b["assessed_on"] for b in bodies(after["P22"], "response-assessments")][-1]
    assert day(found) == after["P22"].randomisation.on + timedelta(days=460)
    assert [key for key in before if before[key] != after[key]] == ["P22"]


def test_no_request_of_a_site_names_an_arm_or_a_row_of_the_data(plan):
    sent = json.dumps([s.body for subject in plan.subjects for s in subject.every_step()])

    assert '"arm"' not in sent
    assert not [key for key in ROWS if f'"{key}"' in sent]
    assert "enalidomide" not in sent


def test_requests_have_the_same_fields_in_both_arms(plan):
    fields = defaultdict(set)
    for subject in plan.randomised():
        for step in subject.every_step():
            fields[subject.arm].add((step.noun, *sorted(step.body)))

    assert fields["L"] == fields["P"]


def test_each_site_is_sent_kits_of_both_arms_in_every_dose_it_uses(plan):
    arms = defaultdict(set)
    for kits in plan.kits:
        arms[kits.site, kits.dose_mg].add(kits.arm)

    assert set(plan.supplied_sites()) == {site for site, _ in arms}
    assert all(found == {"L", "P"} for found in arms.values())


def test_every_site_holds_more_kits_than_its_cycles_take(plan):
    stock = {(kits.site, kits.dose_mg, kits.arm): kits.count for kits in plan.kits}
    used = Counter(
        (subject.site, body["dose_mg"])
        for subject in plan.randomised()
        for body in bodies(subject, "dose-decisions")
    )

    assert all(stock[*place, arm] >= count + 4 for place, count in used.items() for arm in "LP")
    assert {(site, dose) for site, dose, _ in stock} == set(used)


def test_a_truncated_plan_keeps_the_order_of_the_list(plan):
    small = plan.truncated(6, ineligible=3)

    arms = {stratum: [] for stratum in "HI"}
    for subject in small.randomised():
        arms[subject.stratum].append(subject.arm)

    assert len(small.subjects) == 9
    for stratum, found in arms.items():
        listed = [entry.arm for entry in small.list_entries if entry.stratum == stratum]
        assert found == listed[: len(found)]
    assert {kit.site for kit in small.kits} <= {subject.site for subject in small.subjects}


def test_totals_count_every_request(plan):
    sent = sum(1 for subject in plan.subjects for _ in subject.every_step())

    assert sum(plan.totals().values()) == sent + 3 + 2 * len(plan.supplied_sites())


# --- figures ------------------------------------------------------------------------------------


OBTAINED = {
    "screened": 468,
    "not_eligible": 379,
    "randomised": (60, 29),
    "pfs_12_lenalidomide": 89.9,
    "pfs_12_placebo": 56.9,
    "pfs_24_lenalidomide": 77.2,
    "pfs_24_placebo": 25.1,
    "median_lenalidomide": None,
    "median_placebo": (13.3, 9.9, 19.7),
    "hazard_ratio": (0.1676, 0.0741, 0.3789),
    "deaths": (1, 2),
    "skin_lenalidomide": 62.5,
    "skin_placebo": 27.6,
    "gastrointestinal_lenalidomide": 60.7,
    "gastrointestinal_placebo": 27.6,
    "infections_lenalidomide": 53.6,
    "infections_placebo": 65.5,
    "pooled_skin": 43,
    "pooled_gastrointestinal": 42,
    "pooled_infections": 49,
    "pooled_deaths": 3,
}


def test_figures_that_round_as_printed_agree():
    assert all(comparison.agrees for comparison in compare(OBTAINED))
    assert f"{len(PUBLISHED)} of {len(PUBLISHED)}" in render(compare(OBTAINED))


@pytest.mark.parametrize(("ratio", "agrees"), [("0.1684", True), ("0.1685", False)])
def test_a_figure_agrees_up_to_the_last_value_that_rounds_to_it(ratio, agrees):
    found = {**OBTAINED, "hazard_ratio": (float(ratio), 0.0741, 0.3789)}

    comparison = next(one for one in compare(found) if one.figure.key == "hazard_ratio")

    assert comparison.agrees is agrees


def test_a_missing_figure_does_not_agree_and_says_so():
    table = render(compare({}))

    assert "not given" in table
    assert "0 of" in table


# --- replay: keys, progress, client ---------------------------------------------------------------


def test_the_same_step_always_has_the_same_key():
    assert step_key("CLLM1/1/0/subjects") == step_key("CLLM1/1/0/subjects")
    assert step_key("CLLM1/1/0/subjects") != step_key("CLLM1/2/0/subjects")


def test_progress_tells_share_rate_and_time_left():
    line = progress_line("Screening", 250, 1000, 5.0, bar=False)

    assert line == "Screening: 250 of 1,000 requests (25%), 50 per second, 15 s left"


def test_progress_off_a_terminal_is_a_line_every_few_seconds():
    seconds = iter([0.0, 0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    stream = io.StringIO()
    meter = Meter({"visits": 2}, stream, clock=lambda: next(seconds))

    meter.phase("Screening")
    meter.count("visits")
    meter.count("visits")
    replayed = meter.finish()

    assert len(stream.getvalue().splitlines()) == 3
    assert (replayed.requests, replayed.total) == ({"visits": 2}, 2)


class Answers(BaseHTTPRequestHandler):
    """Gives the answers prepared in ``queue`` and keeps what was asked in ``asked``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/oauth/token":
            self.server.tokens += 1
            self.answer(200, {"access_token": f"token-{self.server.tokens}"})
            return
        self.server.asked.append(
            (self.path, self.headers["Authorization"], self.headers["Idempotency-Key"])
        )
        self.answer(*self.server.queue.pop(0))

    def answer(self, status, body):
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.daemon_threads = True
        running.queue, running.asked, running.tokens = [], [], 0
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server):
    url = f"http://127.0.0.1:{server.server_port}"
    with Client(url, "DE-01", "secret", sleep=lambda seconds: None) as connected:
        yield connected


def test_a_busy_server_is_asked_again_with_the_same_key(server, client):
    server.queue = [(503, {}), (429, {}), (201, {"id": "1"})]

    answer = client.post("/subjects", {"sex": "male"}, key="k")

    assert answer == {"id": "1"}
    assert server.asked == [("/api/v1/subjects", "Bearer token-1", "k")] * 3


def test_an_expired_token_is_renewed_once(server, client):
    server.queue = [(401, {}), (201, {"id": "1"})]

    client.post("/subjects", {}, key="k")

    assert [authorization for _, authorization, _ in server.asked] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


def test_a_refusal_carries_the_reasons_in_the_trials_words(server, client):
    reasons = [{"code": "test_expired", "detail": "The last test is 30 hours old."}]
    server.queue = [(409, {"code": "gate_closed", "reasons": reasons})]

    with pytest.raises(ApiRefused, match="The last test is 30 hours old") as refused:
        client.post("/subjects/1/dispensations", {}, key="k")

    assert (refused.value.status, refused.value.code) == (409, "gate_closed")
    assert refused.value.reasons == reasons
