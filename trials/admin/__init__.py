"""The trial's own pages of the web admin, by topic."""

from trials.admin import accounts, blind, events, people, protocols, schedules, sites


__all__ = ["accounts", "blind", "events", "people", "protocols", "schedules", "sites"]
