"""Two sites of one trial and one of another, and what each reader is shown over raw SQL."""

from datetime import timedelta

import psycopg
from django.conf import settings
from django.utils import timezone

from events.acting import as_system
from tests.factories import Study, user
from tests.planted import Place
from trials.models import RoleAssignment, Site, Trial
from trials.permissions import Role


HERE, ELSEWHERE, OTHER_TRIAL = 0, 1, 2


class World:
    """Two sites of one trial and one of another, each with a coordinator."""

    def __init__(self) -> None:
        self.study = Study(kits=0)
        self.here = self.study.site
        self.elsewhere = self.study.add_site("FR-01")
        with as_system():
            other = Trial.objects.create(code="OTHER", title="Other", created_at=timezone.now())
            self.other_trial = Site.objects.create(
                trial=other, code="DE-01", name="DE-01", country="DE", time_zone="Europe/Berlin"
            )
        self.coordinator = self.study.coordinator
        self.colleague = self.study.person(Role.COORDINATOR, site=self.elsewhere)
        self.stranger = user("stranger")
        self.role(self.stranger, Role.COORDINATOR, self.other_trial)

    def role(self, person, role, site, *, everywhere=False):
        """Give a role at a site, or in the whole trial of that site."""
        with as_system():
            return RoleAssignment.objects.create(
                user=person,
                role=role,
                site=None if everywhere else site,
                trial=site.trial,
                starts_at=timezone.now() - timedelta(1),
            )

    def places(self):
        return (
            Place(self.here, self.coordinator),
            Place(self.elsewhere, self.colleague),
            Place(self.other_trial, self.stranger),
        )


def as_application(statement, *, reader=None):
    """Run raw SQL over a connection of its own with the application's log-in."""
    with application() as link:
        if reader is not None:
            link.execute("SELECT set_config('vigil.reader', %s, false)", [str(reader)])
        return [row[0] for row in link.execute(statement).fetchall()]


def application():
    found = settings.DATABASES["default"]
    return psycopg.connect(
        host=found["HOST"], port=found["PORT"], dbname=found["NAME"], user=found["USER"],
        password=found["PASSWORD"], autocommit=True,
    )  # fmt: skip
