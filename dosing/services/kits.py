"""Kits on their way to a site: their numbers drawn and dealt, and their arrival."""

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction

from dosing.errors import KitsRefused
from dosing.events import KitNumbersDrawn, KitsSupplied
from dosing.models import Kit, KitNumberDraw
from dosing.rules.kits import (
    SPACE,
    KitLabel,
    deal,
    supply_problems,
    with_check_digit,
    without_some_arm,
)
from events.outbox import publish
from events.outcomes import Reason
from events.reading import reading_as_system
from trials.models import Site, Trial, User
from trials.permissions import Permission, authorise
from trials.services.kits import deal_kits, kits_dealt


MOST_KITS = 10_000  # of one draw, and of one supply


class WantedKits(TypedDict):
    """How many kits of one dose and arm a site is to get."""

    dose_mg: Decimal
    arm: str
    count: int


class SuppliedKit(TypedDict):
    """One kit as the unblinded supplier has packed it."""

    number: str
    dose_mg: Decimal
    arm: str
    expires_on: date


def draw_kit_numbers(
    *, trial: str, site: str, kits: Sequence[WantedKits], by: User, at: datetime
) -> KitNumberDraw:
    """Draw kit numbers for a site, none given out before, and deal the wanted contents to them.

    A number has nine digits, the last one a check digit. Chance alone deals, and what a number is
    for is sealed before anybody sees it: ``packing_list`` tells the supplier, and every telling is
    in the access log. Of each dose there are kits of every arm.

    Publishes ``KitNumbersDrawn``. Raises ``KitsRefused`` with every reason.
    """
    place = _place(trial, site, by)
    if reasons := _draw_problems(kits, place):
        raise KitsRefused(*reasons)
    contents = [(kit["dose_mg"], kit["arm"]) for kit in kits for _ in range(kit["count"])]
    dealt = deal(_new_numbers(len(contents)), contents, rng=secrets.SystemRandom())
    try:
        deal_kits(site=place, dealt=[(kit.number, kit.dose_mg, kit.arm) for kit in dealt], by=by)
    except IntegrityError as error:
        raise KitsRefused(
            Reason("kit_number_twice", "A number was drawn twice at the same moment: draw again.")
        ) from error
    return _keep_draw(place, [kit.number for kit in dealt], by=by, at=at)


def packing_list(*, draw_id: UUID, by: User) -> tuple[KitLabel, ...]:
    """Return what each number of a draw is to hold, sorted by number, for whoever packs the kits.

    The look is in the access log. Publishes ``BlindOpened``. Raises ``KitNumberDraw.DoesNotExist``
    or ``PermissionDenied`` without the role.
    """
    draw = KitNumberDraw.objects.visible_to(by).select_related("site__trial").get(pk=draw_id)
    detail = f"packing list, {len(draw.numbers)} kits for {draw.site.code}"
    drawn = set(draw.numbers)
    found = (kit for kit in kits_dealt(site=draw.site, by=by, detail=detail) if kit[0] in drawn)
    return tuple(KitLabel(number, arm, dose_mg) for number, dose_mg, arm in sorted(found))


def supply_kits(
    *, trial: str, site: str, kits: Sequence[SuppliedKit], by: User, at: datetime
) -> int:
    """Enter kits that arrived at a site; return how many.

    Each has a number drawn for this site and holds what was dealt to it: a kit that was packed
    otherwise is refused. Together they must not tell what is in them, beside those that came
    before. Publishes ``KitsSupplied``. Raises ``KitsRefused`` with every reason.
    """
    place = _place(trial, site, by)
    if twice := _twice(kits):
        raise KitsRefused(*twice)
    detail = f"{len(kits)} kits that arrived at {place.code}"
    dealt = {
        number: (dose_mg, arm)
        for number, dose_mg, arm in kits_dealt(site=place, by=by, detail=detail)
    }
    try:
        _enter_kits(place, kits, dealt, by=by, at=at)
    except IntegrityError as error:
        raise KitsRefused(
            Reason("kit_number_twice", "One of these kits was entered at the same moment.")
        ) from error
    return len(kits)


def _place(trial: str, site: str, by: User) -> Site:
    study = Trial.objects.with_permission(by, Permission.SUPPLY_KITS).get(code=trial)
    places = Site.objects.visible_to(by, Permission.SUPPLY_KITS).select_related("trial")
    return places.get(trial=study, code=site)


def _arms(place: Site) -> list[str]:
    return [arm.code for arm in place.trial.protocol.arms]


def _draw_problems(kits: Sequence[WantedKits], place: Site) -> list[Reason]:
    arms, levels = _arms(place), _levels_at(place)
    reasons = []
    if not 1 <= sum(kit["count"] for kit in kits) <= MOST_KITS:
        reasons.append(Reason("count", f"Draw 1 to {MOST_KITS:,} numbers at once."))
    for number, kit in enumerate(kits, start=1):
        if kit["count"] < 1:
            reasons.append(Reason("count", f"Content {number} is for no kit."))
        if kit["arm"] not in arms:
            reasons.append(Reason("unknown_arm", f"Content {number} is for no arm we know."))
        if kit["dose_mg"] not in levels:
            told = f"{kit['dose_mg'].normalize():f} mg is not a level of the ladder."
            reasons.append(Reason("not_on_ladder", told))
    if not reasons:
        alike = without_some_arm([(kit["dose_mg"], kit["arm"]) for kit in kits], arms)
        reasons = [
            Reason(
                "kits_all_alike",
                f"Of {dose_mg.normalize():f} mg there is no kit of some arm: draw for all.",
            )
            for dose_mg in alike
        ]
    return reasons


def _levels_at(place: Site) -> set[Decimal]:
    """Return the levels of every version activated at a site: kits come before it is in force."""
    rows = place.versions.select_related("protocol_version")
    return {dose for row in rows for dose in row.protocol_version.protocol.dosing.ladder_mg}


def _new_numbers(count: int) -> list[str]:
    """Return numbers by chance, sorted, that no kit has and none that was drawn before."""
    with reading_as_system("a kit number is given once, over all sites"):
        taken = set(Kit.objects.values_list("number", flat=True))
        for numbers in KitNumberDraw.objects.values_list("numbers", flat=True):
            taken.update(numbers)
    drawn: set[str] = set()
    while len(drawn) < count:
        number = with_check_digit(secrets.randbelow(SPACE))
        if number not in taken:
            drawn.add(number)
    return sorted(drawn)


@transaction.atomic
def _keep_draw(place: Site, numbers: list[str], *, by: User, at: datetime) -> KitNumberDraw:
    authorise(by, Permission.SUPPLY_KITS, site=place)
    draw = KitNumberDraw.objects.create(
        trial=place.trial, site=place, numbers=numbers, drawn_by=by, drawn_at=at
    )
    publish(
        KitNumbersDrawn(
            stream=place.trial.code, draw_id=draw.pk, site_id=place.pk, count=len(numbers)
        ),
        at=at,
    )
    return draw


def _twice(kits: Sequence[SuppliedKit]) -> list[Reason]:
    numbers = Counter(kit["number"] for kit in kits)
    with reading_as_system("a kit number is given once, over all sites"):
        known = set(Kit.objects.filter(number__in=numbers).values_list("number", flat=True))
    twice = {number for number, count in numbers.items() if count > 1} | known
    return [
        Reason("kit_number_twice", f"Kit {number} is there already.") for number in sorted(twice)
    ]


def _supply_problems(
    kits: Sequence[SuppliedKit], dealt: dict[str, tuple[Decimal, str]], place: Site
) -> tuple[Reason, ...]:
    reasons = []
    for kit in kits:
        number = kit["number"]
        if number not in dealt:
            told = f"Kit {number}: the number was not drawn for {place.code}."
            reasons.append(Reason("kit_number_unknown", told))
        elif dealt[number] != (kit["dose_mg"], kit["arm"]):
            told = f"Kit {number} is not what was dealt to its number: do not let it be used."
            reasons.append(Reason("kit_not_as_dealt", told))
    if reasons:
        return tuple(reasons)
    labels = [KitLabel(k["number"], k["arm"], k["dose_mg"], k["expires_on"]) for k in kits]
    return supply_problems(labels, earlier=_there_already(place, dealt), arms=_arms(place))


def _there_already(place: Site, dealt: dict[str, tuple[Decimal, str]]) -> list[KitLabel]:
    with reading_as_system("the supplier's kits are judged beside those that came before"):
        rows = list(Kit.objects.filter(site=place).values_list("number", "dose_mg", "expires_on"))
    return [KitLabel(number, dealt[number][1], dose, until) for number, dose, until in rows]


@transaction.atomic
def _enter_kits(
    place: Site,
    kits: Sequence[SuppliedKit],
    dealt: dict[str, tuple[Decimal, str]],
    *,
    by: User,
    at: datetime,
) -> None:
    """Judge and enter kits while no others arrive: supplies are judged beside one another."""
    authorise(by, Permission.SUPPLY_KITS, site=place)
    Site.objects.select_for_update(no_key=True).get(pk=place.pk)
    if reasons := _supply_problems(kits, dealt, place):
        raise KitsRefused(*reasons)
    supply = uuid4()
    with reading_as_system("the supplier enters kits at sites whose records they do not read"):
        Kit.objects.bulk_create(
            Kit(
                site=place,
                number=kit["number"],
                dose_mg=kit["dose_mg"],
                expires_on=kit["expires_on"],
                supply=supply,
            )
            for kit in sorted(kits, key=lambda kit: kit["number"])  # no order of arrival is kept
        )
    publish(KitsSupplied(stream=place.trial.code, site_id=place.pk, count=len(kits)), at=at)
