"""Amendments of the built-in protocol for the tests: submitted, approved and in force."""

from datetime import date, datetime

from reporting.services.amendments import activate_version, impact_of
from tests.factories import NOW, TODAY, Study, protocol_text
from trials.models import ProtocolVersion, Site
from trials.services.amendments import record_approval, submit_version


CTCAE_5 = ('ctcae_version = { value = "4.0"', 'ctcae_version = { value = "5.0"')
NEW_FORM = (
    'form_version = "1.0"\nlabel = "Patient information and consent form"\nreconsent = false',
    'form_version = "2.0"\nlabel = "Patient information and consent form"\nreconsent = true',
)


def amended_text(*replacements: tuple[str, str], version: str = "1.1") -> str:
    text = protocol_text()
    for old, new in (('version = "1.0"', f'version = "{version}"'), *replacements):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def submitted(
    study: Study, *replacements: tuple[str, str], version: str = "1.1", at: datetime = NOW
) -> ProtocolVersion:
    return submit_version(
        trial_id=study.trial.pk,
        protocol_text=amended_text(*replacements, version=version),
        by=study.admin,
        at=at,
    )


def approved(
    study: Study, version: ProtocolVersion, *sites: Site, on: date = TODAY, at: datetime = NOW
) -> ProtocolVersion:
    for site in sites:
        record_approval(
            site=site, version=version, approved_on=on, reference=f"EC {site.code}",
            by=study.admin, at=at,
        )  # fmt: skip
    return version


def activated(
    study: Study,
    version: ProtocolVersion,
    *sites: Site,
    in_force_from: date = TODAY,
    at: datetime = NOW,
) -> None:
    """Look at the impact and put the version in force, as the sponsor's administrator does."""
    impact = impact_of(version=version, sites=sites, in_force_from=in_force_from, by=study.admin)
    activate_version(
        version=version, sites=sites, in_force_from=in_force_from, impact_digest=impact.digest,
        by=study.admin, at=at,
    )  # fmt: skip


def amend(
    study: Study,
    *replacements: tuple[str, str],
    sites: tuple[Site, ...] = (),
    in_force_from: date = TODAY,
    version: str = "1.1",
) -> ProtocolVersion:
    """Submit, approve and activate an amendment at some sites, or at the study's own."""
    places = sites or (study.site,)
    amendment = approved(study, submitted(study, *replacements, version=version), *places)
    activated(study, amendment, *places, in_force_from=in_force_from)
    return amendment
