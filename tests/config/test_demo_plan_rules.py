"""The plan of the built-in trial against the rules that will judge its requests."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config.demo.plan import load_plan
from dosing.rules.dispensing import (
    Decision,
    DispensingFacts,
    LabResult,
    Request,
    Supply,
    dispense_blocks,
    labs_in_window,
)
from dosing.rules.escalation import GivenCycle, dose_blocks
from dosing.rules.pregnancy_prevention import (
    Contraception,
    Counselling,
    GateFacts,
    PregnancyTest,
    RiskFacts,
    TestResult,
    risk_category,
)
from patients.rules.adverse_events import (
    AdverseEventFacts,
    Outcome,
    Seriousness,
    is_treatment_emergent,
    record_problems,
)
from patients.rules.eligibility import (
    EligibilityFacts,
    RandomisationFacts,
    completed_years,
    ineligible_reasons,
    randomisation_blocks,
)
from patients.rules.partial_dates import PartialDate
from patients.rules.response import Assessment, pfs
from patients.rules.screening import read_values
from patients.rules.strata import levels_of, stratum_code
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import list_problems


PROTOCOLS = Path(__file__).parents[2] / "protocols"
PROTOCOL = load_protocol((PROTOCOLS / "cllm1.toml").read_text())
CSV = (PROTOCOLS / "data/cllm1_synth.csv").read_text()
CUTOFF = PROTOCOL.analysis.data_cutoff


@pytest.fixture(scope="module")
def plan():
    return load_plan(
        CSV,
        cutoff=CUTOFF,
        opens_on=PROTOCOL.trial.accrual_opens_on,
        closes_on=PROTOCOL.trial.accrual_closes_on,
    )


def day(text):
    return date.fromisoformat(text)


def bodies(steps, noun):
    return [step.body for step in steps if step.noun == noun]


def screened(subject):
    body, entered = subject.screening.body, subject.entry.body
    values = read_values(body["values"], PROTOCOL.screening.variables)
    age = completed_years(entered["year_of_birth"], subject.screened_on)
    return EligibilityFacts(
        {**values, "age": age, "sex": entered["sex"]}, tuple(body["exclusions"])
    )


def risk(subject, known):
    body = dict(bodies(known, "pregnancy-risk-assessments")[0])
    del body["assessed_on"]
    facts = RiskFacts(sex=subject.entry.body["sex"], **body)
    return risk_category(facts, PROTOCOL.pregnancy_prevention)


def gate(subject, known, zone):
    return GateFacts(
        zone=zone,
        category=risk(subject, known),
        counsellings=tuple(
            Counselling(
                day(body["counselled_on"]),
                body["acknowledgement_version"],
                Contraception(body["contraception"]),
                day(body["contraception_since"]) if body["contraception_since"] else None,
            )
            for body in bodies(known, "counsellings")
        ),
        tests=tuple(
            PregnancyTest(
                datetime.fromisoformat(body["taken_at"]),
                TestResult(body["result"]),
                Decimal(body["sensitivity_miu_ml"]),
            )
            for body in bodies(known, "pregnancy-tests")
        ),
        supplied_on=tuple(supply.dispensed_on for supply in supplies(known)),
    )


def supplies(known):
    return tuple(
        Supply(body["cycle"], day(body["dispensed_on"]), body["days"])
        for body in bodies(known, "dispensations")
    )


def labs(known):
    return tuple(
        LabResult(result["analyte"], day(body["taken_on"]), Decimal(result["value"]))
        for body in bodies(known, "labs")
        for result in body["results"]
    )


def decisions(known):
    return tuple(
        Decision(body["cycle"], day(body["decided_on"]), Decimal(body["dose_mg"]))
        for body in bodies(known, "dose-decisions")
    )


def dispensing(subject, known, zone):
    return DispensingFacts(
        gate=gate(subject, known, zone),
        consent_active=True,
        randomised=True,
        treatment_ended=bool(bodies(known, "treatment-ends")),
        progressed=any(b["response"] == "PD" for b in bodies(known, "response-assessments")),
        decisions=decisions(known),
        labs=labs(known),
        supplies=supplies(known),
    )


def before(plan, noun):
    """Yield each step of a kind with its subject and what is on record by then."""
    for subject in plan.randomised():
        for place, step in enumerate(subject.steps):
            if step.noun == noun:
                yield subject, subject.steps[:place], step.body


def test_exactly_the_randomised_are_eligible_and_everybody_else_has_one_reason(plan):
    for subject in plan.subjects:
        reasons = ineligible_reasons(screened(subject), PROTOCOL)

        assert len(reasons) == (0 if subject.eligible else 1)


def test_the_stratum_of_everybody_randomised_is_the_data_sets(plan):
    for subject in plan.randomised():
        levels = levels_of(screened(subject).values, PROTOCOL.factors)

        assert stratum_code(levels, PROTOCOL.factors) == subject.stratum


def test_everybody_may_be_randomised_on_the_planned_day(plan):
    for subject in plan.randomised():
        facts = RandomisationFacts(
            randomised_on=subject.randomisation.on,
            values=screened(subject).values,
            consent_active=subject.consent.on <= subject.randomisation.on,
            eligible=True,
        )

        assert randomisation_blocks(facts, PROTOCOL) == ()


def test_the_protocol_allows_the_list(plan):
    entries = [(entry.stratum, entry.arm) for entry in plan.list_entries]

    assert list_problems(entries, PROTOCOL) == ()


def test_every_dose_may_be_decided_without_giving_a_reason(plan):
    for _, known, body in before(plan, "dose-decisions"):
        history = [
            GivenCycle(decision.cycle, decision.dose_mg, completed=True)
            for decision in decisions(known)
        ]
        day_one = labs_in_window(labs(known), day(body["decided_on"]), PROTOCOL.dosing)

        blocks = dose_blocks(
            body["cycle"],
            Decimal(body["dose_mg"]),
            body["reason"],
            history,
            day_one,
            PROTOCOL.dosing,
        )

        assert blocks == ()


def test_the_gate_is_open_for_every_dispensation(plan):
    zones = {site.code: ZoneInfo(site.time_zone) for site in plan.sites}
    for subject, known, body in before(plan, "dispensations"):
        request = Request(
            cycle=body["cycle"],
            days=body["days"],
            prescribed_at=datetime.fromisoformat(body["prescribed_at"]),
            dispensed_on=day(body["dispensed_on"]),
        )

        facts = dispensing(subject, known, zones[subject.site])

        assert dispense_blocks(facts, request, PROTOCOL.dosing, PROTOCOL.pregnancy_prevention) == ()


def test_adverse_events_hold_together_and_belong_to_the_treatment(plan):
    for subject, _, body in before(plan, "adverse-events"):
        given = [supply.dispensed_on for supply in supplies(subject.steps)]
        ended_on = body["ended_on"]
        facts = AdverseEventFacts(
            grade=body["grade"],
            started_on=PartialDate(body["started_on"]),
            ended_on=PartialDate(ended_on) if ended_on else None,
            outcome=Outcome(body["outcome"]),
            serious=body["serious"],
            seriousness=tuple(Seriousness(reason) for reason in body["seriousness"]),
        )

        assert record_problems(facts, on=CUTOFF) == ()
        assert is_treatment_emergent(facts.started_on, given[0], given[-1], PROTOCOL.safety)


def test_classes_of_adverse_events_are_spelled_as_in_the_protocol(plan):
    used = {body["soc"] for _, _, body in before(plan, "adverse-events")}

    assert {soc.label for soc in PROTOCOL.safety.soc_of_interest} <= used


def test_progression_free_survival_by_the_rules_is_the_data_sets(plan):
    rows = {line.split(",")[0]: line.split(",") for line in CSV.splitlines()[1:]}
    for subject in plan.randomised():
        assessments = [
            Assessment(day(body["assessed_on"]), body["response"], body["assessor"])
            for body in bodies(subject.steps, "response-assessments")
        ]
        deaths = [PartialDate(body["died_on"]) for body in bodies(subject.steps, "deaths")]

        found = pfs(
            subject.randomisation.on,
            assessments,
            deaths[0] if deaths else None,
            CUTOFF,
            PROTOCOL.endpoints.primary.assessor,
        )

        assert [str(found.days), str(int(found.event))] == rows[subject.key][3:5]
