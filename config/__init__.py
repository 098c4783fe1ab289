"""Wiring. The Celery application is loaded with Django, so that tasks are queued where they belong."""

from config.celery import app as celery_app


__all__ = ["celery_app"]
