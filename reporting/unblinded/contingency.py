"""Contingency sheets: made by one person, their passwords given to another."""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Greatest

from events.outcomes import Reason
from events.reading import reading_as_system
from patients.models import Subject
from reporting.documents.contingency_sheet import Sheet, sealed_pdf
from trials.errors import UnblindingRefused
from trials.identity import Proof, require_proof
from trials.models import SealedAccess, Site, User
from trials.permissions import Permission, authorise
from trials.services.unblinding import (
    make_sheets,
    noting_refusals,
    open_look,
    sheet_passwords,
)


SHEETS_TOLD_TO = (Permission.PRINT_CONTINGENCY, Permission.CONFIRM_UNBLINDING)
SHEETS, PASSWORDS = "contingency sheets", "contingency passwords"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same for all: files in a ZIP carry a time


@transaction.atomic
def open_sheets(*, site_id: UUID, reason: str, proof: Proof, by: User) -> UUID:
    """Return an access for making one site's sheets once.

    Publishes ``BlindOpened``. Raises ``UnblindingRefused``: nobody is randomised there, or by the
    database. Refused attempts are kept.
    """
    site = Site.objects.visible_to(by, Permission.PRINT_CONTINGENCY).get(pk=site_id)
    with noting_refusals(by=by, purpose=SHEETS, trial_id=site.trial_id):
        authorise(by, Permission.PRINT_CONTINGENCY, trial=site.trial, reason=reason)
        require_proof(by, proof)
        with reading_as_system("who makes sheets reads no subject's records"):
            somebody = Subject.objects.filter(site=site, allocation__isnull=False).exists()
        if not somebody:
            detail = f"Nobody at {site.code} is randomised: there is nothing to seal."
            raise UnblindingRefused(Reason("nobody_randomised", detail))
        return open_look(
            trial=site.trial,
            by=by,
            purpose=SHEETS,
            detail=f"{site.code}: {reason}",
            site_id=site.pk,
        )


def sheets_file(access_id: UUID, *, at: datetime) -> bytes:
    """Return a ZIP with a sealed PDF for every randomised subject of the site, once an access.

    Nothing is packed: names, sizes and times are the same whatever the arms. A treatment is given
    with its arm's code, which every font can print. Raises
    ``ShownAlready`` the second time.
    """
    made = {subject_id: (arm, password) for subject_id, arm, password in make_sheets(access_id)}
    rows = Subject.objects.filter(pk__in=made).select_related("trial", "allocation")
    with reading_as_system("who makes sheets reads no subject's records"):
        subjects = list(rows.order_by("number"))
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_STORED) as archive:
        for subject in subjects:
            arm, password = made[subject.pk]
            arms = subject.trial.protocol.arms
            labels = {each.code: f"{each.label} ({each.code})" for each in arms}
            sheet = Sheet(
                trial=subject.trial.code,
                title=subject.trial.title,
                subject=subject.number,
                randomisation_number=subject.allocation.number if subject.allocation else "",
                treatment=labels[arm],
                made_at=f"{at:%Y-%m-%d %H:%M} UTC",
            )
            content = sealed_pdf(sheet, password=password, treatments=tuple(labels.values()))
            archive.writestr(zipfile.ZipInfo(f"{subject.number}.pdf", LONG_AGO), content)
    return found.getvalue()


@transaction.atomic
def open_passwords(*, making_id: UUID, proof: Proof, by: User) -> UUID:
    """Return an access for reading the passwords of one making, for another person than its maker.

    Publishes ``BlindOpened``. Raises ``UnblindingRefused`` by the
    database: your own sheets, or no role for it. Refused attempts are kept.
    """
    making = making_for(by, making_id)
    with noting_refusals(by=by, purpose=PASSWORDS, trial_id=making.trial_id):
        authorise(by, Permission.CONFIRM_UNBLINDING, trial=making.trial, reason=PASSWORDS)
        require_proof(by, proof)
        return open_look(
            trial=making.trial, by=by, purpose=PASSWORDS, detail=making.detail, request_id=making.pk
        )


def passwords_file(access_id: UUID) -> str:
    """Return subject and password of each sheet as CSV, once an access.

    Raises ``ShownAlready`` the second time.
    """
    passwords = sheet_passwords(access_id)
    subjects = Subject.objects.filter(pk__in=passwords).order_by("number")
    with reading_as_system("who keeps the passwords need not read a subject's records"):
        numbers = list(subjects.values_list("pk", "number"))
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["subject", "password"])
    rows.writerows((number, passwords[pk]) for pk, number in numbers)
    return text.getvalue()


def making_for(by: User, making_id: UUID) -> SealedAccess:
    """Return a making of sheets in a trial where somebody may keep passwords.

    Raises ``SealedAccess.DoesNotExist`` for any other.
    """
    trials = {held.trial_id for held in by.may(Permission.CONFIRM_UNBLINDING)}
    rows = SealedAccess.objects.select_related("trial")
    return rows.get(pk=making_id, purpose=SHEETS, trial__in=trials)


@dataclass(frozen=True, slots=True)
class Making:
    """One time the sheets of a site were made, and the times their passwords were given out."""

    look: SealedAccess
    passwords: Sequence[SealedAccess]


@dataclass(frozen=True, slots=True)
class SheetsOfSite:
    """What there is for the night when the system is down; ``makings`` are the newest first."""

    site: Site
    makings: Sequence[Making]
    randomised: int
    without_sheet: int
    """How many of the randomised came to the site, or were randomised, after the last making."""


_HERE_SINCE = Greatest("allocation__allocated_at", Max("subjecttransfers__recorded_at"))


def sheets_by_site(by: User) -> list[SheetsOfSite]:
    """Return the sheets of every site where somebody makes sheets or keeps their passwords."""
    trials = {each.trial_id for permission in SHEETS_TOLD_TO for each in by.may(permission)}
    sites = list(Site.objects.filter(trial__in=trials).select_related("trial").order_by("code"))
    looks = SealedAccess.objects.filter(trial__in=trials).select_related("person")
    subjects = Subject.objects.filter(trial__in=trials, allocation__isnull=False)
    with reading_as_system("who makes sheets, or keeps passwords, is told what there is"):
        given = list(looks.filter(purpose=PASSWORDS).order_by("opened_at"))
        made = list(looks.filter(purpose=SHEETS).order_by("-opened_at"))
        when = list(subjects.annotate(here_since=_HERE_SINCE).values_list("site_id", "here_since"))
    found = []
    for site in sites:
        makings = [
            Making(look, [each for each in given if each.request_id == look.pk])
            for look in made
            if look.site_id == site.pk
        ]
        here = [at for site_id, at in when if site_id == site.pk]
        late = [at for at in here if not makings or at > makings[0].look.opened_at]
        found.append(SheetsOfSite(site, makings, len(here), len(late)))
    return found
