"""Opening the sealed lists to verify a randomisation against them."""

from typing import Any

from trials import sealed
from trials.models import Trial, User
from trials.permissions import Permission
from trials.rules.commitment import Contents
from trials.rules.randomisation import Entry
from trials.rules.verification import HeldList, HeldSlot
from trials.services.unblinding import open_blind


def sealed_lists(*, trial: Trial, by: User, detail: str) -> tuple[HeldList, ...]:
    """Return a trial's live lists with seed, salt and slots, in the order of their numbers.

    The look is written to the access log and committed before. Publishes ``BlindOpened``. Raises
    ``PermissionDenied`` without a role for it.
    """
    access = open_blind(
        trial=trial,
        by=by,
        permission=Permission.VERIFY_RANDOMISATION,
        purpose="verify randomisation",
        detail=detail,
    )
    return tuple(_held(row) for row in sealed.lists_to_verify(access))


def _held(row: dict[str, Any]) -> HeldList:
    slots = tuple(
        HeldSlot(
            id=slot["id"],
            stratum=slot["stratum"],
            position=slot["position"],
            arm=slot["arm"] or "",
            draw=slot["draw"],
            levels=slot["levels"],
            place=slot["place"],
        )
        for slot in row["slots"] or ()
    )
    return HeldList(
        contents=Contents(
            list_id=row["id"],
            trial_id=row["trial_id"],
            number=row["number"],
            method=row["method"],
            generator=row["generator"],
            seed=row["seed"],
            parameters=row["parameters"],
            salt=row["salt"],
            entries=tuple(
                Entry(slot.stratum, slot.arm if slot.draw is None else "", slot.draw)
                for slot in slots
            ),
        ),
        digest=row["digest"],
        taken=row["taken"] or {},
        sizes=row["sizes"] or {},
        slots=slots,
    )
