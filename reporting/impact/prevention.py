"""What an amendment of the pregnancy-prevention programme means for a subject."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dosing.rules.pregnancy_prevention import RiskFacts, risk_category
from reporting.impact.standing import Affected, Amendment, Effect, Standing
from trials.rules.protocol import PregnancyPrevention


TABLE = "pregnancy_prevention"

FIRST_TESTS = frozenset({"first_test_days", "second_test_hours"})
OF_TESTS = FIRST_TESTS | {
    "test_sensitivity_miu_ml",
    "weekly_test_days",
    "weekly_test_interval_days",
    "later_test_interval_days",
    "irregular_test_interval_days",
    "later_test_hours",
    "contraception_lead_days",
}
AFTER_STOP = frozenset(
    {"female_after_stop_days", "male_after_stop_days", "blood_donation_after_stop_days"}
)


def prevention_effects(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    """Yield what changes for a subject in the programme, in words.

    In it is whoever is on treatment or has a category before; after treatment, whoever is still
    within the days after the last dose, by either version. Where the programme begins or ends as
    a whole, that is told and not each of its keys.
    """
    policies = amendment.before.pregnancy_prevention, amendment.after.pregnancy_prevention
    whole = policies[0].required != policies[1].required
    for change in amendment.under(f"{TABLE}.required" if whole else TABLE):
        key = change.key.split(".")[1]
        if key == "menopause_months":
            yield from _category(subject, amendment)
        elif _concerns(key, subject, amendment, policies):
            yield Affected(Effect.PREVENTION_CHANGED, amendment.told(change) + _until(key, subject))


def _concerns(
    key: str, subject: Standing, amendment: Amendment, policies: Sequence[PregnancyPrevention]
) -> bool:
    if not _is_for(key, subject):
        return False
    if subject.treatment_ended_on is not None:
        last_day = subject.treatment_ended_on + timedelta(_days_after_stop(key, policies))
        return key in AFTER_STOP | {"required"} and amendment.day <= last_day
    return subject.treated or bool(subject.category)


def _is_for(key: str, subject: Standing) -> bool:
    if key in FIRST_TESTS and subject.cycle is not None:
        return False
    if key in OF_TESTS or key == "female_after_stop_days":
        return subject.child_bearing
    return key != "male_after_stop_days" or subject.sex == "male"


def _days_after_stop(key: str, policies: Sequence[PregnancyPrevention]) -> int:
    """Return for how many days after the last dose a key binds, by the longer of two versions."""
    keys = AFTER_STOP if key == "required" else AFTER_STOP & {key}
    stated = (getattr(policy, name) for policy in policies for name in keys)
    return max((days.value for days in stated if days is not None), default=0)


def _until(key: str, subject: Standing) -> str:
    ended = subject.treatment_ended_on
    return f"; treatment ended on {ended}" if ended and key in AFTER_STOP else ""


def _category(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    """Yield that a category would be another one: the recorded one holds until assessed anew."""
    facts = RiskFacts(
        subject.sex, subject.surgically_sterile, subject.menopause_months, subject.evidence
    )
    if not subject.category or subject.treatment_ended_on is not None:
        return
    now = risk_category(facts, amendment.after.pregnancy_prevention)
    if now != subject.category:
        months = amendment.after.pregnancy_prevention.menopause_months.value
        detail = (
            f"{subject.category} with {subject.menopause_months} months of menopause would be {now}"
            f" by the {months} months of {amendment.day} on; to be assessed anew,"
            f" {subject.category} holds until then"
        )
        yield Affected(Effect.PREVENTION_CHANGED, detail)
