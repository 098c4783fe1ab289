"""Whose gate an amendment shuts or opens, by what is recorded of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from patients.rules.unblinding import treatment_blocks
from reporting.impact.standing import Affected, Amendment, Effect, Standing
from trials.rules.protocol import Dosing
from trials.rules.protocol.words import shown


@dataclass(frozen=True, slots=True)
class Limit:
    """A lowest value of the protocol file, and the analyte that is held against it."""

    key: str
    analyte: str
    name: str


LIMITS = (
    Limit("start_anc", "anc", "neutrophils"),
    Limit("start_platelets", "platelets", "platelets"),
    Limit("min_creatinine_clearance", "creatinine_clearance", "creatinine clearance"),
)


def gate_effects(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    """Yield what shuts or opens the gate for a subject on treatment, and what limits the dose."""
    for limit in LIMITS:
        yield from _limit(subject, amendment, limit)
    yield from _renal_dose(subject, amendment)
    yield from _interruption(subject, amendment)
    yield from _blind(subject, amendment)


def _limit(subject: Standing, amendment: Amendment, limit: Limit) -> Iterator[Affected]:
    was, now = (getattr(p.dosing, limit.key) for p in (amendment.before, amendment.after))
    newest = subject.newest.get(limit.analyte)
    if was.value == now.value:
        return
    if newest is None:
        yield from _without_value(amendment, limit)
        return
    before, after = newest.value >= was.value, newest.value >= now.value
    if before == after:
        return
    said = "shut until a value reaches the limit" if before else "open as far as this value goes"
    detail = (
        f"{limit.name} {shown(newest.value)} of {newest.taken_on}: at least {shown(was.value)}"
        f" {was.unit} is asked for now, {shown(now.value)} from {amendment.day} on; {said}"
    )
    yield Affected(Effect.GATE_SHUT if before else Effect.GATE_OPENED, detail)


def _without_value(amendment: Amendment, limit: Limit) -> Iterator[Affected]:
    for change in amendment.under(f"dosing.{limit.key}"):
        detail = f"{amendment.told(change)}; no value of {limit.name} is recorded"
        yield Affected(Effect.LIMIT_WITHOUT_VALUE, detail)


# --- Kidney function --------------------------------------------------------------------------

_RENAL = ("dosing.reduced_below_creatinine_clearance", "dosing.reduced_dose_fraction")
WHOLE = Decimal(1)


def _renal_dose(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    found = [change for key in _RENAL for change in amendment.under(key)]
    newest = subject.newest.get("creatinine_clearance")
    if newest is None:
        for change in found:
            detail = f"{amendment.told(change)}; no value of creatinine clearance is recorded"
            yield Affected(Effect.LIMIT_WITHOUT_VALUE, detail)
        return
    was, now = (_share(newest.value, p.dosing) for p in (amendment.before, amendment.after))
    if was != now:
        detail = (
            f"creatinine clearance {shown(newest.value)} of {newest.taken_on}: {_of_plan(now)}"
            f" instead of {_of_plan(was)} in dose decisions from {amendment.day} on"
        )
        yield Affected(Effect.RENAL_DOSE_CHANGED, detail + _stays(subject))


def _share(clearance: Decimal, policy: Dosing) -> Decimal:
    """Return the largest share of the planned dose that a creatinine clearance allows."""
    limit, share = policy.reduced_below_creatinine_clearance, policy.reduced_dose_fraction
    if policy.fixed or limit is None or share is None or clearance >= limit.value:
        return WHOLE
    return share.value


def _of_plan(share: Decimal) -> str:
    return "the planned dose" if share == WHOLE else f"{shown(share)} of the planned dose at most"


def _stays(subject: Standing) -> str:
    """Return that a dose decided before is not judged anew: no gate asks for it at the supply."""
    kept = [f"{shown(dose)} mg for cycle {cycle}" for cycle, dose in subject.decided if dose]
    return f"; already decided and not judged anew: {', '.join(kept)}" if kept else ""


# --- Time without drug, and a broken blind ----------------------------------------------------


def _interruption(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    if subject.runs_out_on is None:
        return
    without = amendment.day - subject.runs_out_on
    was, now = (p.dosing.max_interruption_days.value for p in (amendment.before, amendment.after))
    before, after = (without <= timedelta(limit) for limit in (was, now))
    if before == after:
        return
    said = "shut" if before else "open as far as this goes"
    detail = (
        f"without drug since {subject.runs_out_on}, {without.days} days by {amendment.day}:"
        f" at most {now} from then on, {was} until then; {said}"
    )
    yield Affected(Effect.GATE_SHUT if before else Effect.GATE_OPENED, detail)


def _blind(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    was, now = (
        treatment_blocks(subject.unblinded, p.blind) for p in (amendment.before, amendment.after)
    )
    if now and not was:
        detail = f"the blind was broken for treatment: no study drug from {amendment.day} on"
        yield Affected(Effect.GATE_SHUT, detail)
    if was and not now:
        detail = f"the blind was broken for treatment: study drug again from {amendment.day} on"
        yield Affected(Effect.GATE_OPENED, detail)
