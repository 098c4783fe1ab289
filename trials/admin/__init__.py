"""The trial's own pages of the web admin, by topic."""

from trials.admin import blind, events, people, protocols, schedules, sites


__all__ = ["blind", "events", "people", "protocols", "schedules", "sites"]
