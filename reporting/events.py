"""What reporting has to say to others."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from events.outcomes import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetySummaryWritten(Event):
    """A period's blinded safety summary can be read."""

    type = "reporting.SafetySummaryWritten"
    summary_id: UUID
    period_start: date
    period_end: date
    edition: int
    digest: str
