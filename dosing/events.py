"""What happens around study drug."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from events.outcomes import Event
from patients.events import SubjectEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyRiskAssessed(SubjectEvent):
    """The pregnancy-prevention category was derived and confirmed."""

    type = "dosing.PregnancyRiskAssessed"
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectCounselled(SubjectEvent):
    """Pregnancy-prevention counselling took place."""

    type = "dosing.SubjectCounselled"
    counselled_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyTestRecorded(SubjectEvent):
    """A pregnancy test was recorded; anything but negative shuts the gate by the table itself."""

    type = "dosing.PregnancyTestRecorded"
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseDecided(SubjectEvent):
    """The dose of a cycle was decided."""

    type = "dosing.DoseDecided"
    cycle: int
    dose_mg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KitDispensed(SubjectEvent):
    """A kit was handed over."""

    type = "dosing.KitDispensed"
    kit_number: str
    cycle: int
    dispensed_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatmentEnded(SubjectEvent):
    """Study treatment ended for good."""

    type = "dosing.TreatmentEnded"
    ended_on: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KitsSupplied(Event):
    """Kits arrived at a site."""

    type = "dosing.KitsSupplied"
    site_id: UUID
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KitNumbersDrawn(Event):
    """Kit numbers were drawn for the kits of a site."""

    type = "dosing.KitNumbersDrawn"
    draw_id: UUID
    site_id: UUID
    count: int
