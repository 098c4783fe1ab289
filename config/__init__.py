"""Wiring. The Celery application is loaded with Django, so that tasks reach its own broker."""

from config.celery import app as celery_app


__all__ = ["celery_app"]
