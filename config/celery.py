"""The Celery application: tasks of every app, settings from Django."""

import os
from typing import Any

from celery import Celery, Task
from celery.signals import setup_logging


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class SystemTask(Task):
    """Every task is Vigil's own work, and reads every row while it runs."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from events.reading import reading_as_system  # Django is ready by now

        with reading_as_system(f"task {self.name}"):
            return super().__call__(*args, **kwargs)


app = Celery("vigil", task_cls=SystemTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Leave logging as the settings configured it; without a receiver Celery replaces it."""
