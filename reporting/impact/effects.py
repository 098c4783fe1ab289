"""Everything an amendment means for one subject."""

from collections.abc import Iterator

from patients.rules.consent import form_due
from reporting.impact.dose import dose_effects
from reporting.impact.gate import gate_effects
from reporting.impact.prevention import prevention_effects
from reporting.impact.reach import IN_WORDS
from reporting.impact.standing import Affected, Amendment, Effect, Standing
from reporting.impact.visits import visit_effects
from trials.rules.protocol.amendment import judges_otherwise


def effects(subject: Standing, amendment: Amendment) -> tuple[Affected, ...]:
    """Return everything an amendment means for a subject from the day it is in force.

    Who died, withdrew or was found not eligible is not affected. Before randomisation eligibility
    and a pregnancy-prevention programme that has begun count; on treatment the gate, the dose, the
    programme and the visits; after it the visits, and what the programme asks for after the last
    dose. A form to sign again, and how events and response are judged, count for all. Which key of
    the protocol file comes to which effect, and which to none, stands in
    ``reporting.impact.reach``.

    Limits are compared with the newest recorded value, however old: it is not told whether
    it is still in the window of a supply. A value that passes both versions, or neither, changes
    nothing. Empty means that the subject goes on as before.
    """
    return () if subject.out else tuple(_effects(subject, amendment))


def _effects(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    yield from _consent(subject, amendment)
    if subject.randomised_on is None:
        yield from _screening(subject, amendment)
    if subject.treated:
        yield from gate_effects(subject, amendment)
        yield from dose_effects(subject, amendment)
    yield from prevention_effects(subject, amendment)
    yield from visit_effects(subject, amendment)
    yield from _in_words(subject, amendment)


def _consent(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    was, due = (form_due(subject.signed, p.consent) for p in (amendment.before, amendment.after))
    if not due or due == was:
        return
    signed = f"signed form {subject.signed[-1]}" if subject.signed else "has signed no form"
    yield Affected(Effect.RECONSENT_DUE, f"{signed}; form {due} is to be signed {_when(subject)}")


def _when(subject: Standing) -> str:
    if subject.treatment_ended_on is not None:
        return "at the next visit, and holds nothing up"
    return "before more drug" if subject.treated else "before randomisation"


def _screening(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    if subject.screened_under and judges_otherwise(amendment.before, amendment.after):
        detail = (
            f"screened under version {subject.screened_under}; eligibility or strata have changed"
        )
        yield Affected(Effect.JUDGE_ANEW, detail)


def _in_words(subject: Standing, amendment: Amendment) -> Iterator[Affected]:
    for key, row in IN_WORDS.items():
        if row.concerns(subject):
            for change in amendment.under(key):
                yield Affected(row.effect, amendment.told(change) + row.more)
