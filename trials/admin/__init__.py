"""The trial's own pages of the web admin, by topic."""

from trials.admin import (
    accounts,
    events,
    on_call,
    people,
    randomisation,
    reviews,
    schedules,
)


__all__ = [
    "accounts",
    "events",
    "on_call",
    "people",
    "randomisation",
    "reviews",
    "schedules",
]
