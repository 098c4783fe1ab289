"""Another trial is another file: three arms, another drug, other strata, no pregnancy risk."""

import json
import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from events.chain import lay_links
from patients.models import Subject
from reporting.services.safety_summaries import write_safety_summary
from tests.factories import NOW, TODAY, TRAINED, user
from tests.interface import caller_for
from tests.marks import on_postgres
from trials.permissions import Role
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import counted, design_of, generate, minimised_arm
from trials.services.amendments import record_approval
from trials.services.people import give_role, record_training
from trials.services.setup import add_site, create_trial
from trials.services.sites import activate_site
from trials.services.unblinding import arms_for_report


ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "tests/protocols/three_arms.toml").read_text()
DAY = TODAY.isoformat()
SITES = ("FR-01", "NL-01")
SEED = "a seed of this test"
VALUES = {
    "performance_status": 1,
    "histology": "papillary",
    "prior_lines": 1,
    "measurable_lesion": True,
    "scanned_on": (TODAY - timedelta(28)).isoformat(),
}
LABS = [
    {"analyte": "anc", "value": "2.5", "unit": "10^9/L"},
    {"analyte": "platelets", "value": "150", "unit": "10^9/L"},
    {"analyte": "creatinine_clearance", "value": "90", "unit": "mL/min"},
]
pytestmark = on_postgres


class Trial:
    """The trial of the file, set up by the services an administrator uses, spoken to by REST."""

    def __init__(self) -> None:
        self.admin = user("admin")
        began = NOW - timedelta(1)
        self.trial = create_trial(
            protocol_text=PROTOCOL,
            training=TRAINED,
            conduct="replay",
            administrator=self.admin,
            at=began,
        )
        self.callers = {}
        for code in SITES:
            site = add_site(
                trial_id=self.trial.pk, code=code, name=code, country=code[:2],
                time_zone="Europe/Paris", by=self.admin, at=began,
            )  # fmt: skip
            self._open(site)
            self.callers[code] = self._caller(Role.SITE_SYSTEM, site=site)
        self.statistician = self._person(Role.UNBLINDED_STATISTICIAN)
        self._post_list()
        self._supply()

    def _open(self, site):
        """Activate a site as the sponsor does: an approval, an investigator, their training."""
        day, began = TODAY - timedelta(1), NOW - timedelta(1)
        record_approval(
            site=site, version=self.trial.current_version, approved_on=day, reference="EC 1",
            by=self.admin, at=began,
        )  # fmt: skip
        self._person(Role.INVESTIGATOR, site=site)
        activate_site(site_id=site.pk, on=day, reason="initiation", by=self.admin, at=began)

    def _person(self, role, *, site=None, name=""):
        machine = role is Role.SITE_SYSTEM
        name = name or (f"{role.value}-{site.code}" if site else role.value)
        person = user(name, is_machine=machine)
        record_training(
            user=person, trial_id=self.trial.pk, document="Protocol", version="1.0",
            completed_on=TODAY - timedelta(1), by=self.admin, at=NOW - timedelta(1),
        )  # fmt: skip
        give_role(
            user=person, trial_id=self.trial.pk, site=site, role=role, by=self.admin,
            at=NOW - timedelta(1),
        )  # fmt: skip
        return person

    def _caller(self, role, *, site=None):
        return caller_for(self._person(role, site=site))

    def _post_list(self) -> None:
        body = {"trial": "EXA3", "seed": SEED, "reason": "for the test"}
        draft = caller_for(self.statistician).post("/generated-randomisation-lists", body).json()
        path = f"/randomisation-lists/{draft['id']}"
        for person in (self.statistician, self._person(Role.UNBLINDED_STATISTICIAN, name="second")):
            digest = caller_for(person).get(f"{path}/dry-run").json()["digest"]
            answer = caller_for(person).post(f"{path}/approvals", {"digest": digest})
            assert answer.status_code == 201, answer.content

    def _supply(self) -> None:
        self.kits = {}
        supplier = self._caller(Role.UNBLINDED_SUPPLIER)
        for site in SITES:
            there = {"trial": "EXA3", "site": site}
            wanted = [{"dose_mg": "200", "arm": arm, "count": 4} for arm in "ESC"]
            drawn = supplier.post("/kit-number-draws", {**there, "kits": wanted})
            kits = [{**kit, "expires_on": "2030-01-01"} for kit in drawn.json()["kits"]]
            answer = supplier.post("/kit-supplies", {**there, "kits": kits})
            assert (answer.status_code, answer.json()) == (201, {"accepted": 12})
            self.kits[site] = {kit["number"] for kit in kits}

    def post(self, site, path, /, **body):
        answer = self.callers[site].post(path, body)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def screened(self, site, *, sex="female", **values):
        """Enter one person, with consent and screening; return their address and the screening."""
        entered = self.post(
            site, "/subjects", trial="EXA3", site=site, year_of_birth=1970, sex=sex,
            screened_on=DAY,
        )  # fmt: skip
        path = f"/subjects/{entered['id']}"
        self.post(site, f"{path}/consents", version="1.0", signed_on=DAY)
        screening = self.post(
            site, f"{path}/screenings", assessed_on=DAY, values={**VALUES, **values}
        )
        return path, screening

    def randomised(self, site, **how):
        path, _ = self.screened(site, **how)
        return path, self.post(site, f"{path}/randomisations", randomised_on=DAY)

    def allocated(self):
        """Levels and arm of everybody, in the order of allocation, as the statistician may look."""
        arms = arms_for_report(trial=self.trial, by=self.statistician, detail="balance")
        rows = Subject.objects.exclude(allocation=None).select_related("allocation", "site")
        return [
            (
                dict(zip(("sex", "ecog"), row.allocation.stratum.split("-"), strict=True))
                | {"site": row.site.code},
                arms[row.allocation.slot_id],
            )
            for row in rows.order_by("allocation__allocated_at")
        ]


def by_the_published_rule(people):
    """Return the arm that each would get by the pure rule, from the same seed and file."""
    design = design_of(load_protocol(PROTOCOL))
    went, arms = [], []
    for levels, entry in zip(people, generate(design, seed=SEED), strict=False):
        counts = counted(went, design)
        chosen = minimised_arm(design, counts=counts, levels=levels, draw=entry.draw)
        went.append((levels, chosen.place))
        arms.append(chosen.arm)
    return arms


@pytest.fixture
def trial(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return Trial()


def test_the_same_flow_runs_from_another_file(trial):
    path, given = trial.randomised("NL-01")
    trial.post("NL-01", f"{path}/labs", taken_on=DAY, results=LABS)
    trial.post("NL-01", f"{path}/visits", kind="cycle", cycle=1, visited_on=DAY)
    dose = trial.post(
        "NL-01", f"{path}/dose-decisions", cycle=1, decided_on=DAY, dose_mg="200", reason=""
    )
    kit = trial.post(
        "NL-01", f"{path}/dispensations", cycle=1, prescribed_at=f"{DAY}T09:00:00Z",
        dispensed_on=DAY, days=21,
    )  # fmt: skip
    event = trial.post(
        "NL-01", f"{path}/adverse-events", term="Palpitations", soc="Cardiac disorders", grade=2,
        started_on=DAY, outcome="recovered", related=True, serious=False,
    )  # fmt: skip
    response = trial.post(
        "NL-01", f"{path}/response-assessments", assessed_on=DAY, response="SD",
        assessor="investigator",
    )  # fmt: skip

    assert given["stratum"] == "F-LESS"
    assert Decimal(dose["proposed_dose_mg"]) == 200
    assert kit["kit_number"] in trial.kits["NL-01"]
    assert (event["ctcae_version"], response["response"]) == ("5.0", "SD")
    lay_links()
    feed = trial._caller(Role.DATA_MANAGER).get("/events?trial=EXA3&after=0").json()
    assert {"patients.SubjectRandomised", "dosing.KitDispensed"} <= {
        told["type"] for told in feed["events"]
    }
    monday = TODAY - timedelta(TODAY.weekday())
    summary = write_safety_summary(
        trial=trial.trial, period_start=monday, by=trial._person(Role.SAFETY_OFFICER),
        at=timezone.now(),
    )  # fmt: skip
    assert (summary.period_start, summary.period_end) == (monday, monday + timedelta(6))
    assert "Cardiac disorders" in json.dumps(summary.content)


def test_arms_are_balanced_at_every_level_exactly_as_the_rule_and_the_seed_say(trial):
    """18 women and 6 men, at two sites, fit and less fit: no two factors go together."""
    for number in range(24):
        trial.randomised(
            SITES[number % 2],
            sex="male" if number % 4 == 3 else "female",
            performance_status=number % 3,
        )

    allocated = trial.allocated()

    people = [levels for levels, _ in allocated]
    found = Counter((level, arm) for levels, arm in allocated for level in levels.values())
    assert [arm for _, arm in allocated] == by_the_published_rule(people)
    assert Counter(level for levels in people for level in levels.values()) == {
        "FR-01": 12, "NL-01": 12, "F": 18, "M": 6, "FIT": 8, "LESS": 16,
    }  # fmt: skip
    for level, size in (("FR-01", 12), ("NL-01", 12), ("F", 18), ("LESS", 16)):
        assert all(abs(found[level, arm] - size / 3) <= 2 for arm in "ESC"), found


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"prior_lines": 2}, []),
        ({"prior_lines": 3}, ["too_many_lines"]),
        ({"performance_status": 3}, ["not_fit_enough"]),
        ({"measurable_lesion": False, "marker_level": "50.1"}, []),
        ({"measurable_lesion": False, "marker_level": "50.0"}, ["nothing_to_measure"]),
        ({"measurable_lesion": False}, ["nothing_to_measure_missing"]),
        ({"histology": "mixed"}, ["mixed_needs_haemoglobin_missing"]),
        ({"histology": "mixed", "haemoglobin_g_dl": "10.0"}, []),
        ({"histology": "mixed", "haemoglobin_g_dl": "9.9"}, ["mixed_needs_haemoglobin"]),
    ],
)
def test_its_own_criteria_decide(trial, values, reasons):
    _, screening = trial.screened("FR-01", **values)

    assert [reason["code"] for reason in screening["reasons"]] == reasons
    assert screening["eligible"] == (not reasons)


def test_what_it_does_not_have_is_refused_and_its_timing_holds(trial):
    system = trial.callers["FR-01"]
    late, _ = trial.screened("FR-01", scanned_on=(TODAY - timedelta(29)).isoformat())
    path, _ = trial.randomised("FR-01")

    too_late = system.post(f"{late}/randomisations", {"randomised_on": DAY}).json()
    talk = system.post(
        f"{path}/counsellings",
        {"counselled_on": DAY, "acknowledgement_version": "1.0", "contraception": "condom",
         "contraception_since": None},
    ).json()  # fmt: skip
    nodular = system.post(
        f"{path}/response-assessments",
        {"assessed_on": DAY, "response": "nPR", "assessor": "investigator"},
    ).json()

    assert [reason["code"] for reason in too_late["reasons"]] == ["too_late_after_scan"]
    assert [reason["code"] for reason in talk["reasons"]] == ["no_prevention_programme"]
    assert [reason["code"] for reason in nodular["reasons"]] == ["not_in_response_scale"]


def test_a_sex_corrected_after_randomisation_gives_another_stratum_beside_the_frozen_one(trial):
    path, given = trial.randomised("FR-01", sex="female")
    manager = trial._caller(Role.DATA_MANAGER)
    report = "/trials/EXA3/mis-stratification"
    sealed = trial.allocated()

    made = trial.callers["FR-01"].post(
        f"{path}/corrections", {"sex": "male", "reason": "misread"}, revision="1"
    ).json()  # fmt: skip
    [row] = manager.get(report).json()["misstratified"]
    unfit = trial.post(
        "FR-01", f"{path}/screening-corrections", values={"performance_status": 0}, reason="misread"
    )
    [both] = manager.get(report).json()["misstratified"]

    assert (given["stratum"], made["stratum"], unfit["stratum"]) == ("F-LESS", "M-LESS", "M-FIT")
    assert made["levels"] == {"sex": "M", "ecog": "LESS"}
    assert (row["stratum"], row["corrected_stratum"]) == ("F-LESS", "M-LESS")
    assert (row["found"], row["corrected"]) == ({"sex": "female"}, {"sex": "male"})
    assert (both["corrected_stratum"], both["corrected"]) == (
        "M-FIT", {"sex": "male", "performance_status": 0},
    )  # fmt: skip
    assert trial.allocated() == sealed
    again = trial.callers["FR-01"].post(f"{path}/randomisations", {"randomised_on": DAY})
    assert again.status_code == 409


# What the built-in trial and the one of this test are about. The demo may say it, and the report's
# tests; no code that runs a trial does.
WORDS = re.compile(r"\bcllm?1?\b|iwcll|lenalid|\bmrd|ighv|del17p|\bEXA3|examplinib", re.IGNORECASE)
APPS = ("events", "trials", "patients", "dosing", "reporting", "config")


def test_no_code_names_a_trial_its_disease_or_its_drug():
    of_the_demo = (ROOT / "config/demo", ROOT / "config/management/commands/demo.py")
    files = [
        path
        for app in APPS
        for path in (ROOT / app).rglob("*")
        if path.suffix in {".py", ".sql", ".html", ".typ"}
        and "migrations" not in path.parts
        and not any(path.is_relative_to(place) for place in of_the_demo)
    ]

    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if WORDS.search(line)
    ]

    assert len(files) > 100
    assert found == []
