from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from events.acting import as_system
from tests.factories import NOW, Study, protocol_text
from tests.marks import on_postgres
from trials.errors import NoVersionInForce
from trials.models import ProtocolVersion, SiteVersion


pytestmark = on_postgres


def amended(study, version="1.1"):
    """A second version of the file, submitted and nowhere in force."""
    text = protocol_text().replace('version = "1.0"', f'version = "{version}"', 1)
    with as_system():
        return ProtocolVersion.objects.create(
            trial=study.trial, version=version, text=text, digest=version,
            submitted_at=NOW, submitted_by=study.admin,
        )  # fmt: skip


def in_force(site, version, day, study):
    with as_system():
        return SiteVersion.objects.create(
            site=site, protocol_version=version, in_force_from=day, activated_by=study.admin,
            activated_at=NOW,
        )  # fmt: skip


def test_a_live_site_runs_the_first_version_from_the_day_it_was_added():
    study = Study(kits=0)
    added_on = study.site.local_day(NOW - timedelta(1))

    assert study.site.version_on(added_on) == study.trial.current_version
    with pytest.raises(NoVersionInForce, match=f"at DE-01 on {added_on - timedelta(1)}"):
        study.site.version_on(added_on - timedelta(1))


def test_a_replayed_site_runs_the_first_version_from_the_opening_of_accrual():
    study = Study(kits=0, conduct="replay")
    opens = study.trial.protocol.trial.accrual_opens_on

    assert study.site.protocol_on(opens).version == "1.0"
    with pytest.raises(NoVersionInForce):
        study.site.version_on(opens - timedelta(1))


def test_an_amendment_is_in_force_at_its_own_site_from_its_first_day():
    study = Study(kits=0)
    other = study.add_site("DE-02")
    amendment, day = amended(study), date(2026, 4, 1)

    in_force(study.site, amendment, day, study)

    found = [study.site.version_on(on).version for on in (day - timedelta(1), day)]
    assert found == ["1.0", "1.1"]
    assert other.version_on(day).version == "1.0"


def test_the_day_is_the_sites_own_and_one_instant_can_be_two_days():
    study = Study(kits=0)
    far = study.add_site("NZ-01", time_zone="Pacific/Auckland")
    amendment, day = amended(study), date(2026, 4, 1)
    for site in (study.site, far):
        in_force(site, amendment, day, study)
    at = datetime(2026, 3, 31, 12, tzinfo=UTC)

    found = [site.version_on(site.local_day(at)).version for site in (study.site, far)]

    assert found == ["1.0", "1.1"]


def test_a_version_is_in_force_once_at_a_site_and_one_begins_on_a_day():
    study = Study(kits=0)
    first, second = amended(study), amended(study, "1.2")
    day = date(2026, 4, 1)
    in_force(study.site, first, day, study)

    for version, on in ((first, day + timedelta(1)), (second, day)):
        with pytest.raises(IntegrityError), transaction.atomic():
            in_force(study.site, version, on, study)


def test_finding_the_version_in_force_is_one_query(django_assert_num_queries):
    study = Study(kits=0)

    with django_assert_num_queries(1):
        study.site.protocol_on(NOW.date())
