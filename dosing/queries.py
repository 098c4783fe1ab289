"""Facts for the rules, read in the transaction that acts on them."""

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from dosing.models import (
    Counselling,
    Dispensation,
    DoseDecision,
    PregnancyRisk,
    PregnancyTest,
    TreatmentEnd,
)
from dosing.rules import dispensing, pregnancy_prevention
from dosing.rules.escalation import GivenCycle
from patients.models import LabResult, Subject
from patients.queries import consent_active, consent_form_due, has_progressed
from trials.rules.protocol import Dosing


def gate_facts(subject: Subject, supplies: list[Dispensation]) -> pregnancy_prevention.GateFacts:
    """Return what the pregnancy-prevention gate is judged from."""
    risk = PregnancyRisk.objects.filter(subject=subject).last()
    return pregnancy_prevention.GateFacts(
        zone=ZoneInfo(subject.site.time_zone),
        category=pregnancy_prevention.standing_category(risk and risk.category, subject.sex),
        counsellings=tuple(
            pregnancy_prevention.Counselling(
                counselled_on=row.counselled_on,
                acknowledgement_version=row.acknowledgement_version,
                contraception=pregnancy_prevention.Contraception(row.contraception),
                contraception_since=row.contraception_since,
            )
            for row in Counselling.objects.filter(subject=subject)
        ),
        tests=tuple(
            pregnancy_prevention.PregnancyTest(
                taken_at=row.taken_at,
                result=pregnancy_prevention.TestResult(row.result),
                sensitivity_miu_ml=row.sensitivity_miu_ml,
            )
            for row in PregnancyTest.objects.filter(subject=subject)
        ),
        supplied_on=tuple(supply.dispensed_on for supply in supplies),
    )


def dispensing_facts(
    subject: Subject, request: dispensing.Request, policy: Dosing
) -> dispensing.DispensingFacts:
    """Return what handing over study drug is judged from."""
    supplies = list(Dispensation.objects.filter(subject=subject))
    return dispensing.DispensingFacts(
        gate=gate_facts(subject, supplies),
        consent_active=consent_active(subject, on=request.dispensed_on),
        randomised=subject.allocation_id is not None,
        treatment_ended=TreatmentEnd.objects.filter(subject=subject).exists(),
        progressed=has_progressed(subject, on=request.dispensed_on),
        decisions=tuple(
            dispensing.Decision(row.cycle, row.decided_on, row.dose_mg)
            for row in decisions_of(subject).values()
        ),
        form_due=consent_form_due(subject, on=request.dispensed_on),
        labs=labs_of(subject, request, policy),
        supplies=tuple(
            dispensing.Supply(row.cycle, row.dispensed_on, row.days) for row in supplies
        ),
    )


def decisions_of(subject: Subject) -> dict[int, DoseDecision]:
    """Return the dose decision of each cycle: one made anew after an amendment is the one."""
    rows = DoseDecision.objects.filter(subject=subject).order_by("cycle", "recorded_at")
    return {row.cycle: row for row in rows}


def labs_of(
    subject: Subject, request: dispensing.Request, policy: Dosing
) -> tuple[dispensing.LabResult, ...]:
    """Return the results of the days that can count for a request."""
    opens = request.dispensed_on - timedelta(days=policy.lab_window_days.value)
    rows = LabResult.objects.filter(
        subject=subject, taken_on__gte=opens, taken_on__lte=request.dispensed_on
    )
    return tuple(dispensing.LabResult(row.analyte, row.taken_on, row.value) for row in rows)


def given_cycles(subject: Subject, policy: Dosing, *, by_day: date) -> tuple[GivenCycle, ...]:
    """Return the cycles handed over so far.

    A cycle is completed when as many days as it lasts have passed since its supply, and that
    covered them. It failed when the next dose decided after it, holds aside, was a lower one.
    """
    supplies = list(Dispensation.objects.filter(subject=subject).order_by("cycle"))
    decisions = {cycle: row.dose_mg for cycle, row in decisions_of(subject).items()}
    return tuple(
        GivenCycle(
            cycle=row.cycle,
            dose_mg=row.dose_mg,
            completed=_completed(row, policy, by_day),
            failed=_lowered_after(row, decisions),
        )
        for row in supplies
    )


def _completed(row: Dispensation, policy: Dosing, by_day: date) -> bool:
    cycle = policy.cycle_days.value
    early = policy.early_refill_days.value
    return row.days >= cycle and (by_day - row.dispensed_on).days >= cycle - early


def _lowered_after(row: Dispensation, decisions: dict[int, Decimal]) -> bool:
    later = [dose for cycle, dose in sorted(decisions.items()) if cycle > row.cycle and dose > 0]
    return bool(later) and later[0] < row.dose_mg
