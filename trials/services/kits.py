"""The kit of a subject's cycle, chosen behind the blind."""

from datetime import date
from uuid import UUID

from trials import sealed


def choose_kit(*, subject_id: UUID, cycle: int, last_day: date) -> UUID | None:
    """Return the kit for a cycle whose dose is decided and committed, or nothing.

    The same kit comes back until it is handed over, whatever the caller rolls back meanwhile, and
    every question is kept (docs/decisions/0014). Nothing comes back alike in every arm.
    """
    return sealed.choose_kit(subject_id, cycle, last_day)
