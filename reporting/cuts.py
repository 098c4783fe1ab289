"""The data cut: the records of one trial up to a clinical day, as they were known at an instant."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, models

from dosing.models import Dispensation, DoseDecision, PregnancyTest, TreatmentEnd
from events.history import as_known_at as rows_as_known_at
from events.history import wait_for_writers
from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import (
    AdverseEvent,
    Contact,
    Death,
    ResponseAssessment,
    Screening,
    Subject,
    SubjectTransfer,
    Visit,
)
from patients.rules.partial_dates import PartialDate
from reporting.errors import CutRefused
from trials.models import Allocation, ProtocolVersion, Site, Trial
from trials.rules.protocol import Protocol


PATIENCE_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.1
WHOLE = "a cut holds the whole trial's records, whoever asks for the report"

Row = Any  # a row of the history: the model's own fields, unknown to the type checker
DayOf = Callable[[Row, dict[Any, Row]], date]


def _day(field: str) -> DayOf:
    return lambda row, sites: getattr(row, field)


def _earliest(field: str) -> DayOf:
    return lambda row, sites: PartialDate(getattr(row, field)).first_day


def _day_at_site(row: Row, site_of: dict[Any, Row]) -> date:
    return DataCut.local_day(row.taken_at, site_of[row.subject_id])


CLINICAL_DAY: dict[type[models.Model], DayOf] = {
    Subject: _day("screened_on"),
    Screening: _day("assessed_on"),
    Allocation: _day("randomised_on"),
    Visit: _day("visited_on"),
    Contact: _day("contacted_on"),
    ResponseAssessment: _day("assessed_on"),
    AdverseEvent: _earliest("started_on"),
    Death: _earliest("died_on"),
    DoseDecision: _day("decided_on"),
    Dispensation: _day("dispensed_on"),
    TreatmentEnd: _day("ended_on"),
    PregnancyTest: _day_at_site,
}


@dataclass(frozen=True, slots=True)
class DataCut:
    """What a report may know: clinical days up to ``cutoff_on``, recorded by ``as_known_at``.

    The cut-off is the last day that counts, in each site's own calendar. Made by ``take_cut``.
    """

    trial: Trial
    cutoff_on: date
    as_known_at: datetime

    def records(self, model: type[models.Model]) -> list[Row]:
        """Return a clinical table's rows in the cut, oldest record first.

        A row stays if its clinical day is on or before the cut-off; a partial date stays if the
        earliest day it can mean is. What else such a row says (an event's end or outcome) is as
        it was known at the instant, also when it happened after the cut-off.
        """
        rows = rows_as_known_at(model, self.as_known_at).filter(**self._of_trial(model))
        sites = self._site_of_subjects() if model is PregnancyTest else self.sites()
        day = CLINICAL_DAY[model]
        with reading_as_system(WHOLE):
            kept = [row for row in rows if day(row, sites) <= self.cutoff_on]
        return sorted(kept, key=lambda row: (day(row, sites), str(row.pgh_obj_id)))

    def sites(self) -> dict[Any, Row]:
        """Return the trial's sites by id, as they were known at the instant."""
        rows = rows_as_known_at(Site, self.as_known_at).filter(trial_id=self.trial.pk)
        return {row.pgh_obj_id: row for row in rows}

    def entry_sites(self) -> dict[Any, Any]:
        """Return the site's id at which each subject was entered, wherever it moved later."""
        subjects = rows_as_known_at(Subject, self.as_known_at).filter(trial_id=self.trial.pk)
        moves = rows_as_known_at(SubjectTransfer, self.as_known_at)
        moves = moves.filter(subject__trial_id=self.trial.pk).order_by("-recorded_at")
        with reading_as_system(WHOLE):
            found = dict(subjects.values_list("pgh_obj_id", "site_id"))
            return found | dict(moves.values_list("subject_id", "from_site_id"))

    def _site_of_subjects(self) -> dict[Any, Row]:
        sites = self.sites()
        subjects = rows_as_known_at(Subject, self.as_known_at).filter(trial_id=self.trial.pk)
        with reading_as_system(WHOLE):
            return {key: sites[at] for key, at in subjects.values_list("pgh_obj_id", "site_id")}

    def conduct(self) -> str:
        row = rows_as_known_at(Trial, self.as_known_at).get(pgh_obj_id=self.trial.pk)
        return str(row.conduct)

    def protocol(self) -> Protocol:
        """Return the protocol version in force at the instant."""
        rows = rows_as_known_at(ProtocolVersion, self.as_known_at).filter(trial_id=self.trial.pk)
        in_force = rows.filter(activated_at__lte=self.as_known_at).latest("activated_at")
        return ProtocolVersion(text=in_force.text).protocol

    def first_randomised_on(self) -> date | None:
        """Return the day of the first randomisation known at the instant, whatever the cut-off."""
        rows = rows_as_known_at(Allocation, self.as_known_at)
        days = rows.filter(**self._of_trial(Allocation)).values_list("randomised_on", flat=True)
        with reading_as_system(WHOLE):
            return min(days, default=None)

    @staticmethod
    def local_day(at: datetime, site: Row) -> date:
        """Return the calendar day of an instant at a site as it was known."""
        return Site(time_zone=site.time_zone).local_day(at)

    def _of_trial(self, model: type[models.Model]) -> dict[str, Any]:
        if model is Subject:
            return {"trial_id": self.trial.pk}
        if model is Allocation:
            return {"site__trial_id": self.trial.pk}
        return {"subject__trial_id": self.trial.pk}


def take_cut(
    *,
    trial: Trial,
    cutoff_on: date,
    as_known_at: datetime | None = None,
    now: datetime,
    patience_seconds: float = PATIENCE_SECONDS,
) -> DataCut:
    """Return a cut that gives the same records however often it is read, now and later.

    ``as_known_at`` (default ``now``) is an instant of the past. A record's history carries the
    start of its transaction, so this waits until all that began by then have ended. Take it
    outside a transaction of your own: two that waited for each other would both give up.

    Raises ``CutRefused``: an instant in the future or before the trial was set up, a cut-off
    after the instant's day (UTC), or writers still busy when patience ends.
    """
    instant = as_known_at or now
    _refuse_impossible(trial, cutoff_on, instant, now)
    deadline = time.monotonic() + patience_seconds
    while not (_is_past(instant) and wait_for_writers(instant)):
        if time.monotonic() >= deadline:
            detail = (
                f"After {patience_seconds:g} seconds something begun by {_shown(instant)} is still "
                "being written, so this cut could not be repeated. Try again, or ask for a moment "
                "before it."
            )
            raise CutRefused(Reason("writers_busy", detail))
        time.sleep(LOOK_AGAIN_SECONDS)
    return DataCut(trial, cutoff_on, instant)


def _refuse_impossible(trial: Trial, cutoff_on: date, instant: datetime, now: datetime) -> None:
    reasons = []
    if instant > now:
        detail = f"{_shown(instant)} lies in the future (now is {_shown(now)})."
        reasons.append(Reason("future_instant", detail))
    elif not rows_as_known_at(Trial, instant).filter(pgh_obj_id=trial.pk).exists():
        detail = f"{trial.code} had not been set up at {_shown(instant)}."
        reasons.append(Reason("before_the_trial", detail))
    if cutoff_on > instant.astimezone(UTC).date():
        detail = f"The cut-off {cutoff_on} lies after the day of {_shown(instant)}."
        reasons.append(Reason("future_cutoff", detail))
    if reasons:
        raise CutRefused(*reasons)


def _is_past(instant: datetime) -> bool:
    """Return whether the database's own clock, which stamps the history, has passed an instant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp() > %s", [instant])
        return bool(cursor.fetchone()[0])


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
