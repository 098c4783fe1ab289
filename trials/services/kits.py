"""What kits hold, and the kit of a subject's cycle, chosen behind the blind."""

from datetime import date
from decimal import Decimal
from uuid import UUID

from trials import sealed
from trials.models import Site, User
from trials.permissions import Permission
from trials.services.unblinding import open_blind


Dealt = tuple[str, Decimal, str]
"""A kit number, the dose in mg and the arm that were dealt to it."""


def deal_kits(*, site: Site, dealt: list[Dealt], by: User) -> None:
    """Seal what each kit number drawn for a site is for.

    Publishes ``BlindOpened``. Raises ``PermissionDenied`` without the role, ``IntegrityError`` for
    a number that was drawn before.
    """
    access = _opened(site, by, "load kit contents", f"{len(dealt)} kit numbers for {site.code}")
    sealed.deal_kits(access, site.pk, dealt)


def kits_dealt(*, site: Site, by: User, detail: str) -> list[Dealt]:
    """Return what every kit number drawn for a site is for, to whoever packs and sends them.

    Publishes ``BlindOpened``. Raises ``PermissionDenied`` without the role.
    """
    return sealed.kits_dealt(_opened(site, by, "read kit contents", detail), site.pk)


def _opened(site: Site, by: User, purpose: str, detail: str) -> UUID:
    permission = Permission.SUPPLY_KITS
    return open_blind(
        trial=site.trial, by=by, permission=permission, purpose=purpose, detail=detail
    )


def choose_kit(*, subject_id: UUID, cycle: int, last_day: date) -> UUID | None:
    """Return the kit for a cycle whose dose is decided and committed, or nothing.

    The same kit comes back until it is handed over, whatever the caller rolls back meanwhile, and
    every question is kept (docs/decisions/0014). Nothing comes back alike in every arm.
    """
    return sealed.choose_kit(subject_id, cycle, last_day)
